"""The command `oauth-auth`: log in, print a token for scripts, log out.

    oauth-auth login https://api.example.com/mcp
    curl -H "Authorization: Bearer $(oauth-auth token https://api.example.com/mcp)" https://api.example.com/mcp

    oauth-auth login --issuer https://auth.example.com --client-id my-tool
    curl -H "$(oauth-auth token --format header)" https://api.example.com/

Exit status: 0 for success; 1 if there is no usable token, or the server refused; 2 if the configuration is wrong.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

try:
    import click
    from click.shell_completion import CompletionItem
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('the command oauth-auth needs click: pip install "oauth_auth[cli]"') from error

from ._command.formats import STATUS_FORMATS, TOKEN_FORMATS, describe, format_status, format_token, user_of
from ._command.remembered import SettingsFile
from ._command.reporting import OneLineGroup, echo, fail, output, reporting
from ._command.resource_setup import ResourceSetup
from ._command.settings import GRANTS, OPTIONS, read_parameters
from ._command.setup import ELSEWHERE, Setup
from ._command.survey import format_survey, report
from ._renewal.entry import StoreUnread
from .errors import ConfigurationError, OAuthError, ReauthorizationRequired, TokenStoreError

if TYPE_CHECKING:
    from ._command.setup import Auth
    from ._wire.token import OAuthToken

__all__ = ["main"]

_Command = Callable[..., None]

_LOGGED_IN, _OWN_TOKEN = "You are logged in.", "The client has a token of its own."


@click.group(cls=OneLineGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="oauth_auth", prog_name="oauth-auth")
def main() -> None:
    """Log in to an OAuth-protected API, and get tokens for scripts.

    An API that says itself what it wants, such as an MCP server, is named by its URL; for any other one, `login` takes
    the authorization server and the client as options.

    `login` remembers its settings, but no secret, so the other commands need no options.

    The options from --profile to --store are also read from the environment variables of their names with OAUTH_ before
    them, such as OAUTH_ISSUER, and from the files that the variables with _FILE after them name.

    Exit status: 0 for success; 1 if there is no usable token, or the server refused; 2 if the configuration is wrong.
    """


def _complete_profiles(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the profiles whose names begin so."""
    try:
        names = SettingsFile().read().profiles
    except (ConfigurationError, ImportError):
        return []
    return [CompletionItem(name) for name in names if name.startswith(begun)]


def _complete_resources(_ctx: click.Context, _parameter: click.Parameter, begun: str) -> list[CompletionItem]:
    """Return the URLs of logins that begin so."""
    try:
        urls = SettingsFile().read().resources
    except (ConfigurationError, ImportError):
        return []
    return [CompletionItem(url) for url in urls if url.startswith(begun)]


def _configured(*, is_login: bool = False, needs_url: bool = False) -> Callable[[_Command], _Command]:
    """Add what all commands take, and call the command with the setup that it makes."""
    common: dict[str, dict[str, Any]] = {
        "profile": {
            "help": "One of several accounts, by a name of yours; without it, the last login.",
            "metavar": "TEXT",
            "shell_complete": _complete_profiles,
        },
        "grant": {"help": "How the token is got; without it, as at the login.", "type": click.Choice(GRANTS)},
        **{name.lower(): {"help": text, "metavar": "TEXT"} for name, text in OPTIONS.items()},
    }
    for name in ("dpop", "par"):
        common[name] = {"help": OPTIONS[name.upper()], "is_flag": True, "flag_value": "true", "default": None}

    def decorate(command: _Command) -> _Command:
        @functools.wraps(command)
        def run(*, url: str | None, verbose: bool, **values: Any) -> None:
            own = {name: values.pop(name) for name in list(values) if name not in common}
            make_setup = Setup if url is None else functools.partial(ResourceSetup, url)
            with reporting():
                setup = make_setup(values, is_login=is_login, verbose=verbose)
                with setup.explained():
                    command(setup, **own)

        wrapped: _Command = run
        text = "Tell on stderr of each request that is made."
        wrapped = click.option("--verbose", is_flag=True, help=text)(wrapped)
        for name, details in reversed(common.items()):
            wrapped = click.option(f"--{name.replace('_', '-')}", name, **details)(wrapped)
        metavar = "URL" if needs_url else "[URL]"
        return click.argument("url", required=needs_url, metavar=metavar, shell_complete=_complete_resources)(wrapped)

    return decorate


@main.command()
@click.option("--device", is_flag=True, help="Log in on another device, with a code: --grant device.")
@click.option("--console", is_flag=True, help="Don't listen for the browser: paste the URL that it ends at.")
@click.option("--timeout", default=300.0, show_default=True, help="How long to wait for the browser, in seconds.")
@click.option(
    "--authorization-parameter",
    multiple=True,
    metavar="NAME=VALUE",
    help="An additional parameter of the authorization request, such as prompt=consent; may be repeated.",
)
@_configured(is_login=True)
def login(
    setup: Setup, *, device: bool, console: bool, timeout: float, authorization_parameter: tuple[str, ...]
) -> None:
    """Log in, store the token, and remember the settings.

    URL is that of an API which says itself what it wants, such as an MCP server: then no option is needed. Before the
    browser opens you are told which server will ask.

    A token that is stored already is replaced when the login has succeeded; a login that fails changes nothing.
    """
    grant = _login_grant(setup, device=device, console=console)
    parameters = read_parameters(authorization_parameter)
    if parameters and grant != "authorization_code":
        raise ConfigurationError("--authorization-parameter is for logins with a browser")
    parameters = parameters or dict(setup.settings.parameters)
    auth = setup.for_login(grant, parameters, console=console, timeout=timeout)
    # Before the login: afterwards the user would have logged in for nothing.
    setup.check_store(auth, writes=True)
    token = setup.log_in(auth)
    if auth._has_unsaved:
        raise TokenStoreError(f"you are logged in, but {setup.store!r} could not keep the token: {ELSEWHERE}")
    echo(_OWN_TOKEN if grant == "client_credentials" else _LOGGED_IN, *describe(token, time.time()))
    if token.refresh_token is None and grant != "client_credentials":
        echo("It can't be renewed, since the server gave no refresh token: log in again when it has expired.")
    setup.say_place()
    setup.remember(grant, parameters, user_of(token))


def _login_grant(setup: Setup, *, device: bool, console: bool) -> str:
    """Return the grant of a login. Raises `ConfigurationError` for options that contradict each other."""
    if device and console:
        raise ConfigurationError("--device and --console can't be used together")
    implied = "device" if device else "authorization_code" if console else None
    chosen = setup.settings.option("GRANT")
    if implied is not None and chosen not in {None, implied}:
        raise ConfigurationError(f"--{'device' if device else 'console'} and --grant {chosen} can't be used together")
    return implied or setup.settings.grant or "authorization_code"


@main.command()
@click.option(
    "--format",
    "kind",
    type=click.Choice(TOKEN_FORMATS),
    default="text",
    show_default=True,
    help="The token alone, as a header for curl, as JSON, or as kubectl wants it.",
)
@_configured()
def token(setup: Setup, *, kind: str) -> None:
    """Print a live access token to stdout, with a URL that of the login to this API.

    Nothing else is printed to stdout. The token is renewed when it's due; where the server has no login, it's the
    client's own.
    """
    exec_info = os.environ.get("KUBERNETES_EXEC_INFO")
    auth, found = _find_token(setup)
    output(format_token(found, kind, exec_info))
    if found.is_bound:
        echo("oauth-auth: the token is bound to a key (DPoP), so it opens nothing without a program that has the key.")
    if auth._has_unsaved:
        echo(f"oauth-auth: {setup.store!r} could not keep the new token: {ELSEWHERE}")


def _find_token(setup: Setup) -> tuple[Auth, OAuthToken]:
    """Return a live token and what holds it; exit with what to run if the user must log in."""
    if setup.settings.grant == "client_credentials":
        auth: Auth = setup.client()
        return auth, _live_token(auth)
    user = setup.user()
    try:
        setup.check_logged_in(user)
        return user, _live_token(user)
    except (ReauthorizationRequired, StoreUnread) as error:
        if (command := setup.login_command(user)) is not None:
            try:
                setup.check_store(user)
            except TokenStoreError as store_error:
                fail(str(store_error))
            reason = "you are not logged in" if user.token is None else f"{error}{setup.note(error)}"
            is_service = setup.settings.get("CLIENT_SECRET") is not None and setup.settings.given_grant is None
            own = " (the client itself gets a token with --grant client_credentials)" if is_service else ""
            fail(f"{reason}{own}; run: {command}")
        if setup.settings.grant is not None:
            if user.token is None:
                fail("you are not logged in; to log in, give --issuer or the authorization server's other URLs")
            raise
    auth = setup.client()
    return auth, _live_token(auth)


def _live_token(auth: Auth) -> OAuthToken:
    """Return a token. One that is due is renewed, though it's still valid: the script may use it for a while."""
    auth.get_token()
    found = auth.get_token()  # with the token loaded, this begins the renewal in the background if it's due
    auth.close()
    return auth.token or found


@main.command()
@click.option("--format", "kind", type=click.Choice(STATUS_FORMATS), default="text", show_default=True)
@_configured()
def status(setup: Setup, *, kind: str) -> None:
    """Show whether a usable token is stored, with a URL that of the login to this API.

    The server isn't asked, so it may have ended the token.
    """
    for auth, is_client in setup.holders():
        setup.check_store(auth)
        stored = auth._stored_token()
        if stored is None or (stored.refresh_token is None and stored.is_expired()):
            continue
        if kind == "json":
            user = None if is_client else user_of(stored) or setup.settings.user
            output(format_status(stored, setup.about(auth, user)))
        else:
            first = _OWN_TOKEN if is_client else _LOGGED_IN
            output("\n".join([first, *setup.lines_about(auth), *describe(stored, time.time())]))
        setup.say_place()
        return
    fail(f"there is no usable token; run: {setup.command('login' if setup.may_have_login else 'token')}")


@main.command()
@_configured()
def logout(setup: Setup) -> None:
    """Revoke the token at the server, and delete it here, with a URL that of the login to this API.

    The settings stay remembered.
    """
    failures, lives_on, was_there = [], False, False
    for auth, _ in setup.holders():
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
        fail(f"you are logged out here, but the server may not have ended the token: {failure}{setup.note(failure)}")
    echo("You are logged out." if was_there else "You were not logged in.")
    if lives_on:
        echo("No revocation endpoint is known, so a copy of the token can be used until it expires.")


@main.command()
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@_configured(needs_url=True)
def discover(setup: ResourceSetup, *, as_json: bool) -> None:
    """Tell what an API says of itself, without logging in or registering.

    That's which authorization servers it has, which scopes, and how a program gets a client id and a user logs in.
    """
    found = setup.survey()
    problem = setup.problem_with(found)
    if found.has_metadata or problem is None:
        output(format_survey(found) if as_json else report(found))
    if problem is not None:
        fail(problem)
