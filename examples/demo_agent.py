"""The demo's agent: it counts the primes below the number that ends its ticket's title."""

import json
import sys
from math import isqrt


def is_prime(number: int) -> bool:
    """Whether nothing but 1 and the number itself divides it."""
    return number > 1 and all(number % divisor for divisor in range(2, isqrt(number) + 1))


ticket = json.load(sys.stdin)["ticket"]
limit = int(ticket["ticket_title"].split()[-1])

found = 0
for start in range(0, limit, 10_000):
    found += sum(map(is_prime, range(start, min(start + 10_000, limit))))
    print(json.dumps({"kora": "progress", "signal": "tool_call_boundary"}), flush=True)

print(json.dumps({"kora": "result", "resolution": "completed", "summary": f"{found} primes below {limit}"}))
