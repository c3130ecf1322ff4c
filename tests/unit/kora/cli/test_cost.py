"""The credit pool on the command line."""

import io
from contextlib import closing

import pytest

from kora.config import load
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import NewTicket, Status
from kora.store.open import open_store
from kora.store.port import ClaimOrder, RuntimeRecord, Turn

SHIP = "0199c2f0-6d1e-7a3b-8c4d-00000000ea01"


@pytest.fixture
def pool(here):
    """Set what the pool holds."""

    def pool(usd, **more):
        lines = [f"{key} = {value}\n" for key, value in {"pool_usd": usd, **more}.items()]
        with (here / "supervisor.toml").open("a") as file:
            file.write("[cost]\n")
            file.writelines(lines)

    return pool


@pytest.fixture
def spend(here):
    """Have a ticket end so, for so much."""

    def spend(usd, resolution=Resolution.COMPLETED):
        runtime = load(here / "supervisor.toml", {}).runtime
        with (
            open_store(runtime.store, workspace_id="w", actor_id=runtime.actor) as store,
            closing(store.board()) as board,
            closing(store.writer(RuntimeRecord(SHIP, "ship", 4711, "0.1.0"))) as writer,
        ):
            (ticket_id,) = board.add([NewTicket(ticket_title="t")], who="test")
            incarnation = writer.next_incarnation()
            (claim,) = writer.turn(incarnation, Turn(claim=ClaimOrder(1, 60.0))).claims
            ended = Settlement(claim.key, resolution, Status(resolution), "done", None, {}, cost_usd=usd)
            assert writer.turn(incarnation, Turn(settle=[ended])).settled == [claim.key]
            return ticket_id

    return spend


def said(out):
    return {line[:11].strip(): line[11:] for line in out.splitlines()}


def test_a_pool_of_which_nothing_is_spent(kora):
    done = kora("cost", "show")

    assert done.code == 0
    told = said(done.out)
    assert told.pop("spent").startswith("0.00 USD, 0.0 % of it, in 2")
    assert told == {
        "pool": "200.00 USD a month",
        "rung": "normal",
        "claims": "not bounded by cost",
        "deferred": "0 tickets, until the pool is refreshed",
        "last 24 h": "0.00 USD",
    }


def test_alone_it_shows_the_same_and_so_it_does_in_the_repl(kora, away):
    assert kora("cost").out == kora("cost", "show").out == kora("repl", "-c", "cost").out


def test_a_pool_for_programs(kora, pool, spend):
    pool(10)
    spend(7.5)

    document = kora("cost", "--json").document

    (month,) = document.pop("months")
    assert month == {"month": document.pop("month"), "charged_usd": 7.5}
    assert document == {
        "pool_usd": 10.0,
        "spent_usd": 7.5,
        "counted_usd": 7.5,
        "reconciled_usd": 0.0,
        "rung": "warn_75",
        "refreshed_at": None,
        "ramp_seconds": 0.0,
        "deferred_tickets": 0,
        "last_24_hours_usd": 7.5,
    }


def test_a_pool_without_a_bound(kora, pool, spend):
    pool(0)
    spend(1_000)

    told = said(kora("cost").out)

    assert told["pool"] == "no limit (cost.pool_usd is 0)"
    assert told["spent"].startswith("1,000.00 USD, in 2")
    assert told["rung"] == "normal"


def test_a_rung_has_its_colour(kora, pool, spend, on_terminal):
    pool(10)
    spend(10)
    on_terminal(120)

    assert "\x1b[31mhard_stop_100\x1b[0m" in kora("cost").out


def test_reconciling_says_before_and_after_and_never_moves_down(kora, pool, spend):
    pool(100)
    spend(20)

    assert (
        kora("cost", "reconcile", "91.5").out == "spent: 20.00 USD before, 91.50 USD now: downshift_90, 91.5 % of it\n"
    )
    up = "spent: 91.50 USD as before, which is no less than 30.00 USD: downshift_90, 91.5 % of it\n"
    assert kora("cost", "reconcile", "30").out == up
    told = said(kora("cost").out)
    assert told["of that"] == "20.00 USD as agents told, 71.50 USD added by reconciling"
    document = kora("cost", "reconcile", "95", "--json").document
    assert (document["before_usd"], document["after_usd"], document["reconciled_usd"]) == (91.5, 95.0, 75.0)


@pytest.mark.parametrize("amount", ["much", "-1", "nan", "inf", "1e10", "$5", ""])
def test_what_is_no_amount_is_wrong_usage(kora, amount):
    done = kora("cost", "reconcile", "--", amount)

    assert (done.code, done.out) == (2, "")
    assert f"{amount!r} is no amount: write dollars, as 112.50" in done.err


def test_a_refresh_says_what_is_eligible_again_and_how_claims_go_on(kora, pool, spend):
    pool(10, ramp_seconds=600, ramp_interval_seconds=20)
    deferred = spend(10, Resolution.DEFERRED_COST_LIMIT)
    told = said(kora("cost").out)
    assert (told["rung"], told["claims"]) == ("hard_stop_100", "none, until the pool is refreshed")
    assert told["deferred"] == "1 ticket, until the pool is refreshed"

    spent, again, claims = kora("cost", "refresh").out.splitlines()

    assert spent == "refreshed: 10.00 USD before, 0.00 USD now"
    assert again == "eligible again: 1 ticket deferred for cost"
    assert claims.startswith("claims: one in 20 s at most, over all runtimes, for another ")
    told = said(kora("cost").out)
    assert (told["rung"], told["deferred"]) == ("normal", "0 tickets, until the pool is refreshed")
    assert told["spent"].startswith("0.00 USD, 0.0 % of it, since the refresh at 2")
    assert kora("ticket", "show", deferred, "--json").document["next_eligible_at"] is None


def test_who_has_reconciled_and_refreshed_is_on_record(kora, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ishmael")
    kora("cost", "reconcile", "5")
    kora("cost", "refresh")

    acted = [event["payload"] for event in kora("events", "--type", "kora.operator.acted", "--json").document]
    assert [each["who"] for each in acted] == ["ishmael", "ishmael"]


def test_a_person_is_asked_before_a_refresh(kora, pool, spend, monkeypatch):
    pool(10)
    spend(5)

    class Person(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    monkeypatch.setattr("sys.stdin", Person("n\n"))
    done = kora("cost", "refresh")
    assert (done.code, done.out) == (1, "")
    assert "5.00 USD are spent, and will not count from now on; 0 tickets" in done.err
    assert kora("cost", "--json").document["spent_usd"] == 5.0

    monkeypatch.setattr("sys.stdin", Person("y\n"))
    assert kora("cost", "refresh").code == 0
    assert kora("cost", "--json").document["spent_usd"] == 0.0
