"""The command `oauth-auth`: log in, print a token for scripts, log out.

    oauth-auth login --issuer https://auth.example.com --client-id my-tool
    curl -H "Authorization: Bearer $(oauth-auth token)" https://api.example.com/

Exit status: 0 for success; 1 if there is no usable token, or the server refused; 2 if the configuration is wrong.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

try:
    import click
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('the command oauth-auth needs click: pip install "oauth_auth[cli]"') from error

from ._cli import OneLineGroup, echo, fail, reporting
from ._plugins.environment import Environment, make_from_environment, open_store
from ._record import Record
from ._renewal.entry import StoreUnread
from .errors import ConfigurationError, OAuthError, ReauthorizationRequired, TokenStoreError
from .login import BrowserLogin, ConsoleLogin
from .stores import KeyringTokenStore, LockTaken

if TYPE_CHECKING:
    from ._wire.token import OAuthToken
    from .requests import AuthorizationCodeAuth, ClientCredentialsAuth, DeviceCodeAuth
    from .stores import TokenStore

    _Auth = AuthorizationCodeAuth | ClientCredentialsAuth | DeviceCodeAuth

__all__ = ["main"]

_PREFIX = "OAUTH_"
_OPTIONS = {
    "ISSUER": "The authorization server, whose metadata has the URLs.",
    "TOKEN_URL": "The token endpoint, if the server has no metadata.",
    "AUTHORIZATION_URL": "The authorization endpoint, for login; may end in parameters such as ?prompt=consent.",
    "DEVICE_AUTHORIZATION_URL": "The device authorization endpoint, for login --device.",
    "REVOCATION_URL": "The revocation endpoint, for logout.",
    "CLIENT_ID": "The client's id.",
    "CLIENT_SECRET": "The client's secret. As an option, other users can see it in the list of processes: better set "
    "OAUTH_CLIENT_SECRET, or OAUTH_CLIENT_SECRET_FILE.",
    "SCOPE": "Scope names, separated by spaces.",
    "REDIRECT_URI": "The registered redirect URI, if it isn't http://127.0.0.1/callback.",
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

    Exit status: 0 for success; 1 if there is no usable token, or the server refused; 2 if the configuration is wrong.
    """


def _configured(command: _Command) -> _Command:
    """Add the options that all commands have."""
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
    """Log in, and store the token.

    A token that is stored already is replaced when the login has succeeded.
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
            auth = setup.user(login=ConsoleLogin(redirect_uri) if console else BrowserLogin(timeout=timeout))
        if auth._find_endpoint(needed.lower()) is None:
            command = setup.login_command(auth)
            hint = f"set {setup.environment.mention(needed)}" if command is None else f"run: {command}"
            raise ConfigurationError(f"the issuer's metadata has no endpoint for this login; {hint}")
        # Before the login: afterwards the user would have logged in for nothing.
        setup.check_store(auth, writes=True)
        token = auth._log_in()
        if auth._has_unsaved:
            raise TokenStoreError(f"you are logged in, but {setup.store!r} could not keep the token: {_ELSEWHERE}")
        echo("You are logged in.", *_details(token))
        if token.refresh_token is None:
            echo("It can't be renewed, since the server gave no refresh token: log in again when it has expired.")


@main.command()
@_configured
def token(**values: str | None) -> None:
    """Print a live access token to stdout.

    Nothing else is printed to stdout. The token is renewed when it's due; where the server has no login, it's the
    client's own.
    """
    with reporting():
        setup = _Setup.read(values)
        auth: _Auth
        auth = user = setup.user()
        try:
            found = _live_token(auth)
        except (ReauthorizationRequired, StoreUnread) as error:
            if (command := setup.login_command(user)) is not None:
                try:
                    setup.check_store(user)
                except TokenStoreError as store_error:
                    fail(str(store_error))
                fail(f"{'you are not logged in' if user.token is None else error}; run: {command}")
            auth = setup.client()
            found = _live_token(auth)
        click.echo(found.access_token)
        if auth._has_unsaved:
            echo(f"oauth-auth: {setup.store!r} could not keep the new token: {_ELSEWHERE}")


@main.command()
@_configured
def status(**values: str | None) -> None:
    """Show whether a usable token is stored.

    The server isn't asked, so it may have ended the token.
    """
    with reporting():
        setup = _Setup.read(values)
        user, client = setup.user(), setup.client()
        for text, auth in (("You are logged in.", user), ("The client has a token of its own.", client)):
            setup.check_store(auth)
            stored = auth._stored_token()
            if stored is not None and (stored.refresh_token is not None or not stored.is_expired()):
                click.echo("\n".join([text, *_details(stored)]))
                return
        fail(f"there is no usable token; run: oauth-auth {'login' if setup.may_have_login else 'token'}")


@main.command()
@_configured
def logout(**values: str | None) -> None:
    """Revoke the token at the server, and delete it here."""
    with reporting():
        setup = _Setup.read(values)
        failures, lives_on, was_there = [], False, False
        for auth in (setup.user(), setup.client()):
            setup.check_store(auth)
            if auth._stored_token() is None:
                continue
            was_there = True
            try:
                auth.revoke()
                lives_on = lives_on or auth._find_endpoint("revocation_url") is None
            except OAuthError as error:
                failures.append(error)
        for failure in failures:
            if isinstance(failure, TokenStoreError):
                fail(str(failure))
            fail(f"you are logged out here, but the server may not have ended the token: {failure}")
        echo("You are logged out." if was_there else "You were not logged in.")
        if lives_on:
            echo("No revocation endpoint is known, so a copy of the token can be used until it expires.")


class _Options(Environment):
    """The environment variables, and the options that override them."""

    def mention(self, variable: str) -> str:
        """Return the names of option and variable, for messages."""
        return f"--{variable.lower().replace('_', '-')} ({self.name(variable)})"


class _Setup(Record):
    """The configuration of one run of the command."""

    environment: Environment
    store: TokenStore

    @classmethod
    def read(cls, values: Mapping[str, str | None]) -> _Setup:
        """Return the configuration from options and environment. Raises `ConfigurationError`."""
        environment = _Options(_PREFIX, {name.upper(): value for name, value in values.items() if value is not None})
        return cls(environment, open_store(environment.mention("STORE"), environment.get("STORE") or "keyring:"))

    def make(self, name: str, **options: Any) -> Any:
        """Return a new auth object of a class of `oauth_auth.requests`."""
        from . import requests

        auth_class: Any = getattr(requests, name)
        options["store"] = self.store
        return make_from_environment(auth_class, self.environment, auth_class._variables, options)

    def user(self, **options: Any) -> AuthorizationCodeAuth:
        """Return an auth object with the token of the user who logged in, on this device or another."""
        auth: AuthorizationCodeAuth = self.make("AuthorizationCodeAuth", **options)
        return auth

    def client(self) -> ClientCredentialsAuth:
        """Return an auth object with the client's own token."""
        auth: ClientCredentialsAuth = self.make("ClientCredentialsAuth")
        return auth

    def require(self, variable: str) -> None:
        """Raise `ConfigurationError` if neither a URL is given, nor an issuer whose metadata may have it."""
        environment = self.environment
        if environment.get("ISSUER") is None and environment.get(variable) is None:
            raise ConfigurationError(
                f"{environment.mention('ISSUER')} or {environment.mention(variable)} must be set for this login"
            )

    @property
    def may_have_login(self) -> bool:
        """Whether the server may have a login for users; it isn't asked."""
        names = ("ISSUER", "AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL")
        return any(self.environment.get(name) for name in names)

    def login_command(self, auth: _Auth) -> str | None:
        """Return the command to log in with, or None if the server has no endpoint for that."""
        if auth._find_endpoint("authorization_url") is not None:
            return "oauth-auth login"
        url = self.environment.get("DEVICE_AUTHORIZATION_URL") or auth._find_endpoint("device_authorization_url")
        return None if url is None else "oauth-auth login --device"

    def check_store(self, auth: _Auth, *, writes: bool = False) -> None:
        """Raise `TokenStoreError` if the store fails, which auth objects only log, or is known to keep nothing."""
        try:
            if writes:
                with suppress(LockTaken), cast("Any", self.store).lock(auth._store_key, timeout=0.0):
                    pass
            self.store.load(auth._store_key)
            if isinstance(self.store, KeyringTokenStore):
                self.store._check_back_end()
        except TokenStoreError as error:
            raise TokenStoreError(f"{str(error).rstrip('.')}: {_ELSEWHERE}") from None


def _live_token(auth: _Auth) -> OAuthToken:
    """Return a token. One that is due is renewed, though it's still valid: the script may use it for a while."""
    auth.get_token()
    found = auth.get_token()  # with the token loaded, this begins the renewal in the background if it's due
    auth.close()
    return auth.token or found


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
