"""The program, loaded once and forked for each command that is typed: there are hundreds, and each would load it anew.

    python -P -m tests.acceptance.preloaded SOCKET

serves until its standard input ends. `preloaded_client.py` hands over its arguments, folder, environment and streams,
and ends with the command's exit code; if it is killed, so is the command. What is to be a process of its own (`run`,
`demo`, `agent`, `watch`) is started as ever.
"""

from __future__ import annotations

import atexit
import gc
import os
import selectors
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final, NoReturn

from kora.__main__ import YOUNG_OBJECTS, Launcher
from kora.cli import main
from kora.cli.registry import PROGRAM, made

CLIENT: Final = Path(__file__).with_name("preloaded_client.py")
SHELL_FUNCTIONS: Final = f"""\
kora_typed() {{
    case " ${{*:2}} " in
        "  " | *" run "* | *" demo "* | *" agent "* | *" watch "*)
            [ $BASHPID = $$ ] || exec "$@"
            command "$@" ;;
        *) {sys.executable} -I -S {CLIENT} "${{@:2}}" ;;
    esac
}}
bin/kora-actors() {{ kora_typed bin/kora-actors "$@"; }}
kora-actors() {{ kora_typed kora-actors "$@"; }}
"""
"""for bash, which looks for functions first: they stand for the program by the names under which the pages know it"""
SOCKET_VARIABLE: Final = "SHOWN_PRELOADED"
_END_SECONDS: Final = 60.0
_USED_LATE: Final = (
    "alembic.command",
    "encodings.ascii",
    "orjson",
    "pydantic.type_adapter",
    "rich.table",
    "typer._adapters",
    "kora.agents.records",
    "kora.config",
    "kora.store.sql.archive",
    "kora.store.sql.board",
    "kora.store.sql.read",
    "kora.store.sqlite.sets",
    "kora.store.sqlite.store",
)
"""what most commands come to import, and only once they run"""


@cache
def preloaded() -> str:
    """Where the program waits for commands; it is started when it is first asked for, and ends with this process."""
    path = tempfile.mkdtemp(prefix="kora-shown-") + "/socket"
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.acceptance.preloaded", path],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"LANG": "C.UTF-8"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    atexit.register(process.communicate, timeout=_END_SECONDS)
    return path


def typed(*arguments: str, env: Mapping[str, str] | None = None, **more: Any) -> subprocess.CompletedProcess[Any]:
    """What `subprocess.run` says of the command. It is a process of its own, and none that starts anew."""
    environment = {**(os.environ if env is None else env), SOCKET_VARIABLE: preloaded()}
    return subprocess.run([sys.executable, "-I", "-S", CLIENT, *arguments], env=environment, check=False, **more)


def serve(path: str) -> None:
    """Run what is asked for, each in a fork of this process, until standard input ends."""
    for name in _USED_LATE:
        import_module(name)
    for theme in PROGRAM.values():
        for entry in theme.values():
            made(entry)
    # What is here now stays: a command that looked for garbage among it would copy its pages, too.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(path)
    listening.listen(128)
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    selector = selectors.DefaultSelector()
    selector.register(listening, selectors.EVENT_READ)
    selector.register(sys.stdin, selectors.EVENT_READ)
    running: dict[int, tuple[int, socket.socket]] = {}
    while True:
        for key, _ in selector.select():
            if key.fileobj is sys.stdin:
                return
            if key.fileobj is listening:
                pid, asker = _begun(listening)
                ended = os.pidfd_open(pid)
                running[ended] = pid, asker
                selector.register(ended, selectors.EVENT_READ)
                # Whoever asked sends nothing more: it can only be gone.
                selector.register(asker, selectors.EVENT_READ, pid)
            elif key.data is not None:
                os.kill(key.data, signal.SIGKILL)
                selector.unregister(key.fileobj)
            else:
                pid, asker = running.pop(key.fd)
                _, status = os.waitpid(pid, 0)
                code = os.waitstatus_to_exitcode(status)
                with asker:
                    if asker in selector.get_map():
                        selector.unregister(asker)
                        asker.send(bytes([code if code >= 0 else 128 - code]))
                selector.unregister(key.fd)
                os.close(key.fd)


def _begun(listening: socket.socket) -> tuple[int, socket.socket]:
    """The process that does what is asked next, and who asked."""
    asker, _ = listening.accept()
    head, streams, _, _ = socket.recv_fds(asker, 4, 3)
    body = b""
    while len(body) < int.from_bytes(head, "big"):
        body += asker.recv(1 << 20)
    pid = os.fork()
    if pid == 0:
        _run(body.decode("utf-8", "surrogateescape").split("\0"), streams)
    for stream in streams:
        os.close(stream)
    return pid, asker


def _run(request: list[str], streams: list[int]) -> NoReturn:
    code = 1
    try:
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        sys.stdin, sys.stdout, sys.stderr = open(0), open(1, "w"), open(2, "w", 1)  # noqa: SIM115 - for as long as it lives
        os.closerange(3, 256)
        folder, count, *more = request
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(each.split("=", 1) for each in more[int(count) :])
        time.tzset()
        tempfile.tempdir = None
        code = main(Launcher(), more[: int(count)])
        sys.stdout.flush()
        sys.stderr.flush()
    except Exception:  # noqa: BLE001 - the last line of this process
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    serve(sys.argv[1])
