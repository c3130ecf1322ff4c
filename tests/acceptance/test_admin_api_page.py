"""The page on the admin API, its lines run in their order against a real runtime: each answers what the page says."""

from __future__ import annotations

import json
import re
import subprocess
from contextlib import suppress
from dataclasses import dataclass

import pytest
from starlette.routing import compile_path

from kora.admin.client import Client
from kora.errors import NoRuntimeError, RefusedError
from tests.acceptance.curl import PATIENCE_SECONDS, Answer, curl
from tests.acceptance.home import ROOT, Home, wait_until

PAGE = (ROOT / "docs" / "admin-api.md").read_text(encoding="utf-8")
_ID = r"[\da-f]{8}-[-\da-f]{27}"
IN_WORDS = {
    "/actors/poller",
    "/claims",
    "/control",
    "/events",
    "/events/stream",
    "/metrics",
    "/stats",
    "/tickets",
    "/tickets/TICKET",
}
SHAPED_AS = {
    "/claims": "claims",
    "/tickets": "ticket show",
    "/tickets/TICKET": "ticket show",
    "/events": "events",
    "/events/stream": "events",
}
"""the command whose documents have the same fields"""
STATUS_OF = {
    kind: int(status)
    for status, kinds in re.findall(r"^\| (\d{3}) \| (.*?) \|", PAGE, re.MULTILINE)
    for kind in re.findall(r"`(\w+Error)`", kinds)
}


@dataclass
class Part:
    """Lines of the page, and what it says behind them, up to the next ones."""

    lines: list[str]
    says: str

    @property
    def shapes(self) -> list[object]:
        """The documents that it shows, but for what a stream says only to one that is too slow."""
        shown = re.findall(r"^```(?:json)?\n(.*?)^```$", self.says, re.DOTALL | re.MULTILINE)
        shown = [each.removeprefix("id: 17\nevent: log\ndata: ") for each in shown]
        prose = re.sub(r"^```.*?^```$|^- `event: missed`.*?$", "", self.says, flags=re.DOTALL | re.MULTILINE)
        return [shape(each) for each in [*shown, *re.findall(r"`([{\[]+\"[^`]*)`", prose)]]


def parts():
    _, *found = re.split(r"^```sh\n", PAGE, flags=re.MULTILINE)
    for each in found:
        lines, says = each.split("```\n", 1)
        yield Part(lines.splitlines(), says)


def shape(text):
    """A document with `…` for what may be anything: a value, an object's fields, or the further elements of a list."""
    text = text.replace(", …]", "]").replace("{…}", '"…"')
    return json.loads(re.sub(r"(?<=:)( ?)(?:…|N)(?=[,}])", r'\1"…"', text))


def agrees(said, answered):
    """Whether it has this shape: the same fields, each of its type; a list has what is shown, or nothing."""
    match said:
        case dict():
            alike = isinstance(answered, dict) and said.keys() == answered.keys()
            return alike and all(agrees(value, answered[key]) for key, value in said.items())
        case list():
            return answered == [] or all(any(agrees(value, each) for each in answered) for value in said)
        case None | "…":
            return True
        case int() | float() if not isinstance(said, bool):
            return answered is None or (isinstance(answered, int | float) and not isinstance(answered, bool))
    return answered is None or type(said) is type(answered)


@dataclass
class Runtime:
    """A real one, of which the page's placeholders are filled in when they are asked for."""

    home: Home
    client: Client
    process: subprocess.Popen[str]

    def filled_in(self, line):
        for name in ("TICKET", "RUNNING", "NUMBER", "OTHER"):
            if re.search(rf"\b{name}\b", line):
                line = re.sub(rf"\b{name}\b", str(getattr(self, f"_{name.lower()}")()), line)
        return line

    def _ticket(self):
        return self.client.get("/tickets")[0]["ticket_id"]

    def _running(self):
        return self.client.get("/claims")[0]["ticket_id"]

    def _number(self):
        return max(each["number"] for each in self._letters() if each["may_be_resent"])

    def _other(self):
        return max(each["number"] for each in self._letters())

    def _letters(self):
        return self.client.get("/deadletters")["letters"]

    def answer(self, line):
        answer = curl(self.filled_in(line), self.home.folder, self.stir)
        if answer.path == "/actors/admin/restart":
            # It is answered first, and restarted then: a stream that began before would end by it.
            wait_until(self.home, lambda: self._generation_of_admin() > answer.said["generation"], self.process)
        return answer

    def _generation_of_admin(self):
        with suppress(NoRuntimeError):
            return self.client.get("/actors/admin")["generation"]
        return -1

    def stir(self):
        """Something happens that each of the streams tells of."""
        self.client.post("/pause")
        # Else Control may come to look when it is over, and there was no transition.
        wait_until(self.home, lambda: self._is_in("paused"), self.process)
        self.client.post("/resume")

    def _is_in(self, state):
        return self.client.get("/status")["operational_state"]["primary_state"] == state


@pytest.fixture
def done(home):
    """What came of each part's lines."""
    home.configure(
        control={"drain_seconds": 0.5}, agent={"command": ["sh", "-c", "grep -q 'ticket 0' || exec sleep 600"]}
    )
    home.add(2)
    process = home.start("run")
    client = Client(home.folder / ".kora", timeout_seconds=PATIENCE_SECONDS)
    runtime = Runtime(home, client, process)
    wait_until(home, lambda: one_is_done_and_one_under_work(client), process)
    # What it is sent while it is down are dead letters.
    client.post("/actors/heartbeat/stop")
    wait_until(home, lambda: client.get("/deadletters")["total"] > 2, process)
    client.post("/actors/heartbeat/start")
    as_commands_have_it = {
        "claims": home.json("claims")[0],
        "ticket show": home.json("ticket", "show", runtime.filled_in("TICKET")),
        "events": home.json("events")[0],
    }
    found = [(part, [runtime.answer(line) for line in part.lines]) for part in parts()]
    return found, as_commands_have_it, process.wait(PATIENCE_SECONDS)


def one_is_done_and_one_under_work(client):
    try:
        return sorted(each["sea_status"] for each in client.get("/tickets")) == ["completed", "in_progress"]
    except (NoRuntimeError, RefusedError):
        # A boot that takes longer than a second refuses all but `/status`.
        return False


def each_line_is_answered_with_the_status_that_the_page_says(done):
    for part, answers in done[0]:
        for answer in answers:
            said = re.search(r"with status (\d+)", part.says)
            kind = answer.said["error"]["kind"] if isinstance(answer.said, dict) and "error" in answer.said else None
            is_shown = any("error" in each for each in part.shapes if isinstance(each, dict))
            expected = STATUS_OF[kind] if kind and is_shown else int(said[1]) if said else 200
            assert answer.status == expected, answer


def each_document_that_the_page_shows_is_what_came(done):
    shown = 0
    for part, answers in done[0]:
        for each in part.shapes:
            assert any(agrees(each, answer.said) for answer in answers), f"{part.lines}\n{each}\n{answers}"
            shown += 1
    assert shown > 20


def what_a_few_paths_answer_is_told_in_words_and_all_others_are_shown(done):
    shapes = [each for part, _ in done[0] for each in part.shapes]
    answers = [answer for _, answers in done[0] for answer in answers]
    told = {answer.path for answer in answers if not any(agrees(each, answer.said) for each in shapes)}

    assert {re.sub(_ID, "TICKET", path) for path in told} == IN_WORDS


def the_fields_that_are_told_in_words_are_those_that_came(done):
    ((part, (answer,)),) = [(part, answers) for part, answers in done[0] if answers[0].path == "/actors/poller"]
    fields, lanes = part.says.split("{")

    assert re.findall(r"`(\w+)`", fields) + re.findall(r"`(\w+)`", lanes.split("}")[1]) == list(answer.said)
    assert re.findall(r"`(\w+)`", lanes.split("}")[0]) == list(answer.said["mailbox"])


def what_has_the_shape_of_a_command_has_it(done):
    found, as_commands_have_it, _ = done
    for path, command in SHAPED_AS.items():
        answers = [answer for _, answers in found for answer in answers if re.sub(_ID, "TICKET", answer.path) == path]

        assert answers != []
        for answer in answers:
            one = answer.said[0] if isinstance(answer.said, list) else answer.said
            assert one.keys() == as_commands_have_it[command].keys()


def every_path_of_the_index_is_on_the_page(done):
    answers: list[Answer] = [answer for _, answers in done[0] for answer in answers]
    (index,) = [answer.said for answer in answers if answer.path == "/"]

    for path in index:
        pattern, _, _ = compile_path(path["path"])
        assert any(answer.method == path["method"] and pattern.match(answer.path) for answer in answers), path


def the_last_line_ends_the_runtime(done):
    assert done[2] == 0


def test_the_page_says_what_is_answered(done, subtests):
    for says in (
        each_line_is_answered_with_the_status_that_the_page_says,
        each_document_that_the_page_shows_is_what_came,
        what_a_few_paths_answer_is_told_in_words_and_all_others_are_shown,
        the_fields_that_are_told_in_words_are_those_that_came,
        what_has_the_shape_of_a_command_has_it,
        every_path_of_the_index_is_on_the_page,
        the_last_line_ends_the_runtime,
    ):
        with subtests.test(says.__name__):
            says(done)
