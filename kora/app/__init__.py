"""The composition root: the only part of `kora` that knows the actors."""

from kora.app.boot.check import check
from kora.app.foreground import run
from kora.app.runtime import Runtime

__all__ = ["Runtime", "check", "run"]
