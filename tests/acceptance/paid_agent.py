"""An agent that is paid for, and keeps its own books: FOLDER SEED, and a GATE: a file that it waits for at its end.

What it tells of its cost it has written into its attempt's journal before, and synced: so the journal says what it has
told, and nothing else. Between the two it cannot be ended: SIGTERM has to wait, and who kills agents for a test takes
the journal's lock first. Some fail, some die, some say their cost at last only, and some on SIGTERM once more.
"""

import contextlib
import fcntl
import json
import os
import random
import select
import signal
import sys
from collections.abc import Iterator

FOLDER, SEED = sys.argv[1], sys.argv[2]
ATTEMPT = os.environ["KORA_WORK_ATTEMPT_ID"]


@contextlib.contextmanager
def unbroken(journal: int) -> Iterator[None]:
    """Nobody ends this process within it."""
    signal.pthread_sigmask(signal.SIG_BLOCK, (signal.SIGTERM,))
    fcntl.flock(journal, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(journal, fcntl.LOCK_UN)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, (signal.SIGTERM,))


def main() -> None:
    rng = random.Random(f"{SEED}{ATTEMPT}")
    journal = os.open(f"{FOLDER}/{ATTEMPT}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    spent = 0

    def tell(**said: object) -> None:
        """Say this, and that a little more is spent."""
        nonlocal spent
        with unbroken(journal):
            spent += rng.randrange(1, 300_000)
            os.write(journal, b"%d %d\n" % (spent, os.getpid()))
            os.fsync(journal)
            os.write(1, json.dumps(said | {"cost_usd": spent / 1_000_000}).encode() + b"\n")

    def end(_number: int, _frame: object) -> None:
        if rng.random() < 0.5:
            tell(kora="progress", signal="tool_call_boundary")
        os._exit(1)

    signal.signal(signal.SIGTERM, end)
    for _ in range(rng.randrange(4)):
        tell(kora="progress", signal="tool_call_boundary")
        select.select([], [], [], rng.random() * 0.03)
    for gate in sys.argv[3:]:
        fcntl.flock(os.open(gate, os.O_RDONLY), fcntl.LOCK_SH)
    fate = rng.random()
    if fate < 0.05:
        os.kill(os.getpid(), signal.SIGKILL)
    if fate < 0.1:
        tell(kora="result", resolution="released", next_eligible_offset_seconds=0)
    else:
        tell(kora="result", resolution="completed")
    select.select([], [], [], rng.random() * 0.02)
    os._exit(0)


main()
