"""What agents cannot do without: there, readable, and nobody else's."""

from __future__ import annotations

import os

import pytest

from kora.app.boot.credentials import faults


@pytest.fixture
def token(tmp_path):
    path = tmp_path / "token"
    path.write_text("secret")
    path.chmod(0o600)
    return path


def test_a_file_of_ones_own_and_a_variable_that_is_set_have_no_fault(token):
    assert faults(["token", str(token), "env:API_KEY"], token.parent, {"API_KEY": "x"}) == []


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644, 0o620, 0o666])
def test_a_file_that_others_may_read_or_write_is_one_and_the_way_out_is_said(token, mode):
    token.chmod(mode)
    (said,) = faults(["token"], token.parent, {})
    assert said == f"{token} is open to others (mode {mode:04o}): chmod 600 {token}"


def test_a_file_that_is_not_there_is_named_with_the_reason(tmp_path):
    (said,) = faults(["none"], tmp_path, {})
    assert said.startswith(f"{tmp_path}/none cannot be looked at (No such file or directory)")


def test_a_folder_or_an_empty_file_is_no_credential(tmp_path, token):
    token.write_text("")
    folder = tmp_path / "folder"
    folder.mkdir(mode=0o700)
    assert faults(["token", "folder"], tmp_path, {}) == [f"{token} is empty", f"{folder} is no file"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give a file to somebody else")
def test_a_file_of_another_user_is_a_fault(token):
    os.chown(token, 65_534, -1)
    (said,) = faults(["token"], token.parent, {})
    assert "belongs to uid 65534" in said


@pytest.mark.parametrize(("environ", "how"), [({}, "is not set"), ({"API_KEY": ""}, "is empty")])
def test_a_variable_that_says_nothing_is_a_fault_without_its_value(tmp_path, environ, how):
    (said,) = faults(["env:API_KEY"], tmp_path, environ)
    assert said.startswith(f"the environment variable API_KEY {how}")


def test_every_fault_is_named(tmp_path):
    assert len(faults(["a", "env:B", "c"], tmp_path, {})) == 3


def test_a_name_that_no_file_can_have_is_no_traceback(tmp_path):
    (said,) = faults(["a\0b"], tmp_path, {})
    assert "cannot be looked at" in said
