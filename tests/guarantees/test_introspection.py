"""What the authorization server tells about a token (RFC 7662), with each plug-in, awaited in those that are async."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from oauth_auth import (
    ConfigurationError,
    OAuthProviderException,
    OAuthToken,
    PrivateKeyJwt,
    TokenError,
    TokenResponseError,
)
from oauth_auth._keys.dpop import DPoPKey
from tests.support.authority import Authority
from tests.support.jwts import claims_of
from tests.support.modes import Mode
from tests.support.scripted import Answer, ScriptedServer

pytestmark = pytest.mark.shared_core

TOKEN = "hunter2-token"
KEY = DPoPKey.generate().private_jwk


@pytest.fixture
def authority(serve: Callable[..., ScriptedServer]) -> Authority:
    return Authority(serve)


def service(mode: Mode, authority: Authority, **options: Any) -> Any:
    secret = {} if "client_auth" in options else {"client_secret": "secret"}
    return mode.plugin.ClientCredentialsAuth.from_issuer(authority.issuer, "client", **secret, **options)


def test_the_objects_own_token_is_asked_about(mode: Mode, authority: Authority) -> None:
    """It's fetched if there's none yet; the client proves itself as at the token endpoint."""
    auth = service(mode, authority)
    assert {"active": True, "client_id": "client"} == mode.introspect(auth)
    assert mode.introspect(auth)["active"]
    [token_call], [call, _] = authority.calls("/token"), authority.calls("/introspect")
    assert {"token": [auth.token.access_token]} == {k: v for k, v in call.form.items() if k != "token_type_hint"}
    assert token_call.authorization == call.authorization is not None


@pytest.mark.parametrize("kind", ["text", "token"])
def test_another_token_is_asked_about(mode: Mode, authority: Authority, kind: str) -> None:
    """As text or as an `OAuthToken`; none of the object's own is fetched for that."""
    auth = service(mode, authority)
    token = "another" if kind == "text" else OAuthToken(access_token="another")
    assert {"active": False} == mode.introspect(auth, token)
    assert [["another"]] == [call.form["token"] for call in authority.calls("/introspect")]
    assert [] == authority.calls("/token")


@pytest.mark.parametrize("token", ["", 5, b"token", {"access_token": "x"}])
def test_what_is_no_token_is_refused(mode: Mode, authority: Authority, token: Any) -> None:
    """Before anything is sent."""
    with pytest.raises(ConfigurationError, match="token must be"):
        mode.introspect(service(mode, authority), token)
    assert [] == authority.server.requests


@pytest.mark.parametrize("has_issuer", [True, False])
def test_without_a_url_nobody_is_asked(mode: Mode, authority: Authority, has_issuer: bool) -> None:
    """The error says what to pass."""
    authority.metadata["introspection_endpoint"] = None
    if has_issuer:
        auth, error = service(mode, authority), TokenResponseError
    else:
        auth = mode.plugin.ClientCredentialsAuth(authority.url("/token"), "client", "secret")
        error = ConfigurationError  # type: ignore[assignment]
    with pytest.raises(error, match="introspection_url"):
        mode.introspect(auth, "token")


def test_a_url_that_is_given_wins(plugin_mode: Mode, authority: Authority) -> None:
    """Over the one in the metadata, as each URL does."""
    authority.metadata["introspection_endpoint"] = authority.url("/elsewhere")
    auth = service(plugin_mode, authority, introspection_url=authority.url("/introspect"))
    assert plugin_mode.introspect(auth)["active"]


@pytest.mark.parametrize("fault", [Answer(503), Answer(429), Answer(0)], ids=["503", "429", "no answer"])
def test_trouble_that_passes_is_not_noticed(mode: Mode, authority: Authority, quick: None, fault: Answer) -> None:
    """It's tried again as a token call is, with another assertion."""
    authority.faults["/introspect"] = [fault, fault]
    auth = service(mode, authority, client_auth=PrivateKeyJwt(KEY))
    assert mode.introspect(auth)["active"]
    calls = [*authority.calls("/introspect"), *authority.calls("/token")]
    assert 4 == len({claims_of(call.form["client_assertion"][0])["jti"] for call in calls})


REFUSALS: dict[str, tuple[Answer, type[TokenError]]] = {
    "error": (Answer(400, {"error": "x", "error_description": f"what is {TOKEN}?"}), OAuthProviderException),
    "forbidden": (Answer(403, b"no"), TokenResponseError),
    "not active, nor else": (Answer(200, {"scope": "read"}), TokenResponseError),
    "text in place of true": (Answer(200, {"active": "true"}), TokenResponseError),
    "page": (Answer(200, b"<html>", (("Content-Type", "text/html"),)), TokenResponseError),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_a_refusal_is_raised(mode: Mode, authority: Authority, name: str, caplog: pytest.LogCaptureFixture) -> None:
    """Once, and no token is shown; what the object itself does goes on."""
    caplog.set_level(logging.DEBUG)
    refusal, error = REFUSALS[name]
    authority.answers["/introspect"] = lambda _: refusal
    auth = service(mode, authority)
    with pytest.raises(error) as caught:
        mode.introspect(auth, TOKEN)
    assert type(caught.value) is error
    assert 1 == len(authority.calls("/introspect"))
    shown = [str(caught.value), repr(vars(caught.value)), *traceback.format_exception(caught.value), caplog.text]
    frames = [frame for frame, _ in traceback.walk_tb(caught.value.__traceback__)]
    shown += [repr(frame.f_locals) for frame in frames if frame.f_globals["__name__"].startswith("oauth_auth")]
    assert [] == [text for text in shown if TOKEN in text]
    assert mode.get_token(auth) == auth.token


def test_a_token_that_can_not_be_had_is_told(mode: Mode, authority: Authority) -> None:
    """Where there's none of the object's own, the error is that of the token call."""
    authority.answers["/token"] = lambda _: Answer(400, {"error": "unauthorized_client"})
    with pytest.raises(OAuthProviderException, match="unauthorized_client"):
        mode.introspect(service(mode, authority))
    assert [] == authority.calls("/introspect")


@pytest.mark.having("backend")
def test_the_event_loop_goes_on_meanwhile(mode: Mode, authority: Authority) -> None:
    """A server that's slow to tell holds up no other task."""
    auth = service(mode, authority)
    mode.get_token(auth)

    async def main() -> None:
        asked, released = anyio.Event(), anyio.Event()
        here = anyio.lowlevel.current_token()

        def hold(_: Any) -> Answer | None:
            anyio.from_thread.run_sync(asked.set, token=here)
            anyio.from_thread.run(released.wait, token=here)
            return None

        authority.answers["/introspect"] = hold
        with anyio.fail_after(20):
            async with anyio.create_task_group() as group:

                async def ask() -> None:
                    assert (await auth.aintrospect())["active"]

                group.start_soon(ask)
                await asked.wait()
                released.set()

    anyio.run(main, backend=str(mode.backend))
