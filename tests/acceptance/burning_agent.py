"""Plays claude, and burns all cores meanwhile: SECONDS, then whatever claude is called with."""

import os
import sys
import time

DELTA = b'{"type":"stream_event","event":{"type":"content_block_delta"}}\n'
RESULT = b'{"type":"result","subtype":"success","is_error":false,"result":"Burnt","total_cost_usd":0.01}\n'


def burn(until):
    while time.monotonic() < until:
        sum(range(10_000))


until = time.monotonic() + float(sys.argv[1])
for _ in range(os.cpu_count() or 1):
    if os.fork() == 0:
        burn(until)
        os._exit(0)
while time.monotonic() < until:
    os.write(1, DELTA)
    burn(min(until, time.monotonic() + 1.0))
os.write(1, RESULT)
