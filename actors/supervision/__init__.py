"""Supervision for Pykka actors: what dies is restarted, and nothing that was told it is lost.

An actor serves a *name*. Whoever wants something of it tells the name through a ``Directory``; the name's ``Inbox``
outlives the actors that serve it. A ``Supervisor`` starts the actors of a ``SupervisorSpec``, restarts those that
die, stops them in reverse, and gives up loudly when restarts come too fast.

    class Greeter(SupervisedActor):
        def on_receive(self, message: str) -> str:
            return f"hello, {message}"

    directory = Directory()
    children = (ChildSpec(name="greeter", actor=Greeter),)
    spec = SupervisorSpec(name="example", children=children, max_restarts=3, within_seconds=5)
    supervisor = Supervisor(spec, directory, on_report=print)
    supervisor.start()
    directory.ask("greeter", "world", timeout=1)
    supervisor.stop()
"""

from actors.supervision.actor import Seat, SupervisedActor
from actors.supervision.child import ChildStatus
from actors.supervision.dead_letters import DeadLetter, DeadLetters
from actors.supervision.difference import Change, difference
from actors.supervision.directory import Directory
from actors.supervision.errors import (
    ChildStartError,
    CommandTimeoutError,
    GaveUpError,
    InboxFullError,
    NameTakenError,
    NotRunningError,
    ResendRefusedError,
    SupersededError,
    SupervisionError,
    UnknownChildError,
    UnknownLetterError,
    UnknownNameError,
)
from actors.supervision.inbox import Inbox
from actors.supervision.lanes import Backlog, Depths, Waiting
from actors.supervision.messages import Stop
from actors.supervision.observation import ChildDescription, SupervisorStatus
from actors.supervision.rehearsal import Rehearsal
from actors.supervision.report import Report
from actors.supervision.scheduler import Handle, Scheduler, Task, Threads
from actors.supervision.spec import ChildSpec, Restart, Strategy, SupervisorSpec
from actors.supervision.stacks import stack_text
from actors.supervision.supervisor import Supervisor
from actors.supervision.tap import Sent, Tap
from actors.supervision.watch import Died, Event, GaveUp, Retired, Started, Stopped, Watcher

__all__ = [
    "Backlog",
    "Change",
    "ChildDescription",
    "ChildSpec",
    "ChildStartError",
    "ChildStatus",
    "CommandTimeoutError",
    "DeadLetter",
    "DeadLetters",
    "Depths",
    "Died",
    "Directory",
    "Event",
    "GaveUp",
    "GaveUpError",
    "Handle",
    "Inbox",
    "InboxFullError",
    "NameTakenError",
    "NotRunningError",
    "Rehearsal",
    "Report",
    "ResendRefusedError",
    "Restart",
    "Retired",
    "Scheduler",
    "Seat",
    "Sent",
    "Started",
    "Stop",
    "Stopped",
    "Strategy",
    "SupersededError",
    "SupervisedActor",
    "SupervisionError",
    "Supervisor",
    "SupervisorSpec",
    "SupervisorStatus",
    "Tap",
    "Task",
    "Threads",
    "UnknownChildError",
    "UnknownLetterError",
    "UnknownNameError",
    "Waiting",
    "Watcher",
    "difference",
    "stack_text",
]
