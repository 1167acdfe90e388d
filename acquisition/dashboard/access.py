"""Who gets in: only this computer, only with the token, only from the page's own origin."""

from __future__ import annotations

import hashlib
import hmac
from urllib.parse import urlsplit

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

TOKEN_HEADER = "x-knightshift-token"  # noqa: S105 - the name of a header
"""Header in which a person's token comes with every action; a cookie is not enough for one."""
_COOKIE = "knightshift"
_LOCAL = frozenset({"127.0.0.1", "localhost", "::1"})
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def same_token(given: str, token: str) -> bool:
    """Compare without telling by the time it takes how much of it was right."""
    return hmac.compare_digest(given.encode(), token.encode())


def session_of(token: str) -> str:
    """Make the value of the cookie: it shows that its owner had the token, and does not tell it."""
    return hmac.new(token.encode(), b"knightshift live page", hashlib.sha256).hexdigest()


class Guard:
    """Lets a request through, or says why not.

    A page of another origin cannot read ours (no CORS), cannot act (header and origin), and cannot reach us under
    a name of its own (host): see docs/reference/live-page.md.

    Parameters
    ----------
    app
        What is guarded.
    token
        What a visitor must have.
    """

    def __init__(self, app: ASGIApp, token: str) -> None:
        self._app, self._token = app, token

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or hand it on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_HEADERS)
            await send(message)

        await (self._answer(Request(scope)) or self._app)(scope, receive, send_guarded)

    def _answer(self, request: Request) -> Response | None:
        """Refuse a request, or sign its sender in; None lets it through."""
        refused = self._refusal(request)
        if refused is not None:
            return refused
        if request.url.path == "/" and "token" in request.query_params:
            return self._sign_in(request.query_params["token"])
        if not self._known(request):
            return PlainTextResponse("open the address that `knightshift dashboard` has printed\n", 401)
        return None

    def _refusal(self, request: Request) -> Response | None:
        host = request.headers.get("host", "")
        if urlsplit(f"//{host}").hostname not in _LOCAL:
            return PlainTextResponse("this page is for this computer alone: use localhost, or a tunnel\n", 400)
        origin = request.headers.get("origin")
        if origin is not None and origin not in {f"http://{host}", f"https://{host}"}:
            return PlainTextResponse("requests from other origins are refused\n", 403)
        foreign = request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}
        if foreign and request.headers.get("sec-fetch-mode") != "navigate":
            return PlainTextResponse("requests from other sites are refused\n", 403)
        return None

    def _sign_in(self, given: str) -> Response:
        if not same_token(given, self._token):
            return PlainTextResponse("the token is wrong\n", 401)
        response = RedirectResponse("/", 303)
        response.set_cookie(_COOKIE, session_of(self._token), httponly=True, samesite="strict")
        return response

    def _known(self, request: Request) -> bool:
        if same_token(request.cookies.get(_COOKIE, ""), session_of(self._token)):
            return True
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        return scheme.lower() == "bearer" and same_token(given, self._token)
