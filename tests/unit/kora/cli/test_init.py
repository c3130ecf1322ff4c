"""The beginning: what `init` writes, what it never overwrites, and what it says to type."""

import os
import re
import tomllib

import pytest

from kora.cli.init import FILES, program_as_typed
from kora.config import SHIPPED, load

STARTER = SHIPPED.parent / "examples" / "starter"


@pytest.fixture
def empty(here, monkeypatch):
    folder = here / "a new folder"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_it_writes_both_files_and_says_what_to_type(kora, empty):
    done = kora("init")

    assert (done.code, done.err) == (0, "")
    assert names(empty) == sorted(FILES)
    for name in FILES:
        assert (empty / name).read_bytes() == (STARTER / name).read_bytes()
    first, blank, *commands = done.out.splitlines()
    assert (first, blank) == ("wrote supervisor.toml and agent.py; next:", "")
    assert [line.split("kora-actors ")[1] for line in commands] == [
        'ticket add "Count the words of this title"',
        "run --until-idle",
        "report",
    ]


def test_what_it_writes_is_a_configuration_with_the_defaults_but_for_the_agent(kora, empty, tmp_path):
    kora("init")
    (tmp_path / "bare.toml").write_text('[agent]\nkind = "callable"\ncallable = "agent:run"\ntimeout_seconds = 3600\n')
    written, bare = load(empty / "supervisor.toml", {}), load(tmp_path / "bare.toml", {})

    for name in ("supervisor", "poller", "heartbeat", "workers", "control", "notify", "agents"):
        assert getattr(written, name) == getattr(bare, name)
    assert written.agent.model_copy(update={"folder": tmp_path, "workdir": tmp_path}) == bare.agent
    assert written.runtime.model_dump(exclude={"store", "state_dir"}) == bare.runtime.model_dump(
        exclude={"store", "state_dir"}
    )
    assert written.runtime.store == f"sqlite:///{empty}/kora.db"
    assert written.runtime.state_dir == empty / ".kora"


def test_every_line_that_is_commented_out_is_valid_too(kora, empty, write_and_load):
    kora("init")
    text = (empty / "supervisor.toml").read_text()
    first, _, rest = text.partition("[agent]\n")
    _, _, after = rest.partition("# [agent]\n")

    # The command in place of the callable, and everything else that a person may take in.
    with_command = f"{first}[agent]\n{after}"
    taken_in = re.sub(r"^# (?=\[|\w+ = )", "", with_command, flags=re.MULTILINE)
    settings = write_and_load(taken_in)
    assert settings.agent.kind == "command"
    assert settings.agents["review"].command[0].endswith("/bin/review")
    assert settings.notify.command[0] == "sh"
    assert tomllib.loads(taken_in)["notify"]["on"] == list(settings.notify.on)
    verified = write_and_load(text.replace("# verify", "verify"))
    assert verified.agent.verify == ("make", "test")


@pytest.fixture
def write_and_load(tmp_path):
    def write_and_load(text):
        path = tmp_path / "taken.toml"
        path.write_text(text)
        return load(path, {})

    return write_and_load


@pytest.mark.parametrize("present", [("agent.py",), ("supervisor.toml",), FILES])
def test_it_overwrites_nothing_and_names_what_is_there(kora, empty, present):
    for name in present:
        (empty / name).write_text("mine")

    done = kora("init")

    assert (done.code, done.out) == (1, "")
    are = "are" if len(present) == 2 else "is"
    assert done.err.startswith(f"kora-actors: {' and '.join(present)} {are} here already; nothing was written.")
    assert names(empty) == sorted(present)
    assert {(empty / name).read_text() for name in present} == {"mine"}


def test_a_dangling_link_is_there_too(kora, empty):
    (empty / "agent.py").symlink_to("nowhere")

    assert kora("init").code == 1
    assert names(empty) == ["agent.py"]


def test_force_writes_them_anew(kora, empty):
    (empty / "agent.py").write_text("mine")

    assert kora("init", "--force").code == 0
    assert (empty / "agent.py").read_bytes() == (STARTER / "agent.py").read_bytes()
    assert names(empty) == sorted(FILES)


def test_what_cannot_be_written_is_named_and_nothing_is_left_half_done(kora, empty):
    (empty / "supervisor.toml").mkdir()

    done = kora("init", "--force")

    assert done.code == 1
    assert done.err == f"kora-actors: {empty}/supervisor.toml: Is a directory\n"
    assert names(empty) == ["supervisor.toml"]


def test_a_configuration_that_is_named_elsewhere_is_not_passed_over_in_silence(kora, empty, monkeypatch):
    assert kora("--config", "other.toml", "init").code == 2
    assert names(empty) == []
    monkeypatch.setenv("KORA_CONFIG", "/srv/night.toml")

    done = kora("init")

    assert done.code == 0
    assert done.err.startswith("kora-actors: KORA_CONFIG is set: the commands read /srv/night.toml")


def test_the_program_is_called_as_it_must_be_typed_from_here(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/usr/bin")
    checkout = tmp_path / "check out"
    program = checkout / "bin" / "kora-actors"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    assert program_as_typed(program, checkout) == "bin/kora-actors"
    assert program_as_typed(program, checkout / "bin") == "./kora-actors"
    assert program_as_typed(program, checkout / "sub") == "../bin/kora-actors"
    far = tmp_path.joinpath(*"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz")
    assert program_as_typed(program, far) == f"'{program}'"

    (tmp_path / "links").mkdir()
    (tmp_path / "links" / "kora-actors").symlink_to(program)
    monkeypatch.setenv("PATH", f"/usr/bin:{tmp_path}/links")
    assert program_as_typed(program, far) == "kora-actors"
    other = tmp_path / "other"
    other.mkdir()
    (other / "kora-actors").write_text("#!/bin/sh\n")
    (other / "kora-actors").chmod(0o755)
    monkeypatch.setenv("PATH", os.fspath(other))
    assert program_as_typed(program, checkout) == "bin/kora-actors"
