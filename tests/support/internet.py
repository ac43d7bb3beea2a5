"""Hosts with public names that answer as tests say: auth objects reach them through a transport that sends nothing.

What would leave this machine, or lead to an address inside it, is kept here instead: `sent` is all of it, in order.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol
from urllib.parse import parse_qsl, unquote_plus, urlencode, urlsplit

from oauth_auth._server.calls import TokenTransport
from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token_request import TokenRequest
from oauth_auth._wire.urls import origin_of
from oauth_auth.errors import TokenTransportError
from tests.support.steps import answer

__all__ = ["API", "REDIRECT_URI", "RESOURCE_PLACE", "SERVER_PLACE", "Api", "Internet", "Server"]

API = "https://api.example/v1"
REDIRECT_URI = "http://127.0.0.1:1/callback"
RESOURCE_PLACE = "/.well-known/oauth-protected-resource"
SERVER_PLACE = "/.well-known/oauth-authorization-server"

Answering = Callable[[TokenRequest], TokenResponse]


class Host(Protocol):
    """What answers the requests to an origin."""

    def answer(self, request: TokenRequest) -> TokenResponse: ...


class Internet:
    """All hosts there are, by origin; at others nobody answers."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.sent: list[TokenRequest] = []
        self.visited: list[str] = []
        """The URLs that a person was sent to."""

    def join(self, auth: Any) -> Any:
        """Have all calls of an auth object come here; return it."""
        auth._wrap_transport(lambda transport: _Transport(self, transport))
        return auth

    def carry(self, request: TokenRequest) -> TokenResponse:
        self.sent.append(request)
        host = self.hosts.get(str(origin_of(request.url)))
        if host is None:
            raise TokenTransportError("nobody answers there")
        return host.answer(request)

    def log_in(self, begin: Any) -> str:
        """Be a login function: the person agrees to everything, at whichever server they are sent to."""
        url = begin(REDIRECT_URI).url
        self.visited.append(url)
        server = self.hosts[str(origin_of(url))]
        assert isinstance(server, Server)
        return server.authorize(url)

    @property
    def origins(self) -> set[str]:
        """Where something was sent to."""
        return {str(origin_of(request.url)) for request in self.sent}

    @property
    def places(self) -> list[str]:
        """What was sent, as method and URL."""
        return [f"{request.method} {request.url}" for request in self.sent]

    def leaks_of(self, server: Server) -> list[TokenRequest]:
        """Return what was sent elsewhere with something in it that this server has issued."""
        elsewhere = [request for request in self.sent if origin_of(request.url) != server.origin]
        return [request for request in elsewhere if any(text in self.said_in(request) for text in server.issued)]

    @staticmethod
    def said_in(request: TokenRequest) -> str:
        """Return all that a request says, decoded."""
        basic = request.headers.get("Authorization", "").removeprefix("Basic ")
        try:
            shown = base64.b64decode(basic, validate=True).decode()
        except ValueError:
            shown = basic
        return unquote_plus(" ".join([request.url, str(dict(request.headers)), shown, request.body.decode()]))


class _Transport:
    """Hands all requests to the internet."""

    def __init__(self, internet: Internet, replaced: TokenTransport) -> None:
        self._internet = internet
        self._replaced = replaced
        self.error_class = replaced.error_class

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        return self._internet.carry(request)

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        return self._replaced.time_out(request, timeout)


class Api:
    """A resource. `documents` are what's at its host, by path: what's sent as JSON, or an answer."""

    def __init__(self, internet: Internet, *servers: Server, url: str = API) -> None:
        self.url, self.origin = url, str(origin_of(url))
        self.metadata: dict[str, Any] = {"resource": url, "authorization_servers": [one.issuer for one in servers]}
        self.place = f"{self.origin}{RESOURCE_PLACE}{urlsplit(url).path}"
        self.documents: dict[str, Any] = {self.place.removeprefix(self.origin): self.metadata}
        self.challenge = "Bearer"
        internet.hosts[self.origin] = self

    def names(self, *servers: Server) -> None:
        """Name these servers from now on."""
        self.metadata["authorization_servers"] = [one.issuer for one in servers]

    def answer(self, request: TokenRequest) -> TokenResponse:
        path = request.url.removeprefix(self.origin)
        if path in self.documents:
            document = self.documents[path]
            return document if isinstance(document, TokenResponse) else answer(200, document)
        if "/.well-known/" in path:
            return answer(404)
        return answer(401, www_authenticate=self.challenge)


class Server:
    """An authorization server. `issued` are all texts that only it and its clients may know.

    `answers` are what the test answers itself, by path; None leaves the answer to the server.
    """

    def __init__(self, internet: Internet, issuer: str, methods: Sequence[str] = ("none",)) -> None:
        self.issuer, self.origin = issuer, str(origin_of(issuer))
        self.metadata: dict[str, Any] = {
            "issuer": issuer,
            "authorization_endpoint": f"{self.origin}/authorize",
            "token_endpoint": f"{self.origin}/token",
            "registration_endpoint": f"{self.origin}/register",
            "revocation_endpoint": f"{self.origin}/revoke",
            "code_challenge_methods_supported": ["S256"],
            "token_endpoint_auth_methods_supported": list(methods),
        }
        self.place = f"{SERVER_PLACE}{urlsplit(issuer).path.rstrip('/')}"
        self.answers: dict[str, Callable[[TokenRequest], TokenResponse | None]] = {}
        self.issued: list[str] = []
        self.received: list[TokenRequest] = []
        self.registration: dict[str, Any] = {}
        """What its answers to registrations say otherwise."""
        self.lifetime = 3600
        self.sends_issuer = True
        """Whether its redirects say who they are from (RFC 9207)."""
        internet.hosts[self.origin] = self

    def calls(self, path: str) -> list[TokenRequest]:
        """Return what has arrived at a path."""
        return [request for request in self.received if urlsplit(request.url).path == path]

    def issue(self, kind: str) -> str:
        """Return a text that nobody else has issued."""
        text = f"{kind}-{len(self.issued)}-of-{urlsplit(self.issuer).hostname}"
        self.issued.append(text)
        return text

    def authorize(self, url: str) -> str:
        """Do what a browser does with the URL: return the one that it's redirected to."""
        query = dict(parse_qsl(urlsplit(url).query))
        fields = {"code": self.issue("code"), "state": query["state"]}
        return f"{query['redirect_uri']}?{urlencode(fields | ({'iss': self.issuer} if self.sends_issuer else {}))}"

    def answer(self, request: TokenRequest) -> TokenResponse:
        self.received.append(request)
        path = urlsplit(request.url).path
        own = self.answers[path](request) if path in self.answers else None
        return own or self._answer(path, request)

    def _answer(self, path: str, request: TokenRequest) -> TokenResponse:
        if path == self.place:
            return answer(200, self.metadata)
        if path == "/register":
            return answer(201, self._register(json.loads(request.body)))
        if path == "/token":
            return answer(200, self._issue_tokens())
        return answer(200 if path == "/revoke" else 404)

    def _register(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        is_public = wanted["token_endpoint_auth_method"] == "none"
        secret = {} if is_public else {"client_secret": self.issue("secret")}
        told = {**wanted, "client_id": self.issue("client"), **secret, **self.registration}
        return {name: value for name, value in told.items() if value is not None}

    def _issue_tokens(self) -> dict[str, Any]:
        fields = {"access_token": self.issue("access"), "refresh_token": self.issue("refresh")}
        return {**fields, "token_type": "Bearer", "expires_in": self.lifetime}
