"""Signed authorization requests (RFC 9101): what is in one, and for how long it's good."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from joserfc import jwk, jwt

from oauth_auth import ConfigurationError, DPoPKey, RequestObject, TokenError
from oauth_auth._wire.token_request import Attempt
from tests.support.jwts import claims_of, header_of

KEY = DPoPKey.generate()
URL, ISSUER = "https://auth.example/authorize", "https://auth.example"
NOW = Attempt(URL, ISSUER, 1000.9)


def signed(*parameters: tuple[str, str], attempt: Attempt = NOW, **options: Any) -> str:
    return RequestObject(KEY.private_jwk, **options).sign(parameters, "client", attempt)


def claims(*parameters: tuple[str, str], **options: Any) -> dict[str, Any]:
    return claims_of(signed(*parameters, **options))


def test_who_made_it_and_whom_it_is_for() -> None:
    """It says so, of which kind it is, and from when to when it's good; the key verifies it; no two are the same."""
    text = signed(("client_id", "client"), ("scope", "a b"))
    assert {"alg": "ES256", "typ": "oauth-authz-req+jwt"} == header_of(text)
    found = claims_of(text)
    identifier = found.pop("jti")
    assert {
        "client_id": "client",
        "scope": "a b",
        "iss": "client",
        "aud": ISSUER,
        "iat": 1000,
        "nbf": 990,
        "exp": 1300,
    } == found
    assert found.keys() < jwt.decode(text, jwk.import_key(KEY.public_jwk), algorithms=["ES256"]).claims.keys()
    assert 20 == len({identifier, *(claims()["jti"] for _ in range(19))})


def test_the_key_has_its_name() -> None:
    """`kid` and `alg` are as given, else the JWK's."""
    assert "k" == header_of(signed(kid="k"))["kid"]
    named = RequestObject({**KEY.private_jwk, "kid": "own"}, alg="ES256").sign([], "client", NOW)
    assert {"alg": "ES256", "kid": "own", "typ": "oauth-authz-req+jwt"} == header_of(named)


@pytest.mark.parametrize("issuer", [ISSUER, None])
def test_an_audience_that_is_given_wins(issuer: str | None) -> None:
    """Over the issuer, or in place of one that isn't known."""
    assert "https://own.example" == claims(attempt=Attempt(URL, issuer, 1.0), audience="https://own.example")["aud"]


@pytest.mark.parametrize(("lifetime", "seconds"), [(60, 60), (0.1, 1), (299.6, 300), (3600, 3590)])
def test_it_is_good_for_an_hour_at_most(lifetime: float, seconds: int) -> None:
    """From its beginning, which is a moment ago (FAPI 2.0 Message Signing, section 5.3.1)."""
    found = claims(lifetime=lifetime)
    assert seconds == found["exp"] - found["iat"]
    assert found["exp"] - found["nbf"] <= 3600


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ([("resource", "https://a.example")], {"resource": "https://a.example"}),
        ([("resource", "a:"), ("resource", "b:")], {"resource": ["a:", "b:"]}),
        ([("resource", "a:"), ("x", "1"), ("resource", "b:"), ("resource", "c:")], {"resource": ["a:", "b:", "c:"]}),
        ([("authorization_details", '[{"type": "a", "b": 1}]')], {"authorization_details": [{"type": "a", "b": 1}]}),
        ([("claims", '{"userinfo": {"email": null}}')], {"claims": {"userinfo": {"email": None}}}),
        ([("authorization_details", "no JSON")], {"authorization_details": "no JSON"}),
        ([("max_age", "300")], {"max_age": 300}),
        ([("max_age", "soon")], {"max_age": "soon"}),
        ([("acr_values", "1"), ("login_hint", "{}")], {"acr_values": "1", "login_hint": "{}"}),
    ],
)
def test_parameters_are_as_json_has_them(parameters: list[tuple[str, str]], expected: dict[str, Any]) -> None:
    """Repeated ones are arrays, and what is JSON or a number is one (RFC 9101 section 4)."""
    found = claims(*parameters)
    assert expected == {name: found[name] for name in expected}


def test_no_parameter_says_for_whom_it_is() -> None:
    """What the request object itself says can't be changed by a parameter."""
    found = claims(*((name, "0") for name in ("iss", "aud", "iat", "nbf", "exp", "jti")))
    assert ("client", ISSUER, 1000, 990, 1300) == tuple(found[name] for name in ("iss", "aud", "iat", "nbf", "exp"))
    assert "0" != found["jti"]


def test_a_key_in_a_file_is_read_each_time(tmp_path: Path) -> None:
    """A key that's rotated signs at once; one that can't be read just now is an error that may pass."""
    file = tmp_path / "key.jwk"
    for key in (KEY, DPoPKey.generate()):
        file.write_text(json.dumps(key.private_jwk))
        signs = RequestObject(file)
        jwt.decode(signs.sign([], "client", NOW), jwk.import_key(key.public_jwk), algorithms=["ES256"])
    file.unlink()
    with pytest.raises(TokenError, match="can't be read") as caught:
        signs.sign([], "client", NOW)
    assert caught.value.retryable


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"lifetime": 3600.5}, "at most 3600 seconds"),
        ({"lifetime": 0}, "lifetime must be"),
        ({"lifetime": "300"}, "lifetime must be"),
        ({"audience": ""}, "audience must be"),
        ({"audience": ["a"]}, "audience must be"),
        ({"alg": "RS256"}, "alg"),
        ({"alg": "none"}, "alg"),
        ({"password": "hunter2"}, "has no password"),
    ],
)
def test_what_can_not_be_is_refused(options: dict[str, Any], text: str) -> None:
    """At construction, by a `ConfigurationError` without the key."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        signed(**options)
    assert KEY.private_jwk["d"] not in f"{caught.value}{caught.value!r}"


@pytest.mark.parametrize("double", [copy.copy, copy.deepcopy, lambda signs: pickle.loads(pickle.dumps(signs))])
def test_copies_sign_as_well(double: Callable[[Any], Any]) -> None:
    """And none shows its key."""
    signs = double(RequestObject(KEY.private_jwk, audience="a", lifetime=60))
    found = claims_of(signs.sign([], "client", NOW))
    assert ("a", 1060) == (found["aud"], found["exp"])
    assert "RequestObject(…)" == repr(signs)
