"""Reads options from environment variables, and from the files that these name.

Files of keys, assertions and certificates stay files, which are read anew for each call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from .._keys.secret_file import FileSecret, read_file
from .._record import Record
from ..errors import ConfigurationError, TokenStoreError
from ..stores import FileTokenStore, KeyringTokenStore, RedisTokenStore, TokenStore

__all__ = ["KEY_VARIABLES", "Environment", "Wanted", "make_from_environment", "open_store", "variables_of"]

_T = TypeVar("_T")

KEY_VARIABLES = (
    "PRIVATE_KEY",
    "PRIVATE_KEY_FILE",
    "PRIVATE_KEY_ID",
    "CLIENT_ASSERTION_FILE",
    "CLIENT_CERTIFICATE_FILE",
    "CLIENT_CERTIFICATE_KEY_FILE",
    "DPOP",
)
"""Those of keys, assertions and certificates."""
_ROTATED = {"CLIENT_SECRET", "PASSWORD"}
"""Those that are read anew from their files when the server refuses them."""
_COMMON = {"SCOPE": "scope", "AUDIENCE": "audience", "RESOURCE": "resource", "REVOCATION_URL": "revocation_url"}
_ELSEWHERE = {"PROFILE", "GRANT", "AUTHORIZATION_PARAMETER"}
"""What only the command `oauth-auth` reads."""
_WRONG_NAMES = {"SECRET": "CLIENT_SECRET", "ID": "CLIENT_ID", "URL": "TOKEN_URL", "USER": "USERNAME"}
"""What people write for another name that isn't just misspelt."""


class Environment:
    """The environment variables that begin with a prefix. An empty one counts as not set.

    `values`, by the variables' names without the prefix, override the variables and the files that these name.
    """

    def __init__(self, prefix: str, values: Mapping[str, str] | None = None) -> None:
        if not isinstance(prefix, str):
            raise ConfigurationError(f"prefix must be text such as 'OAUTH_', not {type(prefix).__name__}")
        self._prefix = prefix
        self._values = values or {}

    def name(self, variable: str) -> str:
        """Return a variable's name with the prefix."""
        return f"{self._prefix}{variable}"

    def mention(self, variable: str) -> str:
        """Return a variable's name for messages."""
        return self.name(variable)

    def hint(self, wanted: Iterable[str], known: Iterable[str], *, is_sure: bool = False) -> str:
        """Return what to say of a variable that is set and misspelt for one of those that are wanted; "" for none.

        `known` are all that are read; with `is_sure` a name must be all but right.
        """
        if is_sure and not self._prefix:
            return ""
        longer = f"{self._prefix}_"
        if not self._prefix.endswith("_") and any(os.environ.get(f"{longer}{variable}") for variable in wanted):
            return f"; there are variables that begin with {longer}: pass the prefix {longer!r}"
        read = {name for variable in (*known, *KEY_VARIABLES, *_ELSEWHERE) for name in (variable, f"{variable}_FILE")}
        for name, value in sorted(os.environ.items()):
            if value and name.startswith(self._prefix) and (own := name.removeprefix(self._prefix)) not in read:
                # Under another prefix, a name such as SECRET may be the program's own.
                meant = _similar(own, set(wanted), is_sure=is_sure, is_ours=not is_sure or self._prefix == "OAUTH_")
                if meant is not None:
                    return f"; {name} is set: did you mean {self._prefix}{meant}?"
        return ""

    def value(self, variable: str) -> str | None:
        """Return the value of the variable itself."""
        return self._values.get(variable) or os.environ.get(self.name(variable)) or None

    def get(self, variable: str) -> str | None:
        """Return a variable's value, or the text of the file that the variable with `_FILE` after its name names.

        One line end at the end of the file is removed. Raises `ConfigurationError` if the file can't be read, or both
        variables are set.
        """
        if variable in self._values:
            return self._values[variable] or None
        name = self.name(variable)
        value, path = os.environ.get(name) or None, os.environ.get(f"{name}_FILE") or None
        if path is None:
            return value
        if value is not None:
            raise ConfigurationError(f"{name} and {name}_FILE are both set: unset one of them")
        try:
            text = read_file(path)
        except ValueError as error:
            # Without the path, which may be a secret: the value of the variable without _FILE, set by mistake.
            raise ConfigurationError(f"{name}_FILE names a file {error}") from None
        return FileSecret(text, path) if variable in _ROTATED else text


def _similar(name: str, wanted: Iterable[str], *, is_sure: bool, is_ours: bool) -> str | None:
    """Return the variable that was meant by another name, if any of those that are wanted."""
    import difflib  # noqa: PLC0415 - only messages need it

    if is_ours and name in _WRONG_NAMES and _WRONG_NAMES[name] in wanted:
        return _WRONG_NAMES[name]
    plain = name.removesuffix("_FILE")
    if any(plain.endswith(f"_{variable}") for variable in wanted):
        return None  # of another prefix, which begins like this one
    cutoff = 0.85 if is_sure else 0.7
    if near := difflib.get_close_matches(name, [one for one in wanted if one.endswith("_FILE")], n=1, cutoff=cutoff):
        return near[0]
    near = difflib.get_close_matches(plain, list(wanted), n=1, cutoff=cutoff)
    return f"{near[0]}{name[len(plain) :]}" if near else None


class Wanted(Record):
    """What a class wants of the environment."""

    names: Mapping[str, str]
    """Its parameters by the variables that are read for them."""
    needed: tuple[tuple[str, ...], ...]
    """Of each of these, one must be set."""
    needs_client: bool


def variables_of(own: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of a class by the variables that are read for it; `own` are those that only it has."""
    names = {**_COMMON, **own, "ISSUER": "issuer", "TOKEN_URL": "token_url"}
    return names | {"CLIENT_ID": "client_id", "CLIENT_SECRET": "client_secret", "STORE": "store"}


def make_from_environment(
    make: Callable[[dict[str, Any]], _T], environment: Environment, wanted: Wanted, options: Mapping[str, Any]
) -> _T:
    """Return what is made of a class's parameters: of the options, and of what the environment has for the others."""
    names = wanted.names
    values: dict[str, Any] = {}
    for variable, parameter in names.items():
        if parameter not in options and (value := environment.get(variable)) is not None:
            values[parameter] = _read(environment.mention(variable), variable, value)
    values |= _read_keys(environment, options)
    values |= options
    for variables in wanted.needed:
        _require_one(environment, names, values, variables)
    _check(environment, names, values, needs_client=wanted.needs_client)
    try:
        return make(values)
    except ConfigurationError as error:
        # The text names parameters, but the user set variables.
        words = set(re.findall(r"\w+", str(error)))
        named = {variable: p for variable, p in names.items() if p in words and p not in options}
        used = ", ".join(f"{parameter} is {environment.mention(variable)}" for variable, parameter in named.items())
        raise error.without_traceback(f" ({used})" if used else "") from None


def _require_one(
    environment: Environment, names: Mapping[str, str], values: Mapping[str, Any], variables: tuple[str, ...]
) -> None:
    """Raise `ConfigurationError` if none of these variables is set."""
    if all(values.get(names[variable]) is None for variable in variables):
        either = " or ".join(environment.mention(variable) for variable in variables)
        hint = environment.hint(set(variables), names)
        raise ConfigurationError(f"{either} must be set: {_MEANINGS[variables]}{hint}")


_MEANINGS = {
    ("ISSUER", "TOKEN_URL"): "to the URL of the issuer, or of the token endpoint",
    ("RESOURCE",): "to the URL of the API",
}


def _check(
    environment: Environment, names: Mapping[str, str], values: Mapping[str, Any], *, needs_client: bool
) -> None:
    """Raise `ConfigurationError` if a required variable is missing."""
    for parameter in (*(("client_id",) if needs_client else ()), "username", "password", "refresh_token"):
        for variable in (variable for variable, name in names.items() if name == parameter):
            if values.get(parameter) is None:
                hint = environment.hint({variable}, names)
                raise ConfigurationError(f"{environment.mention(variable)} must be set{hint}")
    # Of what may be left out, only names that are all but right are told: the others may be somebody else's.
    missing = {variable for variable, parameter in names.items() if parameter not in values}
    missing |= {variable for variable in KEY_VARIABLES if environment.value(variable) is None}
    if not {"issuer", "token_url"}.isdisjoint(values):
        missing -= {"ISSUER", "TOKEN_URL"}
    if hint := environment.hint(missing, names, is_sure=True):
        raise ConfigurationError(f"a variable isn't read{hint}")


def _read(name: str, variable: str, value: str) -> Any:
    if variable == "STORE":
        return open_store(name, value)
    if variable == "PAR":
        return _read_switch(name, value)
    # Several are separated by spaces, which a URI can't have.
    return value.split() if variable == "RESOURCE" and value.split()[1:] else value


def open_store(name: str, value: str) -> TokenStore:
    """Return the store for a value such as "file:PATH". Raises `ConfigurationError`, which begins with `name`."""
    kind, _, rest = value.partition(":")
    try:
        if kind == "file" and rest:
            return FileTokenStore(rest)
        if kind == "keyring":
            return KeyringTokenStore(rest) if rest else KeyringTokenStore()
        if kind in {"redis", "rediss", "unix", "valkey", "valkeys"}:
            return RedisTokenStore(value)
    except (TokenStoreError, ValueError, RuntimeError) as error:  # `RuntimeError` for the home of an unknown user
        raise ConfigurationError(f"{name}: {error}") from None
    raise ConfigurationError(f"{name} must be 'file:' and a path, 'keyring:', or a URL that begins with redis://")


# -- Keys, assertions and certificates ---------------------------------------------------------------------------

_ONE_WAY = "the client proves itself in one way, so unset the other"
_SWITCH = {"true": True, "false": False}


def _read_keys(environment: Environment, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the variables call for, without those that are given. Raises `ConfigurationError`."""
    readers: dict[str, Callable[[Environment], Any]] = {
        "client_auth": partial(_read_client_auth, reads_secret="client_secret" not in options),
        "client_certificate": _read_certificate,
        "dpop": _read_dpop,
    }
    found = {name: read(environment) for name, read in readers.items() if name not in options}
    return {name: value for name, value in found.items() if value is not None}


def _read_client_auth(environment: Environment, *, reads_secret: bool) -> Any:
    key, file = environment.value("PRIVATE_KEY"), environment.value("PRIVATE_KEY_FILE")
    kid, assertion = environment.get("PRIVATE_KEY_ID"), environment.value("CLIENT_ASSERTION_FILE")
    given = {"PRIVATE_KEY": key, "PRIVATE_KEY_FILE": file, "CLIENT_ASSERTION_FILE": assertion}
    names = [environment.mention(name) for name, value in given.items() if value is not None]
    if kid is not None and key is None and file is None:
        raise ConfigurationError(f"{environment.mention('PRIVATE_KEY_ID')} is set, but no private key: set one")
    if not names:
        return None
    if len(names) > 1:
        raise ConfigurationError(f"{' and '.join(names)} are set: {_ONE_WAY}")
    if reads_secret and (environment.value("CLIENT_SECRET") or environment.value("CLIENT_SECRET_FILE")):
        secret = environment.mention("CLIENT_SECRET")
        raise ConfigurationError(f"{names[0]} and {secret} are set: {_ONE_WAY}")
    from .._keys.assertions import ClientAssertion, PrivateKeyJwt  # noqa: PLC0415 - few programs need it

    try:
        if assertion is not None:
            return ClientAssertion(Path(assertion))
        return PrivateKeyJwt(key if file is None else Path(file), kid=kid)
    except ConfigurationError as error:
        raise error.without_traceback(f" ({names[0]})") from None


def _read_certificate(environment: Environment) -> Any:
    certificate, key = (environment.value(f"CLIENT_CERTIFICATE_{name}") for name in ("FILE", "KEY_FILE"))
    if certificate is None:
        if key is not None:
            name = environment.mention("CLIENT_CERTIFICATE_KEY_FILE")
            missing = environment.mention("CLIENT_CERTIFICATE_FILE")
            raise ConfigurationError(f"{name} is set, but no certificate: set {missing}")
        return None
    from .._keys.certificate import ClientCertificate  # noqa: PLC0415 - few programs need it

    try:
        return ClientCertificate(certificate, key)
    except ConfigurationError as error:
        raise error.without_traceback(f" ({environment.mention('CLIENT_CERTIFICATE_FILE')})") from None


def _read_dpop(environment: Environment) -> bool | None:
    value = environment.get("DPOP")
    return None if value is None else _read_switch(environment.mention("DPOP"), value)


def _read_switch(name: str, value: str) -> bool:
    """Return what a variable that's true or false says. Raises `ConfigurationError`, which begins with `name`."""
    if value.lower() not in _SWITCH:
        raise ConfigurationError(f"{name} must be true or false")
    return _SWITCH[value.lower()]
