"""`python -m kora`: the command line, with the running system behind it."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from kora.cli.port import RuntimeHandle
    from kora.config import Settings
    from kora.domain.gates import Checked

YOUNG_OBJECTS: Final = 20_000
"""how many objects are made before Python looks for cycles among them: what loading makes is kept, nearly all of it"""


class Launcher:
    """Loads the running system only when something is to be run, so that every other command starts quickly."""

    def run(self, settings: Settings, *, until_idle: bool) -> int:
        """Work in the foreground until told to end, or until nothing is left; the exit code."""
        from kora import app

        return app.run(settings, until_idle=until_idle)

    def check(self, settings: Settings) -> Checked:
        """Try every boot gate once, and change nothing."""
        from kora import app

        return app.check(settings)

    def open(self, settings: Settings) -> RuntimeHandle:
        """A runtime that is ready to be started."""
        from kora import app

        return app.Runtime(settings)


def _leave(code: int) -> NoReturn:
    """End the process, also where a callable has left threads behind that Python would wait for."""
    strangers = [each for each in threading.enumerate() if not each.daemon and each is not threading.main_thread()]
    if strangers:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


if __name__ == "__main__":
    # First of all: it is a twentieth of what it takes to start.
    gc.set_threshold(YOUNG_OBJECTS)
    from kora.cli import main

    _leave(main(Launcher()))
