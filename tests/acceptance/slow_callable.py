"""A callable that outlives several leases, and tells of progress all the while."""

import threading
import time


def run(ticket, work):
    """Take as long as the objective says."""
    until = time.monotonic() + float(ticket.ticket_objective)
    while time.monotonic() < until:
        work.token()
        work.raise_if_lost()
        threading.Event().wait(0.02)
