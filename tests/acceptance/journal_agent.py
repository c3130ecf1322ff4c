"""An agent that keeps its own record: one file per ticket, a line at its start and one at its end.

Before it begins it looks whether an earlier attempt at its ticket is still alive, and writes that down too. Once it has
worked it no longer heeds SIGTERM, so that an attempt with an end on record always reports that it is complete.

A third argument names a gate: a file that nobody may have locked when it comes to its end, else it waits.
"""

import fcntl
import os
import select
import signal
import sys
import time


def birth(pid: int) -> str | None:
    """When the process began, which tells it from a later one of the same number; None if it is gone."""
    try:
        descriptor = os.open(f"/proc/{pid}/stat", os.O_RDONLY)
        fields = os.read(descriptor, 4_096).rpartition(b")")[2].split()
        os.close(descriptor)
    except OSError:
        return None
    return None if fields[0] in (b"Z", b"X") else fields[19].decode()


def main() -> None:
    directory, seconds = sys.argv[1], float(sys.argv[2])
    attempt = os.environ["KORA_WORK_ATTEMPT_ID"]
    journal = os.open(f"{directory}/{os.environ['KORA_TICKET_ID']}", os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    pid = os.getpid()
    for line in os.read(journal, 1 << 20).decode().splitlines():
        what, other, number, born, _ = line.split()
        if what == "start" and birth(int(number)) == born:
            os.write(
                journal, f"overlap {other} {number} {born} {time.clock_gettime_ns(time.CLOCK_BOOTTIME)}\n".encode()
            )

    def note(what: str) -> None:
        at = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        os.write(journal, f"{what} {attempt} {pid} {birth(pid)} {at}\n".encode())

    note("start")
    print("begun", flush=True)
    pause = seconds / 4
    for _ in range(4):
        select.select([], [], [], pause)
        print("at work", flush=True)
    for gate in sys.argv[3:]:
        fcntl.flock(os.open(gate, os.O_RDONLY), fcntl.LOCK_SH)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print('{"kora":"result","resolution":"completed","summary":"done"}', flush=True)
    note("end")
    os._exit(0)


main()
