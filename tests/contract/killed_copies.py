"""Copies a board in processes of its own, each killed somewhere, until one comes to its end; prints how many died.

Where one is killed is counted in calls that it makes: any of them may be the last.
"""

import os
import random
import signal
import sys

from kora.store.copying import copy_board
from kora.store.sql import copy_source

MORE_EACH_TIME = 1.6


def copy_or_die(source: str, target: str, workspace_id: str, actor_id: str, calls: int) -> None:
    left = calls

    def count(*_: object) -> None:
        nonlocal left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.setprofile(count)
    copy_board(source, target, workspace_id=workspace_id, actor_id=actor_id, who="copier", told=lambda *_: None)


def main(source: str, target: str, workspace_id: str, actor_id: str, seed: str) -> None:
    copy_source.PAGE_ROWS = 10
    dice = random.Random(seed)
    died, calls = 0, 6_000.0
    while True:
        process = os.fork()
        if process == 0:
            code = 1
            try:
                copy_or_die(source, target, workspace_id, actor_id, dice.randrange(round(calls)) + 1)
                code = 0
            finally:
                os._exit(code)
        _, status = os.waitpid(process, 0)
        if not os.WIFSIGNALED(status):
            print(died)
            sys.exit(os.waitstatus_to_exitcode(status))
        died, calls = died + 1, calls * MORE_EACH_TIME


main(*sys.argv[1:])
