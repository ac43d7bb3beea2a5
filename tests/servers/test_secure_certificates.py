"""Mutual TLS against oidc-provider (RFC 8705): whole flows with each plug-in, at an API that judges certificates."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import ClientCertificate, OAuthProviderException
from tests.support.modes import Client, Mode

from .certificates import Authority, Certificate, self_signed
from .real_servers import received, shown
from .secure_provider import SecureProvider, log_in

BODY = b"the same bytes" * 10_000


class Certified:
    """A server that knows the client by its certificate, or by a self-signed one."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.known = self.authority.issue("client")
        self.own = self_signed(folder, "own")
        self.server = SecureProvider(self.authority, self.known, (self.own,))

    def certificate(self, client: str, folder: Path) -> tuple[ClientCertificate, Certificate]:
        """Return a copy of the client's certificate, as the library takes it, and its files."""
        files = Certificate(folder / "client.pem", folder / "client.key")
        (self.own if client == "self_signed" else self.known).copy_over(files)
        return ClientCertificate(files.certificate, files.private_key), files

    @contextmanager
    def client(self, mode: Mode, auth: Any, certificate: ClientCertificate) -> Iterator[Client]:
        """Open a client that shows the certificate to APIs, as people are told to write it."""
        options = {} if mode.is_like_requests else {"verify": certificate.ssl_context()}
        with auth, mode.client(auth, **options) as client:
            if mode.is_like_requests:
                client.inner.cert = certificate.files
                client.inner.verify = str(self.authority.certificate)
            yield client


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Certified]:
    certified = Certified(tmp_path_factory.mktemp("certificates"))
    with certified.server:
        yield certified


@pytest.fixture
def certified(running: Certified, monkeypatch: pytest.MonkeyPatch) -> Certified:
    running.server.reset()
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        monkeypatch.setenv(name, str(running.authority.certificate))
    return running


def make(mode: Mode, certified: Certified, client: str, certificate: ClientCertificate, **options: Any) -> Any:
    grant = "AuthorizationCodeAuth" if "login" in options else "ClientCredentialsAuth"
    return certified.server.make(mode, grant, client, client_certificate=certificate, **options)


@pytest.mark.parametrize("client", ["tls", "self_signed"])
def test_a_client_is_known_by_its_certificate(mode: Mode, certified: Certified, tmp_path: Path, client: str) -> None:
    """No secret anywhere: each call shows it, at the aliases, and the tokens are good with it alone."""
    server = certified.server
    certificate, files = certified.certificate(client, tmp_path)
    auth = make(mode, certified, client, certificate)
    with certified.client(mode, auth, certificate) as http:
        assert received(BODY) == shown(http.send("POST", server.certified_api_url, body=BODY))
        server.revoke_access_tokens()
        assert received(BODY) == shown(http.send("POST", server.certified_api_url, body=BODY))
        assert {"x5t#S256": files.thumbprint} == mode.introspect(auth)["cnf"]
        mode.revoke(auth)
    calls = [call for call in server.calls() if call.fields is not None]
    assert ["token", "token", "introspection", "revocation"] == [call.place for call in calls if call.fields]
    assert {files.thumbprint} == {call.certificate for call in calls if call.fields}
    assert {True} == {call.url.startswith(server.certified_url) for call in calls if call.fields}
    assert not {"client_secret", "client_assertion"} & {name for call in calls for name in call.fields or {}}


def test_fapi_with_certificates(mode: Mode, certified: Certified, tmp_path: Path) -> None:
    """Pushed requests, PKCE, issuer, tokens bound to the certificate, refresh tokens that stay."""
    server = certified.server
    certificate, files = certified.certificate("fapi_tls", tmp_path)
    auth = make(mode, certified, "fapi_tls", certificate, login=log_in, par=True)
    with certified.client(mode, auth, certificate) as http:
        assert 200 == http.get(server.certified_api_url).status_code
        first = auth.token
        for _ in range(2):
            server.revoke_access_tokens()
            assert received(BODY) == shown(http.send("POST", server.certified_api_url, body=BODY))
        assert first.refresh_token == auth.token.refresh_token
    pushed, *_ = server.calls("pushed_authorization_request")
    assert (f"{server.certified_url}/request", files.thumbprint) == (pushed.url, pushed.certificate)
    assert 1 == server.logins


def test_a_renewed_certificate_is_followed(mode: Mode, certified: Certified, tmp_path: Path) -> None:
    """A token of the new one is refused on a connection that shows the old one: the request goes out on another."""
    server = certified.server
    certificate, files = certified.certificate("tls", tmp_path)
    auth = make(mode, certified, "tls", certificate)
    with certified.client(mode, auth, certificate) as http:
        assert 200 == http.get(server.certified_api_url).status_code
        renewed = certified.authority.issue("client")
        renewed.copy_over(files)
        mode.refresh(auth)
        before = len(server.api_requests())
        assert received(BODY) == shown(http.send("POST", server.certified_api_url, body=BODY))
        assert 200 == http.get(server.certified_api_url).status_code
    assert "invalid_token" == server.api_requests()[before].error
    assert [None, None] == [request.error for request in server.api_requests()[before + 1 :]]
    assert renewed.thumbprint == server.calls("token")[-1].certificate


def test_a_certificate_that_nobody_knows(plugin_mode: Mode, certified: Certified, tmp_path: Path) -> None:
    """The server's refusal is raised; without a certificate nothing goes to the aliases."""
    certificate, files = certified.certificate("tls", tmp_path)
    certified.authority.issue("somebody").copy_over(files)
    given: dict[bool, dict[str, Any]] = {True: {"client_certificate": certificate}, False: {}}
    for alias, options in given.items():
        with (
            certified.server.make(plugin_mode, client="tls", **options) as auth,
            pytest.raises(OAuthProviderException, match="invalid_client"),
        ):
            auth.get_token()
        assert alias == certified.server.calls("token")[-1].url.startswith(certified.server.certified_url)
