"""Clients that prove themselves by assertions, at a server that takes none twice (`SecureProvider`)."""

from __future__ import annotations

import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import ClientAssertion, ClientSecretJwt, OAuthProviderException, PrivateKeyJwt, TokenError, TokenRequest
from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth._wire.token_request import Attempt
from tests.servers.login import approve_device
from tests.servers.secure_provider import Call, SecureProvider
from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode

pytestmark = pytest.mark.shared_core

SIGNING = pytest.mark.parametrize("client", ["key", "fapi", "secret_jwt"])


def identifiers(calls: list[Call]) -> Counter[str]:
    """Return how often each assertion's and each proof's identifier was sent."""
    proofs = [claims_of(call.proof) for call in calls if call.proof is not None]
    return Counter([call.assertion["jti"] for call in calls] + [proof["jti"] for proof in proofs])


# -- Each attempt has its own ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 503, 0])
def test_each_attempt_has_an_assertion_and_a_proof_of_its_own(
    mode: Mode, secure: SecureProvider, quick: None, status: int
) -> None:
    """After a refusal, and after an answer that was lost: all that the attempt carried was used by then."""
    secure.refuse("token", status, count=2)
    with secure.make(mode, dpop=True) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
    calls = secure.calls("token")
    assert 3 == len(calls)
    assert 6 * [1] == list(identifiers(calls).values())


@SIGNING
def test_a_nonce_is_answered_with_both_anew(plugin_mode: Mode, secure: SecureProvider, client: str) -> None:
    """The server has used the assertion up before it looks at the nonce."""
    secure.use_nonces("required")
    with secure.make(plugin_mode, client=client, dpop=True) as auth:
        assert "DPoP" == auth.get_token().token_type
    calls = secure.calls("token")
    assert [False, True] == [call.nonce is not None for call in calls]
    assert 4 * [1] == list(identifiers(calls).values())


@pytest.mark.parametrize("place", ["pushed_authorization_request", "revocation", "introspection"])
def test_so_it_is_at_the_other_endpoints(mode: Mode, secure: SecureProvider, quick: None, place: str) -> None:
    """Each attempt at them has its own, too, and none that another endpoint has seen."""
    secure.use_nonces("required")
    secure.refuse(place, 503)
    with secure.make(mode, "AuthorizationCodeAuth", "fapi", dpop=True, par=True) as auth:
        mode.get_token(auth)
        assert mode.introspect(auth)["active"]
        mode.revoke(auth)
    calls = [call for call in secure.calls() if "client_assertion" in (call.fields or {})]
    attempts = Counter(call.place for call in calls)
    assert {"pushed_authorization_request", "token", "introspection", "revocation"} == attempts.keys()
    assert attempts[place] >= 2
    assert {1} == {*identifiers(calls).values()}


def test_each_poll_for_a_device_has_its_own(
    plugin_mode: Mode, secure: SecureProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Asking whether the person is done is a call as any other."""
    monkeypatch.setattr(DeviceCodeGrant, "default_interval", 0.0)
    monkeypatch.setattr(DeviceCodeGrant, "shortest_interval", 0.01)
    shown: dict[str, Any] = {}
    polls = itertools.count(1)

    def approve_at_the_third(request: TokenRequest) -> TokenRequest:
        if next(polls) == 3:
            approve_device(shown["verification_uri_complete"])
        return request

    options: dict[str, Any] = {"show": shown.update, "token_request_hook": approve_at_the_third}
    auth = secure.make(plugin_mode, "DeviceCodeAuth", dpop=True, **options)
    with auth, plugin_mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
    calls = [*secure.calls("device_authorization"), *secure.calls("token")]
    assert 4 == len(calls)
    assert {1} == {*identifiers(calls).values()}


# -- Whom they are for ----------------------------------------------------------------------------------------------


@SIGNING
def test_they_are_for_the_issuer(plugin_mode: Mode, secure: SecureProvider, client: str) -> None:
    """As text, at each endpoint, and nobody is asked twice: servers of FAPI 2.0 take nothing else."""
    with secure.make(plugin_mode, client=client, dpop=True) as auth:
        auth.get_token()
        auth.introspect()
        auth.revoke()
    calls = [call for call in secure.calls() if call.fields is not None]
    assert ["token", "introspection", "revocation"] == [call.place for call in calls]
    assert 3 * [secure.issuer] == [call.assertion["aud"] for call in calls]


@pytest.mark.parametrize("client", ["key", "secret_jwt"])
def test_without_an_issuer_they_are_for_the_url_that_is_called(
    plugin_mode: Mode, secure: SecureProvider, client: str
) -> None:
    """For each endpoint its own: an assertion for another one is what thieves ask for."""
    secret, method = (None, PrivateKeyJwt(secure.keys[0])) if client == "key" else (secure.secret, ClientSecretJwt())
    urls = {name: getattr(secure, name) for name in ("token_url", "revocation_url", "introspection_url")}
    with plugin_mode.plugin.ClientCredentialsAuth(
        client_id=secure.clients[client], client_secret=secret, client_auth=method, **urls
    ) as auth:
        auth.get_token()
        auth.introspect()
        auth.revoke()
    assert 3 == len(secure.calls())
    assert [call.url for call in secure.calls()] == [call.assertion["aud"] for call in secure.calls()]


def test_a_client_that_is_refused_is_told_so(plugin_mode: Mode, secure: SecureProvider) -> None:
    """The server doesn't know the key: for the issuer and for the URL it's tried once each, and no third time."""
    stranger = SecureProvider().keys[0]
    with (
        secure.make(plugin_mode, client_auth=PrivateKeyJwt(stranger)) as auth,
        pytest.raises(OAuthProviderException, match="invalid_client"),
    ):
        auth.get_token()
    assert [secure.issuer, secure.token_url] == [call.assertion["aud"] for call in secure.calls("token")]


def test_the_servers_clock_counts(plugin_mode: Mode, secure: SecureProvider) -> None:
    """An assertion that has expired by the server's clock is made anew by that, once, and the next one at once."""
    secure.set_clock_ahead(3600)
    with secure.make(plugin_mode, dpop=True) as auth, plugin_mode.client(auth) as client:
        auth.get_token()
        first, *others = [call.assertion["iat"] for call in secure.calls("token")]
        auth.refresh()
        *_, last = [call.assertion["iat"] for call in secure.calls("token")]
        assert [3600] * 2 == pytest.approx([others[-1] - first, last - first], abs=5)
        assert len(others) + 2 == len(secure.calls("token"))
        assert 200 == client.get(secure.api_url).status_code


# -- Rotation under a running program -------------------------------------------------------------------------------


def swap(link: Path, target: Path) -> None:
    """Have a link point to another file, in one step."""
    new = link.with_suffix(".new")
    new.symlink_to(target)
    new.replace(link)


@pytest.mark.parametrize("is_link", [False, True], ids=["file", "link"])
def test_a_key_that_is_replaced_is_used_at_once(
    mode: Mode, secure: SecureProvider, tmp_path: Path, is_link: bool
) -> None:
    """Key files are read for each signature, also behind a link that's swapped, as it is in Kubernetes."""
    files = [tmp_path / "one.jwk", tmp_path / "two.jwk"]
    for file, key in zip(files, secure.keys, strict=True):
        file.write_text(json.dumps(key))
    path = files[0]
    if is_link:
        path = tmp_path / "current.jwk"
        path.symlink_to(files[0])
    with secure.make(mode, client_auth=PrivateKeyJwt(path)) as auth, mode.client(auth) as client:
        assert 200 == client.get(secure.api_url).status_code
        if is_link:
            swap(path, files[1])
        else:
            path.write_text(json.dumps(secure.keys[1]))
        secure.revoke_access_tokens()
        assert 200 == client.get(secure.api_url).status_code
    used = [header_of((call.fields or {})["client_assertion"])["kid"] for call in secure.calls("token")]
    assert ["one", "two"] == used


class Projected:
    """A file with an assertion, such as Kubernetes has for each pod; `renew` puts the next one into it."""

    def __init__(self, secure: SecureProvider, path: Path) -> None:
        self.secure, self.path = secure, path

    def make(self) -> str:
        field: Any = PrivateKeyJwt(self.secure.keys[0]).authenticate("key-client", None).fields["client_assertion"]
        text: str = field.make(Attempt(self.secure.token_url, self.secure.issuer, time.time()))
        return text

    def renew(self) -> None:
        new = self.path.with_suffix(".new")
        new.write_text(f"{self.make()}\n")
        new.replace(self.path)


@pytest.fixture
def projected(secure: SecureProvider, tmp_path: Path) -> Projected:
    return Projected(secure, tmp_path / "token")


def test_a_projected_token_is_read_for_each_call(mode: Mode, secure: SecureProvider, projected: Projected) -> None:
    """What the file holds now is sent: the server refuses what it has seen before."""
    with secure.make(mode, client_auth=ClientAssertion(projected.path)) as auth, mode.client(auth) as client:
        for _ in range(3):
            projected.renew()
            secure.revoke_access_tokens()
            assert 200 == client.get(secure.api_url).status_code
    calls = secure.calls("token")
    assert 3 * [1] == list(identifiers(calls).values())


TROUBLE: dict[str, Callable[[Path], object]] = {
    "missing": Path.unlink,
    "empty": lambda path: path.write_text(""),
    "spent": Path.read_text,
}


@pytest.mark.parametrize("spoil", TROUBLE.values(), ids=TROUBLE)
def test_a_good_token_goes_on_while_a_new_one_can_not_be_had(
    mode: Mode, secure: SecureProvider, projected: Projected, spoil: Callable[[Path], object], quick: None
) -> None:
    """Nobody who has a token that's good notices that the file isn't there, or is late; then it's renewed."""
    projected.renew()
    secure.set_access_token_lifetime(200)  # within the window before its end from the start
    with secure.make(mode, client_auth=ClientAssertion(projected.path)) as auth, mode.client(auth) as client:
        first = mode.get_token(auth)
        spoil(projected.path)
        assert [200, 200] == [client.get(secure.api_url).status_code for _ in range(2)]
        auth.close()
        assert first == auth.token
        projected.renew()
        assert mode.refresh(auth) == auth.token != first
        assert 200 == client.get(secure.api_url).status_code


def test_a_file_that_is_not_there_yet(plugin_mode: Mode, secure: SecureProvider, projected: Projected) -> None:
    """It's needed with the first call alone; until it's there, the error names it, and says that it may pass."""
    with secure.make(plugin_mode, client_auth=ClientAssertion(projected.path)) as auth:
        with pytest.raises(TokenError, match=f"in the file {projected.path} that can't be read") as caught:
            auth.get_token()
        assert caught.value.retryable
        assert [] == secure.calls("token")
        projected.renew()
        assert auth.refresh() == auth.get_token()


# -- Functions of the user's ----------------------------------------------------------------------------------------


def test_a_function_is_called_once_for_each_attempt(
    mode: Mode, secure: SecureProvider, projected: Projected, quick: None
) -> None:
    """In the flight, not where the caller is: many callers wait for one call."""
    made: list[threading.Thread] = []

    def make() -> str:
        made.append(threading.current_thread())
        return projected.make()

    secure.refuse("token", 503)
    with secure.make(mode, client_auth=ClientAssertion(make)) as auth, mode.client(auth) as client:
        assert [] == made
        answers = client.get_many(secure.api_url, 8)
        assert 8 * [200] == [answer.status_code for answer in answers]
    assert 2 == len(made) == len(secure.calls("token"))
    assert threading.main_thread() not in made


def test_what_a_function_raises_is_not_shown(
    plugin_mode: Mode, secure: SecureProvider, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    """It may hold what the function knows; the error names its class, and comes from it."""

    def fail() -> str:
        raise RuntimeError("the-secret-in-the-text")

    auth = secure.make(plugin_mode, client_auth=ClientAssertion(fail))
    with auth, plugin_mode.client(auth) as client, pytest.raises(TokenError, match="raised RuntimeError") as caught:
        client.get(secure.api_url)
    assert "the-secret-in-the-text" not in f"{caught.value}{caught.value!r}{caplog.text}"
    assert [] == secure.calls("token")
