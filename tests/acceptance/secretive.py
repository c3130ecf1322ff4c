"""An agent that says its secrets wherever it can: which is told by the ticket's title."""

import json
import os
import sys
from pathlib import Path

NAMES = ("ANTHROPIC_API_KEY", "OPENAI_API_KEY", "GEMINI_API_KEY")
LONG = "x" * 190


def say(**what):
    print(json.dumps(what), flush=True)


def main():
    how = json.loads(sys.stdin.readline())["ticket"]["ticket_title"]
    secrets = [os.environ[name] for name in NAMES]
    first = secrets[0]
    for secret in secrets:
        print(f"I am {secret}!", flush=True)
        print(f"and so is {secret}", file=sys.stderr, flush=True)
    say(kora="operation", tool="login", key=f"key-{first}")
    say(kora="operation", key=f"key-{first}", result={"token": first})
    say(kora="operation", tool="logout", key=f"other-{first}")
    say(kora="operation", key=f"other-{first}", error=f"refused {first}")
    say(kora="operation", tool=first * 20)
    say(kora=f"{LONG[:170]}{first}")
    if how == "result":
        say(kora="result", resolution="completed", summary=f"with {' '.join(secrets)}", model_tier=secrets[1])
    elif how == "long":
        say(kora="result", resolution="completed", summary="y" * 3_990 + first)
    elif how == "fault":
        say(kora="result", resolution=first, summary=first)
    elif how == "verify":
        Path("said").write_text("\n".join(secrets))
    else:
        print("z" * 490 + first, file=sys.stderr, flush=True)
        sys.exit(77 if how == "denied" else 75)


main()
