"""The settings of one run of the command: from its options, else the environment, else what a login has remembered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from .._plugins.environment import KEY_VARIABLES, Environment, variables_of
from ..errors import ConfigurationError
from .remembered import CLIENT, SERVER, Remembered, SettingsFile, choose

__all__ = ["GRANTS", "OPTIONS", "Settings", "holds_password", "read_parameters"]

_PREFIX = "OAUTH_"
GRANTS = ("client_credentials", "authorization_code", "device", "password")

_HELP = {
    "ISSUER": "The authorization server, whose metadata has the URLs.",
    "TOKEN_URL": "The token endpoint, if the server has no metadata.",
    "AUTHORIZATION_URL": "The authorization endpoint, for login; may end in parameters such as ?prompt=consent.",
    "DEVICE_AUTHORIZATION_URL": "The device authorization endpoint, for login --device.",
    "REVOCATION_URL": "The revocation endpoint, for logout.",
    "CLIENT_ID": "The client's id.",
    "CLIENT_METADATA_URL": "The https URL of a metadata document, which is the client's id where a server takes such.",
    "CLIENT_SECRET": "The client's secret. As an option, other users can see it in the list of processes: better set "
    "OAUTH_CLIENT_SECRET, or OAUTH_CLIENT_SECRET_FILE.",
    "PRIVATE_KEY_FILE": "A file with the client's private key, PEM or JWK, in place of a secret.",
    "PRIVATE_KEY_ID": "The key's id, as the server knows it.",
    "CLIENT_ASSERTION_FILE": "A file with an assertion that somebody else makes, in place of a secret.",
    "CLIENT_CERTIFICATE_FILE": "The client's certificate, a PEM file.",
    "CLIENT_CERTIFICATE_KEY_FILE": "The certificate's private key, if it's in another file.",
    "DPOP": "Bind the token to a key of its own, which is kept with it (RFC 9449).",
    "SCOPE": "Scope names, separated by spaces.",
    "AUDIENCE": "The audience that the token is for, where the server wants one.",
    "RESOURCE": "The resource that the token is for (RFC 8707).",
    "PAR": "Push the authorization request to the server (RFC 9126), so that nobody can read or change it.",
    "REDIRECT_URI": "The registered redirect URI, if it isn't http://127.0.0.1/callback.",
    "STORE": "Where the token is kept: file:PATH, keyring: (the default), or redis://…",
}
_OF_LOGINS = dict.fromkeys(
    ("AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL", "CLIENT_METADATA_URL", "REDIRECT_URI", "PAR"), ""
)
_READ = {*variables_of(_OF_LOGINS), *KEY_VARIABLES}
OPTIONS = {variable: text for variable, text in _HELP.items() if variable in _READ}
"""The variables that are options, too, and their help."""

_REMEMBERED = (*(name for name in OPTIONS if name not in {"CLIENT_SECRET", "STORE"}), "USERNAME")
"""The variables whose values a login remembers as they are: no secret is among them."""


class Settings(Environment):
    """The options of a run, else the environment variables, else what a login of the profile has remembered.

    `resource` is what a resource is remembered by; its logins, and the others, know nothing of each other.
    """

    def __init__(
        self,
        values: Mapping[str, str | None],
        *,
        is_login: bool,
        resource: str | None = None,
        file: SettingsFile | None = None,
    ) -> None:
        given = {name.upper(): value for name, value in values.items() if value is not None}
        super().__init__(_PREFIX, given)
        self._file = file or SettingsFile()
        self._is_login, self._resource = is_login, resource
        self._remembered: Mapping[str, Any] = {}
        self.named_profile = self.get("PROFILE")
        """The profile that was asked for by name."""
        self.given_grant = self._check_grant()
        """The grant that was asked for, by option or variable."""
        known = {name: self.get(name.upper()) for name in (*SERVER, *CLIENT)}
        known = {name: value for name, value in known.items() if value is not None}
        may_do_without = self.named_profile is None and bool(known.keys() & set(SERVER))
        remembered = self._read_file(may_do_without=may_do_without).of(resource)
        if resource is not None and is_login and self.named_profile is None:
            remembered = remembered.unnamed  # programs that know the URL alone must find it
        if self.named_profile is not None:
            _check_profile(self.named_profile, remembered.profiles, is_login=is_login, name=self.mention("PROFILE"))
        self.profile, self._remembered = choose(remembered, self.named_profile, known)
        is_implied = not is_login and self.named_profile is None and not known
        if is_implied and self._remembered and self.get("CLIENT_SECRET") and "has_secret" not in self._remembered:
            raise ConfigurationError(
                f"{self.mention('CLIENT_SECRET')} is set, but the last login ({self.profile}) was without a secret: "
                f"say whose it is by {self.mention('PROFILE')}, or by issuer and client id"
            )

    def get(self, variable: str) -> str | None:
        """Return a variable's value, as `Environment.get`, else the remembered one; an empty option unsets both."""
        value = super().get(variable)
        if value is not None or variable in self._values:
            return value
        if variable == "STORE" and self._remembered.get("store") == "":
            raise ConfigurationError(
                f"{self.mention(variable)} must be set again: the URL of this login's store holds a password, "
                "which isn't remembered"
            )
        remembered = self._remembered.get(variable.lower())
        return remembered if isinstance(remembered, str) else None

    def value(self, variable: str) -> str | None:
        """Return the value of the variable itself, else the remembered one; an empty option unsets both."""
        if variable in self._values:
            return self._values[variable] or None
        remembered = self._remembered.get(variable.lower())
        return super().value(variable) or (remembered if isinstance(remembered, str) else None)

    def option(self, variable: str) -> str | None:
        """Return what was given as an option."""
        return self._values.get(variable) or None

    def mention(self, variable: str) -> str:
        """Return the names of option and variable, for messages."""
        has_option = variable in OPTIONS or variable in {"PROFILE", "GRANT"}
        return f"--{variable.lower().replace('_', '-')} ({self.name(variable)})" if has_option else self.name(variable)

    def hint(self, wanted: Iterable[str], known: Iterable[str], *, is_sure: bool = False) -> str:
        """Return what to say of a misspelt variable, or of a login that there never was; "" for none."""
        hint = super().hint(wanted, known, is_sure=is_sure)
        if hint or is_sure or self._is_login or self._remembered or "ISSUER" not in wanted:
            return hint
        return "; or log in first: oauth-auth login --issuer URL --client-id ID"

    @property
    def grant(self) -> str | None:
        """The grant that was asked for, or that the remembered login used."""
        grant = self.given_grant or self._remembered.get("grant")
        return grant if grant in GRANTS else None

    @property
    def parameters(self) -> Mapping[str, list[str]]:
        """The authorization parameters of the remembered login."""
        parameters: Mapping[str, list[str]] = self._remembered.get("authorization_parameters", {})
        return parameters

    @property
    def default_store(self) -> str | None:
        """Where the token of the remembered login is, if no store was given."""
        return self._remembered.get("default_store")

    @property
    def user(self) -> str | None:
        """The user of the remembered login, or whose password is used."""
        return self._remembered.get("user") or (self.get("USERNAME") if self.grant == "password" else None)

    def remember(self, **more: Any) -> None:
        """Write down these settings, and others, as those of the profile's last login; no secret."""
        values = {variable.lower(): self._to_be_remembered(variable) for variable in _REMEMBERED}
        values |= {**more, "has_secret": None if self.get("CLIENT_SECRET") is None else "yes"}
        settings = {name: value for name, value in values.items() if value is not None}
        self._file.remember(self.profile, settings, self._resource)

    def _to_be_remembered(self, variable: str) -> str | None:
        if variable not in KEY_VARIABLES:
            return self.get(variable)
        value = self.value(variable)
        return str(Path(value).absolute()) if value is not None and variable.endswith("_FILE") else value

    def _check_grant(self) -> str | None:
        grant = self.get("GRANT")
        if grant is not None and grant not in GRANTS:
            raise ConfigurationError(f"{self.mention('GRANT')} must be one of {', '.join(GRANTS)}")
        return grant

    def _read_file(self, *, may_do_without: bool) -> Remembered:
        try:
            return self._file.read()
        except ConfigurationError:
            if may_do_without:
                return Remembered()
            raise


def _check_profile(profile: str, known: Iterable[str], *, is_login: bool, name: str) -> None:
    """Raise `ConfigurationError` for a profile that nobody has logged in to, or whose name can't be shown."""
    if not profile.isprintable() or profile.strip() != profile or len(profile) > 100:
        raise ConfigurationError(f"{name} must be a name of at most 100 printable characters, such as work")
    if not is_login and profile not in known:
        there_are = f"there are {', '.join(sorted(known))}" if known else "there are none yet"
        raise ConfigurationError(
            f"there is no profile {profile!r} ({there_are}); make it with: oauth-auth login --profile NAME"
        )


def read_parameters(texts: Iterable[str]) -> dict[str, list[str]]:
    """Return the authorization parameters in texts of the form NAME=VALUE. Raises `ConfigurationError`."""
    from ..login._request import read_parameters as check

    read: dict[str, list[str]] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise ConfigurationError("--authorization-parameter must be NAME=VALUE, such as prompt=consent")
        read.setdefault(name, []).append(value)
    try:
        return check(read)
    except ConfigurationError as error:
        raise ConfigurationError(f"--authorization-parameter: {error}") from None


def holds_password(store: str) -> bool:
    """Return whether the URL of a store has a password in it."""
    try:
        parts = urlsplit(store)
    except ValueError:
        return True
    return parts.password is not None or "password" in parts.query.lower()
