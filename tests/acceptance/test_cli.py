"""The real program, started as a user starts it."""

import json
import os
import pty
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.preloaded import typed

ROOT = Path(__file__).resolve().parents[2]
KORA = [sys.executable, "-P", "-m", "kora"]
LIMIT_SECONDS = 120


@pytest.fixture
def board(tmp_path_factory):
    """A directory with a configuration whose agent is the shipped example."""
    # The programs' TMPDIR, too: with a test's name in it, there would soon be no room in it for an admin socket.
    folder = tmp_path_factory.mktemp("board")
    agent = json.dumps([sys.executable, str(ROOT / "examples" / "hello_agent.py")])
    text = f"[runtime]\ntick_seconds = 0.1\n[poller]\npoll_interval_seconds = 0.5\n[agent]\ncommand = {agent}\n"
    (folder / "supervisor.toml").write_text(text)
    return folder


def run_anew(*arguments, **options):
    return subprocess.run([*KORA, *arguments], check=False, **options)


@pytest.fixture
def kora(board):
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("KORA_", "COV_"))}

    def kora(*arguments, env=None, run=run_anew, **options):
        environment = environ | {"TMPDIR": str(board)} | (env or {})
        options = {"capture_output": True} | options
        return run(
            *arguments, cwd=board, env=environment, text=True, encoding="utf-8", timeout=LIMIT_SECONDS, **options
        )

    return kora


@pytest.fixture
def typed_into(kora):
    """As `kora`, for the many commands of one test: loaded once for them all."""
    return partial(kora, run=typed)


def test_tickets_are_added_worked_off_and_on_record(kora):
    assert kora("ticket", "add", "Say hello").returncode == 0
    ticket = json.loads(kora("ticket", "add", "Say it again", "--priority", "high", "--json").stdout)

    run = kora("run", "--until-idle")
    assert (run.returncode, run.stdout) == (0, ""), run.stderr

    worked = json.loads(kora("ticket", "show", ticket["ticket_id"], "--json").stdout)
    assert worked["sea_status"] == "completed"
    assert worked["last_summary"] == "hello; I read 3 words"
    assert worked["claim"] is None
    resolved = json.loads(kora("events", "--type", "kora.sea_ticket.resolved", "--json").stdout)
    assert [event["payload"]["resolution"] for event in resolved] == ["completed", "completed"]
    claimed = json.loads(kora("events", "--type", "sea_ticket.claimed_for_edit", "--json").stdout)
    assert claimed[0]["ticket_id"] == ticket["ticket_id"], "the more urgent one goes first"
    verified = kora("events", "--verify")
    assert verified.returncode == 0
    assert verified.stdout.endswith(" chains: all intact\n")


def test_an_import_of_many_is_all_on_the_board_and_one_bad_line_is_nothing(typed_into, board):
    good = "".join(json.dumps({"ticket_title": f"ticket {number}"}) + "\n" for number in range(2_000))
    (board / "bad.jsonl").write_text(good + '{"ticket_title": ""}\n')

    refused = typed_into("ticket", "import", "bad.jsonl")
    assert refused.returncode == 1
    assert "line 2001: ticket_title: " in refused.stderr
    assert not (board / "kora.db").exists()

    assert typed_into("ticket", "import", "-", input=good).stdout == "imported 2000 tickets\n"
    assert len(json.loads(typed_into("ticket", "list", "--json").stdout)) == 2_000


def test_a_reader_that_leaves_early_is_no_error(kora, board):
    many = "".join(json.dumps({"ticket_title": f"ticket {number}"}) + "\n" for number in range(5_000))
    kora("ticket", "import", "-", input=many)

    for command in (["events"], ["events", "--json"], ["ticket", "list"], ["ticket", "list", "--json"]):
        reading, writing = os.pipe()
        os.close(reading)
        done = kora(*command, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, "")


def test_a_full_disk_is_one_line(kora):
    kora("migrate")
    with Path("/dev/full").open("w") as full:
        done = kora("ticket", "list", capture_output=False, stdout=full, stderr=subprocess.PIPE)

    assert done.returncode == 1
    assert done.stderr == "kora-actors: cannot write: No space left on device\n"


def test_closed_streams_do_no_harm(board, kora):
    kora("ticket", "add", "t")

    closed = subprocess.run(
        ["sh", "-c", '"$@" >&- 2>&-', "sh", *KORA, "ticket", "list"], cwd=board, timeout=LIMIT_SECONDS, check=False
    )

    assert closed.returncode == 0


def test_another_encoding_shows_what_it_can_and_json_stays_utf_8(kora):
    title = "größer ✓"
    ticket_id = json.loads(kora("ticket", "add", title, "--json").stdout)["ticket_id"]
    environment = {"PYTHONIOENCODING": "ascii"}

    assert "gr\\xf6\\xdfer \\u2713" in kora("ticket", "list", env=environment).stdout
    assert json.loads(kora("ticket", "show", ticket_id, "--json", env=environment).stdout)["ticket_title"] == title


def test_a_mistake_of_our_own_is_one_line_and_a_file_with_the_traceback(kora, board):
    code = (
        "import sys; from kora.cli import main, program\n"
        "class Launcher:\n"
        "    def run(self, settings, *, until_idle): raise ZeroDivisionError('oh\\nno \\x1b[2J')\n"
        "sys.exit(main(Launcher(), ['run']))"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code],
        cwd=board,
        env={**os.environ, "TMPDIR": str(board)},
        capture_output=True,
        text=True,
        timeout=LIMIT_SECONDS,
        check=False,
    )

    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("kora-actors: internal error: ZeroDivisionError: oh")
    place = Path(line.rpartition(" ")[2].rstrip(")"))
    assert "Traceback" in place.read_text()
    assert place.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('command = ["./none"]', "none"),
        ('command = ["no-such-program-anywhere"]', "no-such-program-anywhere"),
        ('command = ["./supervisor.toml"]', "supervisor.toml"),
    ],
)
def test_run_refuses_an_agent_that_cannot_run(kora, board, text, says):
    (board / "supervisor.toml").write_text(f"[agent]\n{text}\n")

    done = kora("run", "--until-idle")

    assert done.returncode not in (0, 130)
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_run_refuses_a_store_that_is_no_database(kora, board):
    (board / "kora.db").write_text("no database " * 500)

    done = kora("run", "--until-idle")

    assert done.returncode == 7
    assert "kora.db" in done.stderr
    assert "Traceback" not in done.stderr


def on_a_terminal(arguments, board, columns=120):
    """Run the program on a pseudo-terminal; what it showed, and its exit code."""
    controller, terminal = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": str(columns), "TMPDIR": str(board)}
    environment.pop("NO_COLOR", None)
    with subprocess.Popen(
        [*KORA, *arguments], cwd=board, env=environment, stdin=terminal, stdout=terminal, stderr=terminal
    ) as process:
        os.close(terminal)
        seen = b""
        # A terminal without anybody at its other side reads as an error: the program has ended.
        try:
            while chunk := os.read(controller, 65_536):
                seen += chunk
        except OSError:
            pass
        os.close(controller)
        return seen.decode(), process.wait(LIMIT_SECONDS)


def test_a_terminal_gets_a_table_in_which_titles_do_nothing(kora, board):
    kora("ticket", "add", "[bold]\x1b]0;owned\x07[/bold]")

    seen, code = on_a_terminal(["ticket", "list"], board)

    assert code == 0
    assert "[bold]\\u001b]0;owned\\u0007[/bold]" in seen
    assert "\x1b[1m" in seen
    assert "\x07" not in seen


def check_demo(out):
    assert "12 of 12 tickets completed" in out
    assert "the ledger was crashed on purpose after 3 tickets, and restarted" in out
    assert "chains: all intact" in out
    assert "kora-actors run --until-idle" in out


def test_the_demo_works_off_its_tickets_survives_its_crash_and_leaves_nothing_behind(kora, board):
    before = sorted(board.iterdir())

    done = kora("demo")

    assert (done.returncode, done.stderr) == (0, "")
    check_demo(done.stdout)
    lines = done.stdout.splitlines()
    assert sum(line.endswith(": completed") for line in lines) == 12
    assert lines.index("the supervisor restarted the ledger") > lines.index(
        "crashing the ledger on purpose: it is sent a message that it does not know"
    )
    assert "\x1b" not in done.stdout
    assert sorted(board.iterdir()) == before


def test_the_demo_on_a_terminal_draws_a_board(board):
    seen, code = on_a_terminal(["demo"], board)

    assert code == 0
    assert "━" in seen
    assert "crashing the ledger on purpose" in seen
    check_demo(seen)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
def test_a_demo_that_is_told_to_end_leaves_nothing_behind(board, number, code):
    with started(board, "demo") as process:
        while "claimed" not in process.stdout.readline():
            assert process.poll() is None
        process.send_signal(number)
        _, err = process.communicate(timeout=LIMIT_SECONDS)

    assert (process.returncode, err) == (code, "")
    assert [path.name for path in board.iterdir()] == ["supervisor.toml"]


def started(board, *arguments):
    """The program, started and not waited for; what it prints is there at once."""
    return subprocess.Popen(
        [*KORA, *arguments],
        cwd=board,
        env={**os.environ, "TMPDIR": str(board)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_follower_tells_the_whole_log_then_what_comes_until_ctrl_c(typed_into, board):
    first = json.loads(typed_into("ticket", "add", "one", "--json").stdout)["ticket_id"]
    with started(board, "events", "--follow", "--json") as process:
        assert json.loads(process.stdout.readline())["ticket_id"] == first
        for title in ("two", "three"):
            ticket_id = json.loads(typed_into("ticket", "add", title, "--json").stdout)["ticket_id"]
            assert json.loads(process.stdout.readline())["ticket_id"] == ticket_id
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=LIMIT_SECONDS)

    assert (process.returncode, out, err) == (130, "", "")


def test_a_follower_whose_reader_leaves_ends_though_nothing_happens(kora, board):
    kora("ticket", "add", "one")
    with started(board, "events", "--follow") as process:
        assert process.stdout.readline().startswith("seq\t")
        process.stdout.close()
        assert process.wait(LIMIT_SECONDS) == 141
        assert process.stderr.read() == ""


def test_what_an_attempt_prints_is_followed_to_its_end(typed_into, board):
    agent = "import pathlib, sys, time\nprint('begun', flush=True)\nprint('oh', file=sys.stderr, flush=True)\n"
    agent += "while not pathlib.Path('go').exists(): time.sleep(0.02)\nprint('gone')\n"
    (board / "agent.py").write_text(agent)
    text = (board / "supervisor.toml").read_text().partition("[agent]")[0]
    (board / "supervisor.toml").write_text(f"{text}[agent]\ncommand = {json.dumps([sys.executable, 'agent.py'])}\n")
    ticket_id = json.loads(typed_into("ticket", "add", "t", "--json").stdout)["ticket_id"]

    with started(board, "run", "--until-idle") as runtime:
        with started(board, "events", "--follow", "--type", "sea_ticket.claimed_for_edit", "--json") as events:
            assert json.loads(events.stdout.readline())["ticket_id"] == ticket_id
            events.kill()
        (claim,) = json.loads(typed_into("claims", "--json").stdout)
        assert (claim["ticket_id"], claim["attempt"], claim["pid"]) == (ticket_id, 1, runtime.pid)
        with started(board, "ticket", "log", ticket_id, "--follow", "--json") as log:
            seen = [json.loads(log.stdout.readline()) for _ in range(2)]
            (board / "go").touch()
            out, err = log.communicate(timeout=LIMIT_SECONDS)
        assert runtime.wait(LIMIT_SECONDS) == 0
        runtime.communicate()

    assert sorted((line["stream"], line["text"]) for line in seen) == [("stderr", "oh"), ("stdout", "begun")]
    assert (log.returncode, err) == (0, "")
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["gone"]
    # Compressed by now, and read as before.
    assert len(json.loads(typed_into("ticket", "log", ticket_id, "--json").stdout)) == 3
    assert json.loads(typed_into("claims", "--json").stdout) == []
    assert json.loads(typed_into("report", "--json").stdout)["attempts_by_resolution"]["completed"] == 1


def test_a_board_is_decided_about_and_archived(typed_into, board):
    ids = [json.loads(typed_into("ticket", "add", title, "--json").stdout)["ticket_id"] for title in ("one", "two")]
    for arguments, code in (
        (["cancel", ids[0]], 0),
        (["cancel", ids[0]], 1),
        (["force-retry", ids[0]], 0),
        (["unblock", ids[0]], 1),
        (["reassign", ids[0], "--to", "6f1d0a52-6e0f-5c7e-9a35-0b1f0c6d7e11"], 0),
        (["reassign", ids[0], "--to", "nobody"], 2),
        (["cancel", "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"], 4),
    ):
        done = typed_into("ticket", *arguments)
        assert done.returncode == code, (arguments, done.stderr)
        assert len(done.stdout.splitlines()) == (1 if code == 0 else 0)

    moved = json.loads(typed_into("archive", "--older-than", "0", "--json").stdout)
    assert moved["events"] == 5
    assert all(Path(file).is_file() for file in moved["files"])
    assert typed_into("events", "--verify").returncode == 0
    assert typed_into("archive", "--older-than", "1").stdout.startswith("nothing to archive: ")
