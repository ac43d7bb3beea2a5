"""`LocalProvider` lets devices log in (RFC 8628), bare clients and each plug-in's `DeviceCodeAuth` alike."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import Any

import pytest
import requests

from oauth_auth import ClientSecretPost, OAuthProviderException, ReauthorizationRequired
from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth.testing import LocalProvider, ReceivedRequest
from tests.support import modes
from tests.support.modes import Mode

from .bare_client import DEVICE, BareClient, in_threads, refusal

# The device authorization endpoint (section 3.2)


def test_a_device_gets_its_codes(client: BareClient) -> None:
    """Lifetime and interval are the provider's, whole seconds as integers; the user code is easy to read out."""
    client.provider.device_code_lifetime, client.provider.device_interval = 90.0, 2.5
    answer = client.device(scope="read")
    assert (200, "no-store") == (answer.status_code, answer.headers["Cache-Control"])
    assert '"expires_in": 90,' in answer.text
    codes = answer.json()
    assert 2.5 == codes["interval"]
    assert re.fullmatch("[B-Z]{4}-[B-Z]{4}", codes["user_code"])
    assert codes["verification_uri"].startswith(client.provider.issuer)
    assert f"{codes['verification_uri']}?user_code={codes['user_code']}" == codes["verification_uri_complete"]
    assert codes["device_code"] != client.device().json()["device_code"]


def test_only_the_client_gets_codes(client: BareClient) -> None:
    """A wrong or missing client is refused, and so is a parameter that's repeated (section 3.1)."""
    url, client_id = client.provider.device_authorization_url, client.provider.client_id
    assert (401, "invalid_client") == refusal(client.session.post(url))
    assert (401, "invalid_client") == refusal(client.session.post(url, auth=(client_id, "wrong")))
    twice = [("client_id", client_id), ("scope", "a"), ("scope", "b")]
    assert (400, "invalid_request") == refusal(client.session.post(url, data=twice))
    assert 200 == client.session.post(url, data={"client_id": client_id}).status_code


# Polls (sections 3.4 and 3.5)


def test_an_approved_device_gets_tokens_once(client: BareClient) -> None:
    """The device waits until its user approves; then it gets tokens of that user, and its code is spent."""
    codes = client.device(scope="read write").json()
    assert (400, "authorization_pending") == refusal(client.poll(codes["device_code"]))
    client.provider.approve_device(codes["user_code"])
    fields = client.poll(codes["device_code"]).json()
    assert 200 == client.api(fields["access_token"]).status_code
    assert "read write" == fields["scope"] == client.refresh(fields["refresh_token"]).json()["scope"]
    assert client.provider.username == client.introspect(fields["access_token"]).json()["username"]
    assert (400, "invalid_grant") == refusal(client.poll(codes["device_code"]))


def test_a_denied_device_gets_none(client: BareClient) -> None:
    """Once its user has refused, the device is told so, and nobody can approve any more."""
    codes = client.device().json()
    client.provider.deny_device(codes["user_code"])
    for _ in range(2):
        assert (400, "access_denied") == refusal(client.poll(codes["device_code"]))
    with pytest.raises(LookupError, match="answered"):
        client.provider.approve_device(codes["user_code"])


@pytest.mark.parametrize("approved", [False, True])
def test_codes_expire(client: BareClient, approved: bool) -> None:
    """After their lifetime the codes are worth nothing, approved or not."""
    moment = 0.0
    client.provider._now = lambda: moment
    client.provider.device_code_lifetime = 30
    codes = client.device().json()
    if approved:
        client.provider.approve_device(codes["user_code"])
    moment = 30.0
    assert (400, "expired_token") == refusal(client.poll(codes["device_code"]))
    with pytest.raises(LookupError, match="expired"):
        client.provider.approve_device(codes["user_code"])


def test_who_polls_too_soon_is_told_to_slow_down(client: BareClient) -> None:
    """A poll that comes before the interval is over makes it 5 s longer, for this device."""
    moment = 0.0
    client.provider._now = lambda: moment
    client.provider.device_interval = 5
    device_code = client.device().json()["device_code"]
    for seconds, error in (
        (0, "authorization_pending"),
        (5, "authorization_pending"),
        (9.9, "slow_down"),
        (19.8, "slow_down"),
        (34.8, "authorization_pending"),
    ):
        moment = float(seconds)
        assert (400, error) == refusal(client.poll(device_code))
    other = client.device().json()["device_code"]
    assert (400, "authorization_pending") == refusal(client.poll(other))


def test_without_an_interval_nobody_is_too_soon(client: BareClient) -> None:
    """An interval of 0 lets devices poll as they like."""
    client.provider._now = lambda: 0.0
    client.provider.device_interval = 0
    device_code = client.device().json()["device_code"]
    for _ in range(3):
        assert (400, "authorization_pending") == refusal(client.poll(device_code))


def test_other_device_codes_are_refused(client: BareClient) -> None:
    """A code that wasn't issued is no grant; none at all, or two, is no request."""
    assert (400, "invalid_grant") == refusal(client.poll("unknown"))
    assert (400, "invalid_request") == refusal(client.token(DEVICE))
    fields = [("grant_type", DEVICE), ("device_code", "a"), ("device_code", "b")]
    answer = client.session.post(client.provider.token_url, data=fields, auth=client.basic)
    assert (400, "invalid_request") == refusal(answer)


def test_a_public_client_renews_what_it_got(client: BareClient) -> None:
    """A client without a secret gets tokens and renews them; it can't renew those of a client with one."""
    public, basic = {"client_id": client.provider.client_id}, client.basic
    for secret, renewed in ((None, 200), (basic, 400)):
        client.basic = secret
        fields = {} if secret else public
        codes = client.device(**fields).json()
        client.provider.approve_device(codes["user_code"])
        refresh_token = client.poll(codes["device_code"], **fields).json()["refresh_token"]
        client.basic = None
        assert renewed == client.refresh(refresh_token, **public).status_code


def test_of_simultaneous_polls_one_succeeds(client: BareClient) -> None:
    """Of 16 polls with one approved code, one gets tokens."""
    codes = client.device().json()
    client.provider.approve_device(codes["user_code"])
    answers = in_threads(16, lambda: client.poll(codes["device_code"]))
    assert [200] + 15 * [400] == sorted(answer.status_code for answer in answers)


# The user's part (section 3.3)


@pytest.mark.parametrize("typed", [str, str.lower, lambda code: code.replace("-", ""), lambda code: f" {code} "])
def test_a_code_is_typed_as_people_do(client: BareClient, typed: Callable[[str], str]) -> None:
    """Case, hyphens and blanks don't count (section 6.1); of several devices the right one is meant."""
    other, codes = client.device().json(), client.device().json()
    client.provider.approve_device(typed(codes["user_code"]))
    assert 200 == client.poll(codes["device_code"]).status_code
    assert (400, "authorization_pending") == refusal(client.poll(other["device_code"]))


@pytest.mark.parametrize("decide", ["approve_device", "deny_device"])
def test_a_decision_needs_a_device_that_waits(client: BareClient, decide: str) -> None:
    """An unknown code, and one that was answered before, is a `LookupError`."""
    with pytest.raises(LookupError, match="unknown"):
        getattr(client.provider, decide)("BBBB-BBBB")
    user_code = client.device().json()["user_code"]
    getattr(client.provider, decide)(user_code)
    with pytest.raises(LookupError, match="answered"):
        getattr(client.provider, decide)(user_code)


def test_the_verification_page(client: BareClient) -> None:
    """The page asks for the code; with the code in its URL, one GET approves, and only once."""
    codes = client.device().json()
    page = client.session.get(codes["verification_uri"])
    assert (200, True) == (page.status_code, 'name="user_code"' in page.text)
    assert (400, "authorization_pending") == refusal(client.poll(codes["device_code"]))
    assert 200 == client.session.get(codes["verification_uri_complete"]).status_code
    assert 404 == client.session.get(codes["verification_uri_complete"]).status_code
    assert 200 == client.poll(codes["device_code"]).status_code


def test_no_code_is_logged(client: BareClient, caplog: pytest.LogCaptureFixture) -> None:
    """At no level does a logger of the server's side show a device code or the tokens that it's exchanged for."""
    caplog.set_level(logging.DEBUG)
    codes = client.device().json()
    client.poll(codes["device_code"])
    client.provider.approve_device(codes["user_code"])
    fields = client.poll(codes["device_code"]).json()
    client.introspect(fields["access_token"])
    text = "".join(record.getMessage() for record in caplog.records if not record.name.startswith("urllib3"))
    assert "token answer" in text  # or this test watches nothing: Authlib logs what it issues
    for secret in (codes["device_code"], fields["access_token"], fields["refresh_token"]):
        assert secret not in text


# `DeviceCodeAuth`


class Polls(list[ReceivedRequest]):
    """A list of token requests that does something at the arrival of the third, before it's answered."""

    def __init__(self, then: Callable[[], object]) -> None:
        super().__init__()
        self._then = then

    def append(self, request: ReceivedRequest) -> None:
        super().append(request)
        if len(self) == 3:
            self._then()


@pytest.fixture
def quick(provider: LocalProvider, monkeypatch: pytest.MonkeyPatch) -> LocalProvider:
    """A provider for devices that don't wait for a second."""
    monkeypatch.setattr(DeviceCodeGrant, "shortest_interval", 0.01)
    provider.device_interval = 0
    return provider


def shown(calls: list[dict[str, Any]]) -> Callable[..., None]:
    return lambda **call: calls.append(call)


@pytest.mark.parametrize(
    ("mode", "method"),
    # What a client sends is the same in all modes of a plug-in.
    [(mode, "none") for mode in modes.ALL] + [(mode, "basic") for mode in modes.SYNC] + [(modes.REQUESTS, "post")],
    ids=str,
)
def test_a_user_approves(mode: Mode, method: str, quick: LocalProvider) -> None:
    """A plug-in finds the endpoint by the issuer, polls until the user approves, and renews without asking again."""
    calls: list[dict[str, Any]] = []
    quick.token_requests = Polls(lambda: quick.approve_device(calls[0]["user_code"]))
    auth = mode.plugin.DeviceCodeAuth.from_issuer(
        quick.issuer,
        quick.client_id,
        None if method == "none" else quick.client_secret,
        client_auth=ClientSecretPost() if method == "post" else None,
        scope="read",
        show=shown(calls),
    )
    with auth, mode.client(auth) as http:
        assert 200 == http.get(quick.api_url).status_code
        quick.revoke_access_tokens()
        assert 200 == http.get(quick.api_url).status_code
    assert 600 == calls[0]["expires_in"]
    grants = [request.form["grant_type"][0] for request in quick.token_requests]
    assert ([DEVICE, DEVICE, DEVICE, "refresh_token"], 1) == (grants, len(calls))


def device_auth(mode: Mode, provider: LocalProvider, show: Callable[..., object]) -> Any:
    url = provider.device_authorization_url
    return mode.plugin.DeviceCodeAuth(provider.token_url, provider.client_id, device_authorization_url=url, show=show)


def test_a_user_denies(plugin_mode: Mode, quick: LocalProvider) -> None:
    """A refusal reaches the caller."""
    auth = device_auth(plugin_mode, quick, lambda *, user_code, **_: quick.deny_device(user_code))
    with pytest.raises(OAuthProviderException, match="access_denied"):
        auth.get_token()


def test_a_user_is_too_late(plugin_mode: Mode, quick: LocalProvider) -> None:
    """When the server says that the code has expired, the caller is told that the login must begin again."""
    moment = 0.0
    quick._now = lambda: moment

    def show(**_: object) -> None:
        nonlocal moment
        moment = quick.device_code_lifetime

    with pytest.raises(ReauthorizationRequired, match="expired"):
        device_auth(plugin_mode, quick, show).get_token()


def test_a_browser_approves(plugin_mode: Mode, quick: LocalProvider) -> None:
    """A GET of the address that's shown is all it takes."""

    def show(*, verification_uri_complete: str, **_: object) -> None:
        requests.get(verification_uri_complete, timeout=10).raise_for_status()

    with plugin_mode.client(device_auth(plugin_mode, quick, show)) as http:
        assert 200 == http.get(quick.api_url).status_code
