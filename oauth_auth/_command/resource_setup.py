"""What a run works with where it's about an API that is named by its URL, and says itself what it wants (RFC 9728)."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from .._server.device_grant import show_on_stderr
from .._wire.identifiers import check_protected_resource, resource_key
from .._wire.urls import origin_of
from ..errors import (
    ConfigurationError,
    DiscoveryError,
    InsecureTransportError,
    OAuthError,
    ReauthorizationRequired,
)
from ..login import BrowserLogin, DeviceLogin, LoginContext
from .remembered import DEFAULT_PROFILE
from .reporting import echo
from .setup import Setup
from .survey import Survey, is_open, problem, survey, with_options

if TYPE_CHECKING:
    from .._server.bonds import Bond
    from .._wire.token import OAuthToken
    from ..requests import ResourceAuth
    from .setup import Auth

__all__ = ["ResourceSetup"]

_TOLD_BY_THE_API = ("TOKEN_URL", "AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL", "RESOURCE", "PAR")
_GRANTS = ("authorization_code", "device", "client_credentials")
_GRANT_OF = {"browser": "authorization_code", "device": "device"}


class ResourceSetup(Setup):
    """The configuration of one run of the command for the URL of an API."""

    def __init__(self, url: str, values: Mapping[str, Any], *, is_login: bool = False, verbose: bool = False) -> None:
        self.url = _check_url(url)
        super().__init__(values, is_login=is_login, verbose=verbose, resource=resource_key(url))

    def _check_options(self) -> None:
        settings = self.settings
        for name in _TOLD_BY_THE_API:
            if settings.option(name) is not None:
                option = name.lower().replace("_", "-")
                raise ConfigurationError(f"--{option} can't be used with the URL of an API, which tells that itself")
        if settings.grant not in {None, *_GRANTS}:
            name = settings.mention("GRANT")
            raise ConfigurationError(f"with the URL of an API {name} must be one of {', '.join(_GRANTS)}")

    # -- Auth objects -------------------------------------------------------------------------------------------

    def user(self, **options: Any) -> ResourceAuth:
        """Return an auth object with the token of the user who logged in, under the key that programs find it by."""
        auth = self._make(**options)
        # Without a login, a client with a proof would get a token of its own.
        return self._make(login=_nobody, **options) if auth._grant.options.is_service else auth

    def client(self) -> ResourceAuth:
        """Return an auth object with the client's own token. Raises `ConfigurationError` if it has no proof."""
        auth = self._make()
        if not auth._grant.options.is_service:
            names = " and ".join(map(self.settings.mention, ("CLIENT_ID", "CLIENT_SECRET", "ISSUER")))
            raise ConfigurationError(f"for a token of the client's own {names} must be set")
        return auth

    def holders(self) -> Iterator[tuple[Auth, bool]]:
        """Return the auth objects that may have a token, and whether it's the client's own."""
        grant = self.settings.grant
        if grant != "client_credentials":
            yield self.user(), False
        if grant == "client_credentials" or (grant is None and self._make()._grant.options.is_service):
            yield self.client(), True

    def for_login(
        self, grant: str, parameters: Mapping[str, list[str]], *, console: bool, timeout: float
    ) -> ResourceAuth:
        """Return an auth object to log in with, which says first which server will ask the user."""
        if grant == "client_credentials":
            return self.client()
        auth: ResourceAuth

        def announce() -> None:
            found = auth._grant.surroundings.found
            assert found is not None  # noqa: S101 - nobody is asked before it's found out
            name = "device_authorization_url" if grant == "device" else "authorization_url"
            place = origin_of(auth._calls.run(found.endpoints.find(name)) or "")
            elsewhere = "" if place == origin_of(found.issuer) else f" Its page is at {place}: is that the same server?"
            echo(f"{found.issuer} will ask you to log in, for {found.resource.resource}.{elsewhere}")

        def show(**told: Any) -> None:
            announce()
            show_on_stderr(**told)

        if grant == "device":
            auth = self._make(login=DeviceLogin(show=show))
            return auth
        way: Callable[[LoginContext], str] = self.browser_login(console=console, timeout=timeout)

        def log_in(begin: LoginContext) -> str:
            announce()
            return way(begin)

        auth = self._make(login=log_in, authorization_parameters=parameters)
        return auth

    def log_in(self, auth: Auth) -> OAuthToken:
        """Let the user log in. Raises `OAuthError`, which says what else could be done."""
        try:
            return auth._log_in()
        except DiscoveryError as error:
            found = None
            with suppress(OAuthError):
                found = self._survey_with(auth)
            if found is not None:
                self._explain(found, error, auth)
            raise

    def _make(self, **options: Any) -> ResourceAuth:
        auth: ResourceAuth = self.make("ResourceAuth", resource=self.url, **options)
        return auth

    # -- Discovery ----------------------------------------------------------------------------------------------

    def survey(self) -> Survey:
        """Return what can be found out of the API without logging in. Raises `OAuthError`."""
        return self._survey_with(self._make(store=None))

    def problem_with(self, found: Survey) -> str | None:
        """Return why the API can't be used, and what to do; None if it can."""
        return problem(found)

    def _survey_with(self, auth: Any) -> Survey:
        logins: dict[str, Any] = {"browser": BrowserLogin(), "device": DeviceLogin()}
        if auth._grant.options.is_service:
            logins["client_credentials"] = None
        found: Survey = auth._calls.run(survey(auth._grant.surroundings, logins))
        return found

    def _explain(self, found: Survey, error: DiscoveryError, auth: Any) -> None:
        """Raise what's more helpful than the error: that no token is wanted, or that there's another way to log in."""
        if is_open(found):
            reason = problem(found) or f"{self.url} answers without a token; if some requests want one, pass --issuer"
            raise DiscoveryError(f"there's nothing to log in to: {reason}", url=self.url) from None
        tried = "device" if auth._grant.options.has_device_login else "browser"
        ways = [way for server in found.servers for way in server.logins if way in _GRANT_OF and way != tried]
        if ways:
            hint = f"; run: {self.command('login')} --grant {_GRANT_OF[ways[0]]}"
            raise error.without_traceback(hint) from None

    # -- What to say --------------------------------------------------------------------------------------------

    def command(self, words: str) -> str:
        """Return a command for the user to run, for this URL and profile."""
        profile = self.settings.profile
        command = f"oauth-auth {words} {shlex.quote(self.url)}"
        return command if profile == DEFAULT_PROFILE else f"{command} --profile {shlex.quote(profile)}"

    def login_command(self, auth: Auth) -> str:
        """Return the command to log in with; the server isn't asked."""
        return self.command("login")

    def check_logged_in(self, auth: Auth) -> None:
        """Raise `ReauthorizationRequired` if nobody is; the API isn't asked."""
        if auth._stored_token() is None:
            raise ReauthorizationRequired("nobody is logged in")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Have an error that's raised name options where it names parameters; and see `Setup.explained`."""
        try:
            with super().explained():
                yield
        except OAuthError as error:
            changed = error.without_traceback()
            changed.args = (with_options(str(error)),)
            raise changed from None

    @property
    def may_have_login(self) -> bool:
        """Whether the server may have a login for users; it isn't asked."""
        return self.settings.grant != "client_credentials"

    def lines_about(self, auth: Auth) -> list[str]:
        """Return what `status` tells people besides the token."""
        bond = self._bond(auth)
        server = [] if bond is None else [f"Server: {bond.issuer}"]
        return [*super().lines_about(auth), f"Resource: {self.url}", *server]

    def about(self, auth: Auth, user: str | None) -> dict[str, str | None]:
        """Return what `status` tells programs besides the token."""
        bond = self._bond(auth)
        known = {} if bond is None else {"issuer": bond.issuer, "client_id": bond.client_id}
        return {"resource": self.url, **super().about(auth, user), **known}

    def _bond(self, auth: Any) -> Bond | None:
        """Return where the stored token is from, if that's known."""
        bond: Bond | None = auth._grant.latest_bond
        return bond


def _nobody(_: LoginContext) -> str:
    """Be the login of a command that asks nobody. Raises `ReauthorizationRequired`."""
    raise ReauthorizationRequired("the user must log in again")


def _check_url(url: str) -> str:
    """Return the URL of an API. Raises `ConfigurationError`, which shows none that may be something else, a secret."""
    if not url.lower().startswith(("https://", "http://")):
        raise ConfigurationError(
            "what isn't an option must be the URL of an API, such as https://api.example.com/mcp: "
            "put a value with spaces in quotes"
        )
    try:
        return check_protected_resource(url, allow_insecure=False)
    except InsecureTransportError:
        raise ConfigurationError("the URL of an API must begin with https:, but on this machine") from None
    except ConfigurationError as error:
        raise ConfigurationError(f"the URL of an API {str(error).removeprefix('resource ')}") from None
