"""The authorization server, which reads what it's sent, and the API that its tokens are for."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qsl

from oauth_auth._wire.messages import TokenResponse
from oauth_auth._wire.token_request import TokenRequest
from oauth_auth.errors import TokenTransportError

from .demands import ORIGIN, Authorization, document_at
from .world import World

if TYPE_CHECKING:
    from .flight import Flight
    from .invariants import Judge

__all__ = ["REVOCATION_URL", "TOKEN_URL", "Issue", "Server", "Transport"]

TOKEN_URL = "https://server.test/token"
REVOCATION_URL = "https://server.test/revoke"
ASKED_SCOPE = "read write"
NARROW_SCOPE = "read"
GRACE = 60.0


class Transport:
    """The transport of a plug-in, for its time-out error only: the world does the sending."""

    error_class: ClassVar[type[TokenTransportError]] = TokenTransportError

    def __init__(self, token_client: Any = None) -> None:
        """Take no client."""

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        raise AssertionError

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        return TokenTransportError(f"no answer within {timeout:.3g} s", token_url=request.url)


class Family:
    """What came of one login: it ends as a whole."""

    def __init__(self, number: int, scope: str) -> None:
        self.number = number
        self.scope = scope
        self.asked: str | None = None
        """What was asked for."""
        self.acr = "plain"
        self.logged_in_at = 0.0
        self.is_alive = True
        self.refresh_token: str | None = None
        """The one that is live."""


class Issue:
    """One answer with a token, and what became of it."""

    def __init__(self, family: Family, access: str, refresh: str | None, at: float, flight: Flight | None) -> None:
        self.family = family
        self.access = access
        self.refresh = refresh
        self.at = at
        self.flight = flight
        self.worker = None if flight is None else flight.worker
        self.epoch = 0 if flight is None else flight.epoch
        self.sent_at = 0.0 if flight is None else flight.sent_at
        self.is_lost = False
        self.holders: set[tuple[int, int]] = set()
        """Which programs have published it: by number and life."""
        self.revoked_at: float | None = None
        self.saved_at: float | None = None
        self.spent_at: float | None = None
        """When its refresh token was used."""
        self.spent_by: Issue | None = None


class Server:
    """Issues tokens by the RFCs' rules; what is to go wrong is set by `mode`, `lose` and the API's attributes."""

    def __init__(self, world: World, judge: Judge) -> None:
        self._world = world
        self._judge = judge
        self._config = world.config
        self.random = Random(f"{world.config.seed}-server")
        self.mode = ""
        """`503`, `429`, `hang`, or empty if the server works."""
        self.retry_after = 0.0
        self.lose = 0
        """How many of the next answers with a token are lost on their way."""
        self.lose_mode = ""
        self.on_issue: list[Any] = []
        """What else is to happen when the next token is issued."""
        self.issues: list[Issue] = []
        self.by_access: dict[str, Issue] = {}
        self.by_refresh: dict[str, Issue] = {}
        self.forbidden: set[str] = set()
        self.api_delay = 0.0
        self.revocations: list[float] = []
        self.codes: dict[str, Authorization] = {}
        """What each code stands for."""
        self._redeemed: dict[str, Issue] = {}
        first = self._family()
        self.first = self._issue(first, None)

    def _family(self) -> Family:
        granted = NARROW_SCOPE if self._config.scope in {"told", "silent"} else ASKED_SCOPE
        family = Family(len(self.issues) + 1, granted)
        family.asked, family.logged_in_at = ASKED_SCOPE if self._config.scope else None, self._world.now
        return family

    @property
    def now(self) -> float:
        """The server's time."""
        return self._world.now

    def _issue(self, family: Family, flight: Flight | None) -> Issue:
        number = len(self.issues)
        access, refresh = f"A{number}", None
        if self._config.grant not in {"client", "service"}:
            is_new = self._config.rotation != "none" or family.refresh_token is None
            refresh = f"R{number}" if is_new else family.refresh_token
        family.refresh_token = refresh
        issue = Issue(family, access, refresh, self._world.now, flight)
        self.issues.append(issue)
        self.by_access[access] = issue
        if refresh is not None:
            self.by_refresh.setdefault(refresh, issue)
        return issue

    # -- The token endpoint -------------------------------------------------------------------------------------

    def receive(self, flight: Flight, serial: int, request: TokenRequest, timeout: float) -> None:
        """Take a request, whose sender may be dead by now, and answer it."""
        document = document_at(request, is_open=self._config.is_open, has_revocation=bool(self._config.seed % 2))
        is_of_api = request.url.startswith(ORIGIN)
        if document is not None and (is_of_api or not self.mode):
            self._world.note("server", f"is asked for {request.url}")
            flight.answer_after(self._delay(), serial, document, None)
            return
        fields = dict(parse_qsl(request.body.decode()))
        is_token_call = request.url == TOKEN_URL
        if is_token_call:
            self._judge.attempted(flight, is_failing=bool(self.mode))
        if self.mode == "hang":
            return
        if self.mode:
            headers = {"retry-after": f"{self.retry_after:.0f}"} if self.retry_after else {}
            if is_token_call and self.retry_after:
                self._judge.told_to_wait(flight, self.retry_after)
            self._answer(flight, serial, int(self.mode), {}, headers)
            return
        if not is_token_call:
            self._revoke(fields["token"])
            self._answer(flight, serial, 200, {})
            return
        answer = self._serve(fields, flight)
        if isinstance(answer, str):
            self._world.note("server", f"{fields['grant_type']} {fields.get('refresh_token', '')}: {answer}")
            self._answer(flight, serial, 400, {"error": answer})
            return
        self._world.note("server", f"{fields['grant_type']} {fields.get('refresh_token', '')}: {answer.access}")
        self._judge.issued(answer, flight)
        for happen in self.on_issue:
            happen()
        self.on_issue.clear()
        if self.lose:
            self.lose -= 1
            answer.is_lost = True
            self._judge.lost_answer()
            self._world.note("server", f"the answer with {answer.access} is lost")
            if self.lose_mode == "reset":
                error = TokenTransportError("connection reset", token_url=TOKEN_URL)
                flight.answer_after(self._delay(), serial, None, error)
            return
        told = {"scope": answer.family.scope} if self.tells_scope else {}
        kept = self._config.rotation == "none" and fields["grant_type"] == "refresh_token"
        renewed = {} if answer.refresh is None or kept else {"refresh_token": answer.refresh}
        body = {"access_token": answer.access, "token_type": "Bearer", "expires_in": self._config.lifetime}
        self._answer(flight, serial, 200, {**body, **told, **renewed})

    def _delay(self) -> float:
        return self._config.latency * (0.3 + self.random.random() * 0.4)

    def _answer(
        self, flight: Flight, serial: int, status: int, body: dict[str, Any], headers: dict[str, str] | None = None
    ) -> None:
        all_headers = {"content-type": "application/json", **(headers or {})}
        response = TokenResponse(status, all_headers, json.dumps(body).encode())
        flight.answer_after(self._delay(), serial, response, None)

    def _serve(self, fields: dict[str, str], flight: Flight) -> Issue | str:
        """Return what is issued, or the error."""
        if fields["grant_type"] == "authorization_code":
            return self._redeem(fields["code"], flight)
        if fields["grant_type"] != "refresh_token":
            family = self._family()
            if self._config.grant == "service":
                family.asked, family.scope = fields.get("scope"), fields.get("scope", "read write")
            return self._issue(family, flight)
        before = self.by_refresh.get(fields["refresh_token"])
        if before is None or not before.family.is_alive:
            return "invalid_grant"
        family = before.family
        self._judge.scopes.sent(before, fields.get("scope"), flight)
        if not set(fields.get("scope", family.scope).split()) <= set(family.scope.split()):
            self._judge.scopes.refused(before)
            return "invalid_scope"
        if before.spent_at is not None and self._config.rotation != "none":
            within_grace = self._config.rotation == "grace" and self._world.now - before.spent_at < GRACE
            self._judge.sent_twice(before, flight, is_forgiven=within_grace)
            if not within_grace:
                if self._config.rotation in {"strict", "grace"}:
                    family.is_alive = False
                    self._world.note("server", f"{before.refresh} is reused: the family ends")
                return "invalid_grant"
        issue = self._issue(family, flight)
        if before.spent_at is None and self._config.rotation != "none":
            before.spent_at, before.spent_by = self._world.now, issue
        return issue

    def _redeem(self, code: str, flight: Flight) -> Issue | str:
        if code in self._redeemed:
            self._judge.logins.redeemed_again(self._redeemed[code], flight)
            return "invalid_grant"
        granted = self.codes[code]
        family = Family(len(self.issues) + 1, granted.scope)
        family.asked, family.acr, family.logged_in_at = granted.asked, granted.acr, granted.at
        self._redeemed[code] = issue = self._issue(family, flight)
        return issue

    @property
    def tells_scope(self) -> bool:
        """Whether answers say which scope was granted."""
        return self._config.scope not in {"", "silent"}

    @property
    def newest(self) -> Issue:
        """What was issued last to this fleet."""
        return next(issue for issue in reversed(self.issues) if issue is self.first or issue.flight is not None)

    def log_in_elsewhere(self) -> Issue:
        """Issue a token to a program that isn't of this fleet."""
        return self._issue(self._family(), None)

    def end_family(self, family: Family) -> None:
        """End a login, access tokens included."""
        family.is_alive = False
        for issue in self.issues:
            if issue.family is family and issue.revoked_at is None:
                issue.revoked_at = self._world.now

    def _revoke(self, token: str) -> None:
        issue = self.by_refresh.get(token) or self.by_access.get(token)
        if issue is None:
            return
        if token == issue.access:
            issue.revoked_at = issue.revoked_at or self._world.now
            return
        self.end_family(issue.family)

    # -- The API ------------------------------------------------------------------------------------------------

    def revoke_access_tokens(self) -> None:
        """End all access tokens; refresh tokens stay."""
        self.revocations.append(self._world.now)
        for issue in self.issues:
            if issue.revoked_at is None:
                issue.revoked_at = self._world.now

    def is_live(self, access: str) -> bool:
        """Return whether the API takes this token."""
        issue = self.by_access[access]
        is_expired = self._world.now >= issue.at + self._config.lifetime
        return issue.revoked_at is None and not is_expired

    def accepts(self, access: str, path: str) -> bool:
        """Return whether the API answers a request with this token with 200, rather than 401."""
        return path not in self.forbidden and self.is_live(access)
