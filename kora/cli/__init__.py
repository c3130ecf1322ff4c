"""The command line: what people and scripts type."""

from kora.cli.program import main

__all__ = ["main"]
