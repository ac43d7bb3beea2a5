"""Private keys in each form, what can't be one, and what becomes of a file while the program runs."""

from __future__ import annotations

import copy
import json
import os
import pickle
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, ed25519, rsa, x25519
from joserfc import jwk, jws

from oauth_auth import ConfigurationError, TokenError
from oauth_auth._keys import jose
from oauth_auth._keys.jose import PrivateKey, sign_with_secret

PASSWORD = "correct horse"
NATIVE: dict[str, Any] = {
    "RS256": rsa.generate_private_key(65537, 2048),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
}
P256, RSA = NATIVE["ES256"], NATIVE["RS256"]


def pem(key: Any, password: str | None = None, *, form: str = "PKCS8") -> bytes:
    encryption: Any = serialization.NoEncryption()
    if password is not None:
        encryption = serialization.BestAvailableEncryption(password.encode())
    return key.private_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM, getattr(serialization.PrivateFormat, form), encryption
    )


def public_pem(key: Any) -> bytes:
    return key.public_key().public_bytes(  # type: ignore[no-any-return]
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def fields(key: Any, **more: Any) -> dict[str, Any]:
    """Return the private JWK."""
    return {**of_joserfc(key).as_dict(private=True), **more}


def of_joserfc(key: Any) -> Any:
    """Return the key as joserfc has it."""
    if isinstance(key, rsa.RSAPrivateKey):
        return jwk.RSAKey.import_key(pem(key))
    return (jwk.OKPKey if isinstance(key, ed25519.Ed25519PrivateKey) else jwk.ECKey).import_key(pem(key))


FORMS: dict[str, Callable[[Any], Any]] = {
    "PEM": pem,
    "PEM as text": lambda key: pem(key).decode(),
    "JWK": fields,
    "JWK as text": lambda key: json.dumps(fields(key)),
    "of cryptography": lambda key: key,
    "of joserfc": of_joserfc,
}


def verified(text: str, key: PrivateKey, alg: str) -> Any:
    """Return header and claims of what the key has signed."""
    registry = jws.JWSRegistry(algorithms=[alg], strict_check_header=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # EdDSA, the name
        found = jws.deserialize_compact(text, jwk.import_key(key.public_jwk), registry=registry)
    return found.headers(), json.loads(found.payload)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("alg", NATIVE)
def test_each_form_of_each_kind(alg: str, form: str) -> None:
    """Whatever form a key comes in, it's the same, and signs what its public half verifies."""
    key = PrivateKey(FORMS[form](NATIVE[alg]))
    assert (alg, of_joserfc(NATIVE[alg]).thumbprint()) == (key.alg, key.thumbprint)
    assert ({"alg": alg, "typ": "x"}, {"a": "ä"}) == verified(key.sign({"a": "ä"}, {"typ": "x"}), key, alg)
    assert not {"d", "p", "q", "dp", "dq", "qi"} & key.public_jwk.keys()
    assert "…" in repr(key)


@pytest.mark.parametrize("form", ["PKCS8", "TraditionalOpenSSL", "OpenSSH"])
def test_each_form_of_pem(form: str) -> None:
    """PEM may be encrypted, and of any age."""
    for password in (None,) if form == "OpenSSH" else (None, PASSWORD):  # which needs one more package
        key = PrivateKey(pem(P256, password, form=form), password=password)
        assert PrivateKey(P256).thumbprint == key.thumbprint


def test_what_a_jwk_says_counts() -> None:
    """Its `alg` and `kid` do, unless others are given."""
    source = fields(RSA, alg="PS256", kid="one")
    assert {"alg": "PS256", "kid": "one"} == verified(PrivateKey(source).sign({}), PrivateKey(RSA), "PS256")[0]
    given = PrivateKey(source, alg="RS512", kid="two")
    assert {"alg": "RS512", "kid": "two"} == verified(given.sign({}), given, "RS512")[0]


@pytest.mark.parametrize("take", [copy.copy, copy.deepcopy, lambda key: pickle.loads(pickle.dumps(key))])
@pytest.mark.parametrize("in_file", [False, True])
def test_copies_sign(take: Callable[[PrivateKey], PrivateKey], in_file: bool, tmp_path: Path) -> None:
    """Copies and pickles are the same key; of a file they read the file."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(P256, PASSWORD))
    key = PrivateKey(file, password=PASSWORD, kid="k") if in_file else PrivateKey(P256, kid="k")
    twice = take(take(key))
    assert key.thumbprint == twice.thumbprint
    assert {"alg": "ES256", "kid": "k"} == verified(twice.sign({}), key, "ES256")[0]
    if in_file:
        file.write_bytes(pem(RSA))
        with pytest.raises(TokenError, match="isn't encrypted"):
            twice.sign({})


SECRET = fields(P256)["d"]
SMALL = rsa.generate_private_key(65537, 1024)


REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    (public_pem(P256), {}, "is a public key: pass the private one"),
    (P256.public_key(), {}, "is a public key"),
    (jwk.import_key(public_pem(P256), "EC"), {}, "is a public key"),
    ({k: v for k, v in fields(P256).items() if k != "d"}, {}, "is a public key"),
    ({"kty": "oct", "k": SECRET}, {}, "is symmetric, .* ClientSecretJwt"),
    (jwk.OctKey.import_key(SECRET), {}, "is symmetric"),
    ({"kty": "XYZ", "d": SECRET}, {}, "is a JWK of an unknown kty"),
    ({**fields(P256), "x": SECRET}, {}, "is a JWK that can't be read"),
    ("{" + SECRET, {}, "is a JWK that can't be read"),
    (fields(P256), {"password": PASSWORD}, "is a JWK, which has no password"),
    (pem(P256, PASSWORD), {}, "is encrypted: pass its password"),
    (pem(P256, PASSWORD), {"password": "wrong"}, "can't be read: is the password right"),
    (pem(P256), {"password": PASSWORD}, "isn't encrypted: leave the password out"),
    (pem(P256)[:-60], {}, "can't be read"),
    ("key.pem", {}, r"is neither PEM of a private key nor a JWK: write Path\(…\) for a file"),
    (b"", {}, "is neither PEM"),
    (5, {}, "must be PEM, a JWK, .* not int"),
    (None, {}, "must be PEM, a JWK, .* not NoneType"),
    (SMALL, {}, "has 1024 bits"),
    (ed448.Ed448PrivateKey.generate(), {}, "is of the curve Ed448"),
    (x25519.X25519PrivateKey.generate(), {}, "is of the curve X25519"),
    (ec.generate_private_key(ec.SECP256K1()), {}, "is of the curve secp256k1"),
    (P256, {"alg": "RS256"}, "can't sign with 'RS256': alg must be ES256"),
    (P256, {"alg": "none"}, "can't sign with 'none'"),
    (RSA, {"alg": "HS256"}, "can't sign with 'HS256'"),
    (fields(P256, alg="ES384"), {}, "can't sign with 'ES384'"),
    (P256, {"alg": 5}, "alg must be text"),
    (P256, {"kid": ""}, "kid must be text"),
    (fields(P256, kty=["EC"]), {}, "a JWK of an unknown kty"),
    (fields(P256, key_ops=["verify"]), {}, "isn't for signing, as its key_ops say"),
    (P256, {"password": 5}, "password must be text or bytes"),
    (Path("/nowhere/key.pem"), {}, r"the file /nowhere/key\.pem, can't be read: No such file"),
    (Path("/"), {}, "the file /, can't be read: Is a directory"),
]


@pytest.mark.parametrize(("source", "options", "text"), REFUSED, ids=[text for _, _, text in REFUSED])
def test_what_can_not_sign_is_refused(source: Any, options: dict[str, Any], text: str) -> None:
    """It's a `ConfigurationError` that says why, and shows no key."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        PrivateKey(source, **options)
    shown = "".join(traceback.format_exception(caught.value))
    assert SECRET not in shown
    assert caught.value.__cause__ is None


def test_a_file_is_read_for_each_signature(tmp_path: Path) -> None:
    """Another key in it is used from then on, behind a link that's swapped, too."""
    for name, key in (("one", P256), ("two", RSA)):
        (tmp_path / name).write_bytes(pem(key))
    link = tmp_path / "key"
    link.symlink_to(tmp_path / "one")
    key = PrivateKey(link)
    assert ("ES256", PrivateKey(P256).thumbprint) == (key.alg, key.thumbprint)
    (tmp_path / "next").symlink_to(tmp_path / "two")
    (tmp_path / "next").rename(link)
    assert ("RS256", PrivateKey(RSA).thumbprint) == (key.alg, key.thumbprint)
    assert {"alg": "RS256"} == verified(key.sign({}), PrivateKey(RSA), "RS256")[0]


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (Path.unlink, "can't be read: No such file"),
        (lambda file: file.write_bytes(b""), "is neither PEM"),
        (lambda file: file.write_bytes(pem(P256)[:100]), "can't be read"),
        (lambda file: file.write_bytes(pem(RSA)), "can't sign with 'ES256'"),
        (lambda file: file.write_bytes(b"x" * 100_000), "is longer than"),
    ],
)
def test_a_file_that_can_not_be_used_for_a_moment(spoil: Callable[[Path], Any], text: str, tmp_path: Path) -> None:
    """It's a retryable `TokenError` that names the file; once the file is good again, so is the key."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(P256))
    key = PrivateKey(file, alg="ES256")
    spoil(file)
    with pytest.raises(TokenError, match=text) as caught:
        key.sign({})
    assert (True, True) == (caught.value.retryable, str(file) in str(caught.value))
    file.write_bytes(pem(P256))
    assert {"alg": "ES256"} == verified(key.sign({}), key, "ES256")[0]


def test_a_pipe_in_place_of_a_file_is_not_waited_for(tmp_path: Path) -> None:
    """Nobody may ever write to it, and what was read of it once is gone: it's refused, at first and later."""
    file = tmp_path / "key.pem"
    os.mkfifo(file)
    with pytest.raises(ConfigurationError, match="no regular file"):
        PrivateKey(file)
    file.unlink()
    file.write_bytes(pem(P256))
    key = PrivateKey(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(TokenError, match="no regular file"):
        key.sign({})


def test_threads_that_sign_while_a_key_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who has read the new file doesn't sign with the old key, though another has taken the new one in meanwhile."""
    file = tmp_path / "key.pem"
    file.write_bytes(pem(P256))
    key, read = PrivateKey(file), jose._read

    def read_and_be_overtaken(path: Path) -> bytes:
        monkeypatch.setattr(jose, "_read", read)
        file.write_bytes(pem(RSA))
        key.sign({})
        return read(path)

    monkeypatch.setattr(jose, "_read", read_and_be_overtaken)
    assert {"alg": "RS256"} == verified(key.sign({}), PrivateKey(RSA), "RS256")[0]


def test_a_secret_signs() -> None:
    """A JWT that's signed with a secret is what joserfc verifies, whatever the secret looks like."""
    for secret in ("s", "-----BEGIN PUBLIC KEY-----", "ä" * 40):
        text = sign_with_secret(secret, "HS256", {"a": 1}, {"typ": "JWT"})
        found = jws.deserialize_compact(text, jwk.OctKey(secret.encode(), None), algorithms=["HS256"])
        assert ({"alg": "HS256", "typ": "JWT"}, b'{"a":1}') == (found.headers(), found.payload)
