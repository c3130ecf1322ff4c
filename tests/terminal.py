"""A program on a terminal, as a person sees it: the screen after all that was printed."""

from __future__ import annotations

import os
import time

import pexpect
import pyte

ENTER, TAB, CTRL_D, CTRL_R = "\r", "\t", "\x04", "\x12"
PATIENCE_SECONDS = 30.0
_LOOK_SECONDS = 0.1
"""how often what is awaited is looked for where nothing is printed"""
LINES, COLUMNS = 30, 110


class _Screen(pyte.Screen):
    """Answers where the cursor is, as terminals do."""

    def __init__(self, columns, lines):
        super().__init__(columns, lines)
        self.answer = lambda text: None

    def write_process_input(self, data):
        self.answer(data)


def environment(folder):
    """As a person's shell at a terminal with colours; what is typed is remembered in this folder."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("KORA_", "NO_COLOR"))}
    return inherited | {"TERM": "xterm-256color", "XDG_STATE_HOME": str(folder)}


class Terminal:
    """One program in it. Leaving the context ends the program."""

    def __init__(self, command, *, cwd, env, lines=LINES):
        self._screen = _Screen(COLUMNS, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._child = pexpect.spawn(
            command[0], command[1:], cwd=str(cwd), env=env, dimensions=(lines, COLUMNS), timeout=PATIENCE_SECONDS
        )
        self._screen.answer = self._child.send

    @property
    def lines(self):
        return [line.rstrip() for line in self._screen.display]

    @property
    def text(self):
        return "\n".join(self.lines).rstrip()

    def style_of(self, words):
        """The first letter of these words on the screen, with its colours."""
        for number, line in enumerate(self._screen.display):
            if (at := line.find(words)) >= 0:
                return self._screen.buffer[number][at]
        raise AssertionError(f"{words!r} is not on the screen:\n{self.text}")

    def type(self, text):
        self._child.send(text)

    def interrupt(self):
        self._child.send("\x03")

    def waits_for(self, *words):
        """Read until the screen shows all of these; the screen's text then."""
        return self.until(lambda: all(each in self.text for each in words), words)

    def until(self, is_so, what):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not is_so():
            left = deadline - time.monotonic()
            assert left > 0, f"never came: {what}\n{self.text}"
            self._read(min(left, _LOOK_SECONDS))
        return self.text

    def _read(self, seconds):
        try:
            self._stream.feed(self._child.read_nonblocking(65_536, timeout=seconds))
        except pexpect.TIMEOUT:
            pass
        except pexpect.EOF:
            raise AssertionError(f"the program ended\n{self.text}") from None

    def ends(self):
        """Read to the end; the program's exit code."""
        while True:
            try:
                self._stream.feed(self._child.read_nonblocking(65_536, timeout=PATIENCE_SECONDS))
            except pexpect.EOF:
                self._child.wait()
                return self._child.exitstatus

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._child.close(force=True)
