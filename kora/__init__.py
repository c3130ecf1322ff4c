"""Kora: agents left working, unattended, on a board of tickets."""

__version__ = "0.1.0"
