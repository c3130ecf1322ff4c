"""The configuration file: what it may say, and that every fault is named at once."""

import os
import re
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from kora.agents.callable import CallableSettings
from kora.agents.command import CommandSettings
from kora.config import SHIPPED, find, load, reference
from kora.config.agent import Agent
from kora.config.cost import caps_of, downshift_of
from kora.config.faults import table_of
from kora.config.sections import Document
from kora.domain.cost import Caps, Downshift
from kora.domain.ids import default_actor_id
from kora.domain.ticket import NewTicket, Priority
from kora.errors import ConfigurationError

AGENT = '[agent]\ncommand = ["true"]\n'
CALLABLE = '[agent]\nkind = "callable"\ncallable = "agent:run"\n'


@pytest.fixture
def write(tmp_path):
    def write(text, name="supervisor.toml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def faults_of(path, environ=None):
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ or {})
    assert caught.value.exit_code == 2
    return caught.value.faults


def test_everything_but_the_agents_command_has_a_default(write, tmp_path):
    settings = load(write(AGENT), {})

    assert settings.path == tmp_path / "supervisor.toml"
    assert settings.runtime.workspace == "default"
    assert settings.runtime.actor == default_actor_id("default")
    assert settings.runtime.store == f"sqlite:///{tmp_path}/kora.db"
    assert settings.runtime.state_dir == tmp_path / ".kora"
    assert settings.runtime.log_level == "INFO"
    assert settings.runtime.tick_seconds == 1.0
    assert settings.supervisor.strategy == "one_for_one"
    assert (settings.supervisor.max_restarts, settings.supervisor.within_seconds) == (30, 60)
    assert (settings.poller.poll_interval_seconds, settings.poller.lease_seconds) == (60, 600)
    assert settings.heartbeat.interval_seconds == 60
    assert settings.workers.count == 4
    assert settings.agent.command == ("true",)
    assert settings.agent.workdir == tmp_path
    assert settings.agent.env_allow == ("PATH", "HOME", "LANG", "TMPDIR")
    assert (settings.agent.timeout_seconds, settings.agent.stall_seconds, settings.agent.grace_seconds) == (0, 0, 5)
    assert (settings.agent.kind, settings.agent.interactive, settings.agent.verify) == ("command", False, ())
    assert settings.agents == {}
    assert (settings.control.max_attempts, settings.control.drain_seconds) == (10, 120)
    assert (settings.runtime.log_format, settings.runtime.keep_days) == ("text", 30)
    assert settings.heartbeat.tool_seconds == 1_800
    assert settings.notify.command == ()
    assert settings.notify.on == ("blocked", "paused", "gave_up", "poisoned")
    assert settings.notify.timeout_seconds == 30


def test_the_actor_follows_the_workspace_unless_it_is_named(write):
    assert load(write('[runtime]\nworkspace = "w"\n' + AGENT), {}).runtime.actor == default_actor_id("w")
    named = "6F1D0A52-6E0F-5C7E-9A35-0B1F0C6D7E11"
    assert load(write(f'[runtime]\nactor = "{named}"\n' + AGENT), {}).runtime.actor == named.lower()


@pytest.mark.parametrize(("lease", "beat"), [("600", 60), ("180", 60), ("90", 30), ("6", 2), ("1.5", 0.5)])
def test_the_heartbeat_is_a_minute_or_a_third_of_the_lease(write, lease, beat):
    for section in ("", "[heartbeat]\n"):
        assert (
            load(write(f"[poller]\nlease_seconds = {lease}\n{section}{AGENT}"), {}).heartbeat.interval_seconds == beat
        )


@pytest.mark.parametrize(("poller", "beat"), [("", 600), ("lease_seconds = 5", 5), ("lease_seconds = 5", 7.5)])
def test_a_heartbeat_that_does_not_beat_within_the_lease_is_a_fault_of_both_keys(write, poller, beat):
    (fault,) = faults_of(write(f"[poller]\n{poller}\n[heartbeat]\ninterval_seconds = {beat}\n{AGENT}"))

    assert fault.startswith("heartbeat.interval_seconds: ")
    assert "poller.lease_seconds" in fault


def test_relative_paths_are_relative_to_the_file_wherever_one_is(write, tmp_path, monkeypatch):
    (tmp_path / "sub").mkdir()
    monkeypatch.chdir(tmp_path)
    write(
        '[runtime]\nstore = "sqlite:///b/k.db"\nstate_dir = "state"\n'
        '[agent]\ncommand = ["bin/agent", "x/y"]\nworkdir = "work"\nverify = ["./check", "a/b"]\n'
        '[agents.other]\ncommand = ["../agent"]\n[agents.third]\nkind = "callable"\ncallable = "a.b:c"\n'
        '[notify]\ncommand = ["./notice"]\n',
        "sub/other.toml",
    )

    settings = load(Path("sub/other.toml"), {})

    folder = tmp_path / "sub"
    assert settings.runtime.store == f"sqlite:///{folder}/b/k.db"
    assert settings.runtime.state_dir == folder / "state"
    assert settings.agent.command == (f"{folder}/bin/agent", "x/y")
    assert settings.agent.workdir == folder / "work"
    assert settings.agent.verify == (f"{folder}/check", "a/b")
    assert settings.agents["other"].command == (f"{folder}/../agent",)
    assert settings.agents["other"].workdir == folder
    assert settings.agents["third"].folder == settings.agents["third"].workdir == folder
    assert settings.notify.command == (f"{folder}/notice",)


def test_absolute_paths_stay_as_they_are(write):
    settings = load(write('[runtime]\nstore = "sqlite:////srv/k.db"\nstate_dir = "/srv/s"\n' + AGENT), {})

    assert settings.runtime.store == "sqlite:////srv/k.db"
    assert settings.runtime.state_dir == Path("/srv/s")


def test_a_store_on_a_server_is_anchored_nowhere(write):
    url = "postgresql://ada:hunter2@host:5432/kora?sslmode=require"

    assert load(write(f'[runtime]\nstore = "{url}"\n' + AGENT), {}).runtime.store == url
    assert load(write(AGENT), {"KORA_STORE": url}).runtime.store == url


def test_a_password_is_in_no_fault(write):
    for url in ("postgresql://ada:hunter2/kora", "postgresql://ada:hun#ter2@host/kora"):
        faults = faults_of(write(f'[runtime]\nstore = "{url}"\n' + AGENT), {"KORA_STORE": url})
        assert [fault.partition(":")[0] for fault in faults] == ["runtime.store", "KORA_STORE"]
        assert "ter2" not in "".join(faults)


def test_kora_store_overrides_and_is_relative_to_the_working_directory(write, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    path = write(AGENT)

    assert load(path, {"KORA_STORE": "sqlite:///x.db"}).runtime.store == f"sqlite:///{elsewhere}/x.db"
    assert load(path, {"KORA_STORE": "sqlite:////x.db"}).runtime.store == "sqlite:////x.db"
    assert load(path, {"KORA_STORE": ""}).runtime.store == f"sqlite:///{tmp_path}/kora.db"
    assert faults_of(path, {"KORA_STORE": "kora.db"}) == [
        "KORA_STORE: must be sqlite:///FILE or postgresql://HOST/DATABASE"
    ]


def test_every_fault_is_listed_at_once_each_by_its_key(write):
    text = """
pollr = 1
[runtime]
workspace = ""
actor = "me"
store = "kora.db"
tick_seconds = inf
log_level = "loud"
lease_seconds = 3
[supervisor]
max_restart = 3
[supervisor.children.ledgr]
[supervisor.children.poller]
restart = "always"
poison_after = 1.5
[poller]
lease_seconds = 5
poll_interval_seconds = "soon"
[heartbeat]
interval_seconds = 5
[workers]
count = true
[agent]
kind = "robot"
command = []
env_allow = [3, "A=B"]
timeout_seconds = -1
[control]
max_attempts = 0
"""
    faults = faults_of(write(text))

    assert {fault.split(": ")[0] for fault in faults} == {
        "pollr",
        "runtime.workspace",
        "runtime.actor",
        "runtime.store",
        "runtime.tick_seconds",
        "runtime.log_level",
        "runtime.lease_seconds",
        "supervisor.max_restart",
        "supervisor.children.ledgr",
        "supervisor.children.poller.restart",
        "supervisor.children.poller.poison_after",
        "poller.poll_interval_seconds",
        "heartbeat.interval_seconds",
        "workers.count",
        "agent.kind",
        "agent.command",
        "agent.env_allow[0]",
        "agent.env_allow[1]",
        "agent.timeout_seconds",
        "control.max_attempts",
    }
    assert len(faults) == 20
    assert 'supervisor.max_restart: unknown key; did you mean "max_restarts"?'.replace('"', "'") in faults
    assert "supervisor.children.ledgr: unknown key; did you mean 'ledger'?" in faults
    assert "runtime.lease_seconds: unknown key; did you mean 'poller.lease_seconds'?" in faults
    assert "pollr: unknown key; did you mean 'poller'?" in faults
    assert 'poller.poll_interval_seconds: must be a number, not "soon"' in faults
    assert "workers.count: must be a whole number, not true" in faults
    assert "agent.timeout_seconds: must be greater than or equal to 0, not -1" in faults
    assert "agent.command: must have at least 1 item, not an empty list" in faults


def test_an_unknown_key_that_resembles_nothing_gets_the_known_ones(write):
    assert faults_of(write("[workers]\nxyz = 1\n" + AGENT)) == ["workers.xyz: unknown key; known here: count"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", 'agent.command: missing: kind "command" needs it'),
        ("agent.kind = 'callable'", 'agent.callable: missing: kind "callable" needs it'),
        (AGENT + "callable = 'a:b'", 'agent.callable: goes only with kind "callable"'),
        (CALLABLE + "command = ['a']", 'agent.command: goes only with kind "command"'),
        (CALLABLE + "interactive = true", 'agent.interactive: goes only with kind "command"'),
        (CALLABLE + "progress = 'lines'", 'agent.progress: goes only with kind "command"'),
        (
            "agent.kind = 'clod'",
            "agent.kind: must be 'command', 'callable', 'claude', 'codex' or 'gemini', not \"clod\"",
        ),
        (AGENT + "model = 'm'", 'agent.model: goes only with kind "claude", "codex" or "gemini"'),
        ("agent = {kind = 'codex', max_turns = 1}", 'agent.max_turns: goes only with kind "claude"'),
        ("agent = {kind = 'claude', prices = {}}", 'agent.prices: goes only with kind "codex" or "gemini"'),
        ("agent = {kind = 'claude', command = ['a']}", 'agent.command: goes only with kind "command"'),
        ("agent = {kind = 'claude', model = '--version'}", "agent.model: must not begin with a dash: further options"),
        ("agent = {kind = 'claude', allowed_tools = ['-x']}", "agent.allowed_tools[0]: must not begin with a dash"),
        ("agent = {kind = 'claude', max_turns = -1}", "agent.max_turns: must be greater than or equal to 0, not -1"),
        ("agent = {kind = 'claude', max_budget_usd = inf}", "agent.max_budget_usd: must be a finite number, not inf"),
        ("agent = {kind = 'gemini', prompt = '{titel}'}", "agent.prompt: there is no placeholder {titel} (line 1)"),
        ("agent = {kind = 'gemini', prompt_file = 'no.md'}", "agent.prompt_file: '"),
        (
            "agent = {kind = 'codex', prices = {m = {input_usd_per_million = 1, output_usd_per_million = 1}}}",
            "agent.prices.m.cached_input_usd_per_million: missing",
        ),
        ("agent = {kind = 'codex', prices = {m = 1}}", "agent.prices.m: must be a table, not 1"),
        ("agent = {kind = 'callable', callable = 'agent'}", 'agent.callable: must be "module:function", such as'),
        ("agent = {kind = 'callable', callable = 'a.1:run'}", 'agent.callable: must be "module:function", such as'),
        ("agent = {kind = 'callable', callable = ''}", 'agent.callable: must be "module:function", such as'),
        (AGENT + "verify = ['']", "agent.verify: must name a program first"),
        (AGENT + "interactive = 1", "agent.interactive: must be true or false, not 1"),
        (AGENT + "[agents.review]", 'agents.review.command: missing: kind "command" needs it'),
        (AGENT + "[agents.review]\nkind = 'callable'", 'agents.review.callable: missing: kind "callable" needs it'),
        (
            AGENT + "[agents.review]\ncommand = ['a']\ntimout_seconds = 1",
            "agents.review.timout_seconds: unknown key; did",
        ),
        (
            AGENT + "[agents.review]\ncommand = ['a']\nlease_seconds = 1",
            "agents.review.lease_seconds: unknown key; did you",
        ),
        (AGENT + "[agents.'Re view']\ncommand = ['a']", 'agents."Re view": no name for a table: at most 64 of a-z'),
        (AGENT + "[agents]\ncommand = ['a']", "agents.command: must be a table, not a list"),
        ("agents = 3\n" + AGENT, "agents: must be a table, not 3"),
        (AGENT + "[agnets.review]", "agnets: unknown key; did you mean 'agents'?"),
        (AGENT + "[notify]\non = ['blocked', 'boiled']", "notify.on[1]: must be 'blocked', 'paused', 'gave_up' or"),
        (AGENT + "[notify]\ncommand = 'mail'", 'notify.command: must be a list, not "mail"'),
        (AGENT + "[notify]\ntimeout_seconds = 0", "notify.timeout_seconds: must be greater than 0, not 0"),
        ("[runtime]\nlog_format = 'xml'\n" + AGENT, "runtime.log_format: must be 'text' or 'json', not \"xml\""),
        ("[runtime]\nkeep_days = 0\n" + AGENT, "runtime.keep_days: must be greater than 0, not 0"),
        ("[heartbeat]\ntool_seconds = -1\n" + AGENT, "heartbeat.tool_seconds: must be greater than or equal to 0, not"),
        ("agent = 3", "agent: must be a table, not 3"),
        ("path = 3\n" + AGENT, "path: unknown key; known here: runtime, supervisor, poller"),
        ('[agent]\ncommand = "ls -l"', 'agent.command: must be a list, not "ls -l"'),
        ('[agent]\ncommand = [""]', "agent.command: must name a program first"),
        ('[agent]\ncommand = ["a", "b\\u0000"]', "agent.command[1]: must not contain a NUL character"),
        ('[agent]\ncommand = ["a"]\nworkdir = "a\\u0000"', "agent.workdir: must not contain a NUL character"),
        (
            '[agent]\ncommand = ["a"]\nworkdir = 7',
            "agent.workdir: must be a path, or one of shared, fresh, worktree, not 7",
        ),
        (
            '[agent]\ncommand = ["a"]\nrepository = "a"',
            'agent.repository: goes only with workdir "worktree"',
        ),
        (
            '[agent]\nkind = "callable"\ncallable = "a:b"\nworkdir = "fresh"',
            'agent.workdir: "fresh" goes only with a program: a callable runs where the runtime does',
        ),
        ('[runtime]\nworkspace = "a\\u0007"\n' + AGENT, "runtime.workspace: must consist of printable characters"),
        (f'[runtime]\nworkspace = "{"w" * 201}"\n' + AGENT, "runtime.workspace: must have at most 200 characters"),
        ('[runtime]\nstore = "sqlite:///:memory:"\n' + AGENT, "runtime.store: must be sqlite:///FILE: a database in"),
        ("[runtime]\ntick_seconds = 2.5\n" + AGENT, "runtime.tick_seconds: must be less than or equal to 1, not 2.5"),
        ("[workers]\ncount = 0\n" + AGENT, "workers.count: must be greater than or equal to 1, not 0"),
        ("[workers]\ncount = 1001\n" + AGENT, "workers.count: must be less than or equal to 1000, not 1001"),
        ("[workers]\ncount = 4.0\n" + AGENT, "workers.count: must be a whole number, not 4.0"),
        ("[poller]\nlease_seconds = 0\n" + AGENT, "poller.lease_seconds: must be greater than 0, not 0"),
        ("[poller]\nlease_seconds = nan\n" + AGENT, "poller.lease_seconds: must be a finite number, not nan"),
        ("[poller]\nlease_seconds = 1e300\n" + AGENT, "poller.lease_seconds: must be less than or equal to 31536000"),
        (f"[poller]\nlease_seconds = 0x{'f' * 400}\n" + AGENT, "poller.lease_seconds: must be "),
        ("[poller]\nlease_seconds = true\n" + AGENT, "poller.lease_seconds: must be a number, not true"),
        ("[poller]\nlease_seconds = 1979-05-27\n" + AGENT, "poller.lease_seconds: must be a number, not 1979-05-27"),
        ("[supervisor]\nstrategy = 'simple_one_for_one'\n" + AGENT, "supervisor.strategy: must be 'one_for_one', "),
        ("[supervisor.children.clock]\nbackoff_factor = 0.5\n" + AGENT, "supervisor.children.clock.backoff_factor: "),
    ],
)
def test_one_fault_is_one_line(write, text, fault):
    (found,) = faults_of(write(text))

    assert found.startswith(fault)
    assert len(found) < 250


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"[agent\n", "broken TOML: .*line 1, column 7"),
        (b"a = 1\na = 2\n", "broken TOML: .*line 2"),
        (b"a = " + b"[" * 100_000, "broken TOML: nested too deeply"),
        (b"a = " + b"9" * 5_000, "broken TOML: a number of too many digits"),
        (b"a = 1\nb = '\xff'\n", r"is not UTF-8: line 2, byte 12"),
        (b"#" * 1_048_577, "is larger than 1,048,576 bytes"),
    ],
)
def test_a_file_that_is_no_toml_says_where(write, content, fault):
    (found,) = faults_of(write(content))

    assert re.match(fault, found)


def test_a_byte_order_mark_does_no_harm(write):
    assert load(write(b"\xef\xbb\xbf" + AGENT.encode()), {}).agent.command == ("true",)


def test_a_file_that_cannot_be_read_is_a_fault(tmp_path):
    assert faults_of(tmp_path / "none.toml") == ["cannot be read: No such file or directory"]
    assert faults_of(tmp_path) == ["cannot be read: Is a directory"]


def test_the_message_names_the_file_and_has_a_line_for_each_fault(write):
    path = write("a = 1\nb = 2\n" + AGENT)

    with pytest.raises(ConfigurationError) as caught:
        load(path, {})

    assert str(caught.value).splitlines()[0] == f"{path}: 2 faults"
    assert len(str(caught.value).splitlines()) == 3


def test_the_file_is_the_one_named_then_the_environments_then_the_one_here_then_the_shipped(tmp_path):
    environ = {"KORA_CONFIG": "env.toml"}
    assert find(Path("named.toml"), environ, tmp_path) == tmp_path / "named.toml"
    assert find(Path("/named.toml"), environ, tmp_path) == Path("/named.toml")
    assert find(None, environ, tmp_path) == tmp_path / "env.toml"
    assert find(None, {"KORA_CONFIG": ""}, tmp_path) == SHIPPED
    (tmp_path / "supervisor.toml").touch()
    assert find(None, {}, tmp_path) == tmp_path / "supervisor.toml"


def test_a_dangling_link_here_is_not_passed_over(tmp_path):
    (tmp_path / "supervisor.toml").symlink_to("nowhere")

    assert find(None, {}, tmp_path) == tmp_path / "supervisor.toml"


def test_the_shipped_file_is_valid_and_shows_every_key_with_its_default(write):
    shipped = load(SHIPPED, {})
    bare = load(write(AGENT), {})

    for name in Document.model_fields:
        if name not in ("runtime", "agent"):
            assert getattr(shipped, name) == getattr(bare, name)
    text = SHIPPED.read_text(encoding="utf-8")
    assert [path for path in leaves(Document) if not re.search(rf"^(# )?{path} = ", text, re.MULTILINE)] == []
    written = tomllib.loads(text)["agent"]
    assert Agent(**written).model_dump(exclude={"command"}) == Agent(command=["true"]).model_dump(exclude={"command"})


def leaves(model):
    for name, field in model.model_fields.items():
        table, is_named = table_of(field)
        if table:
            yield from () if is_named else leaves(table)
        else:
            yield name


def sections(model=Document):
    yield model
    for field in model.model_fields.values():
        table, _ = table_of(field)
        if table:
            yield from sections(table)


def test_the_page_about_the_file_is_what_the_models_say():
    path = SHIPPED.parent / "docs" / "configuration.md"
    said = path.read_text(encoding="utf-8")

    assert said == reference.page(), "make it anew: python -m kora.config.reference > docs/configuration.md"
    assert [key for key in leaves(Document) if f"\n| `{key}` | " not in said] == []


def test_every_example_of_the_page_is_valid(write, subtests):
    for example in re.findall(r"^```toml\n(.*?)^```$", reference.page(), re.DOTALL | re.MULTILINE):
        with subtests.test(example=example):
            load(write(example if "[agent]" in example else example + AGENT), {})


def test_every_key_is_described_and_a_duration_has_its_unit_in_its_name(subtests):
    for model in sections():
        for name, field in model.model_fields.items():
            if table_of(field)[0] is None:
                with subtests.test(key=f"{model.__name__}.{name}"):
                    assert field.description
                    assert (field.annotation is float) == name.endswith(
                        ("_seconds", "_days", "_factor", "_jitter", "_usd", "_usd_per_million")
                    )


def test_the_command_agents_settings_reach_it_unchanged(write, tmp_path):
    more = "timeout_seconds = 7\ngrace_seconds = 0.5\nprogress = 'protocol'\ninteractive = true\nverify = ['make']\n"
    settings = load(write(f"{AGENT}{more}[agents.other]\ncommand = ['false']"), {})

    for agent in (settings.agent, settings.agents["other"]):
        assert isinstance(agent.spec(), CommandSettings)
        for field in fields(agent.spec()):
            assert getattr(agent.spec(), field.name) == getattr(agent, field.name)
    assert settings.agent.spec().verify == ("make",)
    assert settings.agents["other"].spec().timeout_seconds == 0


def test_the_callables_settings_reach_it_unchanged(write, tmp_path):
    spec = load(write(CALLABLE + "stall_seconds = 7\nworkdir = 'x'\nverify = ['./check']\n"), {}).agent.spec()

    assert isinstance(spec, CallableSettings)
    assert (spec.function, spec.folder, spec.workdir) == ("agent:run", tmp_path, tmp_path / "x")
    assert (spec.stall_seconds, spec.verify) == (7, (f"{tmp_path}/check",))


def test_a_near_miss_is_named_also_in_the_table_of_a_named_agent(write):
    text = AGENT + "[agents.review]\ncommand = ['a']\ntimout_seconds = 1\nlease_seconds = 1\nverfy = []\n"

    assert faults_of(write(text)) == [
        "agents.review.timout_seconds: unknown key; did you mean 'timeout_seconds'?",
        "agents.review.lease_seconds: unknown key; did you mean 'poller.lease_seconds'?",
        "agents.review.verfy: unknown key; did you mean 'verify'?",
    ]


def test_every_fault_of_every_agent_is_listed_once(write):
    text = """
agent = {callable = "a:b", interactive = 3}
[agents.one]
kind = "callable"
interactive = "yes"
grace_seconds = -1
[agents."two words"]
[agents.three]
comand = ["x"]
callable = 3
"""
    assert sorted(fault.split(": ")[0] for fault in faults_of(write(text))) == [
        "agent.callable",
        "agent.command",
        "agent.interactive",
        'agents."two words"',
        'agents."two words".command',
        "agents.one.callable",
        "agents.one.grace_seconds",
        "agents.one.interactive",
        "agents.three.callable",
        "agents.three.comand",
        "agents.three.command",
    ]


def test_a_downshift_to_an_agent_that_is_not_there_is_a_fault_of_its_key(write):
    text = """
agent = {command = ["true"]}
[cost]
attempt_usd = -1
warn_75 = {low = "small", high = "Large"}
downshift_90 = {low = "tiny", medium = "small", urgent = "small"}
[agents.small]
command = ["true"]
"""
    faults = faults_of(write(text))
    assert sorted(fault.split(": ")[0] for fault in faults) == [
        "cost.attempt_usd",
        "cost.downshift_90.low",
        "cost.downshift_90.urgent",
        "cost.warn_75.high",
    ]
    assert 'cost.downshift_90.low: no agent "tiny" in [agents]; known there: small' in faults


def test_the_caps_and_the_downshift_are_as_the_file_has_them(write):
    text = f"""{AGENT}
[cost]
attempt_usd = 2.5
ticket_usd = 10
warn_75 = {{low = "small"}}
downshift_90 = {{high = "small"}}
[agents.small]
command = ["true"]
"""
    settings = load(write(text), {})
    assert caps_of(settings.cost) == Caps(attempt_usd=2.5, ticket_usd=10.0)
    assert downshift_of(settings.cost) == Downshift({Priority.LOW: "small"}, {Priority.HIGH: "small"})


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=70))
def test_an_agent_may_have_just_the_names_that_a_ticket_may_give(name):
    table = {"agent": {"command": ["true"]}, "agents": {name: {"command": ["true"]}}}

    assert valid(Document, table) == valid(NewTicket, {"ticket_title": "t", "agent": name})


def valid(model, data):
    try:
        model.model_validate(data)
    except ValidationError:
        return False
    return True


WRONG = {
    "runtime.workspace": ["3", '""', "[]"],
    "runtime.tick_seconds": ["0", "-1", "nan", '"1"', "3"],
    "poller.lease_seconds": ["0", "true", "inf", "{}"],
    "workers.count": ["0", "1.5", "1001", "'4'"],
    "agent.command": ["[]", "3", "''"],
    "agent.grace_seconds": ["-0.1", "false"],
    "control.max_attempts": ["0", "1e3"],
    "supervisor.within_seconds": ["0", "[1]"],
    "supervisor.children.worker.restart": ["'never'", "1"],
    "supervisor.children.ledger.poison_after": ["-1", "0.5"],
}
unknown_keys = st.from_regex(r"[a-z]{1,12}_unknown", fullmatch=True)


@given(
    wrong=st.dictionaries(st.sampled_from(sorted(WRONG)), st.integers(0, 10), min_size=1),
    unknown=st.sets(st.tuples(st.sampled_from(["runtime", "agent", "workers", "supervisor"]), unknown_keys)),
)
def test_any_number_of_faults_are_all_listed(tmp_path_factory, wrong, unknown):
    lines = [f"{key} = {WRONG[key][choice % len(WRONG[key])]}" for key, choice in wrong.items()]
    lines += [f"{section}.{key} = 1" for section, key in unknown]
    if "agent.command" not in wrong:
        lines.append('agent.command = ["true"]')
    path = tmp_path_factory.getbasetemp() / f"config-{os.getpid()}.toml"
    path.write_text("\n".join(lines), encoding="utf-8")

    named = sorted(fault.split(": ")[0] for fault in faults_of(path))

    assert named == sorted([*wrong, *(f"{section}.{key}" for section, key in unknown)])


@given(key=st.text(st.characters(exclude_categories=["Cs"]), min_size=1), value=st.text(max_size=80))
def test_no_key_and_no_value_can_break_a_faults_line(key, value, tmp_path_factory):
    def quoted(text):
        return '"' + "".join(f"\\U{ord(letter):08X}" for letter in text) + '"'

    value = value.encode("utf-8", "replace").decode()
    path = tmp_path_factory.getbasetemp() / f"strange-{os.getpid()}.toml"
    path.write_text(f"{quoted(key + '!')} = 1\nworkers.count = {quoted(value)}\n{AGENT}", encoding="utf-8")

    for fault in faults_of(path):
        assert fault.isprintable()


@pytest.mark.parametrize("word", ["shared", "fresh", "worktree"])
def test_workdir_is_a_word_or_a_path_and_a_folder_that_is_called_as_a_word_is_no_silent_surprise(write, tmp_path, word):
    text = f'[agent]\ncommand = ["true"]\nworkdir = "{word}"\n'
    agent = load(write(text), {}).agent
    assert (agent.workspace, agent.workdir, agent.is_ambiguous) == (word, tmp_path, False)
    assert agent.spec().workspace == word

    (tmp_path / word).mkdir()
    assert load(write(text), {}).agent.is_ambiguous
    assert not load(write(AGENT), {}).agent.is_ambiguous
    agent = load(write(text.replace(f'"{word}"', f'"./{word}"')), {}).agent
    assert (agent.workspace, agent.workdir, agent.is_ambiguous) == ("shared", tmp_path / word, False)


def test_the_repository_of_worktrees_is_relative_to_the_file(write, tmp_path):
    agent = load(write('[agent]\ncommand = ["true"]\nworkdir = "worktree"\nrepository = "../ship"\n'), {}).agent

    assert (agent.workspace, agent.workdir) == ("worktree", tmp_path / "../ship")


@pytest.mark.parametrize("address", ["", "127.0.0.1:9464", "localhost:9464", "[::1]:9464", "127.0.0.2:0"])
def test_an_address_of_the_loopback_may_be_listened_at(write, address):
    assert load(write(f'{AGENT}[admin]\nhealth_listen = "{address}"\n'), {}).admin.health_listen == address


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0:9464",
        "[::]:9464",
        "10.0.0.1:80",
        ":9464",
        "example.org:9464",
        "127.0.0.1",
        "127.0.0.1:x",
        "[::1]:70000",
    ],
)
def test_no_other_address_may_be_listened_at(write, address):
    (fault,) = faults_of(write(f'{AGENT}[admin]\nhealth_listen = "{address}"\n'))

    assert fault.startswith("admin.health_listen: ")
    assert "127.0.0.1" in fault
