"""The real program on a machine whose wall clock is off by the first argument's seconds, as far as Python can tell."""

import runpy
import sys
import time

OFFSET_NS = int(sys.argv.pop(1)) * 1_000_000_000
true_ns = time.time_ns
time.time_ns = lambda: true_ns() + OFFSET_NS
time.time = lambda: time.time_ns() / 1e9
runpy.run_module("kora", run_name="__main__", alter_sys=True)
