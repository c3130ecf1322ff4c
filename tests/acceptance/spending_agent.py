"""An agent that only spends: HOW, then whatever its kind is called with.

`stuck` spends a dollar every few milliseconds, up to six, and never comes to an end; `again` spends four and asks to be
asked again; `quick` spends five cents and is done a little later.
"""

import json
import select
import sys

HOW = sys.argv[1]


def tell(**said: object) -> None:
    """Say this to Kora."""
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


def spend(usd: float) -> None:
    """Say what was spent so far."""
    tell(kora="progress", signal="tool_call_boundary", cost_usd=usd)


if HOW == "stuck":
    for spent in range(1, 7):
        spend(spent)
        select.select([], [], [], 0.005)
    select.select([], [], [])
if HOW == "again":
    tell(kora="result", resolution="released", cost_usd=4, next_eligible_offset_seconds=0, summary="ask me again")
if HOW == "quick":
    spend(0.05)
    select.select([], [], [], 0.1)
    tell(kora="result", resolution="completed", cost_usd=0.05)
