"""The web application: pages, state as JSON, a stream of changes, images, and actions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from knightshift.acquisition.dashboard.access import TOKEN_HEADER, Guard, same_token
from knightshift.acquisition.dashboard.actions import StopRun, change_queue, parse_action, stop_run
from knightshift.acquisition.dashboard.board import Board
from knightshift.acquisition.dashboard.settings import DashboardSettings
from knightshift.core.errors import KnightshiftError

_STATIC = Path(__file__).parent / "static"
_LARGEST_ACTION = 4096
_STREAMS = 32
"""So many browsers may follow at once."""


def make_app(settings: DashboardSettings) -> Starlette:
    """Put the application together; serve it with uvicorn on the loopback interface only."""

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        with Board(settings) as board:
            app.state.board = board
            tidy = asyncio.create_task(_tidy(board))
            yield
            tidy.cancel()

    app = Starlette(
        routes=[
            Route("/", _page),
            Route("/api/overview", _overview),
            Route("/api/runs/{name}", _run),
            Route("/api/runs/{name}/curves", _curves),
            Route("/api/runs/{name}/pictures/{picture}", _picture),
            Route("/api/events", _events),
            Route("/api/actions", _action, methods=["POST"]),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ],
        middleware=[Middleware(Guard, token=settings.token)],
        exception_handlers={KnightshiftError: _problem},
        lifespan=lifespan,
    )
    app.state.settings = settings
    app.state.streams = 0
    return app


async def _tidy(board: Board) -> None:
    while True:
        await asyncio.sleep(5.0)
        await run_in_threadpool(board.previews.rest_if_unwanted)


def _board(request: Request) -> Board:
    board: Board = request.app.state.board
    return board


async def _problem(_request: Request, error: Exception) -> Response:
    return JSONResponse({"error": str(error)}, 400)


async def _page(_request: Request) -> Response:
    return FileResponse(_STATIC / "page.html", media_type="text/html")


async def _overview(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(_board(request).overview))


async def _run(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(_board(request).run_state, request.path_params["name"]))


async def _curves(request: Request) -> Response:
    return JSONResponse(await run_in_threadpool(_board(request).curves, request.path_params["name"]))


async def _picture(request: Request) -> Response:
    name, picture = request.path_params["name"], request.path_params["picture"]
    content = await run_in_threadpool(_board(request).picture, name, picture)
    if content is None:
        return JSONResponse({"error": "there is no such image yet"}, 404)
    return Response(content, media_type="image/png")


async def _events(request: Request) -> Response:
    """Follow overview and one run as server-sent events; only what has changed is sent."""
    state = request.app.state
    if state.streams >= _STREAMS:
        return JSONResponse({"error": f"{_STREAMS} browsers follow already: close one"}, 503)
    name = request.query_params.get("run")
    return StreamingResponse(_changes(request, name), media_type="text/event-stream")


async def _changes(request: Request, name: str | None) -> AsyncIterator[str]:
    board, state = _board(request), request.app.state
    sent: dict[str, str] = {}
    state.streams += 1
    try:
        while not await request.is_disconnected():
            for event, value in (await run_in_threadpool(_news, board, name)).items():
                text = json.dumps(value)
                if sent.get(event) != text:
                    sent[event] = text
                    yield f"event: {event}\ndata: {text}\n\n"
            yield ": still here\n\n"
            await asyncio.sleep(state.settings.refresh)
    finally:
        state.streams -= 1


def _news(board: Board, name: str | None) -> dict[str, Any]:
    news: dict[str, Any] = {"overview": board.overview()}
    if name is not None:
        try:
            news["run"] = board.run_state(name)
        except KnightshiftError as error:
            news["problem"] = {"run": name, "error": str(error)}
    return news


async def _action(request: Request) -> Response:
    settings: DashboardSettings = request.app.state.settings
    if not settings.actions:
        return JSONResponse({"error": "actions are off: start the page with --actions"}, 403)
    if not same_token(request.headers.get(TOKEN_HEADER, ""), settings.token):
        return JSONResponse({"error": "the token is wrong: nothing was done"}, 403)
    content = b""
    async for part in request.stream():
        content += part
        if len(content) > _LARGEST_ACTION:
            return JSONResponse({"error": f"an action has at most {_LARGEST_ACTION} bytes"}, 413)
    action = parse_action(content)
    if isinstance(action, StopRun):
        path = await run_in_threadpool(_board(request).runs.path, action.run)
        words = await run_in_threadpool(stop_run, path)
    else:
        words = await run_in_threadpool(change_queue, settings.queue, action)
    return JSONResponse({"done": words})
