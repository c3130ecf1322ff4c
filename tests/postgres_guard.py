"""Runs a PostgreSQL server for a test, and ends it when the test's process is gone, however that came.

    python postgres_guard.py DIRECTORY USER COMMAND...

A program of its own, in a session of its own, so that neither an interrupt from the keyboard nor `kill -9` of pytest
leaves a server behind. Says `ready` on its standard output once the server accepts connections; what the server logs
goes to DIRECTORY/log. When its standard input ends, it kills every process of the server, also stopped ones, removes
DIRECTORY, and ends. It ends by itself, leaving DIRECTORY, once the last process of the server has ended.
"""

from __future__ import annotations

import os
import pwd
import select
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

READY = b"database system is ready to accept connections"
LOOK_SECONDS = 1.0


def main() -> None:
    directory, user, *command = sys.argv[1:]
    parent = os.getppid()
    with Path(directory, "log").open("ab", buffering=0) as log:
        server = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=directory,
            **as_user(user),
        )
        lines = server.stderr.fileno()
        while True:
            readable, _, _ = select.select([0, lines], [], [], LOOK_SECONDS)
            # A child that the tests forked may still hold the other end of the pipe.
            if 0 in readable or os.getppid() != parent:
                end(server.pid)
                server.wait()
                shutil.rmtree(directory)
                return
            if lines in readable:
                said = os.read(lines, 65536)
                if not said:
                    server.wait()
                    return
                log.write(said)
                if READY in said:
                    print("ready", flush=True)


def as_user(name: str) -> dict[str, Any]:
    """What starts a process as this user: nothing for an ordinary user, who is that already."""
    if os.geteuid():
        return {}
    account = pwd.getpwnam(name)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


def end(postmaster: int) -> None:
    """Kill them all: those that it forks meanwhile see for themselves that it is gone."""
    import psutil  # noqa: PLC0415 - dear, and most servers end otherwise

    try:
        process = psutil.Process(postmaster)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return
    for member in family:
        try:
            member.kill()
        except psutil.NoSuchProcess:
            continue


if __name__ == "__main__":
    main()
