"""A program as an attempt runs it: with the environment, in the folder and under the containment that it is to have."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

    from kora.agents.containment import Containment
    from kora.agents.port import Lease
    from kora.domain.claim import Claim


class Program:
    """Launches one argument list for any number of attempts; `{ticket_id}` and its like are filled in as told.

    `environ` is where `env_allow` picks from; this process's own, if not given.
    """

    def __init__(
        self,
        argv: Sequence[str],
        containment: Containment,
        *,
        workdir: Path,
        env_allow: Sequence[str],
        grace_seconds: float,
        environ: Mapping[bytes, bytes] | None = None,
    ) -> None:
        name = argv[0]
        self.name = str(workdir / name) if "/" in name else name
        self._arguments = argv[1:]
        self._containment = containment
        self._workdir = workdir
        self._grace_seconds = grace_seconds
        environ = os.environb if environ is None else environ
        allowed = (_encode(variable) for variable in env_allow)
        self._env = {variable: environ[variable] for variable in allowed if variable in environ}

    def launch(
        self,
        claim: Claim,
        stdio: tuple[int, int, int],
        lease: Lease,
        places: Mapping[str, str] | None = None,
        *,
        more: Sequence[str] = (),
        kept: tuple[int, int] | None = None,
    ) -> socket.socket:
        """The lifeline of the program, run for this claim; arguments that are keys of `places` are replaced.

        `more` are further arguments, taken as they are; `kept` see `Containment.launch`.

        Raises:
            AgentError: nothing was started.
        """
        ticket, places = claim.ticket, places or {}
        told = {
            "KORA_TICKET_ID": ticket.ticket_id,
            "KORA_WORK_ATTEMPT_ID": claim.key.work_attempt_id,
            "KORA_WORKSPACE_ID": ticket.workspace_id,
        }
        return self._containment.launch(
            argv=[
                _encode(self.name),
                *(_encode(places.get(word, word)) for word in self._arguments),
                *map(_encode, more),
            ],
            env=self._env | {_encode(variable): _encode(value) for variable, value in told.items()},
            cwd=os.fsencode(self._workdir),
            stdio=stdio,
            grace_seconds=self._grace_seconds,
            lease=lease,
            kept=kept,
        )


def _encode(text: str) -> bytes:
    """The bytes that the agent gets: UTF-8 in every locale; what was no text comes out as it was."""
    return text.encode(errors="surrogateescape")
