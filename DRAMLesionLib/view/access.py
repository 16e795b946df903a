"""Who may see the page: whoever has the token of its address.

The first request brings the token in the address; its answer is a cookie that the browser sends along with everything
else, the websocket among it. A request from another site's page has no such cookie (``SameSite=Strict``), and one that
calls this machine by a name that is not its own is refused, too.
"""

from __future__ import annotations

import hmac
import secrets
import socket
from typing import Any
from urllib.parse import urlsplit

LOOPBACK = ("127.0.0.1", "localhost", "::1")
EVERYWHERE = ("0.0.0.0", "::")
"""Addresses at which a server listens, but which nobody can open."""
TOKEN = "token"
"""The token's name in the address."""
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class Access:
    """The token of one server, and the rule that its requests keep.

    Attributes:
        token: What the address holds.
        host: Where the server listens.
    """

    def __init__(self, host: str) -> None:
        """Make a new token.

        Args:
            host: Where the server listens; only on loopback are names of the host checked.
        """
        self.token = secrets.token_urlsafe(24)
        self.host = host
        self._cookie = f"dramlesion_{secrets.token_hex(4)}"  # cookies are shared by all ports of a host

    def address(self, port: int) -> str:
        """What to open."""
        host = "localhost" if self.host in LOOPBACK else self.host
        if host in EVERYWHERE:
            host = socket.gethostname()
        host = f"[{host}]" if ":" in host else host
        return f"http://{host}:{port}/index.html?{TOKEN}={self.token}"

    def refusal(self, host: str, origin: str | None, token: str | None, cookie: str | None) -> str | None:
        """Why a request is refused; None where it is not.

        Args:
            host: The request's header Host.
            origin: Its header Origin, where it has one.
            token: The token in its address.
            cookie: The token in its cookie.
        """
        if self.host in LOOPBACK and urlsplit(f"//{host}").hostname not in LOOPBACK:
            return f"this server is not called {host}"
        if origin is not None and urlsplit(origin).netloc != host:
            return "the request comes from another site's page"
        given = token or cookie or ""
        if not hmac.compare_digest(given.encode(), self.token.encode()):
            return "open the address that dramlesion view has printed, with its token"
        return None

    def middleware(self) -> Any:
        """The rule as a middleware of aiohttp, for pages, files and the websocket alike."""
        from aiohttp import web

        @web.middleware
        async def check(request: Any, handler: Any) -> Any:
            token, cookie = request.query.get(TOKEN), request.cookies.get(self._cookie)
            reason = self.refusal(request.host, request.headers.get("Origin"), token, cookie)
            if reason is not None:
                return web.Response(status=403, text=f"Not allowed: {reason}.\n", headers=HEADERS)
            response = await handler(request)
            if not response.prepared:  # a websocket is by now
                response.headers.update(HEADERS)
                if cookie != self.token:
                    response.set_cookie(self._cookie, self.token, httponly=True, samesite="Strict")
            return response

        return check
