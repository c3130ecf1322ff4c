"""The watcher: a program of its own that escalates STOP commands not enforced in time, and ends who ignores that.

It shares nothing with a runtime but the store and, on the same machine, the process table.
"""
