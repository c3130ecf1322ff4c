"""What an agent written in Python gets: `run(ticket, work)`.

    from kora.work import Resolution, Ticket, Work

    def run(ticket: Ticket, work: Work) -> Resolution | None:
        for page in pages_of(ticket.ticket_objective):
            work.raise_if_lost()
            with work.operation("send_page", key=page.name) as op:
                if not op.done:
                    op.commit(send(page, idempotency_key=op.id))
        return Resolution.COMPLETED

It returns None (completed), a `Resolution` or its string value, or an `AgentResult`. Whatever it raises fails the
attempt and nothing else; three such failures, and the ticket is given up.

"Once" holds for effects that are keyed by `op.id`; any other effect is at least once: a crash between an effect and its
commit has it done again. A callable runs on a thread of the runtime, and a thread cannot be killed: one that goes on
after its lease was lost changes nothing on the board any more, but may overlap the attempt that follows it. And it
shares the process: `os._exit`, a crash in C code, C code that keeps the interpreter's lock, a finalizer that never
returns, `os.chdir`, a changed recursion limit, or a replaced function of a module that Kora uses cannot be held off; a
signal that it sends to the process drains the runtime. What may do such things is a command's work.
"""

from kora.domain.operation import Operation
from kora.domain.resolution import AgentResult, Resolution
from kora.domain.ticket import Ticket
from kora.errors import LeaseLostError, OperationError
from kora.work.handle import OpenOperation, Work

__all__ = [
    "AgentResult",
    "LeaseLostError",
    "OpenOperation",
    "Operation",
    "OperationError",
    "Resolution",
    "Ticket",
    "Work",
]
