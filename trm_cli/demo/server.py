"""Serve the page of a run on this machine, and answer what it asks, bounded in size, in number and in who may ask."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

import anyio
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from trm_cli.errors import ConfigError, TrmError

if TYPE_CHECKING:
    from trm_cli.demo.subject import Subject

#: Bytes of a request: an ARC task of thirty pairs of the largest grids is smaller.
MOST_BYTES = 256 * 1024
#: Requests that wait for the model, which answers one at a time.
MOST_WAITING = 8

#: The page is one document, and asks this server alone.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_server(subject: Subject, hosts: list[str]) -> Starlette:
    """The application of a page. hosts: names by which it may be called; others (a rebound DNS name) are refused."""
    desk = _Desk()
    page = resources.files("trm_cli.demo").joinpath("page.html").read_text(encoding="utf-8")

    async def index(_: Request) -> Response:
        return HTMLResponse(page, headers=_HEADERS)

    async def icon(_: Request) -> Response:
        return Response(status_code=204)  # browsers ask for one

    async def about(_: Request) -> Response:
        return _json(subject.about())

    async def training(_: Request) -> Response:
        return await _answered(lambda: anyio.to_thread.run_sync(subject.training))

    def asked(work: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            return await _answered(lambda: _ask(request, desk, work))

        return answer

    routes = [
        Route("/", index),
        Route("/favicon.ico", icon),
        Route("/about", about),
        Route("/training", training),
        Route("/solve", asked(subject.answer), methods=["POST"]),
        Route("/write", asked(subject.write), methods=["POST"]),
    ]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=hosts)])


class _Refused(Exception):
    """A request that is not worked on. status: of HTTP."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class _Desk:
    """One request at a time is at the model; some wait."""

    def __init__(self) -> None:
        self._lock = anyio.Lock()
        self._waiting = 0

    async def __aenter__(self) -> None:
        if self._waiting >= MOST_WAITING:
            raise _Refused(503, "too many puzzles are waiting: try again in a moment")
        self._waiting += 1
        try:
            await self._lock.acquire()
        finally:
            self._waiting -= 1

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


async def _ask(request: Request, desk: _Desk, work: Callable[[Mapping[str, Any]], dict[str, Any]]) -> dict[str, Any]:
    # Another site's page could send a form; JSON needs our permission, which nobody gets.
    if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
        raise _Refused(415, "a request is JSON")
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MOST_BYTES:
            raise _Refused(413, f"a request has at most {MOST_BYTES // 1024} KiB")
    try:
        wanted = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise _Refused(400, "a request is JSON") from error
    if not isinstance(wanted, dict):
        raise _Refused(400, "a request is a JSON object")
    async with desk:
        return await anyio.to_thread.run_sync(work, wanted)


async def _answered(work: Callable[[], Awaitable[dict[str, Any]]]) -> Response:
    """The result of some work as JSON, or why there is none."""
    try:
        return _json(await work())
    except _Refused as refused:
        return _json({"error": str(refused)}, refused.status)
    except ClientDisconnect:
        return Response(status_code=400)
    except TrmError as error:
        message = str(error) if isinstance(error, ConfigError) else error.message
        return _json({"error": message, "hint": error.hint}, 422)


def _json(document: Mapping[str, Any], status: int = 200) -> Response:
    return JSONResponse(document, status, headers=_HEADERS)
