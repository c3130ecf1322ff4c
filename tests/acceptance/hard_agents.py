"""Agents that behave badly towards their runtime; the first argument says how."""

import os
import signal
import sys
from pathlib import Path

BROKEN = [
    b'{"kora":',
    b'{"kora":"progress","signal":7}',
    b'{"kora":"progress"',
    b'{"kora":null}',
    b'{"kora":"\xff\xfe"}',
    b'{"kora":{"kora":{"kora":"result"}}}',
    b"[" * 100_000,
    b'{"a":' * 100_000,
    b"\x00\x1b]0;title\x07\x1b[2J",
    b"{" + b"x" * 3_000_000,
    b"\xed\xa0\x80\xf4\x90\x80\x80",
]


def say(*lines):
    for line in lines:
        rest = line + b"\n"
        while rest:
            rest = rest[os.write(1, rest) :]


def flood(megabytes):
    block = (b"y" * 99 + b"\n") * 10_000
    for _ in range(int(megabytes)):
        say(block[:-1])
    say(b'{"kora":"result","resolution":"completed","summary":"all said"}')


def babble():
    say(*BROKEN, b"the last word")


def break_off():
    say(*BROKEN)
    os.write(1, b'{"kora":"result","resolution":"completed","summ')


def break_off_badly():
    break_off()
    os._exit(3)


def say_nonsense():
    say(b'{"kora":"result","resolution":"splendid"}')


def die():
    say(b"at work")
    os.kill(os.getpid(), signal.SIGKILL)


def die_with_its_guardian():
    say(b"at work")
    os.kill(os.getppid(), signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def vanish():
    """Leave somebody behind: of no session of ours, of no environment, heeding nothing, with our stdout open."""
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
                signal.signal(number, signal.SIG_IGN)
            Path("left_behind").write_text(str(os.getpid()))
            waiting = "while 1: __import__('signal').pause()"
            os.execve(sys.executable, [sys.executable, "-I", "-S", "-c", waiting], {})  # noqa: S606 - what it is about
        os._exit(0)
    left_behind = Path("left_behind")
    while not (left_behind.exists() and left_behind.read_text()):
        os.sched_yield()
    os._exit(0)


globals()[sys.argv[1]](*sys.argv[2:])
