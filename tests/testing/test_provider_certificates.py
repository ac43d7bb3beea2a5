"""`LocalProvider` over TLS, and clients with certificates (RFC 8705)."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import trustme

import oauth_auth.requests
from oauth_auth.testing import LocalProvider

from .bare_client import BareClient, in_threads, refusal
from .signing import SigningKey


@pytest.fixture
def provider() -> Iterator[LocalProvider]:
    with LocalProvider(tls=True) as provider:
        yield provider


@pytest.fixture
def client(provider: LocalProvider, session: requests.Session) -> BareClient:
    session.verify = provider.ca_path
    return BareClient(provider, session)


@pytest.fixture
def shown(client: BareClient, tmp_path: Path) -> tuple[str, str]:
    """Let the client show a certificate, and nothing else; return the certificate's files."""
    client.basic = None
    return show(client, tmp_path)


def show(client: BareClient, folder: Path) -> tuple[str, str]:
    certificate, key = client.provider.issue_certificate(folder)
    client.session.close()  # connections show the certificate that they were opened with
    client.session.cert = files = (str(certificate), str(key))
    return files


def alias(client: BareClient, name: str = "token_endpoint") -> str:
    url = f"{client.provider.issuer}/.well-known/oauth-authorization-server"
    return str(client.session.get(url).json()["mtls_endpoint_aliases"][name])


def token(client: BareClient, url: str | None = None, **fields: Any) -> requests.Response:
    form = {"grant_type": "client_credentials", "client_id": client.provider.client_id, **fields}
    return client.session.post(url or alias(client), data=form, auth=client.basic)


def threads_of(provider: LocalProvider) -> list[str]:
    name = f"LocalProvider-{port_of(provider)}"
    return [thread.name for thread in threading.enumerate() if thread.name.startswith(name)]


def port_of(provider: LocalProvider) -> int:
    return int(provider.issuer.rpartition(":")[2])


# TLS


def test_all_of_it_is_served_over_tls(client: BareClient) -> None:
    """Each URL has https and works, for who trusts the provider's authority, and for nobody else."""
    provider = client.provider
    assert provider.issuer.startswith("https://127.0.0.1:")
    assert client.api(client.token().json()["access_token"]).ok
    assert "code" in client.authorize(scope="a").headers["Location"]
    with pytest.raises(requests.exceptions.SSLError):
        requests.get(provider.api_url, timeout=10)
    assert client.session.get(provider.api_url.replace("127.0.0.1", "localhost")).status_code == 401


def test_what_is_bound_to_a_url_is_bound_to_https(client: BareClient) -> None:
    """Proofs and assertions name the URL as it's called."""
    key, url = SigningKey(), client.provider.token_url
    client.provider.client_key, client.basic = key.public, None
    form = {"grant_type": "client_credentials", "client_assertion": key.assertion(client.provider.client_id, url)}
    form["client_assertion_type"] = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    answer = client.session.post(url, data=form, headers={"DPoP": key.proof(url)})
    assert "DPoP" == answer.json()["token_type"]


def test_the_authority_s_file_is_there_until_the_end(tmp_path: Path) -> None:
    """It can be trusted by path while the provider runs, also when it's entered again; without TLS there's none."""
    plain, secure = LocalProvider(), LocalProvider(tls=True)
    for provider in (plain, secure):
        with pytest.raises(RuntimeError):
            _ = provider.ca_path
    with plain, pytest.raises(RuntimeError, match="tls=True"):
        plain.issue_certificate(tmp_path)
    paths = []
    for _ in range(2):
        with secure:
            paths.append(secure.ca_path)
            assert requests.get(secure.api_url, verify=secure.ca_path, timeout=10).status_code == 401
    assert not [path for path in paths if Path(path).exists()]


def test_a_connection_without_a_handshake_holds_up_nothing(provider: LocalProvider, client: BareClient) -> None:
    """A client that opens a connection and says nothing delays neither others nor the end."""
    with socket.create_connection(("127.0.0.1", port_of(provider))) as silent:
        assert client.session.get(provider.api_url).status_code == 401
        begun = time.monotonic()
        provider.__exit__(None, None, None)
        assert time.monotonic() - begun < 5
        with contextlib.suppress(ConnectionError):
            assert silent.recv(1) == b""
    assert [] == threads_of(provider)


def test_what_is_no_handshake_is_dropped(provider: LocalProvider, client: BareClient, capfd: Any) -> None:
    """Plain HTTP on its port gets no answer, and leaves no traceback."""
    with socket.create_connection(("127.0.0.1", port_of(provider)), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with contextlib.suppress(ConnectionError):
            while plain.recv(100):
                pass
    assert client.session.get(provider.api_url).status_code == 401
    assert "Traceback" not in capfd.readouterr().err


def test_it_ends_under_load(provider: LocalProvider, client: BareClient, capfd: Any) -> None:
    """Connections that are open, or just being opened, when it ends leave no thread and no traceback."""
    context = ssl.create_default_context(cafile=provider.ca_path)
    address = ("127.0.0.1", port_of(provider))
    opened = threading.Semaphore(0)

    def call() -> None:
        try:
            for _ in range(100):
                with (
                    socket.create_connection(address, timeout=10) as plain,
                    context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
                ):
                    opened.release()
                    secure.sendall(b"GET /api HTTP/1.1\r\nHost: x\r\n\r\n")
                    secure.recv(100)
        except OSError:
            opened.release()

    def end() -> None:
        for _ in range(8):
            opened.acquire(timeout=10)
        provider.__exit__(None, None, None)

    actions = iter([end, call, call, call])
    lock = threading.Lock()

    def run() -> None:
        with lock:
            action = next(actions)
        action()

    in_threads(4, run)
    assert [] == threads_of(provider)
    assert "Traceback" not in capfd.readouterr().err


# Client authentication


def test_a_certificate_authenticates(client: BareClient, shown: tuple[str, str]) -> None:
    """With its id and a certificate of the provider's the client is known, at each alias, and its token is bound."""
    fields = token(client).json()
    assert "Bearer" == fields["token_type"]
    form = {"token": fields["access_token"], "client_id": client.provider.client_id}
    told = client.session.post(alias(client, "introspection_endpoint"), data=form).json()
    assert told["cnf"].keys() == {"x5t#S256"}
    parameters = {"response_type": "code", "redirect_uri": "http://127.0.0.1:9/", "client_id": form["client_id"]}
    url = alias(client, "pushed_authorization_request_endpoint")
    assert 201 == client.session.post(url, data=parameters).status_code
    url = alias(client, "device_authorization_endpoint")
    assert 200 == client.session.post(url, data={"client_id": form["client_id"]}).status_code
    assert 200 == client.session.post(alias(client, "revocation_endpoint"), data=form).status_code
    assert 401 == client.api(fields["access_token"]).status_code


def test_certificates_count_at_the_aliases_alone(client: BareClient, shown: tuple[str, str]) -> None:
    """Elsewhere a certificate proves nothing, and there's no alias of anything else."""
    assert (401, "invalid_client") == refusal(token(client, client.provider.token_url))
    assert 404 == client.session.get(f"{client.provider.issuer}/mtls/authorize").status_code
    client.basic = (client.provider.client_id, client.provider.client_secret)
    fields = token(client, client.provider.token_url).json()
    assert "cnf" not in client.introspect(fields["access_token"]).json()


def test_without_a_certificate_nobody_is_known(client: BareClient) -> None:
    """The id alone isn't enough, at an alias either, nor is a certificate with another's id."""
    client.basic = None
    assert (401, "invalid_client") == refusal(token(client))


def test_a_certificate_is_one_way_of_several(client: BareClient, shown: tuple[str, str]) -> None:
    """Another id, a wrong secret or a wrong assertion is refused; a right secret is taken, and the token bound."""
    for fields in ({"client_id": "other"}, {"client_secret": "wrong"}, {"client_assertion": "x"}, {"client_id": None}):
        assert (401, "invalid_client") == refusal(token(client, **fields))
    fields = token(client, client_secret=client.provider.client_secret).json()
    assert client.api(fields["access_token"]).ok
    client.session.cert = None
    client.session.close()
    assert (401, "invalid_token") == refusal(client.api(fields["access_token"]))


def test_another_authority_s_certificate_gets_no_connection(client: BareClient, tmp_path: Path) -> None:
    """A certificate that the provider hasn't issued ends the handshake."""
    other = trustme.CA().issue_cert("client.example")
    other.private_key_and_cert_chain_pem.write_to_path(tmp_path / "other.pem")
    client.session.cert = str(tmp_path / "other.pem")
    with pytest.raises(requests.ConnectionError):
        client.session.get(client.provider.api_url)


# Bound tokens


def test_a_bound_token_needs_its_certificate(client: BareClient, shown: tuple[str, str], tmp_path: Path) -> None:
    """It's taken with the certificate that it was issued for, and with no other, also one with the same name."""
    access_token = token(client).json()["access_token"]
    assert client.api(access_token).ok
    show(client, tmp_path)
    assert (401, "invalid_token") == refusal(client.api(access_token))
    assert client.api(token(client).json()["access_token"]).ok
    client.session.cert = None
    client.session.close()
    assert (401, "invalid_token") == refusal(client.api(access_token))


def test_certificates_can_be_revoked(client: BareClient, shown: tuple[str, str], tmp_path: Path) -> None:
    """Then neither the client nor its tokens are known by those of before, and a new one is good."""
    access_token = token(client).json()["access_token"]
    client.provider.revoke_certificates()
    assert (401, "invalid_token") == refusal(client.api(access_token))
    assert (401, "invalid_client") == refusal(token(client))
    with_secret = token(client, client_secret=client.provider.client_secret)
    assert (401, "invalid_client") == refusal(with_secret)
    show(client, tmp_path)
    assert client.api(token(client).json()["access_token"]).ok


def test_a_proof_binds_more_than_a_certificate(client: BareClient, shown: tuple[str, str]) -> None:
    """Who sends a proof has its token bound to the key, and may call the API without the certificate."""
    key, url = SigningKey(), alias(client)
    form = {"grant_type": "client_credentials", "client_id": client.provider.client_id}
    fields = client.session.post(url, data=form, headers={"DPoP": key.proof(url)}).json()
    assert "DPoP" == fields["token_type"]
    api_url, access_token = client.provider.api_url, fields["access_token"]
    headers = {"Authorization": f"DPoP {access_token}", "DPoP": key.proof(api_url, "GET", token=access_token)}
    client.session.cert = None
    client.session.close()
    assert client.session.get(api_url, headers=headers).ok


def test_faults_and_records_are_of_the_aliases_too(client: BareClient, shown: tuple[str, str]) -> None:
    """A token request is one wherever it arrives."""
    client.provider.fail_token_requests(503)
    assert [503, 200] == [token(client).status_code for _ in range(2)]
    assert ["/mtls/token"] * 2 == [request.path for request in client.provider.token_requests]


def test_without_tls_there_are_no_aliases(session: requests.Session) -> None:
    """Metadata of a plain provider promises none, nor certificates, and they aren't there."""
    with LocalProvider() as provider:
        url = f"{provider.issuer}/.well-known/oauth-authorization-server"
        metadata = session.get(url).json()
        assert not {"mtls_endpoint_aliases", "tls_client_certificate_bound_access_tokens"} & metadata.keys()
        assert "tls_client_auth" not in metadata["token_endpoint_auth_methods_supported"]
        assert 404 == session.post(f"{provider.issuer}/mtls/token").status_code
        provider.revoke_certificates()


def test_with_tls_metadata_tells(client: BareClient) -> None:
    """The ways to authenticate, that tokens are bound, and the API's part in it."""
    metadata = client.session.get(f"{client.provider.issuer}/.well-known/oauth-authorization-server").json()
    assert metadata["tls_client_certificate_bound_access_tokens"]
    assert "tls_client_auth" in metadata["token_endpoint_auth_methods_supported"]
    aliases = metadata["mtls_endpoint_aliases"]
    assert {f"{client.provider.issuer}/mtls/{name}" for name in ("token", "par", "revoke", "introspect")} <= {
        *aliases.values()
    }
    assert aliases.keys() <= metadata.keys()
    resource = client.session.get(client.provider.resource_metadata_url).json()
    assert resource["tls_client_certificate_bound_access_tokens"]


# With this library


def test_auth_objects_are_served(client: BareClient) -> None:
    """The library calls a provider over TLS by a client of the user's that trusts it."""
    provider = client.provider
    client.session.auth = oauth_auth.requests.ClientCredentialsAuth(
        provider.token_url, provider.client_id, provider.client_secret, token_client=client.session
    )
    assert client.session.get(provider.api_url).ok
