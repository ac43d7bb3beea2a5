"""Guarantee 15, for people: what they would search for in vain is said once, as a warning that tells why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oauth_auth import OAuthToken, TokenResponseError, _events
from oauth_auth._wire.urls import MOST_ORIGINS
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials
from tests.support.waiting import await_silence

pytestmark = pytest.mark.shared_core

Told = list[dict[str, object]]


@pytest.fixture
def told() -> Iterator[Callable[[str], Told]]:
    """Return the fields of what was told of an event."""
    await_silence()
    heard: list[tuple[str, dict[str, object]]] = []
    listener: _events.Listener = lambda event, fields: heard.append((event, dict(fields)))
    _events.listeners.append(listener)
    yield lambda name: [fields for event, fields in heard if event == name]
    _events.listeners.remove(listener)


def challenged(status: int, challenge: str) -> Answer:
    return Answer(status, b"", (("WWW-Authenticate", challenge),))


# -- withheld ---------------------------------------------------------------------------------------------------


def test_an_origin_that_is_not_allowed(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], told: Callable[[str], Told]
) -> None:
    """It's said once for each origin that the token is withheld, with what is allowed."""
    api, others = serve(lambda _: Answer()), [serve(lambda _: Answer()) for _ in range(2)]
    with mode.client(client_credentials(mode, tokens, allowed_origins=[api.url, "https://b.example"])) as client:
        for _ in range(3):
            for server in (api, *others):
                client.get(f"{server.url}/path?key=value")
    assert [None, None] == [server.requests[0].authorization for server in others]
    allowed = sorted([api.url, "https://b.example"])
    assert [{"origin": server.url, "allowed_origins": allowed} for server in others] == told("withheld")


def test_what_was_told_is_bounded(plugin_mode: Mode, tokens: Tokens, told: Callable[[str], Told]) -> None:
    """A crawler doesn't grow with the origins that it visits."""
    auth = client_credentials(plugin_mode, tokens, allowed_origins=["https://api.example.com"])
    for number in range(MOST_ORIGINS + 5):
        assert not auth._origins.admits(f"https://{number}.example/")
    assert MOST_ORIGINS == len(told("withheld")) == len(auth._origins._told["withheld"])


# -- rejected_again ---------------------------------------------------------------------------------------------


def test_a_new_token_that_is_rejected_too(
    mode: Mode, tokens: Tokens, api: ScriptedServer, told: Callable[[str], Told]
) -> None:
    """It's said once for each origin, and once more after the origin has accepted a token."""
    refuse = challenged(401, 'Bearer error="invalid_token", error_description="no"')
    accept, api.script = api.script, lambda _: refuse
    expected = {"method": "GET", "url": f"{api.url}/a", "status": 401, "error": "invalid_token"}
    with mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(3):
            assert 401 == client.get(f"{api.url}/a?key=value").status_code
        assert [expected] == told("rejected_again")

        api.script = accept
        assert 200 == client.get(f"{api.url}/a").status_code
        api.script = lambda _: Answer(401)
        assert 401 == client.get(f"{api.url}/a").status_code
    assert [expected, {**expected, "error": None}] == told("rejected_again")


@pytest.mark.usefixtures("quick")
def test_a_new_token_after_a_failure_that_is_rejected_too(
    mode: Mode, tokens: Tokens, api: ScriptedServer, told: Callable[[str], Told]
) -> None:
    """Also where the origin isn't blamed for the renewal, since one before it has failed; acceptance resets it, too."""
    auth, accept = client_credentials(mode, tokens), api.script
    with mode.client(auth) as client:
        for count in (1, 2):
            assert 200 == client.get(api.url).status_code
            tokens.answer = lambda _: Answer(500)
            with pytest.raises(TokenResponseError):
                mode.refresh(auth)
            tokens.answer, api.script = None, lambda _: Answer(401)
            assert 401 == client.get(api.url).status_code
            assert count == len(told("rejected_again"))
            api.script = accept


def test_a_renewal_that_helps_is_no_trouble(
    mode: Mode, tokens: Tokens, api: ScriptedServer, told: Callable[[str], Told]
) -> None:
    """A token that was revoked and replaced brings no warning at all."""
    with mode.client(client_credentials(mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert [] == told("rejected_again") == told("insufficient_scope") == told("withheld")


# -- insufficient_scope -----------------------------------------------------------------------------------------

WANTS_WRITE = 'Bearer error="insufficient_scope", scope="write"'


def bearer(mode: Mode, tokens: Tokens, scope: str | None) -> Any:
    return mode.plugin.BearerAuth(OAuthToken(access_token="given", scope=scope))


def granted(mode: Mode, tokens: Tokens, scope: str | None) -> Any:
    tokens.fields["scope"] = scope
    return client_credentials(mode, tokens, scope="asked for")


def asked_for(mode: Mode, tokens: Tokens, scope: str | None) -> Any:
    return client_credentials(mode, tokens, scope=scope)


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize(
    ("make", "scope", "present"),
    [
        (bearer, "read", "read"),
        (bearer, None, "unknown"),
        (granted, "read", "read"),
        (asked_for, "read", "read"),
        (asked_for, None, "unknown"),
    ],
)
def test_a_scope_that_is_not_enough(
    mode: Mode,
    tokens: Tokens,
    api: ScriptedServer,
    told: Callable[[str], Told],
    status: int,
    make: Callable[..., Any],
    scope: str | None,
    present: str,
) -> None:
    """It's said once for each origin and scope what is wanted and what the token has; the answer is the caller's."""

    def script(request: Received) -> Answer:
        return challenged(status, WANTS_WRITE if request.path.startswith("/a") else 'Bearer error="insufficient_scope"')

    api.script = script
    with mode.client(make(mode, tokens, scope)) as client:
        for path in ("/a", "/a?x=1", "/b", "/b"):
            assert status == client.get(api.url + path).status_code
    common = {"method": "GET", "status": status, "token_scope": present}
    assert [
        {**common, "url": f"{api.url}/a", "wanted_scope": "write"},
        {**common, "url": f"{api.url}/b", "wanted_scope": None},
    ] == told("insufficient_scope")
    assert [] == told("rejected")
    assert tokens.calls <= 1


def test_a_scope_that_is_not_enough_after_the_renewal(
    mode: Mode, tokens: Tokens, api: ScriptedServer, told: Callable[[str], Told]
) -> None:
    """An answer to a replay says it as well as any other."""
    api.script = lambda request: challenged(
        *((401, "Bearer") if request.authorization == "Bearer token-1" else (403, WANTS_WRITE))
    )
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 403 == client.get(api.url).status_code
    assert ["write"] == [fields["wanted_scope"] for fields in told("insufficient_scope")]


@pytest.mark.parametrize("challenge", ["Bearer", 'Bearer error="invalid_token"', 'Basic error="insufficient_scope"'])
def test_other_answers_bring_no_warning(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, told: Callable[[str], Told], challenge: str
) -> None:
    """A plain 403, or one for another reason, isn't about the token's scope."""
    api.script = lambda _: challenged(403, challenge)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        assert 403 == client.get(api.url).status_code
    assert [] == told("insufficient_scope")
