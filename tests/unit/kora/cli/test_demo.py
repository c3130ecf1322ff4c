"""The demo's own judgement: what it calls a success. The play itself is an acceptance test."""

import contextlib
import os
import signal
from pathlib import Path

import pytest

from kora.cli import demo
from kora.cli.demo_view import Live, Plain, close_with
from kora.domain.ticket import ActiveClaim, Status, Ticket
from kora.store.views import ChainFault, ChainReport, Outstanding
from tests.unit.kora.cli.conftest import plain


class Failing(contextlib.nullcontext):
    """A runtime that fails as soon as it is started."""

    def start(self):
        pass

    def outstanding(self):
        return Outstanding(ready=True, waiting=False, held=False)

    def wait(self, timeout):
        return True

    def drain(self):
        return False

    def tell(self, name, message):
        raise AssertionError("nothing was completed, so nobody is to be crashed")

    def __enter__(self):
        return self


def test_a_runtime_that_fails_fails_the_demo_which_then_keeps_its_folder(kora, launcher):
    launcher.handle = Failing()

    done = kora("demo")

    assert done.code == 1
    folder = Path(done.err.split()[-1])
    assert (folder / "kora.db").exists()
    assert (folder / "demo.log").exists()
    assert "0 of 12 tickets completed" in done.out


@pytest.mark.parametrize(
    ("number", "end"), [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)]
)
def test_a_demo_that_is_told_to_end_leaves_nothing_behind_however_often_it_is_told(tmp_path, monkeypatch, number, end):
    before = signal.getsignal(number)
    tidied = []

    class Impatient(Failing):
        def wait(self, timeout):
            os.kill(os.getpid(), number)
            raise AssertionError("the signal did not end it")

        def __exit__(self, *_):
            # While it tidies up, whoever told it so tells it again.
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), signal.SIGTERM)
            tidied.append(True)

    class Launcher:
        def open(self, settings):
            return Impatient()

    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    with pytest.raises(end) as caught:
        demo.perform(Launcher(), live=False)
    assert list(tmp_path.iterdir()) == []
    assert tidied == [True]
    assert signal.getsignal(number) is before
    if end is SystemExit:
        assert caught.value.code == 128 + number


def test_the_users_store_is_none_of_the_demos_business(kora, launcher, here, monkeypatch):
    monkeypatch.setenv("KORA_STORE", f"sqlite:///{here}/mine.db")
    monkeypatch.setenv("KORA_CONFIG", "nowhere.toml")
    launcher.handle = Failing()

    assert kora("demo").code == 1
    assert not (here / "mine.db").exists()


def test_a_broken_chain_or_an_actor_that_stays_away_is_no_success(capsys):
    whole = ChainReport(events=3, chains=1, fault=None)
    broken = ChainReport(events=3, chains=1, fault=ChainFault("c", 2, None, "changed"))
    back = demo.Seen(restarted=demo.Counter({demo.VICTIM: 1}))

    assert demo._tell([], back, whole) is False
    assert demo._tell([], demo.Seen(), whole) is False
    assert demo._tell([], back, broken) is False
    out = capsys.readouterr().out
    assert "was not seen to be restarted" in out
    assert "broken at 2 of chain c: changed" in out


def ticket(number, status=Status.ASSIGNED, **claim):
    return Ticket.model_construct(
        ticket_id=str(number),
        ticket_title=f"ticket {number}\x1b[2J",
        sea_status=status,
        sea_priority="high",
        work_attempt_count=1,
        last_summary="done",
        claim=ActiveClaim.model_construct() if status is Status.IN_PROGRESS else None,
    )


def test_a_terminal_shows_a_bar_a_line_for_each_worker_and_the_crash(capsys, on_terminal):
    on_terminal(100)
    with Live() as view:
        view.begin(2, 4)
        view.board([ticket(1, Status.IN_PROGRESS), ticket(2, Status.IN_PROGRESS), ticket(3), ticket(4)])
        view.board([ticket(1, Status.COMPLETED), ticket(2, Status.IN_PROGRESS), ticket(3), ticket(4)])
        view.alarm("crashing the ledger")
        view.recovered("restarted the ledger")
    lines = plain(capsys.readouterr().out)

    assert any("━" in line and line.endswith("1 of 4") for line in lines)
    first, second = [line.split() for line in lines if line.lstrip().startswith("worker")][-2:]
    assert first == ["worker", "free"]
    assert second[:3] == ["worker", "ticket", "2\\u001b[2J"]
    assert lines.index("crashing the ledger") < lines.index("restarted the ledger")


def test_a_pipe_gets_a_line_for_each_occurrence_and_both_get_the_end(capsys):
    with Plain() as view:
        view.begin(2, 1)
        view.alarm("a crash")
        view.recovered("well again")
        view.board([ticket(1)])
    close_with([ticket(1, Status.COMPLETED)], ["found"])
    out = capsys.readouterr().out

    assert out.startswith("1 tickets, 2 workers; each ticket is a process of its own\na crash\nwell again\n\n")
    for command in ("init", 'ticket add "Say hello"', "run --until-idle", "report"):
        assert f"kora-actors {command} " in out
