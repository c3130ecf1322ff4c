"""Makes `.venv` hold what one lock file names, or says in a sentence why it cannot.

Safe to start twice at once (the second waits, then finds the work done) and to kill at any moment: the copy of the lock
that marks `.venv` as complete is removed first and written last, and a half-made `.venv` is made anew.

Runs before anything is installed, so it uses the standard library alone.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import IO, NoReturn

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
UNFINISHED = VENV / "unfinished"
LOCKS = ("requirements.lock", "requirements-dev.lock")

EXIT_CANNOT_START = 7

NETWORK_SIGNS = re.compile(
    r"NewConnectionError|NameResolutionError|ConnectTimeout|ReadTimeout|ProxyError|Max retries exceeded|"
    r"Network is unreachable|Temporary failure in name resolution"
)


class SetupError(Exception):
    """The environment could not be made; the message is meant for the person at the terminal."""


class NothingInstalledError(SetupError):
    """Pip gave up while it was still collecting packages, before it changed anything."""


def say(line: str) -> None:
    """Write one line to stderr: stdout belongs to the command that is being started."""
    print(f"kora: {line}", file=sys.stderr, flush=True)  # noqa: T201 - there is no logging before the set-up


def is_ready(lock: str) -> bool:
    """Whether `.venv` already holds what `lock` names."""
    try:
        return os.access(PYTHON, os.X_OK) and (VENV / lock).read_bytes() == (ROOT / lock).read_bytes()
    except FileNotFoundError:
        return False


def must_be_remade() -> bool:
    """Whether `.venv` is half-made, broken, or of a Python that is too old, so that nothing in it can be built on."""
    if UNFINISHED.exists() or not os.access(PYTHON, os.X_OK):
        return True
    probe = "import sys, pip; sys.exit(sys.version_info < (3, 11))"
    return subprocess.run([PYTHON, "-I", "-c", probe], capture_output=True, check=False).returncode != 0


def run(command: Sequence[str | Path], guard: IO[bytes]) -> None:
    """Run one command of the set-up to its end.

    The child holds the guard too: should this process be killed, nobody else starts while the child still writes.
    """
    done = subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        pass_fds=[guard.fileno()],
        check=False,
    )
    if done.returncode != 0:
        raise explained(done.stdout)


def explained(output: str) -> SetupError:
    """Return what went wrong, judged by the failed command's own words, of which the last few follow."""
    kind: type[SetupError] = NothingInstalledError
    if "DO NOT MATCH THE HASHES" in output:
        reason = "a package differs from the one that was locked, so nothing was installed."
    elif NETWORK_SIGNS.search(output):
        reason = (
            "the package index is out of reach. Check the network, or pip's index and proxy settings, and start again."
        )
    elif "No matching distribution" in output:
        reason = "no package index within reach has a build of a locked package for this machine and this Python."
    else:
        kind = SetupError
        full = "No space left on device" in output
        reason = f"no space is left for {VENV}." if full else "the environment could not be made."
    tail = [line for line in output.splitlines() if line.strip()][-6:]
    return kind("\n".join([reason, *(f"    {line}" for line in tail)]))


def make(guard: IO[bytes]) -> None:
    """Create an empty `.venv`, over whatever is left of an earlier one."""
    if VENV.is_symlink() or VENV.is_file():
        VENV.unlink()
    elif VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNFINISHED.touch()
    run([sys.executable, "-I", "-m", "venv", VENV], guard)


def install(lock: str, guard: IO[bytes]) -> None:
    """Install what `lock` names, make the checkout importable, and mark `.venv` as complete for `lock`.

    Where nothing could be fetched, `.venv` is as good for its earlier lock as it was.
    """
    UNFINISHED.touch()
    earlier = {path: path.read_bytes() for name in LOCKS if (path := VENV / name).exists()}
    for path in earlier:
        path.unlink()
    pip: list[str | Path] = [PYTHON, "-I", "-m", "pip", "--disable-pip-version-check", "--no-input"]
    try:
        run([*pip, "install", "--no-user", "--no-deps", "--require-hashes", "-r", ROOT / lock], guard)
    except NothingInstalledError:
        UNFINISHED.unlink()
        for path, content in earlier.items():
            put(path, content)
        raise
    for packages in VENV.glob("lib/python*/site-packages"):
        # Relative to where it stands, so that a checkout that is moved never imports the code it was moved from.
        (packages / "kora-checkout.pth").write_text("../../../..\n", encoding="utf-8")
    UNFINISHED.unlink()
    mark_complete(lock)


def mark_complete(lock: str) -> None:
    """Put the copies of the locks in place: the development lock contains the runtime's."""
    for name in LOCKS if lock == LOCKS[1] else (lock,):
        put(VENV / name, (ROOT / name).read_bytes())


def put(path: Path, content: bytes) -> None:
    """Write the file whole or not at all."""
    beside = path.with_name(f"{path.name}.new")
    beside.write_bytes(content)
    beside.replace(path)


def set_up(lock: str) -> None:
    """Bring `.venv` to what `lock` names, alone: whoever comes second waits."""
    with (ROOT / ".venv.lock").open("wb") as guard:
        try:
            fcntl.flock(guard, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another start is setting this checkout up; waiting for it.")
            fcntl.flock(guard, fcntl.LOCK_EX)
        if is_ready(lock):
            return
        remade = must_be_remade()
        doing = "first start: making .venv" if remade else "bringing .venv up to date"
        say(f"{doing} with the packages of {lock}; about half a minute.")
        if remade:
            make(guard)
        install(lock, guard)
        say("ready.")


def interrupted(*_: object) -> NoReturn:
    """Leave at once on SIGTERM, taking the running child along."""
    sys.exit(EXIT_CANNOT_START)


def main(lock: str) -> int:
    """Set up for `lock`; the exit code says whether the command may start."""
    signal.signal(signal.SIGTERM, interrupted)
    try:
        set_up(lock)
    except SetupError as error:
        say(str(error))
    except KeyboardInterrupt:
        say("interrupted; the next start begins the set-up anew.")
    except OSError as error:
        say(f"cannot set up {ROOT}: {error.strerror or error}: {error.filename or VENV}")
    else:
        return 0
    return EXIT_CANNOT_START


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
