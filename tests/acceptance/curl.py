"""What the curl lines of a page do, done without curl: their options, interpreted over a connection of Python's own."""

from __future__ import annotations

import http.client
import json
import re
import shlex
import socket
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PATIENCE_SECONDS = 60.0


@dataclass
class Answer:
    """What came of a line."""

    line: str
    method: str
    path: str
    status: int
    said: Any
    """the document, or the plain text; of a stream the data of its first item"""
    event: str | None = None
    """the kind of a stream's first item"""


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("kora")
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE_SECONDS)
        self.sock.connect(str(self._path))


def _options() -> ArgumentParser:
    options = ArgumentParser(prog="curl", exit_on_error=False)
    options.add_argument("-s", action="store_true")
    options.add_argument("-N", action="store_true")
    options.add_argument("--max-time", type=float)
    options.add_argument("--unix-socket", type=Path, required=True)
    options.add_argument("-X", dest="method")
    options.add_argument("-d", dest="body")
    options.add_argument("url")
    return options


def curl(line: str, folder: Path, once_open: Callable[[], object]) -> Answer:
    """Do what the line does in this folder. Of a stream the first item is read: `once_open` makes that one come."""
    program, *words = shlex.split(line)
    assert program == "curl", line
    given = _options().parse_args(words)
    url = urlsplit(given.url)
    method = given.method or ("GET" if given.body is None else "POST")
    # As curl has it, if nothing else is said.
    headers = {} if given.body is None else {"Content-Type": "application/x-www-form-urlencoded"}
    with closing(_Connection(folder / given.unix_socket)) as connection:
        connection.request(method, f"{url.path}?{url.query}" if url.query else url.path, given.body, headers)
        response = connection.getresponse()
        is_stream = response.headers.get_content_type() == "text/event-stream"
        assert is_stream == given.N, f"-N is for streams: {line}"
        if is_stream:
            once_open()
            event, data = _first_item(response)
            return Answer(line, method, url.path, response.status, json.loads(data), event)
        text = response.read().decode()
    assert text.endswith("\n"), line
    said = text if response.headers.get_content_type() == "text/plain" else json.loads(text)
    return Answer(line, method, url.path, response.status, said)


def _first_item(response: http.client.HTTPResponse) -> tuple[str, str]:
    text = ""
    while (found := re.search(r"^event: (.*)\ndata: (.*)\n\n", text, re.MULTILINE)) is None:
        line = response.readline().decode()
        assert line, f"the stream ended\n{text}"
        text += line
    assert re.search(r"^id: \d+$", text, re.MULTILINE), text
    return found[1], found[2]
