"""A client's certificate (RFC 8705): its files, and TLS contexts that show what is in them now.

OpenSSL loads a certificate and its key from files into a context, one after the other. Hence what is done here: a pair
is tried before any context in use takes it, since one that doesn't fit leaves a context with no key at all; and no
connection is begun meanwhile, since OpenSSL, which doesn't lock contexts, would crash the process.
"""

from __future__ import annotations

import hashlib
import ssl
import threading
import weakref
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Any, Self

from .._lazy import hold_across_forks
from ..errors import ConfigurationError, TokenError

__all__ = ["ClientCertificate"]

_MAX_BYTES = 1024 * 1024
_TRIES = 3
"""How often files are read that change meanwhile: a swapped symlink changes both at once, but not between two reads."""
_FOREIGN = {"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED", "NO_PRIVATE_KEY_ASSIGNED"}
"""What OpenSSL says of a key and a certificate that don't belong together."""

_lock = threading.RLock()
"""Guards the certificates of contexts in use: held for a millisecond, never across a handshake."""

hold_across_forks(_lock)


class _Unusable(ValueError):
    """Files that can't be used; the text says which and why, and holds nothing of them."""


class _Password(bytes):
    """A password that tracebacks don't show."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "'…'"


class _Following(ssl.SSLContext):
    """A context that was given out. Its certificate isn't exchanged while a connection is made from it."""

    # Where all connections of the `ssl` module are made, before their handshake: nothing public is as short.

    def _wrap_socket(self, *args: Any, **options: Any) -> Any:
        with _lock:
            return super()._wrap_socket(*args, **options)  # type: ignore[misc]

    def _wrap_bio(self, *args: Any, **options: Any) -> Any:
        with _lock:
            return super()._wrap_bio(*args, **options)  # type: ignore[misc]


class ClientCertificate:
    """A client's certificate and its private key, in PEM files that each token call reads anew (RFC 8705).

    `certificate` is the path of a file with the certificate, and those that lead to its authority; `private_key` that
    of its key, which may be in the same file; `password` is the key's. Give the object to an auth class as
    `client_certificate`, and what it makes to the client that calls the API. Whoever replaces the files should keep
    the kind of key, RSA or EC: a context that has shown an EC certificate prefers it to an RSA one.

    Raises `ConfigurationError` for files that can't be read, or that don't belong together. Thread-safe. Copies are the
    same object; a pickled one has the paths and the password.
    """

    __slots__ = ("__weakref__", "_certificate", "_given", "_own", "_password", "_private_key", "_shown")
    _shown: bytes | None
    """A digest of what was read last, which is shown by what was given out."""
    _given: weakref.WeakSet[ssl.SSLContext]
    _own: dict[Any, tuple[bytes, Hashable, ssl.SSLContext]]

    def __init__(
        self,
        certificate: str | Path,
        private_key: str | Path | None = None,
        *,
        password: str | bytes | None = None,
    ) -> None:
        hidden = _hide(password)
        del password  # tracebacks may show it
        certificate = _path("certificate", certificate)
        key = certificate if private_key is None else _path("private_key", private_key)
        self.__setstate__((certificate, key, hidden))
        try:
            self._follow()
        except _Unusable as error:
            raise ConfigurationError(f"the client certificate can't be used: {error}") from None

    @property
    def files(self) -> tuple[str, str]:
        """The paths of certificate and key, as `requests` and `niquests` take them for `session.cert`.

        They're read for each new connection. `requests` takes no password there: with one, mount an adapter that has
        `ssl_context()`.
        """
        return self._certificate, self._private_key

    def ssl_context(self) -> ssl.SSLContext:
        """Return a new TLS context for clients, which shows the certificate and trusts whom Python trusts by default.

        Once the files have changed, its next connections show what is in them from the next token call on. Raises
        `TokenError`, which is retryable, if the files can't be used now.
        """
        context = ssl.create_default_context()
        context.__class__ = _Following
        context.post_handshake_auth = True  # some servers ask for a certificate when they know what is asked for
        self._given.add(context)
        self._read_anew(context)
        return context

    def _context_for_calls(self, make: Callable[[], ssl.SSLContext], trust: Hashable) -> ssl.SSLContext:
        """Return a context for token calls, one that `make` has made, which shows what the files hold now.

        It's kept while they and `trust` stay the same, since making one takes longer than most calls. Contexts that
        were given out follow. Raises `TokenError`, which is retryable, if the files can't be used now.
        """
        shown = self._read_anew()
        kept = self._own.get(make)
        if kept is None or kept[:2] != (shown, trust):
            context = make()
            context.post_handshake_auth = True
            kept = self._own[make] = self._read_anew(context), trust, context
        return kept[2]

    def _read_anew(self, *new: ssl.SSLContext) -> bytes:
        """See `_follow`. Raises `TokenError`, which is retryable."""
        try:
            return self._follow(*new)
        except _Unusable as error:
            failure = TokenError(f"the client certificate can't be used: {error}")
        failure.retryable = True  # whoever replaces it may be at it just now
        raise failure

    def _follow(self, *new: ssl.SSLContext) -> bytes:
        """Have these contexts, and those that were given out, show what the files hold now; return a digest of that.

        Raises `_Unusable`; what was given out then shows what it did before.
        """
        for _ in range(_TRIES):
            try:
                digest = self._digest()
                known = () if digest == self._shown else (_scratch(), *self._given)
                with _lock:
                    for context in (*known, *new):
                        self._load(context)
            except _Unusable as error:
                failure = error
            else:
                self._shown = digest  # older than what was loaded, if that has just changed: it's loaded again then
                return digest
        raise failure

    def _digest(self) -> bytes:
        digest = hashlib.sha256()
        for path in self.files:
            try:
                with Path(path).open("rb") as file:
                    digest.update(file.read(_MAX_BYTES))
            except (OSError, ValueError) as error:
                raise _Unusable(f"{path} can't be read: {getattr(error, 'strerror', error)}") from None
        return digest.digest()

    def _load(self, context: ssl.SSLContext) -> None:
        """Have a context show what the files hold. Raises `_Unusable`."""
        was_asked = False

        def password() -> bytes:  # without one, OpenSSL would ask on the terminal
            nonlocal was_asked
            was_asked = True
            return self._password or b""

        try:
            context.load_cert_chain(*self.files, password)
        except (OSError, ValueError) as error:
            raise _Unusable(self._what_is_wrong(getattr(error, "reason", None), was_asked=was_asked)) from None
        if self._password is not None and not was_asked:
            raise _Unusable(f"the key in {self._private_key} isn't encrypted: leave the password out")

    def _what_is_wrong(self, reason: str | None, *, was_asked: bool) -> str:
        certificate, key = self.files
        if reason in _FOREIGN:
            return f"the key in {key} isn't that of the certificate in {certificate}"
        if was_asked and self._password is None:
            return f"the key in {key} is encrypted: pass its password"
        if was_asked:
            return f"the key in {key} can't be read: is the password right?"
        if not _holds(certificate, b"CERTIFICATE-----"):
            return f"{certificate} has no certificate in PEM"
        if not _holds(key, b"PRIVATE KEY-----"):
            return f"{key} has no private key in PEM"
        said = "" if reason is None else f": {reason.lower().replace('_', ' ')}"
        return f"{certificate if certificate == key else f'{certificate} or {key}'} can't be read{said}"

    def __getstate__(self) -> tuple[str, str, _Password | None]:
        return self._certificate, self._private_key, self._password

    def __setstate__(self, state: tuple[str, str, _Password | None]) -> None:
        self._certificate, self._private_key, self._password = state
        self._shown, self._given, self._own = None, weakref.WeakSet(), {}

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._certificate!r}, {self._private_key!r})"


def _scratch() -> ssl.SSLContext:
    """Return a context to try a pair with."""
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


def _holds(path: str, sign: bytes) -> bool:
    try:
        with Path(path).open("rb") as file:
            return sign in file.read(_MAX_BYTES)
    except OSError:
        return False


def _path(name: str, path: object) -> str:
    if not isinstance(path, str | Path) or not str(path):
        raise ConfigurationError(f"{name} must be the path of a PEM file, not {type(path).__name__}")
    if "-----BEGIN" in str(path):
        raise ConfigurationError(f"{name} must be the path of a PEM file, not what is in it")
    return str(Path(path).absolute())


def _hide(password: object) -> _Password | None:
    if password is None:
        return None
    if not isinstance(password, str | bytes) or not password:
        raise ConfigurationError("password must be text or bytes that aren't empty, or None")
    return _Password(password.encode() if isinstance(password, str) else password)
