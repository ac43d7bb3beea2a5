"""The environment variables for keys, assertions and certificates. Their files stay files, which are read anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ConfigurationError

if TYPE_CHECKING:
    from .environment import Environment

__all__ = ["KEY_VARIABLES", "read_keys", "read_switch"]

KEY_VARIABLES = (
    "PRIVATE_KEY",
    "PRIVATE_KEY_FILE",
    "PRIVATE_KEY_ID",
    "CLIENT_ASSERTION_FILE",
    "CLIENT_CERTIFICATE_FILE",
    "CLIENT_CERTIFICATE_KEY_FILE",
    "DPOP",
)
_ONE_WAY = "the client proves itself in one way, so unset the other"
_SWITCH = {"true": True, "false": False}


def read_keys(environment: Environment, options: Mapping[str, Any]) -> dict[str, Any]:
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
    return None if value is None else read_switch(environment.mention("DPOP"), value)


def read_switch(name: str, value: str) -> bool:
    """Return what a variable that's true or false says. Raises `ConfigurationError`, which begins with `name`."""
    if value.lower() not in _SWITCH:
        raise ConfigurationError(f"{name} must be true or false")
    return _SWITCH[value.lower()]
