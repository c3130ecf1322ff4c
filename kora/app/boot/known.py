"""What this machine last knew of its store: in `state_dir/known.json`, so that a restored one is not taken for it.

It says which store and workspace it is about, the epoch, where the workspace's chain and those of the runtimes of this
state directory ended, and which event was the newest. A store that has less, or something else in their place, was put
back to an earlier state.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Annotated, Final

from loguru import logger
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from kora.errors import BootError
from kora.files import write_whole
from kora.store.steering import ChainHead

if TYPE_CHECKING:
    from pathlib import Path

    from kora.domain.events import Event
    from kora.store.port import Reader

KNOWN_NAME: Final = "known.json"
GO_ON: Final = "`kora-actors control reset` goes on"
CHAINS_KEPT: Final = 64
"""of how many runtimes, beside the workspace's own: what a restore has lost, the newest have lost first"""
_KNOWN_BYTES: Final = 65_536

_Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class KnownHead(BaseModel):
    """Where a chain was known to end."""

    model_config = ConfigDict(frozen=True)

    chain_id: str
    chain_seq: Annotated[int, Field(ge=0)]
    event_hash: _Digest

    @classmethod
    def of(cls, head: ChainHead) -> KnownHead:
        """It, as the file has it."""
        return cls(chain_id=head.chain_id, chain_seq=head.chain_seq, event_hash=head.event_hash.hex())


class KnownEvent(BaseModel):
    """The newest event of the workspace, at some time: a chain that has gone on since still has to have it."""

    model_config = ConfigDict(frozen=True)

    seq: int
    event_hash: _Digest


class Known(BaseModel):
    """What was last known."""

    model_config = ConfigDict(frozen=True)

    store: str
    """its URL, fit to be shown"""
    workspace_id: str
    epoch: int
    heads: tuple[KnownHead, ...]
    """the workspace's chain first, then those of this state directory's runtimes, the newest last"""
    newest: KnownEvent | None = None

    @property
    def chain_ids(self) -> tuple[str, ...]:
        """The chains that are known."""
        return tuple(head.chain_id for head in self.heads)

    def with_heads(self, found: Iterable[ChainHead]) -> Known:
        """With these ends in place of those known, or behind them; the oldest are left out where they are too many."""
        heads = {head.chain_id: head for head in self.heads}
        heads.update((head.chain_id, KnownHead.of(head)) for head in found)
        first = heads.pop(workspace_chain(self.workspace_id), None)
        others = list(heads.values())[-CHAINS_KEPT:]
        return self.model_copy(update={"heads": tuple(others if first is None else (first, *others))})


def workspace_chain(workspace_id: str) -> str:
    """The chain of what operators do."""
    return f"workspace:{workspace_id}"


def fault(known: Known, reader: Reader) -> str | None:
    """What shows that the store is not the one that was known, or behind it; None when nothing does.

    Costs the same however long the log is. Raises `StoreError`.
    """
    return _fault_of_heads(known, reader.heads(known.chain_ids)) or _fault_of_newest(known.newest, reader)


def newest(reader: Reader) -> KnownEvent | None:
    """The workspace's newest event; None where the newest of the store is another workspace's, or there is none."""
    seq = reader.last_seq()
    event = _first_from(seq, reader)
    return None if event is None else KnownEvent(seq=event.seq, event_hash=event.this_event_hash)


def _fault_of_heads(known: Known, found: Sequence[ChainHead]) -> str | None:
    heads = {head.chain_id: head for head in found}
    for last in known.heads:
        head = heads.get(last.chain_id)
        ends_at = 0 if head is None else head.chain_seq
        if ends_at < last.chain_seq:
            known_to = f"this machine has known event {last.chain_seq:,}"
            return f"chain {last.chain_id} ends at event {ends_at:,}, and {known_to}"
        if head is not None and ends_at == last.chain_seq and head.event_hash.hex() != last.event_hash:
            return f"event {ends_at:,} of chain {last.chain_id} is not the one that this machine has known"
    return None


def _fault_of_newest(last: KnownEvent | None, reader: Reader) -> str | None:
    if last is None:
        return None
    event = _first_from(last.seq, reader)
    if event is not None and event.seq == last.seq:
        if event.this_event_hash == last.event_hash:
            return None
        return f"the event with seq {last.seq:,} is not the one that this machine has known"
    oldest = _first_from(0, reader)
    if oldest is None or oldest.seq > last.seq:
        # Archived since; that its chain has gone so far, its head has said.
        return None
    return f"the event with seq {last.seq:,}, which this machine has known, is gone"


def _first_from(seq: int, reader: Reader) -> Event | None:
    return next(iter(reader.events(after_seq=seq - 1, up_to_now=True)), None)


class Memory:
    """The file. One writer at a time, which is the state directory's user."""

    def __init__(self, state_dir: Path) -> None:
        self.path: Final = state_dir / KNOWN_NAME
        self._is_unwritable = False

    def recall(self) -> Known | None:
        """What was last known; None when nothing ever was.

        Raises `BootError` when it cannot be told: a disk that damages this file may well have had its store restored.
        """
        try:
            with self.path.open("rb") as file:
                return Known.model_validate_json(file.read(_KNOWN_BYTES + 1))
        except FileNotFoundError:
            return None
        except (OSError, ValidationError) as error:
            why = error.strerror if isinstance(error, OSError) else "it is damaged"
            raise BootError(
                f"{self.path} cannot be read ({why}), so that nothing tells whether the store was put back to an"
                f" earlier state. If it was not, {GO_ON}"
            ) from None

    def keep(self, known: Known) -> bool:
        """It is known from now on, whole or not at all: whether it is. If it cannot be written, that is said once."""
        try:
            write_whole(self.path, known.model_dump_json(indent=1).encode() + b"\n")
        except OSError as error:
            if not self._is_unwritable:
                logger.warning(
                    "{}: cannot be written ({}), so that a store that is restored now may be taken for this one;"
                    " make the directory writable, with room to spare",
                    self.path,
                    error.strerror,
                )
            self._is_unwritable = True
            return False
        self._is_unwritable = False
        return True
