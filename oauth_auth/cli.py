"""The command `oauth-auth`: log in, print a token for scripts, log out.

    oauth-auth login --issuer https://auth.example.com --client-id my-tool
    curl -H "Authorization: Bearer $(oauth-auth token)" https://api.example.com/

Exit status: 0 done; 1 there's no usable token, or the server refused; 2 the configuration is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple, cast

try:
    import click
except ImportError as error:  # pragma: no cover - held by a test that runs apart
    raise ImportError('the command oauth-auth needs click: pip install "oauth_auth[cli]"') from error

from ._cli import OneLineGroup, fail, reporting, say
from ._plugins.environment import Environment, make_from_environment, open_store
from ._renewal.entry import StoreUnread
from .errors import ConfigurationError, OAuthError, ReauthorizationRequired, TokenStoreError
from .login import BrowserLogin, ConsoleLogin
from .stores import LockTaken

if TYPE_CHECKING:
    from ._wire.token import OAuthToken
    from .requests import AuthorizationCodeAuth, ClientCredentialsAuth, DeviceCodeAuth
    from .stores import TokenStore

    _Auth = AuthorizationCodeAuth | ClientCredentialsAuth | DeviceCodeAuth

__all__ = ["main"]

_PREFIX = "OAUTH_"
_OPTIONS = {
    "ISSUER": "The authorization server; its metadata tells the URLs.",
    "TOKEN_URL": "The token endpoint, if there's no metadata that tells it.",
    "AUTHORIZATION_URL": "The authorization endpoint, for login; may end in parameters such as ?prompt=consent.",
    "DEVICE_AUTHORIZATION_URL": "The device authorization endpoint, for login --device.",
    "REVOCATION_URL": "The revocation endpoint, for logout.",
    "CLIENT_ID": "The client's id.",
    "CLIENT_SECRET": "The client's secret. Others can see it in the list of processes: better set OAUTH_CLIENT_SECRET, "
    "or OAUTH_CLIENT_SECRET_FILE.",
    "SCOPE": "Scope names, separated by spaces.",
    "REDIRECT_URI": "The redirect URI that's registered, if it isn't http://127.0.0.1/callback.",
    "STORE": "Where the token is kept: file:PATH, keyring: (the default), or redis://…",
}

_ELSEWHERE = "--store keeps tokens elsewhere, such as in file:PATH"

_Command = Callable[..., None]


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oauth_auth", prog_name="oauth-auth")
def main() -> None:
    """Log in to an OAuth-protected API, and get tokens for scripts.

    Each option is also read from the environment variable of its name with OAUTH_ before it, such as OAUTH_ISSUER,
    and from the file that the variable with _FILE after it names.

    Exit status: 0 done; 1 no usable token, or the server refused; 2 the configuration is wrong.
    """


def _configured(command: _Command) -> _Command:
    """Give a command the options of all."""
    for variable, text in reversed(_OPTIONS.items()):
        name = variable.lower()
        command = click.option(f"--{name.replace('_', '-')}", name, metavar="TEXT", help=text)(command)
    return command


@main.command()
@click.option("--device", is_flag=True, help="Log in on another device, with a code.")
@click.option("--console", is_flag=True, help="Don't listen for the browser: paste the URL that it ends at.")
@click.option("--timeout", default=300.0, show_default=True, help="How long to wait for the browser, in seconds.")
@_configured
def login(*, device: bool, console: bool, timeout: float, **values: str | None) -> None:
    """Have a person log in, and keep the token.

    An older token is replaced once that has worked.
    """
    with reporting():
        if device and console:
            raise ConfigurationError("--device and --console can't be used together")
        setup = _Setup.read(values)
        needed = "DEVICE_AUTHORIZATION_URL" if device else "AUTHORIZATION_URL"
        setup.require(needed)
        auth: _Auth
        if device:
            auth = setup.make("DeviceCodeAuth")
        else:
            redirect_uri = setup.environment.get("REDIRECT_URI") or "http://127.0.0.1/callback"
            auth = setup.person(login=ConsoleLogin(redirect_uri) if console else BrowserLogin(timeout=timeout))
        if not _knows(auth, needed.lower()):
            way = setup.how_to_log_in(auth)
            hint = f"set {setup.environment.mention(needed)}" if way is None else f"run: {way}"
            raise ConfigurationError(f"the issuer's metadata has no endpoint for this login; {hint}")
        # Better now than when a person has logged in for nothing.
        setup.check_store(auth, writes=True)
        token = auth._log_in()  # noqa: SLF001 - the command is part of the library
        if auth._has_unsaved:  # noqa: SLF001
            raise TokenStoreError(f"you are logged in, but {setup.store!r} could not keep the token: {_ELSEWHERE}")
        say("You are logged in.", *_details(token))
        if token.refresh_token is None:
            say("It can't be renewed, since the server gave no refresh token: then log in again.")


@main.command()
@_configured
def token(**values: str | None) -> None:
    """Print a live access token to stdout.

    Nothing else is printed there. The token is renewed when that's due; where no person can log in, it's the client's
    own.
    """
    with reporting():
        setup = _Setup.read(values)
        person = setup.person()
        try:
            found = _live(person)
        except (ReauthorizationRequired, StoreUnread) as error:
            if (how := setup.how_to_log_in(person)) is not None:
                try:
                    setup.check_store(person)
                except TokenStoreError as trouble:
                    fail(str(trouble))
                fail(f"{'nobody is logged in' if person.token is None else error}; run: {how}")
            found = _live(setup.machine())
        click.echo(found.access_token)


@main.command()
@_configured
def status(**values: str | None) -> None:
    """Tell whether there's a usable token.

    The server isn't asked: it may have ended the token.
    """
    with reporting():
        setup = _Setup.read(values)
        person, machine = setup.person(), setup.machine()
        for text, auth in (("You are logged in.", person), ("The client has a token of its own.", machine)):
            setup.check_store(auth)
            stored = auth._stored_token()  # noqa: SLF001
            if stored is not None and (stored.refresh_token is not None or not stored.is_expired()):
                click.echo("\n".join([text, *_details(stored)]))
                return
        fail(f"there is no usable token; run: oauth-auth {'login' if setup.may_log_people_in else 'token'}")


@main.command()
@_configured
def logout(**values: str | None) -> None:
    """End the token at the server, and forget it."""
    with reporting():
        setup = _Setup.read(values)
        failures, lives_on, was_there = [], False, False
        for auth in (setup.person(), setup.machine()):
            setup.check_store(auth)
            if auth._stored_token() is None:  # noqa: SLF001
                continue
            was_there = True
            try:
                auth.revoke()
                lives_on = lives_on or not _knows(auth, "revocation_url")
            except OAuthError as error:
                failures.append(error)
        for failure in failures:
            if isinstance(failure, TokenStoreError):
                fail(str(failure))
            fail(f"you are logged out here, but the server may not have ended the token: {failure}")
        say("You are logged out." if was_there else "Nobody was logged in.")
        if lives_on:
            say("No revocation endpoint is known, so who has a copy of the token can use it until it expires.")


class _Options(Environment):
    """The environment, and the options that take its place."""

    def mention(self, variable: str) -> str:
        """Return both ways to say it."""
        return f"--{variable.lower().replace('_', '-')} ({self.name(variable)})"


class _Setup(NamedTuple):
    """What the command is to work with."""

    environment: Environment
    store: TokenStore

    @classmethod
    def read(cls, values: Mapping[str, str | None]) -> _Setup:
        """Read options and environment. Raises `ConfigurationError`."""
        environment = _Options(_PREFIX, {name.upper(): value for name, value in values.items() if value is not None})
        return cls(environment, open_store(environment.mention("STORE"), environment.get("STORE") or "keyring:"))

    def make(self, name: str, **options: Any) -> Any:
        """Make an auth object of requests."""
        from . import requests  # noqa: PLC0415 - an extra

        auth_class: Any = getattr(requests, name)
        options["store"] = self.store
        return make_from_environment(auth_class, self.environment, auth_class._variables, options)  # noqa: SLF001

    def person(self, **options: Any) -> AuthorizationCodeAuth:
        """Make what has the token of the person who logged in, on whatever device."""
        auth: AuthorizationCodeAuth = self.make("AuthorizationCodeAuth", **options)
        return auth

    def machine(self) -> ClientCredentialsAuth:
        """Make what has the client's own token."""
        auth: ClientCredentialsAuth = self.make("ClientCredentialsAuth")
        return auth

    def require(self, variable: str) -> None:
        """Raise `ConfigurationError` if a URL isn't given, and no metadata can tell it."""
        environment = self.environment
        if environment.get("ISSUER") is None and environment.get(variable) is None:
            raise ConfigurationError(
                f"{environment.mention('ISSUER')} or {environment.mention(variable)} must be set for this login"
            )

    @property
    def may_log_people_in(self) -> bool:
        """Whether a person may be able to log in, as far as is known without asking the server."""
        names = ("ISSUER", "AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL")
        return any(self.environment.get(name) for name in names)

    def how_to_log_in(self, auth: _Auth) -> str | None:
        """Return the command to log in with, or None where the server has no endpoint for that."""
        if _knows(auth, "authorization_url"):
            return "oauth-auth login"
        is_known = self.environment.get("DEVICE_AUTHORIZATION_URL") or _knows(auth, "device_authorization_url")
        return "oauth-auth login --device" if is_known else None

    def check_store(self, auth: _Auth, *, writes: bool = False) -> None:
        """Raise `TokenStoreError` if the store can't be used: to those who wait for it, auth objects only log that."""
        key = auth._store_key  # noqa: SLF001
        try:
            if writes:
                with suppress(LockTaken), cast("Any", self.store).lock(key, timeout=0.0):
                    pass
            self.store.load(key)
        except TokenStoreError as error:
            raise TokenStoreError(f"{str(error).rstrip('.')}: {_ELSEWHERE}") from None


def _live(auth: _Auth) -> OAuthToken:
    """Return a token, renewed if that is due, though it could still be sent: the script may need it for a while."""
    auth.get_token()
    found = auth.get_token()  # now the token's age is known, and a renewal that's due begins in the background
    auth.close()
    return auth.token or found


def _knows(auth: _Auth, endpoint: str) -> bool:
    return auth._find_endpoint(endpoint) is not None  # noqa: SLF001


def _details(token: OAuthToken) -> list[str]:
    lines = []
    if token.scope:
        lines.append(f"Scope: {token.scope}")
    if token.expiry is not None:
        left = token.expiry - time.time()
        lines.append(f"The access token expires in {_shown(left)}." if left > 0 else "The access token has expired.")
    if token.refresh_token is not None:
        lines.append("It's renewed when needed.")
    return lines


def _shown(seconds: float) -> str:
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
