"""A workspace that a board is still being copied to: nobody works there before the copy has come to its end."""

from __future__ import annotations

from kora.errors import StoreUnusableError
from kora.store.sql.place import Executing


def check_finished(connection: Executing, statement: str, *, name: str, workspace_id: str) -> None:
    """Nothing, unless a copy to this workspace is unfinished. Raises `StoreUnusableError` that says from where it is.

    The statement answers for a workspace where the unfinished copy comes from.
    """
    row = connection.execute(statement, (workspace_id,)).fetchone()
    if row is not None:
        raise refusal(name, workspace_id, row[0])


def refusal(name: str, workspace_id: str, source: str) -> StoreUnusableError:
    """Why the workspace is not to be worked in, and what to do."""
    return StoreUnusableError(
        f"{name}: workspace {workspace_id} is an unfinished copy of {source}; give the same `kora-actors copy` again,"
        " which goes on where it was, or give it up with --discard"
    )
