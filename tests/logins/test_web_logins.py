"""Logins that a web application leads: one object makes the request and completes the login, for all plug-ins."""

from __future__ import annotations

import dataclasses
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import anyio
import pytest

from oauth_auth import (
    AuthorizationRequest,
    AuthorizationResponseError,
    ConfigurationError,
    MemoryTokenStore,
    OAuthProviderException,
    ReauthorizationRequired,
    TokenTransportError,
)
from oauth_auth.testing import LocalProvider
from tests.servers.login import authorize
from tests.support.log import Log
from tests.support.modes import Mode

pytestmark = pytest.mark.shared_core

REDIRECT_URI = "http://127.0.0.1/callback"


@dataclasses.dataclass(frozen=True)
class Web:
    """A web application of any mode, that awaits the object's methods where they can be awaited."""

    mode: Mode
    provider: LocalProvider
    options: dict[str, Any]

    def auth(self, **options: Any) -> Any:
        return self.mode.plugin.AuthorizationCodeAuth.from_issuer(
            self.provider.issuer, self.provider.client_id, self.provider.client_secret, **self.options | options
        )

    def request(self, auth: Any) -> AuthorizationRequest:
        request: AuthorizationRequest = self._call(auth, "authorization_request", REDIRECT_URI)
        return request

    def complete(self, auth: Any, request: AuthorizationRequest, url: str) -> Any:
        return self._call(auth, "complete_login", request, url)

    def log_in(self, auth: Any) -> Any:
        request = self.request(auth)
        return self.complete(auth, request, authorize(request.url, REDIRECT_URI))

    def _call(self, auth: Any, name: str, *arguments: Any) -> Any:
        if self.mode.backend is None:
            return getattr(auth, name)(*arguments)
        return anyio.run(partial(getattr(auth, f"a{name}"), *arguments), backend=self.mode.backend)


@pytest.fixture
def web(mode: Mode, provider: LocalProvider) -> Web:
    return Web(mode, provider, {"store": MemoryTokenStore(), "store_key": "alice"})


def token_calls(web: Web) -> list[str]:
    return [request.form["grant_type"][0] for request in web.provider.token_requests]


def test_server_and_client_are_given_once(web: Web) -> None:
    """One object makes the request and takes the redirect; the token serves its requests, and those of the next."""
    auth = web.auth(scope="read")
    request = web.request(auth)
    carried: Any = json.loads(json.dumps(request.to_dict()))
    token = web.complete(web.auth(scope="read"), carried, authorize(request.url, REDIRECT_URI))
    assert token == web.auth(scope="read").get_token()
    with web.mode.client(web.auth(scope="read")) as client:
        assert 200 == client.get(web.provider.api_url).status_code
    assert ["authorization_code"] == token_calls(web)


def test_a_new_login_replaces_the_one_before(web: Web) -> None:
    """Nobody has to disconnect first: the new token is used at once, and the old refresh token ended."""
    auth = web.auth()
    old = web.log_in(auth)
    new = web.log_in(auth)
    assert new != old
    assert new == auth.token == auth.get_token()
    with pytest.raises(ReauthorizationRequired, match="invalid_grant"):
        web.mode.plugin.RefreshTokenAuth(
            web.provider.token_url, web.provider.client_id, web.provider.client_secret, refresh_token=old.refresh_token
        ).get_token()
    assert auth.refresh().access_token != new.access_token


def test_the_same_redirect_again_changes_nothing(web: Web) -> None:
    """A page that's loaded again gets the present token, from this object or another on the store; no code is sent."""
    auth = web.auth()
    request = web.request(auth)
    url = authorize(request.url, REDIRECT_URI)
    token = web.complete(auth, request, url)
    assert token == web.complete(auth, request, url) == web.complete(web.auth(), request, url)
    renewed = auth.refresh()
    assert renewed == web.complete(web.auth(), request, url)
    assert ["authorization_code", "refresh_token"] == token_calls(web)


def test_two_loads_at_once_send_one_code(web: Web) -> None:
    """Of two that complete the same login at the same time, one sends the code, and both get the token."""
    auth, others = web.auth(), [web.auth() for _ in range(2)]
    request = web.request(auth)
    url = authorize(request.url, REDIRECT_URI)
    start = threading.Barrier(3)

    def complete(one: Any) -> Any:
        start.wait(20)
        return web.complete(one, request, url)

    with ThreadPoolExecutor(3) as pool:
        tokens = list(pool.map(complete, [others[0], others[0], others[1]]))
    assert 1 == len({token.access_token for token in tokens})
    assert ["authorization_code"] == token_calls(web)


def test_a_login_that_fails_changes_nothing(web: Web, log: Log) -> None:
    """A forged redirect, a refusal and a code that's used up raise what went wrong; the login before goes on."""
    auth = web.auth()
    token = web.log_in(auth)
    request = web.request(auth)
    with pytest.raises(AuthorizationResponseError, match="state"):
        web.complete(auth, request, f"{REDIRECT_URI}?code=c&state=forged")
    with pytest.raises(AuthorizationResponseError, match="access_denied"):
        web.complete(
            auth, request, f"{REDIRECT_URI}?error=access_denied&state={request.state}&iss={web.provider.issuer}"
        )
    url = authorize(request.url, REDIRECT_URI).replace("code=", "code=x")
    for _ in range(2):
        with pytest.raises(OAuthProviderException) as caught:
            web.complete(auth, request, url)
        assert "invalid_grant" == caught.value.error
    assert token == auth.get_token() == web.auth().get_token()
    assert auth.refresh() is not None


def test_a_failed_login_is_no_failure_of_the_requests(web: Web, log: Log) -> None:
    """What was wrong with a redirect is told to its caller alone: a request says that nobody is logged in."""
    auth = web.auth()
    request = web.request(auth)
    with pytest.raises(OAuthProviderException, match="invalid_grant"):
        web.complete(auth, request, authorize(request.url, REDIRECT_URI).replace("code=", "code=x"))
    assert [] == log.of_event("failed")
    with pytest.raises(ReauthorizationRequired, match="nobody is logged in"):
        web.mode.get_token(auth)


def test_a_server_out_of_reach_can_be_asked_again(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a failure on the way the same redirect completes the login."""
    auth = web.auth()
    request = web.request(auth)
    url = authorize(request.url, REDIRECT_URI)
    web.provider.fail_token_requests(503, count=1)
    with pytest.raises(Exception, match="503"):
        web.complete(auth, request, url)
    assert web.complete(auth, request, url) == auth.token


def test_a_redirect_from_before_a_logout_logs_nobody_in(web: Web) -> None:
    """Once the user has logged out, the old redirect is an error, and no code is sent again."""
    auth = web.auth()
    request = web.request(auth)
    url = authorize(request.url, REDIRECT_URI)
    web.complete(auth, request, url)
    auth.revoke()
    for one in (auth, web.auth()):
        with pytest.raises(ReauthorizationRequired, match="completed before, and has ended since"):
            web.complete(one, request, url)
    assert ["authorization_code"] == token_calls(web)


def test_the_login_before_may_be_gone(web: Web, log: Log) -> None:
    """Where the old refresh token can't be ended, that's told, and the new login stands."""
    auth = web.auth(revocation_url="http://127.0.0.1:9/revoke", token_timeout=0.5)
    web.log_in(auth)
    new = web.log_in(auth)
    assert new == auth.get_token()
    assert 1 == len(log.of_event("not_revoked"))


def test_what_does_not_belong_together_is_refused(web: Web) -> None:
    """A request of another client, or none at all, is a `ConfigurationError` that says what to pass."""
    auth = web.auth()
    other = AuthorizationRequest(web.provider.authorization_url, "other", REDIRECT_URI)
    with pytest.raises(ConfigurationError, match="of another client, 'other'"):
        web.complete(auth, other, REDIRECT_URI)
    with pytest.raises(ConfigurationError, match=r"takes the AuthorizationRequest .*, not str"):
        web.complete(auth, other.url, REDIRECT_URI)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match=r"takes what to_dict\(\) returned"):
        web.complete(auth, {}, REDIRECT_URI)  # type: ignore[arg-type]
    elsewhere = AuthorizationRequest("https://evil.example/authorize", web.provider.client_id, REDIRECT_URI)
    with pytest.raises(ConfigurationError, match="of another authorization server"):
        web.complete(web.auth(authorization_url=web.provider.authorization_url), elsewhere, REDIRECT_URI)
    theirs = AuthorizationRequest(
        web.provider.authorization_url, web.provider.client_id, REDIRECT_URI, issuer="https://evil.example"
    )
    with pytest.raises(ConfigurationError, match="of another authorization server"):
        web.complete(auth, theirs, REDIRECT_URI)
    plain = web.mode.plugin.AuthorizationCodeAuth(web.provider.token_url, "client")
    with pytest.raises(ConfigurationError, match="there's no authorization_url: pass it, or use from_issuer"):
        web.request(plain)
    with pytest.raises(ConfigurationError, match="needs the redirect_uri"):
        auth.authorization_request()


def test_the_objects_own_redirect_uri_is_the_default(web: Web) -> None:
    """An object that was given a `redirect_uri` needs no other."""
    assert REDIRECT_URI == web.auth(redirect_uri=REDIRECT_URI).authorization_request().redirect_uri


def test_metadata_out_of_reach_is_told(web: Web) -> None:
    """Where the issuer can't be asked for its URLs, that's a `TokenTransportError`."""
    auth = web.mode.plugin.AuthorizationCodeAuth.from_issuer("http://127.0.0.1:9", "client", token_timeout=0.5)
    with pytest.raises(TokenTransportError):
        web.request(auth)
