"""Two callables for a test that sets the wall clock while they hold a lease: one that works, one that is silent."""

import threading
import time

PATIENCE_SECONDS = 60
WORKING = threading.Event()
RELEASE = threading.Event()
LOST = threading.Event()
HELD_SECONDS: list[float] = []


def run(ticket, work):
    """As the title says."""
    begun = time.clock_gettime(time.CLOCK_BOOTTIME)
    if ticket.ticket_title == "works":
        WORKING.set()
        while not RELEASE.wait(0.05) and not work.lost:
            work.token()
        return
    while not work.lost and not RELEASE.wait(0.02):
        pass
    HELD_SECONDS.append(time.clock_gettime(time.CLOCK_BOOTTIME) - begun)
    LOST.set()
