"""The launcher: it sets itself up once, says clearly why it cannot, and then gets out of the way."""

import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-dev.lock")

# Stands in for Kora: says what the launcher handed over.
PROBE = """
import json, os, sys
told = {"pid": os.getpid(), "cwd": os.getcwd(), "argv": sys.argv[1:], "env": dict(os.environ), "path": sys.path}
print(json.dumps(told))
"""

# Stands in for a Python that is found: leaves a mark, and does not fit.
RECORDER = '#!/bin/sh\necho called >>"$KORA_TEST_MARK"\nexit 1\n'


def write_program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def bare(tmp_path):
    """A checkout, under a path with spaces, in which nothing was started yet."""
    checkout = tmp_path / "a check out"
    shutil.copytree(ROOT / "bin", checkout / "bin", ignore=shutil.ignore_patterns("__pycache__"))
    for lock in LOCKS:
        shutil.copyfile(ROOT / lock, checkout / lock)
    package = checkout / "kora"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(PROBE)
    return checkout


@pytest.fixture
def ready(bare):
    """A checkout that is set up, with an environment that holds no packages."""
    venv.EnvBuilder(symlinks=True).create(bare / ".venv")
    for lock in LOCKS:
        shutil.copyfile(bare / lock, bare / ".venv" / lock)
    (packages,) = (bare / ".venv").glob("lib/python*/site-packages")
    (packages / "kora-checkout.pth").write_text("../../../..\n")
    return bare


def start(program, *arguments, **options):
    return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False, **options)


def told(finished):
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout)


def test_the_process_that_was_started_is_the_runtime(ready):
    with subprocess.Popen([ready / "bin" / "kora-actors"], stdout=subprocess.PIPE) as process:
        output, _ = process.communicate(timeout=60)

    assert json.loads(output)["pid"] == process.pid


def test_it_keeps_the_working_directory_the_arguments_and_the_environment(ready, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    environment = {"PATH": os.environ["PATH"], "PWD": str(elsewhere), "ODD": "a 'b' $c\nd"}

    seen = told(start(ready / "bin" / "kora-actors", "ticket", "a  b", "", "$x", cwd=elsewhere, env=environment))

    assert seen["cwd"] == str(elsewhere)
    assert seen["argv"] == ["ticket", "a  b", "", "$x"]
    # A shell that stands in for sh may count its level, and some leave the last command's name.
    added = {name: value for name, value in seen["env"].items() if name not in {"_", "SHLVL", "OLDPWD", "LC_CTYPE"}}
    assert added == environment


def test_the_users_directory_is_not_where_code_is_imported_from(ready, tmp_path):
    (tmp_path / "kora.py").write_text("raise SystemExit('imported from the working directory')")

    seen = told(start(ready / "bin" / "kora-actors", cwd=tmp_path))

    assert str(tmp_path) not in seen["path"]
    assert str(ready) in seen["path"]


@pytest.mark.parametrize("absolute", [True, False])
def test_it_runs_through_a_chain_of_links(ready, tmp_path, absolute):
    target = ready / "bin" / "kora-actors"
    first = tmp_path / "first"
    first.symlink_to(target if absolute else target.relative_to(tmp_path))
    second = tmp_path / "deep" / "second"
    second.parent.mkdir()
    second.symlink_to(first if absolute else Path("..") / "first")

    assert str(ready) in told(start(second, cwd="/"))["path"]


def test_it_runs_through_a_linked_directory_and_by_a_relative_name(ready, tmp_path):
    (tmp_path / "programs").symlink_to(ready / "bin")

    assert str(ready) in told(start("programs/kora-actors", cwd=tmp_path))["path"]
    assert str(ready) in told(start("sh", "kora-actors", cwd=ready / "bin"))["path"]


def test_a_checkout_that_was_moved_imports_its_own_code(ready, tmp_path):
    moved = ready.rename(tmp_path / "moved")

    assert [path for path in told(start(moved / "bin" / "kora-actors"))["path"] if "check out" in path] == []


def test_once_set_up_it_looks_for_no_python(ready, tmp_path):
    mark = tmp_path / "mark"
    recorder = write_program(tmp_path / "recorder", RECORDER)
    environment = {**os.environ, "KORA_PYTHON": str(recorder), "KORA_TEST_MARK": str(mark)}

    told(start(ready / "bin" / "kora-actors", env=environment))
    assert not mark.exists()

    with (ready / "requirements.lock").open("a") as lock:
        lock.write("# changed\n")
    assert start(ready / "bin" / "kora-actors", env=environment).returncode == 7
    assert mark.exists()


def test_it_names_what_it_tried_where_no_python_fits(bare, tmp_path):
    programs = tmp_path / "programs"
    for name in ("python3", "python3.11"):
        write_program(programs / name, "#!/bin/sh\necho 'pyenv: command not found' >&2\nexit 127\n")
    for tool in ("sh", "cmp", "readlink"):
        (programs / tool).symlink_to(shutil.which(tool))

    finished = start(bare / "bin" / "kora-actors", env={"PATH": str(programs)})

    assert finished.returncode == 7
    assert finished.stdout == ""
    assert finished.stderr == (
        "kora: no Python 3.11 or newer found. Tried: python3.13 python3.12 python3.11 python3. "
        "Install one, or name it in KORA_PYTHON.\n"
    )


def test_a_named_python_that_does_not_fit_is_not_passed_over(bare):
    finished = start(bare / "bin" / "kora-actors", env={**os.environ, "KORA_PYTHON": "/nowhere/python"})

    assert finished.returncode == 7
    assert finished.stderr == "kora: KORA_PYTHON is '/nowhere/python', which is not a Python 3.11 or newer that runs.\n"


def test_a_python_without_venv_names_the_package_that_brings_it(bare, tmp_path):
    python = write_program(tmp_path / "python", "#!/bin/sh\nexit 4\n")

    finished = start(bare / "bin" / "kora-actors", env={**os.environ, "KORA_PYTHON": str(python)})

    assert finished.returncode == 7
    assert "python3-venv" in finished.stderr


def test_a_place_that_cannot_be_written_is_named_without_a_traceback(bare):
    # A directory in the guard's place fails for every user, also for one who may write anywhere.
    (bare / ".venv.lock").mkdir()

    finished = start(bare / "bin" / "kora-actors", env={**os.environ, "KORA_PYTHON": sys.executable})

    assert finished.returncode == 7
    assert str(bare / ".venv.lock") in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.prove
def test_two_first_starts_at_once_both_succeed(bare):
    with (
        subprocess.Popen([bare / "bin" / "kora-actors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as one,
        subprocess.Popen([bare / "bin" / "kora-actors"], stdout=subprocess.PIPE, stderr=subprocess.PIPE) as other,
    ):
        finished = [process.communicate(timeout=600) for process in (one, other)]

    assert [json.loads(output)["pid"] for output, _ in finished] == [one.pid, other.pid]
    assert sum(b"making .venv" in said for _, said in finished) == 1
    assert "pykka" in {path.name for path in (bare / ".venv").glob("lib/python*/site-packages/*")}
    assert start(bare / "bin" / "kora-actors").stderr == ""


@pytest.mark.prove
@pytest.mark.parametrize("death", [signal.SIGTERM, signal.SIGKILL])
def test_a_first_start_that_was_killed_is_made_good_by_the_next(bare, death):
    launcher = [bare / "bin" / "kora-actors"]
    with subprocess.Popen(launcher, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True) as first:
        first.stderr.readline()
        os.killpg(first.pid, death)
        first.wait(timeout=60)
    assert not (bare / ".venv" / "requirements.lock").exists()

    told(start(*launcher))

    assert (bare / ".venv" / "requirements.lock").read_bytes() == (bare / "requirements.lock").read_bytes()


def out_of_reach():
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
    return environment | {
        "PIP_INDEX_URL": "http://127.0.0.1:9/simple",
        "PIP_RETRIES": "1",
        "PIP_CONFIG_FILE": os.devnull,
    }


@pytest.mark.prove
def test_a_package_index_out_of_reach_is_said_so(bare):
    finished = start(bare / "bin" / "kora-actors", env=out_of_reach())

    assert finished.returncode == 7
    assert "the package index is out of reach" in finished.stderr
    assert "Traceback" not in finished.stderr


@pytest.mark.prove
def test_a_lock_that_cannot_be_fetched_does_not_spoil_what_was_installed(bare):
    lock = bare / "requirements.lock"
    told(start(bare / "bin" / "kora-actors"))
    locked = lock.read_text()
    lock.write_text(f"{locked}nowhere-to-be-had==1.0 --hash=sha256:{'0' * 64}\n")

    assert start(bare / "bin" / "kora-actors", env=out_of_reach()).returncode == 7
    lock.write_text(locked)

    assert start(bare / "bin" / "kora-actors", env=out_of_reach()).stderr == ""
