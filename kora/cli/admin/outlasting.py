"""A stream of the runtime that outlives it: whoever follows waits while it is away, and goes on when it is back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from kora.cli.admin.asked import Document, count
from kora.cli.following import pause
from kora.cli.output import complain
from kora.errors import NoRuntimeError

if TYPE_CHECKING:
    from kora.admin.client import Client, Parameters, Stream


def outlasting(
    client: Client, path: str, parameters: Parameters | None = None, *, after: int | None = None
) -> Iterator[Document]:
    """What comes, for as long as anybody reads. That something was left out is said on stderr.

    Raises `NoRuntimeError` only at the beginning, when there is no runtime to follow.
    """
    stream = client.stream(path, parameters, after=after)
    while True:
        with stream:
            for item in stream:
                if item.event == "missed":
                    complain(left_out(item.data["count"]))
                else:
                    yield item.data
        stream = _again(client, path, parameters, stream.last_id)


def left_out(number: int) -> str:
    """That so many are not among what is shown."""
    return f"{count(number, 'item')} left out: they came faster than they are shown"


def _again(client: Client, path: str, parameters: Parameters | None, after: int | None) -> Stream:
    is_away = False
    while True:
        try:
            stream = client.stream(path, parameters, after=after)
        except NoRuntimeError:
            if not is_away:
                complain("the runtime is gone; waiting until it is back, or for Ctrl-C")
            is_away = True
            pause()
        else:
            if is_away:
                complain("the runtime is back")
            return stream
