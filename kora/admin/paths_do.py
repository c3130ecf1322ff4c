"""The paths that change something; each change is put down to whoever asked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kora.admin.calls import Call, Draining, Ending, Message, Question
from kora.admin.paths import Lane, Path
from kora.domain.health import held_up_by
from kora.errors import RefusedError

ADMIN: Final = "admin"
"""the name of the actor that serves this API"""


def _tell(call: Call) -> Mapping[str, Any]:
    call.console.tell(call.name, call.body.message, who=call.who)
    return {"name": call.name, "told": call.body.message.get("kind")}


def _ask(call: Call) -> Mapping[str, Any]:
    answer = call.console.ask(call.name, call.body.message, call.body.timeout_seconds, who=call.who)
    return {"name": call.name, "answer": answer}


def _start(call: Call) -> Mapping[str, Any]:
    call.console.start_actor(call.name, who=call.who)
    return {"name": call.name, "did": "started"}


def _stop(call: Call) -> Mapping[str, Any]:
    if call.name == ADMIN:
        raise RefusedError(
            f"{ADMIN}: not stopped: it serves this API, and nobody could ask for it to be started again. "
            "Restart it, or end the runtime with shutdown."
        )
    call.console.stop_actor(call.name, who=call.who)
    return {"name": call.name, "did": "stopped"}


def _restart(call: Call) -> object:
    return call.console.restart_actor(call.name, who=call.who)


def _pause(call: Call) -> Mapping[str, Any]:
    call.console.pause(who=call.who)
    return {"paused": True}


def _resume(call: Call) -> Mapping[str, Any]:
    call.console.resume(who=call.who)
    return {"paused": False, "held_up_by": held_up_by(call.console.vitals())}


def _drain(call: Call) -> Mapping[str, Any]:
    return {"paused": True, "claims_held": call.console.drain(call.body.seconds, who=call.who)}


def _update(call: Call) -> Mapping[str, Any]:
    return {"changed": list(call.console.update(who=call.who))}


def _shutdown(call: Call) -> Mapping[str, Any]:
    call.console.shutdown(at_once=call.body.at_once, who=call.who)
    return {"shutting_down": True, "at_once": call.body.at_once}


def _release(call: Call) -> Mapping[str, Any]:
    call.console.release(call.names["id"], who=call.who)
    return {"ticket_id": call.names["id"], "did": "released"}


def _resend(call: Call) -> Mapping[str, Any]:
    call.console.resend(call.number, who=call.who)
    return {"number": call.number, "did": "resent"}


def _drop(call: Call) -> Mapping[str, Any]:
    return {"dropped": call.console.drop(call.number if "number" in call.names else None, who=call.who)}


DONE: Final = (
    Path("POST", "/actors/{name}/tell", "send it a message", _tell, Lane.CHANGE, body=Message),
    Path("POST", "/actors/{name}/ask", "send it a message, and wait for the answer", _ask, Lane.ASK, body=Question),
    Path("POST", "/actors/{name}/start", "a stopped actor runs again", _start, Lane.CHANGE),
    Path("POST", "/actors/{name}/stop", "it is down until it is started", _stop, Lane.CHANGE),
    Path("POST", "/actors/{name}/restart", "a successor takes over, and nothing is lost", _restart, Lane.CHANGE),
    Path("POST", "/pause", "claim nothing new, until resume", _pause, Lane.CHANGE),
    Path("POST", "/resume", "claim again", _resume, Lane.CHANGE),
    Path("POST", "/drain", "as pause, and what runs is to end", _drain, Lane.CHANGE, body=Draining),
    Path(
        "POST",
        "/reread",
        "what an update would change",
        lambda call: {"would_change": list(call.console.reread())},
        Lane.CHANGE,
    ),
    Path("POST", "/update", "follow the configuration as it is now", _update, Lane.CHANGE),
    Path("POST", "/shutdown", "drain and end; or end now", _shutdown, Lane.CHANGE, body=Ending),
    Path("POST", "/tickets/{id}/release", "end its agent, and give it back", _release, Lane.CHANGE),
    Path("POST", "/deadletters/{number}/resend", "send it again", _resend, Lane.CHANGE),
    Path("DELETE", "/deadletters/{number}", "forget it", _drop, Lane.CHANGE),
    Path("DELETE", "/deadletters", "forget them all", _drop, Lane.CHANGE),
)
