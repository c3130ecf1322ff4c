"""What is offered while one types: from the commands themselves, and from a runtime that is there or not."""

from enum import StrEnum
from typing import Literal

import pytest
import typer
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from pydantic import BaseModel, Field

from kora.admin.client import Client
from kora.admin.views import MessageKind
from kora.cli.registry import SESSION
from kora.cli.repl.completer import RuntimeCompleter
from kora.cli.repl.live import Live
from kora.cli.repl.session import app
from tests.unit.kora.admin.stand_in import NAMES


class Colour(StrEnum):
    RED = "red"
    BLUE = "blue"


class Inner(BaseModel):
    colour: Colour
    depth: int = 0


class Poll(BaseModel):
    """Ask for work now."""

    kind: Literal["Poll"] = "Poll"


class Paint(BaseModel):
    """Paint it.

    All over."""

    kind: Literal["Paint"] = "Paint"
    inner: Inner
    is_wet: bool = Field(default=False, description="whether it is wet")
    layers: list[Colour] = []


class Ended(BaseModel):
    """A claim's end."""

    kind: Literal["Ended"] = "Ended"
    fence: int


KINDS = [
    MessageKind(
        each.__name__,
        each.__doc__,
        each.model_json_schema(),
        may_be_told=each is not Ended,
        answers=each is Paint,
    )
    for each in (Poll, Paint, Ended)
]


@pytest.fixture
def offered(away):
    """The completions of the text: what each line becomes, by what is shown."""
    away.console.kinds = lambda name: KINDS
    completer = RuntimeCompleter(typer.main.get_group(app), Live(Client(away.state_dir)))

    def offered(text):
        found = completer.get_completions(Document(text), CompleteEvent())
        return {each.display_text: text[: len(text) + each.start_position] + each.text for each in found}

    return offered


@pytest.fixture
def meanings(away):
    away.console.kinds = lambda name: KINDS
    completer = RuntimeCompleter(typer.main.get_group(app), Live(Client(away.state_dir)))
    return lambda text: {
        each.display_text: each.display_meta_text for each in completer.get_completions(Document(text), CompleteEvent())
    }


def test_commands(offered):
    assert list(offered("")) == [name for theme in SESSION.values() for name in theme]
    assert offered("restar") == {"restart": "restart"}
    assert list(offered("status; re")) == ["restart", "resume", "release", "reread"]
    assert list(offered("help re")) == ["restart", "resume", "release", "reread"]
    assert list(offered("deadletters ")) == ["resend", "drop"]
    assert offered("sail ") == {}


def test_options(offered):
    assert list(offered("tail -")) == ["--follow", "--level", "--limit", "--json", "--help"]
    assert offered("tail --fo") == {"--follow": "tail --follow"}


def test_values_that_are_few(offered):
    assert list(offered("tail --level ")) == ["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"]
    assert offered("tickets --status comp") == {"completed": "tickets --status completed"}
    assert "kora.operator.acted" in offered("events --type kora.")


def test_what_stops_the_work(offered, meanings):
    assert list(offered("control ")) == ["stop", "reset", "list"]
    assert list(offered("control stop ")) == ["1", "2", "3", "4", "5"]
    assert meanings("control stop ")["3"] == (
        "abort_release_claim: is stopped now; its tickets go back, eligible at once"
    )
    assert list(offered("control stop 3 --")) == ["--reason", "--wait", "--timeout", "--json", "--help"]
    assert offered("control stop 3 --reason ") == {}
    assert list(offered("cost ")) == ["show", "reconcile", "refresh"]
    assert list(offered("epoch bump --y")) == ["--yes"]


def test_actors_by_name_as_they_are_now(offered, runtime):
    assert list(offered("restart ")) == list(NAMES)
    assert offered("status po") == {"poller": "status poller"}
    assert offered("mailbox poller ") == {}
    assert list(offered("mailbox --limit 3 ")) == list(NAMES)


def test_tickets_by_id_with_their_titles(offered, meanings, runtime, kora):
    ticket_id = kora("ticket", "add", "Weigh the \x1b[2J", "--json").document["ticket_id"]

    assert list(offered("release ")) == [ticket_id]
    assert meanings("release ")[ticket_id] == "assigned  Weigh the \\u001b[2J"
    assert list(offered("events --ticket ")) == [ticket_id]


def test_dead_letters_by_number(offered, runtime):
    assert list(offered("deadletters resend ")) == ["7"]
    assert list(offered("deadletters drop ")) == ["7", "all"]


def test_messages_whole_where_nothing_more_is_needed(offered, runtime):
    assert offered("tell poller ") == {
        "Poll": 'tell poller {"kind": "Poll"}',
        "Paint": 'tell poller {"kind": "Paint", "inner": ',
    }
    assert list(offered("ask poller --timeout 3 ")) == ["Paint", "Poll"]


def test_a_message_step_by_step(offered, runtime):
    typed = "tell poller {"
    for step, shown in [
        ("kind", ["kind"]),
        ('"Paint"', ['"Poll"', '"Paint"']),
        (", inner", [", inner", ", is_wet", ", layers", "}"]),
        (None, []),
    ]:
        assert list(offered(typed)) == shown
        typed = offered(typed).get(step, typed)
    assert typed == 'tell poller {"kind": "Paint", "inner": '
    assert list(offered(typed + "{")) == ["colour", "depth"]
    assert list(offered(typed + '{"colour": ')) == ['"red"', '"blue"']
    assert offered(typed + '{"colour": "r') == {'"red"': typed + '{"colour": "red"'}
    assert list(offered(typed + '{"colour": "red"}')) == [", is_wet", ", layers", "}"]
    assert list(offered(typed + '{}, "is_wet": ')) == ["true", "false"]
    assert list(offered(typed + '{}, "layers": [')) == ['"red"', '"blue"']
    assert list(offered(typed + '{}, "layers": ["red"')) == ["]"]


def test_each_field_is_offered_with_its_type(meanings, runtime):
    assert meanings('tell poller {"kind": "Paint", ') == {
        "inner": "object, needed",
        "is_wet": "boolean  whether it is wet",
        "layers": 'list of "red" or "blue"',
    }


def test_in_quotes_as_well(offered, runtime):
    assert offered("""tell poller '{"kind": "Po""") == {'"Poll"': """tell poller '{"kind": "Poll\""""}


def test_what_may_not_be_told_is_offered_only_when_it_is_asked_for(offered, meanings, runtime):
    assert '"Ended"' not in offered('tell poller {"kind": "')
    assert list(offered('tell poller {"kind": "En')) == ['"Ended"']
    assert meanings('tell poller {"kind": "En') == {'"Ended"': "(only its senders can) A claim's end."}


def test_without_a_runtime_there_is_nothing_to_offer_and_nothing_fails(offered):
    for text in ("restart ", "release ", "tell poller ", 'tell poller {"kind": "', "deadletters resend "):
        assert offered(text) == {}
    assert list(offered("restar")) == ["restart"]
