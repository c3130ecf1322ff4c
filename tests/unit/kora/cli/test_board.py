"""The board's commands."""

import json
import uuid

import pytest

from kora.cli import board
from kora.domain.ids import default_actor_id
from kora.domain.ticket import NewTicket, Priority, Status

NOBODY = "0199c2f0-6d1e-7a3b-8c4d-5e6f708192a3"


def test_add_says_the_new_tickets_id(kora):
    done = kora("ticket", "add", "Weigh the anchor")

    word, ticket_id = done.out.split()
    assert (done.code, word) == (0, "added")
    assert kora("ticket", "show", ticket_id, "--json").document["ticket_title"] == "Weigh the anchor"


def test_add_json_prints_the_ticket_with_the_contracts_fields(kora):
    done = kora("ticket", "add", "Weigh the anchor", "--json")

    assert list(done.document) == [
        "ticket_id",
        "workspace_id",
        "ticket_title",
        "ticket_objective",
        "sea_status",
        "sea_priority",
        "sea_idea_kind",
        "sea_captured_at",
        "created_at",
        "assigned_to_actor_id",
        "next_eligible_at",
        "claim_count",
        "work_attempt_count",
        "failure_count_by_reason",
        "blocked_by",
        "agent",
        "last_resolution",
        "last_summary",
        "claim",
    ]
    assert done.document["workspace_id"] == "w"
    assert done.document["sea_status"] == "assigned"
    assert done.document["sea_priority"] == "medium"
    assert done.document["assigned_to_actor_id"] == default_actor_id("w")
    assert done.document["claim"] is None
    assert done.document["created_at"].endswith("Z")


def test_options_may_stand_before_and_after_the_title(kora):
    actor = str(uuid.uuid4())
    options = ["--objective", "all of them", "--priority", "critical", "--kind", "chore", "--assign", actor, "--json"]

    for arguments in ([*options, "Count the sails"], ["Count the sails", *options]):
        ticket = kora("ticket", "add", *arguments).document
        assert ticket["ticket_objective"] == "all of them"
        assert ticket["sea_priority"] == "critical"
        assert ticket["sea_idea_kind"] == "chore"
        assert ticket["assigned_to_actor_id"] == actor


def test_a_title_that_looks_like_an_option_goes_behind_two_dashes(kora):
    assert kora("ticket", "add", "--json", "--", "--help").document["ticket_title"] == "--help"


def test_a_ticket_that_cannot_be_is_refused_with_every_fault_by_its_option(kora, here):
    done = kora("ticket", "add", "x" * 1_001, "--priority", "urgent", "--assign", "me", "--kind", "")

    assert done.code == 2
    for option in ("TITLE: ", "--priority: ", "--assign: ", "--kind: "):
        assert option in done.err
    assert "'critical', 'high', 'medium' or 'low'" in done.err
    assert not (here / "kora.db").exists()


@pytest.mark.parametrize("title", ["", "a\0b", "\udcff"])
def test_a_title_that_cannot_be_stored_is_refused(kora, title):
    assert kora("ticket", "add", title).code == 2


def test_an_empty_board_is_one_line_for_people_and_an_empty_array_for_programs(kora):
    kora("migrate")

    assert kora("ticket", "list").out == "no tickets\n"
    assert kora("ticket", "list", "--json").document == []


def test_a_list_in_a_pipe_is_lines_of_cells_not_cut(kora):
    title = "word " * 100 + "end"
    kora("ticket", "add", title)
    kora("ticket", "add", "two", "--priority", "low")

    head, first, second = kora("ticket", "list").out.splitlines()

    assert head.split("\t") == ["ticket_id", "sea_status", "sea_priority", "attempts", "ticket_title"]
    assert first.split("\t")[1:] == ["assigned", "medium", "0", title]
    assert second.split("\t")[1:] == ["assigned", "low", "0", "two"]


def test_a_list_is_filtered_and_limited(kora):
    for number in range(3):
        kora("ticket", "add", f"number {number}")

    titles = [ticket["ticket_title"] for ticket in kora("ticket", "list", "--limit", "2", "--json").document]
    assert titles == ["number 0", "number 1"]
    assert len(kora("ticket", "list", "--status", "assigned", "--status", "completed", "--json").document) == 3
    assert kora("ticket", "list", "--status", "completed").out == "no tickets\n"


def test_an_unknown_status_is_wrong_usage_that_names_the_known_ones(kora):
    done = kora("ticket", "list", "--status", "done")

    assert done.code == 2
    assert all(status in done.err for status in Status)


def test_show_prints_every_field_and_sets_further_lines_in(kora):
    ticket = kora("ticket", "add", "t", "--objective", "one\nsea_status  completed", "--json").document

    lines = kora("ticket", "show", ticket["ticket_id"]).out.splitlines()

    assert {line.split()[0] for line in lines if not line.startswith(" ")} == {*ticket, "operations", "attempts"}
    assert [line for line in lines if line.startswith("sea_status")] == ["sea_status               assigned"]
    assert "                         sea_status  completed" in lines


def test_an_id_that_is_no_uuid_is_wrong_usage_and_an_unknown_one_ends_with_4(kora):
    kora("migrate")

    assert kora("ticket", "show", "anchor").code == 2
    assert "UUID" in kora("ticket", "show", "anchor").err
    done = kora("ticket", "show", NOBODY, "--json")
    assert (done.code, done.out) == (4, "")
    assert NOBODY in done.err


def test_an_id_may_be_spelled_in_capitals(kora):
    ticket_id = kora("ticket", "add", "t", "--json").document["ticket_id"]

    assert kora("ticket", "show", ticket_id.upper(), "--json").document["ticket_id"] == ticket_id


def test_what_a_title_hides_is_shown_to_people_and_raw_in_json(kora):
    title = "[red]\x1b[31mred\u202e gnp\u200b\r\n\t\x9b2J"
    ticket_id = kora("ticket", "add", title, "--json").document["ticket_id"]
    shown = "[red]\\u001b[31mred\\u202e gnp\\u200b\\u000d\\u000a\\u0009\\u009b2J"

    assert kora("ticket", "list").out.splitlines()[1].split("\t")[-1] == shown
    assert shown.partition("\\u000a")[0] in kora("ticket", "show", ticket_id).out
    assert kora("ticket", "show", ticket_id, "--json").document["ticket_title"] == title
    assert kora("ticket", "list", "--json").document[0]["ticket_title"] == title
    assert shown in kora("events").out


def test_who_added_a_ticket_is_on_record(kora, monkeypatch):
    monkeypatch.setattr("getpass.getuser", lambda: "ishmael")
    kora("ticket", "add", "t")

    (event,) = kora("events", "--json").document
    assert event["event_type"] == "kora.operator.acted"
    assert event["payload"]["who"] == "ishmael"


def test_who_has_no_login_name_is_on_record_by_number(kora, monkeypatch):
    def nameless():
        raise KeyError("no such user")

    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr("os.getuid", lambda: 4711)
    kora("ticket", "add", "t")

    assert kora("events", "--json").document[0]["payload"]["who"] == "uid 4711"


def test_help_names_what_the_domain_knows(kora):
    assert "|".join(Priority) in kora("ticket", "add", "--help").out
    wanted = set(NewTicket.model_fields) - {"ticket_title", "sea_priority"}
    assert all(field in kora("ticket", "import", "--help").out for field in wanted)


def test_the_board_is_the_workspaces_own(kora, here):
    kora("ticket", "add", "ours")
    (here / "supervisor.toml").write_text('[runtime]\nworkspace = "other"\n[agent]\ncommand = ["true"]\n')

    assert kora("ticket", "list").out == "no tickets\n"


def test_import_says_how_many_or_which(kora, here):
    (here / "plan.jsonl").write_text("".join(json.dumps({"ticket_title": f"t{n}"}) + "\n" for n in range(3)))

    assert kora("ticket", "import", "plan.jsonl").out == "imported 3 tickets\n"
    told = kora("ticket", "import", "plan.jsonl", "--json").document
    assert told["imported"] == 3
    assert [kora("ticket", "show", each, "--json").document["ticket_title"] for each in told["ticket_ids"]] == [
        "t0",
        "t1",
        "t2",
    ]


def test_a_refused_import_leaves_no_store_behind(kora, here):
    (here / "plan.jsonl").write_text('{"ticket_title": "good"}\n{"ticket_title": 3}\n')

    done = kora("ticket", "import", "plan.jsonl")

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines() == [
        "kora-actors: plan.jsonl: nothing imported, 1 bad line",
        "  line 2: ticket_title: must be text, not 3",
    ]
    assert not (here / "kora.db").exists()


def test_every_command_of_the_board_takes_json(kora):
    names = {command.name for command in board.app.registered_commands}

    assert names == {
        "add",
        "import",
        "list",
        "show",
        "log",
        "unblock",
        "force-retry",
        "cancel",
        "reassign",
    }
    assert all("--json" in kora("ticket", name, "--help").out for name in names)


def with_agents(here):
    text = '[runtime]\nworkspace = "w"\n[agent]\ncommand = ["true"]\n'
    text += "".join(f'[agents.{name}]\ncommand = ["true"]\n' for name in ("review", "test"))
    (here / "supervisor.toml").write_text(text)


def test_a_ticket_may_name_its_agent_and_what_it_waits_for(kora, here):
    with_agents(here)
    first, second = (kora("ticket", "add", title, "--json").document["ticket_id"] for title in ("one", "two"))

    ticket = kora(
        "ticket", "add", "three", "--agent", "review", "--blocked-by", first, "--blocked-by", second.upper(), "--json"
    ).document

    assert ticket["agent"] == "review"
    assert ticket["blocked_by"] == [first, second]
    shown = kora("ticket", "show", ticket["ticket_id"]).out
    assert f"blocked_by               {first} assigned\n" in shown
    assert f"\n                         {second} assigned\n" in shown
    assert "\nagent                    review\n" in shown


def test_an_agent_that_the_configuration_lacks_is_refused_with_the_known_ones(kora, here):
    done = kora("ticket", "add", "t", "--agent", "review")
    assert done.code == 2
    assert f"no such agent: 'review'; there are: none; {here / 'supervisor.toml'} has no [agents.NAME]" in done.err

    with_agents(here)
    done = kora("ticket", "add", "t", "--agent", "rewiev")
    assert done.code == 2
    assert "no such agent: 'rewiev'; there are: review, test" in done.err
    assert not (here / "kora.db").exists()


def test_a_blocker_that_is_no_uuid_is_wrong_usage_and_one_not_on_the_board_is_refused(kora):
    assert kora("ticket", "add", "t", "--blocked-by", "anchor").code == 2
    done = kora("ticket", "add", "t", "--blocked-by", NOBODY)
    assert (done.code, done.out) == (1, "")
    assert NOBODY in done.err
    assert kora("ticket", "list").out == "no tickets\n"


def test_an_import_takes_agents_and_tickets_that_block_each_other(kora, here):
    with_agents(here)
    ids = [str(uuid.uuid4()) for _ in range(2)]
    rows = [
        {"ticket_title": "after", "ticket_id": ids[0], "blocked_by": [ids[1]], "agent": "test"},
        {"ticket_title": "before", "ticket_id": ids[1]},
    ]
    (here / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    assert kora("ticket", "import", "plan.jsonl", "--json").document == {"imported": 2, "ticket_ids": ids}
    ticket = kora("ticket", "show", ids[0], "--json").document
    assert (ticket["agent"], ticket["blocked_by"]) == ("test", [ids[1]])


def test_an_import_names_the_lines_whose_agent_is_not_known(kora, here):
    with_agents(here)
    (here / "plan.jsonl").write_text('{"ticket_title": "a", "agent": "review"}\n{"ticket_title": "b", "agent": "x"}\n')

    done = kora("ticket", "import", "plan.jsonl")

    assert done.code == 1
    assert done.err.splitlines()[1:] == [
        "  line 2: agent: the configuration has no [agents.x]; there are: review, test"
    ]


def test_tickets_that_block_one_another_are_refused(kora, here):
    ids = [str(uuid.uuid4()) for _ in range(2)]
    rows = [
        {"ticket_title": "a", "ticket_id": ids[0], "blocked_by": [ids[1]]},
        {"ticket_title": "b", "ticket_id": ids[1], "blocked_by": [ids[0]]},
    ]
    (here / "plan.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    done = kora("ticket", "import", "plan.jsonl")

    assert done.code == 1
    assert all(each in done.err for each in ids)
    assert kora("ticket", "list", "--json").document == []
