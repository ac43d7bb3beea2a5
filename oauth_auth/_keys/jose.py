"""A private key in whatever form it's given, and what it signs (RFC 7515, 7517, 7518 and 8037)."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .._record import Record
from ..errors import ConfigurationError, TokenError
from .secret_file import read_bytes

if TYPE_CHECKING:
    from joserfc.jwk import Key

__all__ = ["PrivateKey", "encode_part", "load_joserfc", "sign_with_secret"]

_BY_CURVE = {"P-256": ("ES256",), "P-384": ("ES384",), "P-521": ("ES512",), "Ed25519": ("EdDSA", "Ed25519")}
_OF_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_SMALLEST_RSA = 2048
_MISSING = 'keys need joserfc: pip install "oauth_auth[jwt]"'


class _Unusable(ValueError):
    """A key that can't be used; the text says why, and holds nothing of it."""


class _Loaded(Record):
    """A key that was read."""

    key: Key
    algorithms: tuple[str, ...]
    """The algorithms that it can sign with, the usual one first."""
    jwk: Mapping[str, Any]
    """The private JWK."""
    source: object
    """What it was read from, such as a file's content."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


def load_joserfc() -> Any:
    """Return joserfc's module of keys; load that of signatures, too. Raises `ImportError` without joserfc.

    Both at once, as soon as it's known that a key will be used: an import that's under way at a fork never ends in the
    child.
    """
    try:
        from joserfc import jwk, jws  # noqa: F401 - see above
    except ImportError as error:
        raise ImportError(_MISSING) from error
    return jwk


class PrivateKey:
    """A private key that signs. Its repr shows nothing of it. Thread-safe.

    `source` is PEM (text, bytes), a JWK (mapping, text), a key of cryptography or joserfc, or the `Path` of a file with
    PEM or JWK, which is read for each signature. `alg` is by default the JWK's, else that of the key's kind.
    Raises `ConfigurationError` for what can't sign, and `ImportError` without joserfc.
    """

    __slots__ = ("_alg", "_kid", "_loaded", "_password", "_path", "_pickled")

    def __init__(
        self, source: object, *, alg: str | None = None, kid: str | None = None, password: str | bytes | None = None
    ) -> None:
        for name, text in (("alg", alg), ("kid", kid)):
            if text is not None and (not isinstance(text, str) or not text):
                raise ConfigurationError(f"{name} must be text that isn't empty, or None")
        if password is not None and (not isinstance(password, str | bytes) or not password):
            raise ConfigurationError("password must be text or bytes that aren't empty, or None")
        self._password = password.encode() if isinstance(password, str) else password
        self._alg, self._kid = alg, kid
        self._path = source.absolute() if isinstance(source, Path) else None
        self._pickled: bytes | None = None
        """What a pickled key is made of."""
        try:
            if self._path is not None:
                source = _read(self._path)
            self._loaded: _Loaded | None = self._check(_load(source, self._password))
        except _Unusable as error:
            where = "private_key" if self._path is None else f"private_key, the file {self._path},"
            raise ConfigurationError(f"{where} {error}") from None

    @property
    def alg(self) -> str:
        """The algorithm that it signs with (RFC 7518 section 3.1)."""
        return self._alg_of(self._now())

    @property
    def jwk(self) -> Mapping[str, Any]:
        """The private JWK, a secret."""
        return self._now().jwk

    @property
    def public_jwk(self) -> dict[str, Any]:
        """The public JWK: what the key consists of, and nothing else."""
        key = self._now().key
        return {"kty": key.key_type, **{name: key.as_dict(private=False)[name] for name in _public_names(key)}}

    @property
    def thumbprint(self) -> str:
        """The SHA-256 thumbprint (RFC 7638)."""
        return self._now().key.thumbprint()

    def sign(self, claims: Mapping[str, Any], header: Mapping[str, Any] | None = None) -> str:
        """Return a signed JWT with these claims (RFC 7519); `header` adds to its header.

        Raises `TokenError`, which is retryable, if the key's file can't be used now.
        """
        loaded = self._now()
        kid = self._kid or loaded.jwk.get("kid")
        head = {"alg": self._alg_of(loaded), **({} if kid is None else {"kid": kid}), **(header or {})}
        message = b".".join((encode_part(head), encode_part(claims)))
        return _signed(message, self._alg_of(loaded), loaded.key)

    def signer(self) -> Callable[[bytes], bytes]:
        """Return what signs with the key as it's now: the fastest way, for a key that signs often."""
        loaded = self._now()
        return partial(_algorithm(self._alg_of(loaded)).sign, key=_ReadyKey(loaded.key))

    def _alg_of(self, loaded: _Loaded) -> str:
        return self._alg or str(loaded.jwk.get("alg") or loaded.algorithms[0])

    def _check(self, loaded: _Loaded) -> _Loaded:
        alg = self._alg_of(loaded)
        if alg not in loaded.algorithms:
            raise _Unusable(f"can't sign with {alg!r}: alg must be {' or '.join(loaded.algorithms)}")
        return loaded

    def _now(self) -> _Loaded:
        """Return the key, read anew if it's in a file. Raises `TokenError`."""
        loaded = self._loaded
        if self._path is None:
            if loaded is None:  # a pickled one
                loaded = self._loaded = _load(self._pickled, None)
            return loaded
        failure: TokenError
        try:
            content = _read(self._path)
            if loaded is None or content != loaded.source:
                # One assignment: another thread may see it at any time.
                loaded = self._loaded = self._check(_load(content, self._password))
        except _Unusable as error:
            failure = TokenError(f"the private key in {self._path} {error}")
        else:
            return loaded
        failure.retryable = True  # whoever replaces it may be at it just now
        raise failure

    def __getstate__(self) -> dict[str, Any]:
        """Keep what the key is made of: its object can't be pickled."""
        pickled = None if self._path is not None else json.dumps(dict(self.jwk)).encode()
        state = {name: getattr(self, name) for name in ("_alg", "_kid", "_password", "_path")}
        return {**state, "_pickled": pickled, "_loaded": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> PrivateKey:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'…' if self._path is None else f'Path({str(self._path)!r})'})"


def encode_part(value: Mapping[str, Any]) -> bytes:
    """Return a JWT's header or claims, encoded (RFC 7515 section 3.1)."""
    return _encode(json.dumps(value, separators=(",", ":")).encode())


def sign_with_secret(secret: str, alg: str, claims: Mapping[str, Any], header: Mapping[str, Any]) -> str:
    """Return a JWT that's signed with a secret. Raises `ImportError` without joserfc."""
    key = load_joserfc().OctKey(secret.encode(), None)  # a secret of any length and look: it's the server's choice
    return _signed(b".".join((encode_part({"alg": alg, **header}), encode_part(claims))), alg, key)


def _signed(message: bytes, alg: str, key: Any) -> str:
    """Return a message, which has the encoded header and claims, with its signature."""
    signature = _algorithm(alg).sign(message, key)
    return f"{message.decode()}.{_encode(signature).decode()}"


def _algorithm(alg: str) -> Any:
    from joserfc.jws import JWSRegistry

    # Not by `get_alg`, which warns of the name EdDSA, the one that most servers know.
    return JWSRegistry.algorithms[alg]


class _ReadyKey:
    """A key as joserfc's algorithms see it, which is known to be good for signing: else each signature checks that."""

    __slots__ = ("_native", "curve_key_size")

    def __init__(self, key: Any) -> None:
        self._native = key.get_op_key("sign")
        self.curve_key_size = getattr(key, "curve_key_size", None)

    def get_op_key(self, _: str) -> Any:
        return self._native


def _encode(value: bytes) -> bytes:
    return base64.urlsafe_b64encode(value).rstrip(b"=")


def _read(path: Path) -> bytes:
    try:
        return read_bytes(path, again=True)
    except ValueError as error:
        raise _Unusable(str(error)) from None


def _load(source: object, password: bytes | None) -> _Loaded:
    """Return the key in any form. Raises `_Unusable`."""
    jwk = load_joserfc()
    classes: dict[str, Any] = {"RSA": jwk.RSAKey, "EC": jwk.ECKey, "OKP": jwk.OKPKey}
    fields = _fields_of(source)
    if fields is None:
        native = _native_key(source, password)
        kind = next((name for name, cls in classes.items() if cls.binding.check_cryptography_key(native)), None)
        if kind is None:
            raise _Unusable("is of an unknown kind: RSA, P-256, P-384, P-521 and Ed25519 keys can be used")
        key: Key = classes[kind](native, native)
    else:
        if password is not None:
            raise _Unusable("is a JWK, which has no password: leave it out")
        kind = fields.get("kty")
        if kind == "oct":
            raise _Unusable("is symmetric, so it's a secret: pass it as client_secret, with ClientSecretJwt()")
        if not isinstance(kind, str) or kind not in classes:
            raise _Unusable("is a JWK of an unknown kty: RSA, EC and OKP can be used")
        if "d" not in fields:
            raise _Unusable("is a public key: pass the private one")
        try:
            key = classes[kind].import_key(dict(fields))
        except Exception:  # noqa: BLE001 - many kinds, whose texts may hold the key
            raise _Unusable("is a JWK that can't be read") from None
        if "sign" not in fields.get("key_ops", ("sign",)):
            raise _Unusable("is a JWK that isn't for signing, as its key_ops say")
    return _Loaded(key, _algorithms_of(key), key.as_dict(private=True), source)


def _fields_of(source: object) -> Mapping[str, Any] | None:
    """Return the fields of a JWK; None if it's none."""
    if isinstance(source, Mapping):
        return source
    if hasattr(source, "as_dict"):  # joserfc's
        fields = source.as_dict(private=bool(getattr(source, "is_private", False)))
        return fields if isinstance(fields, Mapping) else None
    if isinstance(source, str | bytes) and source[:1] in {"{", b"{"}:
        try:
            fields = json.loads(source)
        except (ValueError, RecursionError):
            raise _Unusable("is a JWK that can't be read") from None
        return fields if isinstance(fields, dict) else None
    return None


def _native_key(source: object, password: bytes | None) -> Any:
    """Return the key of cryptography that this is, or that's in PEM. Raises `_Unusable`."""
    if not isinstance(source, str | bytes):
        if hasattr(source, "private_bytes"):
            return source
        if hasattr(source, "public_bytes"):
            raise _Unusable("is a public key: pass the private one")
        raise _Unusable(
            f"must be PEM, a JWK, a key of cryptography or joserfc, or the Path of a file, not {type(source).__name__}"
        )
    raw = source.encode() if isinstance(source, str) else source
    if b"PRIVATE KEY" not in raw:
        if b"PUBLIC KEY" in raw or b"CERTIFICATE" in raw:
            raise _Unusable("is a public key: pass the private one")
        hint = ": write Path(…) for a file" if isinstance(source, str) and len(source) < 500 else ""
        raise _Unusable(f"is neither PEM of a private key nor a JWK{hint}")
    from cryptography.hazmat.primitives import serialization

    load = serialization.load_pem_private_key
    if b"OPENSSH PRIVATE" in raw:
        load = serialization.load_ssh_private_key
    try:
        return load(raw, password)
    except TypeError:  # that's how cryptography says it
        reason = "is encrypted: pass its password" if password is None else "isn't encrypted: leave the password out"
    except Exception:  # noqa: BLE001 - many kinds, whose texts may hold the key
        reason = "can't be read" if password is None else "can't be read: is the password right?"
    raise _Unusable(reason)


def _algorithms_of(key: Any) -> tuple[str, ...]:
    if key.key_type == "RSA":
        if key.raw_value.key_size < _SMALLEST_RSA:
            raise _Unusable(f"has {key.raw_value.key_size} bits: RSA keys must have {_SMALLEST_RSA} or more (RFC 7518)")
        return _OF_RSA
    if key.curve_name not in _BY_CURVE:
        raise _Unusable(f"is of the curve {key.curve_name}: P-256, P-384, P-521 and Ed25519 can be used")
    return _BY_CURVE[key.curve_name]


def _public_names(key: Any) -> tuple[str, ...]:
    return {"RSA": ("n", "e"), "EC": ("crv", "x", "y"), "OKP": ("crv", "x")}[key.key_type]
