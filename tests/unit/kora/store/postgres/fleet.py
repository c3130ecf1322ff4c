"""Runtimes of one PostgreSQL store, as far as their Ledgers' handles go."""

from __future__ import annotations

from kora.domain.claim import Claim, ClaimKey
from kora.domain.resolution import Resolution, Settlement
from kora.domain.ticket import Status
from kora.store.open import migrate, open_store
from kora.store.port import ClaimOrder, Earned, RuntimeRecord, Store, Turn, TurnResult
from tests.postgres import Server

WORKSPACE = "workspace"
ACTOR = "0190a000-0000-7000-8000-000000000001"
ROLE = "kora_fleet"
PATIENCE_SECONDS = 60.0


def make_role(server: Server) -> None:
    """There is the role of the runtimes, which owns nothing."""
    server.execute(f"CREATE ROLE {ROLE} LOGIN")


def new_store(server: Server) -> Store:
    """A store in a fresh database of this server."""
    name = server.database()
    migrate(server.url(name), workspace_id=WORKSPACE, runtime_role=ROLE)
    return open_store(server.url(name, user=ROLE), workspace_id=WORKSPACE, actor_id=ACTOR)


class Runtime:
    """A Ledger's handle as a test uses it."""

    def __init__(self, store: Store, runtime_id: str) -> None:
        self.id = runtime_id
        self.writer = store.writer(RuntimeRecord(runtime_id=runtime_id, host="here", pid=1, version="0"))
        self.incarnation = self.writer.next_incarnation()

    def turn(self, **parts: object) -> TurnResult:
        return self.writer.turn(self.incarnation, Turn(**parts))

    def claim(self, count: int = 1, lease_seconds: float = 600.0) -> list[Claim]:
        return self.turn(claim=ClaimOrder(count, lease_seconds)).claims

    def refresh(self, *claims: Claim, seconds: float = 600.0) -> TurnResult:
        return self.turn(refresh=[Earned(claim.key, 0.0) for claim in claims], refresh_seconds=seconds)

    def settle(self, *settlements: Settlement) -> TurnResult:
        return self.turn(settle=settlements)

    def close(self) -> None:
        self.writer.close()


def ended(claim: Claim | ClaimKey, status: Status = Status.COMPLETED) -> Settlement:
    """The attempt ended so; what is to be tried again is eligible at once."""
    return Settlement(getattr(claim, "key", claim), Resolution(status.value), status, "done", None, {})
