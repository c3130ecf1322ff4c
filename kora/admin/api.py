"""The admin API: one ASGI application over a Console."""

from __future__ import annotations

import pwd
import threading
from collections.abc import Mapping
from dataclasses import asdict
from itertools import groupby
from typing import Final

from anyio import CapacityLimiter, to_thread
from loguru import logger
from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from kora.admin.calls import Call, asked, body_of, queried
from kora.admin.counters import Counters
from kora.admin.faults import status_of, told
from kora.admin.paths import THREADS, Document, Lane, Path
from kora.admin.paths_do import ADMIN, DONE
from kora.admin.paths_see import SEEN
from kora.admin.paths_stream import FOLLOWED, Followed
from kora.admin.port import Console
from kora.admin.spelling import spelt
from kora.admin.streams import Hub
from kora.errors import AdminError, BadRequestError, KoraError, TooBusyError, UnknownNameError

_CLOSE: Final = {"connection": "close"}
_TOO_LONG: Final = 413
THREAD_NAME: Final = "admin-api"
"""of those in which questions are answered; a log line of an operator's change is of this thread"""


def _answer(path: Path, call: Call) -> Document:
    # The thread is lent by anyio, which says nothing of whom to.
    threading.current_thread().name = THREAD_NAME
    found = path.do(call)
    return found if isinstance(found, Document) else Document(spelt(found) + b"\n")


def _standing(call: Call) -> Mapping[str, object]:
    return {"name": call.name, "generation": call.console.info(call.name).generation, "seconds": None}


_STANDING: Final = Path("GET", "/actors/{name}", "the generation that serves now", _standing)


class Api:
    """Answers requests of this user's, until it is closed. For one event loop."""

    def __init__(self, console: Console, counters: Counters, uid: int) -> None:
        self.console = console
        self.counters = counters
        self.who = login_name(uid)
        self.hub = Hub(counters)
        self._limiters: dict[Lane, CapacityLimiter] = {}
        own = (
            Path("GET", "/", "this list", lambda _: self._index()),
            Path("GET", "/stats", "counts since the start", lambda _: self._stats()),
        )
        every: tuple[Path | Followed, ...] = (*own, *SEEN, *DONE, *FOLLOWED)
        self.paths = sorted(every, key=lambda path: (path.template, path.method))
        grouped = groupby(self.paths, key=lambda path: path.template)
        routes = [
            Route(template, _Endpoint(self, {path.method: path for path in paths})) for template, paths in grouped
        ]
        self._app = Starlette(routes=routes, exception_handlers={HTTPException: self._unknown})
        self._app.router.redirect_slashes = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        await self._app(scope, receive, send)

    def close(self) -> None:
        """End the streams; what else is under way is still answered."""
        self.hub.close()

    async def run(self, path: Path, call: Call) -> Document:
        """What the path's function answers, from a thread of its lane. Raises what it raises, and `TooBusyError`."""
        limiter = self._limiters.setdefault(path.lane, CapacityLimiter(THREADS[path.lane]))
        if path.lane is Lane.ASK and limiter.available_tokens < 1:
            raise TooBusyError(f"{THREADS[path.lane]} questions are waiting for their answers already; try again")
        return await to_thread.run_sync(_answer, path, call, limiter=limiter, abandon_on_cancel=True)

    def _index(self) -> object:
        return [{"method": path.method, "path": path.template, "says": path.says} for path in self.paths]

    def _stats(self) -> Mapping[str, object]:
        return {**self.console.stats(), "admin": asdict(self.counters)}

    async def _unknown(self, request: Request, _: Exception) -> Response:
        known = ", ".join(dict.fromkeys(path.template for path in self.paths))
        return answered(UnknownNameError(f"there is no path {request.url.path}; there are: {known}"))


def answered(error: KoraError) -> Response:
    """The error as a response."""
    status = status_of(error)
    # What else of the body there is, nobody reads.
    headers = _CLOSE if status == _TOO_LONG else None
    return Response(spelt(told(error)) + b"\n", status, headers, "application/json")


def login_name(uid: int) -> str:
    """Who that is, as far as this machine knows."""
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


class _Endpoint:
    """One path, with its methods."""

    def __init__(self, api: Api, paths: Mapping[str, Path | Followed]) -> None:
        self._api = api
        self._paths = paths

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope, receive)
        try:
            response = await self._answer(request)
        except ClientDisconnect:
            return
        except KoraError as error:
            response = answered(error)
        except Exception as error:  # noqa: BLE001 - whatever it is, the client and the log are told
            logger.opt(exception=error).error("admin API: {} {} failed: {!r}", request.method, scope["path"], error)
            said = told(AdminError("an error of Kora's own; the runtime's log has it in full"))
            response = Response(spelt(said) + b"\n", 500, media_type="application/json")
        await response(scope, receive, send)

    async def _answer(self, request: Request) -> Response:
        path = self._paths.get(request.method)
        if path is None:
            allowed = ", ".join(self._paths)
            response = answered(BadRequestError(f"{request.url.path} takes {allowed}, and not {request.method}", 405))
            response.headers["allow"] = allowed
            return response
        query = queried(path.query, request)
        body = asked(path.body, await body_of(request))
        call = Call(self._api.console, request.path_params, query, body, self._api.who)
        if isinstance(path, Followed):
            return await self._api.hub.follow(path, call, request)
        if path.template == "/actors/{name}/restart" and call.name == ADMIN:
            return await self._restart_admin(path, call)
        answer = await self._api.run(path, call)
        return Response(answer.content, answer.status, media_type=answer.media_type)

    async def _restart_admin(self, path: Path, call: Call) -> Response:
        """The answer goes out first: whoever serves it is restarted then."""
        answer = await self._api.run(_STANDING, call)

        def restart() -> None:
            try:
                path.do(call)
            except Exception as error:  # noqa: BLE001 - nobody waits for it any more
                logger.opt(exception=error).error(
                    "{}: the restart that {} asked for failed: {}", ADMIN, call.who, error
                )

        async def begin() -> None:
            threading.Thread(target=restart, name="admin-restart", daemon=True).start()

        return Response(answer.content, 202, media_type=answer.media_type, background=BackgroundTask(begin))
