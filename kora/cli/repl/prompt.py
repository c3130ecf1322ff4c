"""The prompt: what a person types, with completion, history, and a line that says how the runtime stands."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import ThreadedCompleter
from prompt_toolkit.enums import DEFAULT_BUFFER
from prompt_toolkit.filters import has_focus
from prompt_toolkit.formatted_text import FormattedText
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.styles import Style

from kora.admin.client import Client
from kora.cli.output import complain, painted, write_line
from kora.cli.repl.completer import RuntimeCompleter
from kora.cli.repl.live import ANSWER_SECONDS, Live, bottom_line
from kora.cli.repl.session import Session
from kora.cli.repl.words import read

_PROMPT: Final = FormattedText([("class:prompt", "kora> ")])
_STYLE: Final = Style.from_dict(
    {
        "prompt": "bold ansicyan",
        "bottom-toolbar": "noreverse",
        "bottom-toolbar.text": "noreverse",
        "green": "ansigreen bold",
        "cyan": "ansicyan bold",
        "yellow": "ansiyellow bold",
        "red": "ansired bold",
        "plain": "bold",
        "alarm": "bg:ansired ansiwhite bold",
        "completion-menu.meta.completion": "bg:ansibrightblack ansiwhite",
        "completion-menu.meta.completion.current": "bg:ansicyan ansiblack",
        "completion-menu.completion": "bg:ansibrightblack ansiwhite",
        "completion-menu.completion.current": "bg:ansicyan ansiblack bold",
    }
)


def converse(session: Session, state_dir: Path) -> None:
    """Ask for commands and run them, until Ctrl-D or `quit`. Whether a runtime runs makes no difference to that."""
    write_line(painted(f"the runtime of {state_dir}; help shows the commands, Ctrl-D leaves", "dim"))
    # A client of its own: while a command waits for its answer, the line at the bottom goes on.
    live = Live(Client(state_dir, timeout_seconds=ANSWER_SECONDS))
    prompt = _prompt(session, live)
    live.start(prompt.app.invalidate)
    try:
        while True:
            try:
                typed = read(prompt.prompt())
            except KeyboardInterrupt:
                continue
            session.run(typed)
    except (EOFError, SystemExit):
        pass
    finally:
        live.close()


def _prompt(session: Session, live: Live) -> PromptSession[str]:
    return PromptSession(
        _PROMPT,
        multiline=True,
        prompt_continuation=lambda width, _line, _wrap: " " * (width - 2) + "… "[:width],
        history=_history(),
        auto_suggest=AutoSuggestFromHistory(),
        # Asked in a thread, so that a runtime which is slow to answer does not hold up whoever types.
        completer=ThreadedCompleter(RuntimeCompleter(session.commands, live)),
        complete_while_typing=True,
        bottom_toolbar=lambda: FormattedText(bottom_line(live.status)),
        key_bindings=_keys(),
        style=_STYLE,
        include_default_pygments_style=False,
    )


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=has_focus(DEFAULT_BUFFER))
    def _(event: KeyPressEvent) -> None:
        """Take the completion that is chosen; else go on in a next line while something is open; else run."""
        buffer = event.current_buffer
        if buffer.complete_state is not None and buffer.complete_state.current_completion is not None:
            buffer.complete_state = None
        elif read(buffer.text).is_whole:
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    return keys


def _history() -> History:
    """What was typed before, in this user's own folder: `XDG_STATE_HOME/kora/repl_history`, for their eyes only."""
    home = os.environ.get("XDG_STATE_HOME")
    try:
        folder = (Path(home) if home else Path.home() / ".local" / "state") / "kora"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / "repl_history"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except (OSError, RuntimeError) as error:
        complain(f"what is typed will be forgotten: there is no place for it: {error}")
        return InMemoryHistory()
    return FileHistory(str(path))
