"""A callable that outlives several leases, and tells of progress all the while."""

import time


def run(ticket, work):
    """Take as long as the objective says."""
    until = time.monotonic() + float(ticket.ticket_objective)
    while time.monotonic() < until:
        work.token()
        work.raise_if_lost()
        time.sleep(0.02)
