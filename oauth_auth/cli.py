"""The command `oauth-auth`: log in, print a token for scripts, log out.

    oauth-auth login --issuer https://auth.example.com --client-id my-tool
    curl -H "Authorization: Bearer $(oauth-auth token)" https://api.example.com/

Exit status: 0 done; 1 there's no usable token, or the server refused; 2 the configuration is wrong.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

try:
    import click
except ImportError as error:  # pragma: no cover - held by a test that runs apart
    raise SystemExit('oauth-auth needs click: pip install "oauth_auth[cli]"') from error

from ._environment import Environment, open_store
from .errors import ConfigurationError, OAuthError, ReauthorizationRequired
from .login import BrowserLogin, ConsoleLogin

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ._token import OAuthToken
    from .requests import AuthorizationCodeAuth, ClientCredentialsAuth, DeviceCodeAuth
    from .stores import TokenStore

__all__ = ["main"]

_PREFIX = "OAUTH_"
_OPTIONS = {
    "ISSUER": "The authorization server; its metadata tells the URLs.",
    "TOKEN_URL": "The token endpoint, if there's no metadata that tells it.",
    "AUTHORIZATION_URL": "The authorization endpoint, for login.",
    "DEVICE_AUTHORIZATION_URL": "The device authorization endpoint, for login --device.",
    "REVOCATION_URL": "The revocation endpoint, for logout.",
    "CLIENT_ID": "The client's id.",
    "CLIENT_SECRET": "The client's secret. Others can see it in the list of processes: better set OAUTH_CLIENT_SECRET.",
    "SCOPE": "Scope names, separated by spaces.",
    "REDIRECT_URI": "The redirect URI that's registered, if it isn't http://127.0.0.1/callback.",
    "STORE": "Where the token is kept: file:PATH, keyring: (the default), or redis://…",
}

_Command = Callable[..., None]


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oauth_auth", prog_name="oauth-auth")
def main() -> None:
    """Log in to an OAuth-protected API, and get tokens for scripts.

    Each option is also read from the environment variable of its name with OAUTH_ before it, and from the file
    that the variable with _FILE after it names.

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
    """Have a person log in, and keep the token; an older one is replaced once that has worked."""
    with _reporting():
        if device and console:
            raise ConfigurationError("--device and --console can't be used together")
        store = _configure(values)
        redirect_uri = Environment(_PREFIX).get("REDIRECT_URI") or "http://127.0.0.1/callback"
        auth: AuthorizationCodeAuth | DeviceCodeAuth
        if device:
            auth = _plugin().DeviceCodeAuth.from_env(_PREFIX, store=store)
        else:
            way = ConsoleLogin(redirect_uri) if console else BrowserLogin(timeout=timeout)
            auth = _person(store, login=way)
        token = auth._source.log_in().token  # noqa: SLF001 - the command is part of the library
        if auth._source.has_unsaved:  # noqa: SLF001
            _fail(f"you are logged in, but {store!r} could not keep the token: choose another with --store")
        scope = f" for {token.scope}" if token.scope else ""
        _say(f"You are logged in{scope}.")


@main.command()
@_configured
def token(**values: str | None) -> None:
    """Print a live access token, and nothing else, to stdout; renew it when it's due."""
    with _reporting():
        store = _configure(values)
        person = _person(store)
        try:
            found = person.get_token()
        except ReauthorizationRequired as error:
            if _logs_people_in(person):
                _fail(f"{error}; run: oauth-auth login")
            found = _machine(store).get_token()
        click.echo(found.access_token)


@main.command()
@_configured
def status(**values: str | None) -> None:
    """Tell whether there's a usable token, without asking the server."""
    with _reporting():
        store = _configure(values)
        auths = {"You are logged in.": _person(store)} | {"The client has a token of its own.": _machine(store)}
        for text, auth in auths.items():
            stored = auth._source.look()  # noqa: SLF001
            if stored is not None and (stored.refresh_token is not None or not stored.is_expired()):
                click.echo("\n".join([text, *_details(stored)]))
                return
        _fail("there is no usable token; run: oauth-auth login")


@main.command()
@_configured
def logout(**values: str | None) -> None:
    """End the token at the server, and forget it."""
    with _reporting():
        store = _configure(values)
        was_there = False
        for auth in (_person(store), _machine(store)):
            if auth._source.look() is not None:  # noqa: SLF001
                was_there = True
                auth.revoke()
        _say("You are logged out." if was_there else "Nobody was logged in.")


def _plugin() -> Any:
    try:
        from . import requests  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise ConfigurationError(f"{error}") from None
    return requests


def _person(store: TokenStore, **options: Any) -> AuthorizationCodeAuth:
    auth: AuthorizationCodeAuth = _plugin().AuthorizationCodeAuth.from_env(_PREFIX, store=store, **options)
    return auth


def _machine(store: TokenStore) -> ClientCredentialsAuth:
    auth: ClientCredentialsAuth = _plugin().ClientCredentialsAuth.from_env(_PREFIX, store=store)
    return auth


def _configure(values: dict[str, str | None]) -> TokenStore:
    """Put the options in place of the environment's variables; return the store."""
    for name, value in values.items():
        if value is not None:
            variable = f"{_PREFIX}{name.upper()}"
            os.environ[variable] = value
            os.environ.pop(f"{variable}_FILE", None)
    environment = Environment(_PREFIX)
    return open_store(environment.name("STORE"), environment.get("STORE") or "keyring:")


def _logs_people_in(auth: AuthorizationCodeAuth) -> bool:
    """Tell whether a person could log in: whether the server has an endpoint for that."""
    environment = Environment(_PREFIX)
    if environment.get("DEVICE_AUTHORIZATION_URL") or environment.get("AUTHORIZATION_URL"):
        return True
    return any(auth._endpoints.find(name) for name in ("authorization_url", "device_authorization_url"))  # noqa: SLF001


def _details(token: OAuthToken) -> list[str]:
    lines = []
    if token.scope:
        lines.append(f"Scope: {token.scope}")
    if token.expiry is not None:
        left = token.expiry - time.time()
        lines.append(f"The access token expires in {left:.0f} s." if left > 0 else "The access token has expired.")
    if token.refresh_token is not None:
        lines.append("It's renewed when needed.")
    return lines


@contextmanager
def _reporting() -> Iterator[None]:
    """Have what goes wrong end in one line on stderr and an exit status."""
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.addFilter(lambda record: getattr(record, "oauth_event", "") != "failed")  # it's said at the end
    logging.getLogger("oauth_auth").addHandler(handler)
    try:
        yield
    except (ConfigurationError, ImportError) as error:
        _fail(str(error), status=2)
    except OAuthError as error:
        _fail(str(error))


def _fail(text: str, *, status: int = 1) -> None:
    _say(f"oauth-auth: {' '.join(text.split())}")
    sys.exit(status)


def _say(*lines: str) -> None:
    click.echo("\n".join(lines), err=True)
