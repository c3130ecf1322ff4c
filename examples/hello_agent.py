"""A first agent: it reads its ticket from stdin, says what it does, and closes with a result."""

import json
import sys

ticket = json.load(sys.stdin)["ticket"]

words = f"{ticket['ticket_title']} {ticket['ticket_objective']}".split()
print(f"reading: {len(words)} words")
print(json.dumps({"kora": "result", "resolution": "completed", "summary": f"hello; I read {len(words)} words"}))
