"""Every error that Kora raises on purpose.

KoraError
├── ConfigurationError        the settings are wrong; every fault is listed                exit 2
├── StartError                the runtime could not start                                  exit 7
├── BootError                 a boot gate failed, and a person must act                    exit 1
├── BootEndedError            told to end before its gates had passed                      exit 0
├── BoardError                an operator's change was refused                             exit 1
│   ├── ImportRefusedError    a file of tickets has broken lines; nothing was imported     exit 1
│   ├── RefusedError          the ticket does not stand so that this could be done to it   exit 1
│   └── NotFoundError         there is no such ticket                                      exit 4
├── AdminError                an operator's wish at a running runtime was not met          exit 1
│   ├── NoRuntimeError        no runtime answers                                       exit 3
│   ├── UnknownNameError      nobody has that name                                     exit 4
│   ├── BadRequestError       no request that the admin API understands                exit 2
│   ├── TooBusyError          as much is under way as it takes at a time               exit 1
│   ├── BadMessageError       no message that this actor may be sent so                exit 2
│   └── NoAnswerError         no answer within the time                                exit 1
├── InvalidTransitionError    the table has no such arrow
├── AgentError                an agent could not be started
├── LeaseLostError            an attempt's claim is over: what it does now counts no more
├── OperationError            an operation cannot be recorded as asked
└── StoreError                the store
    ├── StoreUnusableError    no database, not writable, of another schema: a person must act    exit 7
    ├── StoreUnavailableError out of reach: worth another try
    │   ├── StoreLockedError  another process writes; it will soon have done
    │   ├── StoreFullError    no room: worth another try once somebody has made room
    │   └── StoreUnreachableError    its server does not answer, or takes no more connections    exit 7
    ├── CopyError             a board was not copied, or not to its end                          exit 1
    └── IncarnationLostError  a successor writes now; this writer must not
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence


class KoraError(Exception):
    """The root. The message is for people: what, where, and what to do."""

    exit_code = 1


class ConfigurationError(KoraError):
    """The settings are wrong. `faults` holds every one, each beginning with its key path."""

    exit_code = 2

    def __init__(self, where: str, faults: list[str]) -> None:
        self.where = where
        self.faults = faults
        super().__init__(
            "\n".join(
                [f"{where}: {len(faults)} fault{'s' if len(faults) != 1 else ''}", *(f"  {fault}" for fault in faults)]
            )
        )


class StartError(KoraError):
    """The runtime could not start; nothing was changed on the board."""

    exit_code = 7


class BootError(KoraError):
    """A boot gate failed; the message says which, what was found and what to do. Nothing was claimed."""


class BootEndedError(KoraError):
    """The runtime was told to end while its gates were tried; it had begun nothing."""

    exit_code = 0


class BoardError(KoraError):
    """An operator's change was refused; the board is as it was."""


class ImportRefusedError(BoardError):
    """A file of tickets has broken lines. `faults` names each; nothing was imported."""

    def __init__(self, where: str, faults: list[str], *, total: int | None = None) -> None:
        self.faults = faults
        count = total or len(faults)
        lines = [f"{where}: nothing imported, {count:,} bad line{'' if count == 1 else 's'}"]
        lines += [f"  {fault}" for fault in faults]
        if count > len(faults):
            lines.append(f"  and {count - len(faults):,} more")
        super().__init__("\n".join(lines))


class RefusedError(BoardError):
    """The ticket does not stand so that this could be done to it; the message says how it stands and what to do."""


class NotFoundError(BoardError):
    """There is no such ticket in this workspace."""

    exit_code = 4


class AdminError(KoraError):
    """What an operator asked of a running runtime was not done; the message says why, and what to do."""


class NoRuntimeError(AdminError):
    """No runtime answers at its state directory."""

    exit_code = 3


class UnknownNameError(AdminError):
    """Nothing in this runtime has that name; the message says which there are."""

    exit_code = 4


class BadRequestError(AdminError):
    """No request that the admin API understands; the message says what it would."""

    exit_code = 2

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


class TooBusyError(AdminError):
    """As much is under way as the admin API takes at a time; worth another try."""


class BadMessageError(AdminError):
    """No message that this actor may be sent so. `kinds` has what it may be sent, with the schema of each."""

    exit_code = 2

    def __init__(self, message: str, kinds: Sequence[Mapping[str, object]] = ()) -> None:
        super().__init__(message)
        self.kinds = kinds


class NoAnswerError(AdminError):
    """No answer within the time; the message is handled all the same."""


class InvalidTransitionError(KoraError):
    """The transition table has no arrow between these two states."""


class AgentError(KoraError):
    """An agent could not be started."""


class LeaseLostError(KoraError):
    """The claim under which an attempt worked is over. Its callable should return; what it records is refused."""


class OperationError(KoraError):
    """An operation cannot be recorded as asked: its tool, key or result is none that the ledger can hold."""


class StoreError(KoraError):
    """The store could not do what was asked."""


class StoreUnusableError(StoreError):
    """No database, not writable, or of another schema: trying again does not help, a person must act."""

    exit_code = 7


class StoreUnavailableError(StoreError):
    """Locked, full or out of reach: nothing was changed by this call unless a lost answer hides it; try again."""


class StoreLockedError(StoreUnavailableError):
    """Another process has the store at this moment."""


class StoreFullError(StoreUnavailableError):
    """The store cannot grow: its disk is full, or the size of files is limited."""


class StoreUnreachableError(StoreUnavailableError):
    """The store's server does not answer, or takes no more connections; the message names it and says what to do."""

    exit_code = 7


class CopyError(StoreError):
    """A board was not copied, or not to its end; the message says why, and what to do."""


class IncarnationLostError(StoreError):
    """A successor holds this runtime's row; nothing was changed, and nothing may be written any more."""
