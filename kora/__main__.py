"""`python -m kora`: the command line, with the running system behind it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from kora.cli import main

if TYPE_CHECKING:
    from kora.cli.port import RuntimeHandle
    from kora.config import Settings


class Launcher:
    """Loads the running system only when something is to be run, so that every other command starts quickly."""

    def run(self, settings: Settings, *, until_idle: bool) -> int:
        """Work in the foreground until told to end, or until nothing is left; the exit code."""
        from kora import app

        return app.run(settings, until_idle=until_idle)

    def open(self, settings: Settings) -> RuntimeHandle:
        """A runtime that is ready to be started."""
        from kora import app

        return app.Runtime(settings)


if __name__ == "__main__":
    sys.exit(main(Launcher()))
