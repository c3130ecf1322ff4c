"""Plays a coding agent's program: TRANSCRIPT SEED END [ARGUMENT…]. Prints the transcript in pieces, with pauses.

END says how it goes then: `exit:CODE`, `signal:NUMBER`, `linger` (for ever, deaf to SIGTERM), or `beat:LINE` (prints
that line again and again, as a timer does). What it was called with and asked is left in `asked.json`.
"""

import json
import os
import random
import select
import signal
import sys
from pathlib import Path

PAUSE_SECONDS = 0.002
PAUSES_MAX = 20


def play(transcript, seed):
    chance = random.Random(int(seed))
    left = memoryview(Path(transcript).read_bytes())
    pauses = PAUSES_MAX
    while left:
        size = chance.choice([1, 2, 7, 100, 1_000, 10_000, 100_000])
        left = left[os.write(1, left[:size]) :]
        if pauses and chance.random() < 0.1:
            pauses -= 1
            select.select([], [], [], PAUSE_SECONDS)


def end(how):
    what, _, value = how.partition(":")
    match what:
        case "exit":
            os._exit(int(value))
        case "signal":
            os.kill(os.getpid(), int(value))
        case "linger":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        if what == "beat":
            os.write(1, value.encode() + b"\n")
        select.select([], [], [], 0.01 if what == "beat" else 60.0)


if __name__ == "__main__":
    transcript, seed, how, *arguments = sys.argv[1:]
    asked = {"arguments": arguments, "prompt": sys.stdin.read(), "environment": sorted(os.environ)}
    Path("asked.json").write_text(json.dumps(asked))
    play(transcript, seed)
    end(how)
