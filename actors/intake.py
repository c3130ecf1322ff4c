"""What the Ledger folds into its next turn as it is told, without a look at who works what."""

from __future__ import annotations

from typing import TYPE_CHECKING

from actors.actor import KoraActor, handles
from actors.messages import Append, Operate, Order
from actors.steering import MarkCommands, ResumeCredit

if TYPE_CHECKING:
    from actors.pending import Pending


class Intake(KoraActor):
    """The half of the Ledger that only takes down."""

    _pending: Pending

    @handles(Order)
    def _on_order(self, order: Order) -> None:
        self._pending.hear(order)

    @handles(Operate)
    def _on_operate(self, operate: Operate) -> None:
        self._pending.operate(operate)

    @handles(Append)
    def _on_append(self, append: Append) -> None:
        self._pending.append(append.events)

    @handles(MarkCommands)
    def _on_mark_commands(self, message: MarkCommands) -> None:
        self._pending.mark(message.marks)

    @handles(ResumeCredit)
    def _on_resume_credit(self, message: ResumeCredit) -> None:
        self._pending.resume_credit = message.resumption
