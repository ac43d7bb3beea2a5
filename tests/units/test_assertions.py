"""Assertions: what they say, whom they are for, and that no two are the same."""

from __future__ import annotations

import base64
import copy
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from oauth_auth import ConfigurationError, TokenError
from oauth_auth._keys.assertions import ClientAssertion, ClientSecretJwt, JwtAssertion, PrivateKeyJwt
from oauth_auth._wire.token_request import Attempt, PerAttempt

KEY = ec.generate_private_key(ec.SECP256R1())
URL, ISSUER = "https://auth.example/token", "https://auth.example"
JWT_BEARER = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def attempt(url: str = URL, issuer: str | None = ISSUER, wall: float = 1000.5) -> Attempt:
    return Attempt(url, issuer, wall)


def part(text: str, number: int) -> Any:
    """Return the header (0) or the claims (1) of a JWT."""
    encoded = text.split(".")[number]
    return json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))


def made(method: Any, at: Attempt, secret: str | None = None) -> str:
    """Return an assertion that authenticates the client."""
    field = method.authenticate("client", secret).fields["client_assertion"]
    assert isinstance(field, PerAttempt)
    return field.make(at)


SIGNED: dict[str, tuple[Callable[..., Any], str | None]] = {
    "PrivateKeyJwt": (lambda **options: PrivateKeyJwt(KEY, **options), None),
    "ClientSecretJwt": (ClientSecretJwt, "secret"),
}


@pytest.mark.parametrize("name", SIGNED)
def test_what_an_assertion_says(name: str) -> None:
    """It names the client, whom it's for, and how long it's good for; no two have the same identifier."""
    make, secret = SIGNED[name]
    method = make()
    parameters = method.authenticate("client", secret)
    assert (None, "client", JWT_BEARER) == (
        parameters.authorization,
        parameters.fields["client_id"],
        parameters.fields["client_assertion_type"],
    )
    texts = [made(method, attempt(), secret) for _ in range(50)]
    claims = part(texts[0], 1)
    identifier = claims.pop("jti")
    assert {"iss": "client", "sub": "client", "aud": ISSUER, "iat": 1000, "exp": 1060} == claims
    assert "JWT" == part(texts[0], 0)["typ"]
    assert 50 == len({part(text, 1)["jti"] for text in texts})
    assert len(identifier) >= 20


@pytest.mark.parametrize(
    ("options", "issuer", "to_url", "audience"),
    [
        ({}, ISSUER, False, ISSUER),
        ({}, ISSUER, True, URL),
        ({}, None, False, URL),
        ({}, None, True, URL),
        ({"audience": "https://named.example"}, ISSUER, False, "https://named.example"),
        ({"audience": "https://named.example"}, None, True, "https://named.example"),
    ],
)
@pytest.mark.parametrize("name", SIGNED)
def test_whom_it_is_for(name: str, options: dict[str, Any], issuer: str | None, to_url: bool, audience: str) -> None:
    """The issuer if it's known, else the URL that is called; who is named wins."""
    make, secret = SIGNED[name]
    field = make(**options).authenticate_for("client", secret, to_url=to_url).fields["client_assertion"]
    assert audience == part(field.make(attempt(issuer=issuer)), 1)["aud"]


def test_what_the_user_adds() -> None:
    """Claims and header fields are added, and no assertion leaves anything in what was given."""
    claims, header = {"tenant": "t"}, {"x5t#S256": "digest"}
    method = PrivateKeyJwt(KEY, claims=claims, header=header, kid="k", lifetime=5.0)
    text = made(method, attempt())
    assert {"typ": "JWT", "alg": "ES256", "kid": "k", "x5t#S256": "digest"} == part(text, 0)
    assert ("t", 1005) == (part(text, 1)["tenant"], part(text, 1)["exp"])
    assert ({"tenant": "t"}, {"x5t#S256": "digest"}) == (claims, header)


@pytest.mark.parametrize("take", [copy.deepcopy, lambda method: pickle.loads(pickle.dumps(method))])
def test_copies_prove_as_well(take: Callable[[Any], Any]) -> None:
    """A method survives pickling, as its auth object does."""
    assert "client" == part(made(take(PrivateKeyJwt(KEY)), attempt()), 1)["iss"]
    assert "client" == part(made(take(ClientSecretJwt()), attempt(), "secret"), 1)["iss"]


# -- Those that somebody else makes ---------------------------------------------------------------------------------


def test_a_projected_token_is_read_for_each_attempt(tmp_path: Path) -> None:
    """A file holds the next assertion by then; it may be missing until it's needed."""
    file = tmp_path / "token"
    method = ClientAssertion(file, assertion_type="urn:x")
    with pytest.raises(TokenError, match=r"the client assertion is in the file .*token that can't be read") as caught:
        made(method, attempt())
    assert caught.value.retryable
    for text in ("one", "two"):
        file.write_text(f" {text}\n\n")
        assert text == made(method, attempt())
    assert "urn:x" == method.authenticate("client", None).fields["client_assertion_type"]
    for nothing in ("", " \n\n"):
        file.write_text(nothing)
        with pytest.raises(TokenError, match="with nothing in it"):
            made(method, attempt())
    file.unlink()
    os.mkfifo(file)  # which isn't waited for
    with pytest.raises(TokenError, match="no regular file"):
        made(method, attempt())


def test_a_function_is_the_users_code() -> None:
    """It's called for each attempt, and known to be the user's."""
    texts = iter(("one", "two"))
    field: Any = ClientAssertion(lambda: next(texts)).authenticate("client", None).fields["client_assertion"]
    assert field.runs_code
    assert ["one", "two"] == [field.make(attempt()), field.make(attempt())]


# -- For grants -----------------------------------------------------------------------------------------------------


def test_an_assertion_for_a_grant() -> None:
    """Who signs vouches for the subject, for the issuer itself by default, for five minutes."""
    claims = part(JwtAssertion(KEY, issuer="sa@x", claims={"scope": "s"}).field().make(attempt()), 1)
    assert ("sa@x", "sa@x", ISSUER, 1300, "s") == tuple(claims[name] for name in ("iss", "sub", "aud", "exp", "scope"))
    claims = part(JwtAssertion(KEY, issuer="sa@x", subject="alice").field().make(attempt(issuer=None)), 1)
    assert ("sa@x", "alice", URL) == tuple(claims[name] for name in ("iss", "sub", "aud"))


# -- Bad input ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda: PrivateKeyJwt(KEY).authenticate("client", "secret"), "PrivateKeyJwt sends no client_secret"),
        (lambda: ClientAssertion(Path("x")).authenticate("client", "s"), "ClientAssertion sends no client_secret"),
        (lambda: ClientSecretJwt().authenticate("client", None), "ClientSecretJwt needs a client_secret"),
        (lambda: ClientSecretJwt(alg="ES256"), "alg must be HS256 .* PrivateKeyJwt"),
        (lambda: ClientSecretJwt(alg="none"), "alg must be HS256"),
        (lambda: ClientAssertion("eyJ"), "must be the Path of a file, or a function: a text would soon expire"),  # type: ignore[arg-type]
        (lambda: ClientAssertion(5), "not int"),  # type: ignore[arg-type]
        (lambda: ClientAssertion(str), "not type"),
        (lambda: ClientAssertion(Path("x"), assertion_type=""), "assertion_type must be text"),
        (lambda: PrivateKeyJwt(KEY, audience=""), "audience must be text"),
        (lambda: PrivateKeyJwt(KEY, lifetime=0), "lifetime must be more than 0"),
        (lambda: PrivateKeyJwt(KEY, lifetime="60"), "lifetime must be a number"),  # type: ignore[arg-type]
        (lambda: PrivateKeyJwt(KEY, claims=[1]), "claims must be a mapping"),  # type: ignore[arg-type]
        (lambda: PrivateKeyJwt(KEY, claims={"x": object()}), "claims must be what JSON can carry"),
        (lambda: PrivateKeyJwt(KEY, header={5: 5}), "header must be a mapping"),  # type: ignore[dict-item]
        (lambda: JwtAssertion(KEY, issuer=""), "issuer must be text"),
        (lambda: JwtAssertion(KEY, issuer="x", subject=""), "subject must be text"),
    ],
)
def test_what_can_not_be_is_refused(make: Callable[[], Any], text: str) -> None:
    """It's a `ConfigurationError` that says what to write instead."""
    with pytest.raises(ConfigurationError, match=text):
        make()
