"""What the command line needs of the running system, which it never imports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, Self

if TYPE_CHECKING:
    from kora.config import Settings
    from kora.domain.gates import Checked
    from kora.store.views import Outstanding


class RuntimeHandle(Protocol):
    """A runtime in this process. Leaving the context closes it."""

    def start(self) -> None:
        """Start the supervision tree. Raises `KoraError` when it cannot; nothing is left running then."""

    def tell(self, name: str, message: object) -> None:
        """Put a message into the inbox of that name; returns at once."""

    def outstanding(self) -> Outstanding:
        """What is left for this runtime's actor."""

    def wait(self, timeout: float) -> bool:
        """Wait for its failure, for at most so many seconds; whether it has failed."""

    def drain(self) -> bool:
        """Take nothing new and let what runs end; whether nothing is left under a claim."""

    def close(self) -> None:
        """End whatever still runs, and leave."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Launcher(Protocol):
    """Makes runtimes of settings."""

    def run(self, settings: Settings, *, until_idle: bool) -> int:
        """Work in the foreground until told to end, or until nothing is left; the exit code."""

    def check(self, settings: Settings) -> Checked:
        """Try every boot gate once, and change nothing."""

    def open(self, settings: Settings) -> RuntimeHandle:
        """A runtime that is ready to be started."""
