"""How the runtime is, on a port of this machine's loopback: three paths, read only.

Any user of this machine may connect. So nothing is told here but figures and words, and no path changes anything. A web
page that a browser of this machine shows must not read it either: a request that names another host than the loopback
is one that a page's own name has led here, and is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from anyio import CapacityLimiter, to_thread
from loguru import logger
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kora.admin.faults import status_of, told
from kora.admin.paths import Document
from kora.admin.paths_health import liveness, metrics, readiness
from kora.admin.spelling import spelt
from kora.config.values import loopback_address
from kora.errors import AdminError, BadRequestError, KoraError, UnknownNameError

if TYPE_CHECKING:
    from kora.admin.port import Console

FACE: Final[Mapping[str, Callable[[Console], Document]]] = {
    "/healthz": liveness,
    "/readyz": readiness,
    "/metrics": metrics,
}
_METHODS: Final = ("GET", "HEAD")
_THREADS: Final = 2


class HealthFace:
    """Answers whoever can connect. For one event loop."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        request = Request(scope, receive)
        try:
            document = await self._answer(request)
        except KoraError as error:
            document = Document(spelt(told(error)) + b"\n", status_of(error))
        except Exception as error:  # noqa: BLE001 - whatever it is, the client and the log are told
            logger.opt(exception=error).error("{} on the port for health failed: {!r}", scope["path"], error)
            said = told(AdminError("an error of Kora's own; the runtime's log has it in full"))
            document = Document(spelt(said) + b"\n", 500)
        response = Response(document.content, document.status, {"cache-control": "no-store"}, document.media_type)
        await response(scope, receive, send)

    def close(self) -> None:
        """Nothing is kept open."""

    async def _answer(self, request: Request) -> Document:
        _check_host(request.headers.get("host", ""))
        if request.method not in _METHODS:
            raise BadRequestError(f"this port takes {', '.join(_METHODS)}, and not {request.method}", 405)
        look = FACE.get(request.url.path)
        if look is None:
            raise UnknownNameError(f"there is no path {request.url.path}; there are: {', '.join(FACE)}")
        self._limiter = self._limiter or CapacityLimiter(_THREADS)
        return await to_thread.run_sync(look, self._console, limiter=self._limiter, abandon_on_cancel=True)


def _check_host(host: str) -> None:
    """Nothing, if the request names the loopback. Raises `BadRequestError` (421)."""
    has_port = host.rpartition(":")[2].isdigit() and not host.endswith("]")
    try:
        loopback_address(host if has_port else f"{host}:80")
    except ValueError:
        raise BadRequestError(
            f"{host[:100]!r} is not served here: name this machine's loopback, such as 127.0.0.1", 421
        ) from None
