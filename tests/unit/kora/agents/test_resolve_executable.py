from __future__ import annotations

from pathlib import Path

import pytest

from kora.agents.command import resolve_executable
from kora.errors import AgentError


def test_resolve_executable_finds_by_path_and_by_folder(tmp_path: Path):
    program = tmp_path / "agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert resolve_executable(("./agent", "x"), tmp_path, None) == str(tmp_path / "agent")
    assert resolve_executable(("agent",), Path("/"), f"/nowhere:{tmp_path}") == str(program)
    assert resolve_executable((str(program),), Path("/nowhere"), "") == str(program)
    assert resolve_executable(("sh",), tmp_path, None).endswith("bin/sh")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ((), "the command is empty"),
        (("",), "the command is empty"),
        (("./gone",), "does not exist"),
        (("gone",), "is not to be found on PATH"),
        (("./plain",), "is not executable"),
        (("plain",), "is not executable"),
        (("./folder",), "is a directory"),
        (("./dangling",), "is a link that leads nowhere"),
        (("./plain/under",), "cannot be reached: Not a directory"),
    ],
)
def test_resolve_executable_says_why_not(tmp_path, command, said):
    (tmp_path / "plain").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("gone")
    with pytest.raises(AgentError, match=said):
        resolve_executable(command, tmp_path, str(tmp_path))
