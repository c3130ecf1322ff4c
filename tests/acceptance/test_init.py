"""From an empty folder to the morning's report, by the commands that `init` says to type."""

import json
import os
import subprocess

from tests.acceptance.home import PATIENCE_SECONDS, PROGRAM


def test_the_commands_that_init_names_do_what_it_promises(tmp_path):
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KORA_")}

    def typed(command):
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stdout

    wrote, _, *commands = typed(f"{PROGRAM} init").splitlines()
    outputs = [typed(command) for command in commands]

    assert wrote.startswith("wrote supervisor.toml and agent.py")
    assert len(outputs) == 3
    (ticket,) = json.loads(typed(f"{PROGRAM} ticket list --json"))
    assert (ticket["sea_status"], ticket["work_attempt_count"]) == ("completed", 1)
    assert ticket["last_summary"] == "6 words, the longest is 'Count'"
    (answer,) = (tmp_path / "answers").iterdir()
    assert answer.read_text() == "Count\n"
