"""The units that ship: what systemd itself says of them, and that their numbers go with the settings' defaults."""

from __future__ import annotations

import configparser
import getpass
import shutil
import subprocess
from pathlib import Path

import pytest

from kora.config.sections import Child, Control

ROOT = Path(__file__).resolve().parents[3]
UNITS = sorted((ROOT / "examples" / "systemd").glob("*.service"))


def unit(name):
    parser = configparser.ConfigParser(interpolation=None, strict=False, comment_prefixes=("#",))
    parser.optionxform = str
    parser.read(ROOT / "examples" / "systemd" / f"{name}.service")
    return parser


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="this machine has no systemd-analyze")
def test_systemd_finds_nothing_wrong_with_them(tmp_path):
    for path in UNITS:
        here = path.read_text(encoding="utf-8").replace("/opt/kora/", f"{ROOT}/")
        (tmp_path / path.name).write_text(here.replace("User=kora", f"User={getpass.getuser()}"))
    verified = subprocess.run(
        ["systemd-analyze", "verify", *(tmp_path / path.name for path in UNITS)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    said = [line for line in verified.stderr.splitlines() if str(tmp_path) in line or "kora" in line]
    assert (verified.returncode, said) == (0, [])


def test_the_runtimes_unit_leaves_it_the_time_that_it_needs():
    service = unit("kora-actors")["Service"]
    assert (service["Type"], service["KillMode"], service["TimeoutStartSec"]) == ("notify", "mixed", "infinity")
    assert int(service["TimeoutStopSec"]) > Control().drain_seconds + 30
    # One that hangs is replaced by the runtime itself first.
    assert int(service["WatchdogSec"]) > Child().hang_seconds
    assert {"2", "5", "7"} == set(service["RestartPreventExitStatus"].split())


def test_the_watchers_unit_is_one_of_its_own_that_outlives_the_runtimes():
    watch = unit("kora-watch")
    assert (watch["Service"]["Type"], watch["Service"]["Restart"]) == ("notify", "always")
    assert {"BindsTo", "PartOf", "Requires"} & set(watch["Unit"]) == set()
    assert watch["Service"]["User"] == unit("kora-actors")["Service"]["User"]
    assert unit("kora-actors")["Service"]["ExecStart"].endswith("kora-actors run")
    assert watch["Service"]["ExecStart"].endswith("kora-actors watch")
