"""Keys, assertions and certificates from environment variables: their files stay files, which are read anew."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from oauth_auth import ClientSecretBasic, ConfigurationError, DPoPKey, PublicClient, TokenError
from tests.support.authority import Authority, thumbprint_of
from tests.support.certificates import Authority as CertificateAuthority
from tests.support.jwts import claims_of, header_of
from tests.support.modes import Mode
from tests.support.scripted import Received, ScriptedServer
from tests.support.variables import Variables

pytestmark = pytest.mark.shared_core

KEYS = [DPoPKey.generate(), DPoPKey.generate()]
SECRET = KEYS[0].private_jwk["d"]


@pytest.fixture
def authority(serve: Callable[..., ScriptedServer]) -> Authority:
    return Authority(serve)


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, authority: Authority) -> Variables:
    """The environment with a server and a client, which has nothing yet to prove itself with."""
    variables = Variables(monkeypatch, tmp_path)
    variables.set(ISSUER=authority.issuer, CLIENT_ID="client")
    return variables


def text_of(key: DPoPKey) -> str:
    return json.dumps(key.private_jwk)


def proved_by(call: Received) -> DPoPKey:
    """Return the key that has signed the assertion of a call; none other has."""
    [text] = call.form["client_assertion"]
    found = []
    for key in KEYS:
        try:
            jwt.decode(text, jwk.import_key(key.public_jwk), algorithms=["ES256"])
        except Exception:
            continue
        found.append(key)
    [key] = found
    return key


def refused(mode: Mode, **options: Any) -> str:
    """Return the text of the error; it shows no key."""
    with pytest.raises(ConfigurationError) as caught:
        mode.plugin.ClientCredentialsAuth.from_env(**options)
    assert SECRET not in f"{caught.value}{caught.value!r}{caught.value.__cause__!r}"
    return str(caught.value)


# -- What is read ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["PRIVATE_KEY", "PRIVATE_KEY_FILE"])
def test_a_private_key_proves_the_client(
    plugin_mode: Mode, variables: Variables, authority: Authority, tmp_path: Path, variable: str
) -> None:
    """The key itself, or a file that has it, with the name that the server knows it by."""
    file = tmp_path / "key.jwk"
    file.write_text(text_of(KEYS[0]))
    variables.set(**{variable: str(file) if variable.endswith("_FILE") else text_of(KEYS[0])}, PRIVATE_KEY_ID="k1")
    plugin_mode.plugin.ClientCredentialsAuth.from_env().get_token()
    [call] = authority.calls("/token")
    assert (KEYS[0], "k1", None) == (
        proved_by(call),
        header_of(call.form["client_assertion"][0])["kid"],
        call.authorization,
    )
    assert authority.issuer == claims_of(call.form["client_assertion"][0])["aud"]


def test_the_file_of_a_key_is_read_for_each_call(
    mode: Mode,
    variables: Variables,
    authority: Authority,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A key that's rotated is used at once, wherever the program has gone since."""
    monkeypatch.chdir(tmp_path)
    variables.set(PRIVATE_KEY_FILE="key.jwk")
    file = tmp_path / "key.jwk"
    file.write_text(text_of(KEYS[0]))
    auth = mode.plugin.ClientCredentialsAuth.from_env()
    monkeypatch.chdir("/")
    mode.get_token(auth)
    file.write_text(text_of(KEYS[1]))
    mode.refresh(auth)
    assert KEYS == [proved_by(call) for call in authority.calls("/token")]


def test_the_file_of_an_assertion_is_read_for_each_call(
    mode: Mode, variables: Variables, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be missing when the program starts, and there's another assertion in it after a while."""
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "assertion"
    variables.set(CLIENT_ASSERTION_FILE="assertion")
    authority.fields["refresh_token"] = None
    auth = mode.plugin.ClientCredentialsAuth.from_env()
    monkeypatch.chdir("/")
    with pytest.raises(TokenError, match=f"the client assertion is in the file {file} that can't be read"):
        mode.get_token(auth)
    for text in ("one", "two"):
        file.write_text(f"{text}\n")
        mode.refresh(auth)
    assert [["one"], ["two"]] == [call.form["client_assertion"] for call in authority.calls("/token")]


def test_a_certificate_is_read(
    plugin_mode: Mode, variables: Variables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With its key in a file of its own, or in the same; it proves the client where nothing else does."""
    certificates = CertificateAuthority(tmp_path, monkeypatch)
    pair = certificates.issue("one.example")
    certificates.write(pair)
    certificate, key = certificates.files
    variables.set(CLIENT_CERTIFICATE_FILE=str(certificate), CLIENT_CERTIFICATE_KEY_FILE=str(key))
    apart = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    both = tmp_path / "both.pem"
    both.write_bytes(pair.certificate + pair.key)
    variables.set(CLIENT_CERTIFICATE_FILE=str(both), CLIENT_CERTIFICATE_KEY_FILE=None)
    together = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    assert [(str(certificate), str(key)), (str(both), str(both))] == [
        auth._endpoints.calls.transport._certificate.files for auth in (apart, together)
    ]


@pytest.mark.parametrize(
    ("value", "kind"), [("true", "DPoP"), ("True", "DPoP"), ("false", "Bearer"), ("", "Bearer"), (None, "Bearer")]
)
def test_tokens_are_bound_where_dpop_says_so(
    plugin_mode: Mode, variables: Variables, authority: Authority, value: str | None, kind: str
) -> None:
    """`true` binds tokens to a key of their own."""
    variables.set(DPOP=value)
    assert kind == plugin_mode.plugin.ClientCredentialsAuth.from_env().get_token().token_type
    assert (kind == "DPoP") == ("dpop" in authority.calls("/token")[0].headers)


@pytest.mark.parametrize("variable", ["DPOP", "PRIVATE_KEY_ID"])
def test_what_is_no_file_may_be_in_one(
    plugin_mode: Mode, variables: Variables, authority: Authority, variable: str
) -> None:
    """As each variable can be: a deployment that mounts all of its settings isn't without bound tokens unnoticed."""
    variables.set(PRIVATE_KEY=text_of(KEYS[0]))
    variables.set_file(variable, b"true\n")
    plugin_mode.plugin.ClientCredentialsAuth.from_env().get_token()
    [call] = authority.calls("/token")
    kid = header_of(call.form["client_assertion"][0]).get("kid")
    assert (variable == "DPOP", variable == "PRIVATE_KEY_ID") == ("dpop" in call.headers, kid == "true")


@pytest.mark.parametrize(
    "name",
    ["ClientCredentialsAuth", "AuthorizationCodeAuth", "DeviceCodeAuth", "PasswordAuth", "RefreshTokenAuth"],
)
def test_each_class_reads_them(plugin_mode: Mode, variables: Variables, name: str) -> None:
    """And the two that take what no variable can hold."""
    variables.set(PRIVATE_KEY=text_of(KEYS[0]), DPOP="true", USERNAME="a", PASSWORD="b", REFRESH_TOKEN="r")
    for auth in (
        getattr(plugin_mode.plugin, name).from_env(),
        plugin_mode.plugin.TokenExchangeAuth.from_env(subject_token="s"),
        plugin_mode.plugin.JwtBearerAuth.from_env(assertion="a"),
    ):
        assert "PrivateKeyJwt" == type(auth._client._method).__name__
        assert SECRET not in repr(auth)
        assert auth._grant._binding is not None


def test_no_client_is_needed_for_assertions_alone(
    plugin_mode: Mode, variables: Variables, authority: Authority
) -> None:
    """`JwtBearerAuth` sends neither id nor header where none is set."""
    variables.set(CLIENT_ID=None)
    plugin_mode.plugin.JwtBearerAuth.from_env(assertion="a").get_token()
    [call] = authority.calls("/token")
    assert {"grant_type", "assertion"} == call.form.keys()
    assert call.authorization is None
    variables.set(PRIVATE_KEY=text_of(KEYS[0]))
    with pytest.raises(ConfigurationError, match=r"needs a client_id.*OAUTH_CLIENT_ID"):
        plugin_mode.plugin.JwtBearerAuth.from_env(assertion="a")


# -- Options win ----------------------------------------------------------------------------------------------------


def test_options_override(plugin_mode: Mode, variables: Variables, authority: Authority) -> None:
    """What's passed wins, even where a variable couldn't be read; None is passed, too."""
    variables.set(
        PRIVATE_KEY="nonsense", CLIENT_ASSERTION_FILE="/nowhere", CLIENT_CERTIFICATE_FILE="/nowhere", DPOP="perhaps"
    )
    options: dict[str, Any] = {"client_auth": None, "client_certificate": None, "dpop": None}
    make = plugin_mode.plugin.ClientCredentialsAuth.from_env
    make(**options).get_token()
    make(**options | {"client_auth": ClientSecretBasic(), "client_secret": "s"}).get_token()
    make(**options | {"dpop": KEYS[0]}).get_token()
    public, secret, bound = authority.calls("/token")
    assert {"grant_type", "client_id"} == public.form.keys()
    assert (secret.authorization or "").startswith("Basic ")
    assert KEYS[0].thumbprint == thumbprint_of(bound.headers["dpop"])


def test_a_secret_that_an_option_leaves_out_contradicts_nothing(plugin_mode: Mode, variables: Variables) -> None:
    """`client_secret=None` is what the program says, whatever the environment has for others."""
    variables.set(PRIVATE_KEY=text_of(KEYS[0]), CLIENT_SECRET="s3cret")
    assert "and OAUTH_CLIENT_SECRET are set: the client proves itself in one way" in refused(plugin_mode)
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env(client_secret=None)
    assert "PrivateKeyJwt" == type(auth._client._method).__name__
    public = plugin_mode.plugin.ClientCredentialsAuth.from_env(client_auth=PublicClient(), client_secret=None)
    assert "PublicClient" == type(public._client._method).__name__


# -- What is wrong --------------------------------------------------------------------------------------------------

CONTRADICTIONS: list[tuple[dict[str, str], str]] = [
    ({"PRIVATE_KEY": text_of(KEYS[0]), "PRIVATE_KEY_FILE": "/k"}, "OAUTH_PRIVATE_KEY and OAUTH_PRIVATE_KEY_FILE are"),
    ({"PRIVATE_KEY_FILE": "/k", "CLIENT_ASSERTION_FILE": "/a"}, "_KEY_FILE and OAUTH_CLIENT_ASSERTION_FILE are set"),
    ({"CLIENT_ASSERTION_FILE": "/a", "CLIENT_SECRET": "s"}, "OAUTH_CLIENT_ASSERTION_FILE and OAUTH_CLIENT_SECRET are"),
    ({"PRIVATE_KEY_FILE": "/k", "CLIENT_SECRET_FILE": "s"}, "OAUTH_PRIVATE_KEY_FILE and OAUTH_CLIENT_SECRET are set"),
    ({"PRIVATE_KEY_ID": "k"}, "OAUTH_PRIVATE_KEY_ID is set, but no private key: set one"),
    ({"PRIVATE_KEY_ID": "k", "CLIENT_ASSERTION_FILE": "/a"}, "OAUTH_PRIVATE_KEY_ID is set, but no private key"),
    ({"CLIENT_CERTIFICATE_KEY_FILE": "/k"}, "OAUTH_CLIENT_CERTIFICATE_KEY_FILE is set, but no certificate: set OAUTH_"),
    ({"PRIVATE_KEY_FILE": "/nowhere/key.pem"}, "OAUTH_PRIVATE_KEY_FILE"),
    ({"PRIVATE_KEY": f"-----BEGIN {SECRET}"}, "OAUTH_PRIVATE_KEY"),
    ({"PRIVATE_KEY": SECRET}, "OAUTH_PRIVATE_KEY"),
    ({"PRIVATE_KEY": json.dumps(KEYS[0].public_jwk)}, r"is a public key.*OAUTH_PRIVATE_KEY"),
    ({"CLIENT_CERTIFICATE_FILE": "/nowhere/cert.pem"}, "OAUTH_CLIENT_CERTIFICATE_FILE"),
    ({"DPOP": "yes"}, "OAUTH_DPOP must be true or false"),
    ({"DPOP": "1"}, "OAUTH_DPOP must be true or false"),
]


@pytest.mark.parametrize(("given", "text"), CONTRADICTIONS, ids=[" ".join(given) for given, _ in CONTRADICTIONS])
def test_what_is_wrong_is_named(plugin_mode: Mode, variables: Variables, given: dict[str, str], text: str) -> None:
    """The error names the variables, and shows no key."""
    for name, value in given.items():
        if name == "CLIENT_SECRET_FILE":
            variables.set_file("CLIENT_SECRET", value.encode())
        else:
            variables.set(**{name: value})
    assert re.search(text, refused(plugin_mode))


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("PRIVATEKEY_FILE", "PRIVATE_KEY_FILE"),
        ("PRIVAT_KEY", "PRIVATE_KEY"),
        ("PRIVATE_KEYID", "PRIVATE_KEY_ID"),
        ("CLIENT_ASSERTION", "CLIENT_ASSERTION_FILE"),
        ("CLIENT_ASERTION_FILE", "CLIENT_ASSERTION_FILE"),
        ("CLIENT_CERTIFICATE", "CLIENT_CERTIFICATE_FILE"),
        ("CLIENT_CERT_KEY_FILE", "CLIENT_CERTIFICATE_KEY_FILE"),
        ("DPOPS", "DPOP"),
    ],
)
def test_a_misspelt_variable_is_named(plugin_mode: Mode, variables: Variables, name: str, meant: str) -> None:
    """Else a client would be sent without its proof, or tokens be unbound, and nobody would know why."""
    variables.set(**{name: "x"})
    assert f"OAUTH_{name} is set: did you mean OAUTH_{meant}?" in refused(plugin_mode)
