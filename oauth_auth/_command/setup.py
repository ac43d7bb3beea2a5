"""What one run of the command works with: its settings, its store, and the auth objects made from them.

`resource` has what differs where the run is about the URL of an API.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from .._plugins.environment import open_store
from .._record import Record
from .._wire.urls import without_query
from ..errors import ConfigurationError, OAuthError, OAuthProviderError, OAuthProviderException, TokenStoreError
from ..login import BrowserLogin, ConsoleLogin
from ..stores import FileTokenStore, KeyringTokenStore, LockTaken
from .remembered import DEFAULT_PROFILE, user_folder
from .reporting import echo
from .settings import Settings, holds_password
from .verbose import VerboseTransport

if TYPE_CHECKING:
    from .._wire.token import OAuthToken
    from ..requests import AuthorizationCodeAuth, ClientCredentialsAuth, DeviceCodeAuth, PasswordAuth, ResourceAuth
    from ..stores import TokenStore

    Auth = AuthorizationCodeAuth | ClientCredentialsAuth | DeviceCodeAuth | PasswordAuth | ResourceAuth

__all__ = ["ELSEWHERE", "Setup"]

ELSEWHERE = "--store keeps tokens elsewhere, such as in file:PATH"


class _Place(Record):
    """Where tokens are kept: the store, its name for `--store`, and why it isn't the keyring, if it should be."""

    store: TokenStore
    name: str
    is_chosen: bool
    fault: str | None = None


class Setup:
    """The configuration of one run of the command."""

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        is_login: bool = False,
        verbose: bool = False,
        resource: str | None = None,
    ) -> None:
        self.settings = Settings(values, is_login=is_login, resource=resource)
        self._is_login = is_login
        self._verbose = verbose
        self._check_options()

    def _check_options(self) -> None:
        """Raise `ConfigurationError` for options that this run can't use."""
        if self.settings.option("CLIENT_METADATA_URL") is not None:
            raise ConfigurationError("--client-metadata-url goes with the URL of an API, as in: oauth-auth login URL …")

    # -- Auth objects -------------------------------------------------------------------------------------------

    def make(self, name: str, **options: Any) -> Any:
        """Return a new auth object of a class of `oauth_auth.requests`."""
        from .. import requests

        auth_class: Any = getattr(requests, name)
        settings = self.settings
        if "store" not in options:
            options["store"] = self.store
        auth = auth_class._read_environment(settings, options)
        if settings.profile != DEFAULT_PROFILE and "store_key" not in options:
            options["store_key"] = f"{auth._store_key}/{settings.profile}"
            auth = auth_class._read_environment(settings, options)
        if self._verbose:
            auth._wrap_transport(VerboseTransport)
        return auth

    def user(self, **options: Any) -> Auth:
        """Return an auth object with the token of the user who logged in, however they did."""
        auth: Auth
        if self.settings.grant != "password":
            auth = self.make("AuthorizationCodeAuth", **options)
        elif self.settings.get("PASSWORD") is not None:
            auth = self.make("PasswordAuth")
        else:
            # Without the password what is stored still serves. The one here only makes an object that has the key.
            key = self.make("PasswordAuth", password="-")._store_key
            auth = self.make("AuthorizationCodeAuth", store_key=key)
        return auth

    def client(self) -> Auth:
        """Return an auth object with the client's own token."""
        auth: ClientCredentialsAuth = self.make("ClientCredentialsAuth")
        return auth

    def for_login(self, grant: str, parameters: Mapping[str, list[str]], *, console: bool, timeout: float) -> Auth:
        """Return an auth object to log in with. Raises `ConfigurationError` if the server has no endpoint for that."""
        auth: Auth
        if grant == "client_credentials":
            return self.client()
        if grant == "password":
            auth = self.make("PasswordAuth")
            return auth
        needed = "DEVICE_AUTHORIZATION_URL" if grant == "device" else "AUTHORIZATION_URL"
        self._require(needed)
        if grant == "device":
            auth = self.make("DeviceCodeAuth")
        else:
            way = self.browser_login(console=console, timeout=timeout)
            auth = self.make("AuthorizationCodeAuth", login=way, authorization_parameters=parameters)
        if auth._find_endpoint(needed.lower()) is None:
            command = self.login_command(auth)
            hint = f"set {self.settings.mention(needed)}" if command is None else f"run: {command}"
            raise ConfigurationError(f"the issuer's metadata has no endpoint for this login; {hint}")
        return auth

    def browser_login(self, *, console: bool, timeout: float) -> BrowserLogin | ConsoleLogin:
        """Return how the user logs in with a browser, here or elsewhere."""
        if console:
            return ConsoleLogin(self.settings.get("REDIRECT_URI") or "http://127.0.0.1/callback")
        return BrowserLogin(timeout=timeout)

    def log_in(self, auth: Auth) -> OAuthToken:
        """Let the user log in. Raises `OAuthError`."""
        return auth._log_in()

    def holders(self) -> Iterator[tuple[Auth, bool]]:
        """Return the auth objects that may have a token, and whether it's the client's own."""
        grant = self.settings.grant
        if grant != "client_credentials":
            yield self.user(), False
        if grant in {"client_credentials", None}:
            yield self.client(), True

    def _require(self, variable: str) -> None:
        """Raise `ConfigurationError` if neither a URL is given, nor an issuer whose metadata may have it."""
        settings = self.settings
        if settings.get("ISSUER") is None and settings.get(variable) is None:
            raise ConfigurationError(
                f"{settings.mention('ISSUER')} or {settings.mention(variable)} must be set for this login, "
                "or the URL of an API be given that tells them"
            )

    # -- What to say --------------------------------------------------------------------------------------------

    @property
    def may_have_login(self) -> bool:
        """Whether the server may have a login for users; it isn't asked."""
        if self.settings.grant is not None:
            return self.settings.grant != "client_credentials"
        names = ("ISSUER", "AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL")
        return any(self.settings.get(name) for name in names)

    def check_logged_in(self, auth: Auth) -> None:
        """Raise `ReauthorizationRequired` if it's known already that nobody is."""

    def command(self, words: str) -> str:
        """Return a command for the user to run, for the profile that they named."""
        profile = self.settings.named_profile
        return f"oauth-auth {words}" if profile is None else f"oauth-auth {words} --profile {shlex.quote(profile)}"

    def login_command(self, auth: Auth) -> str | None:
        """Return the command to log in with, or None if the server has no endpoint for that."""
        if self.settings.grant == "password":
            return self.command("login --grant password")
        if auth._find_endpoint("authorization_url") is not None:
            return self.command("login")
        url = self.settings.get("DEVICE_AUTHORIZATION_URL") or auth._find_endpoint("device_authorization_url")
        return None if url is None else self.command("login --device")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Have an error that's raised say what to pass, if that's a secret."""
        try:
            yield
        except OAuthError as error:
            if not (note := self.note(error)):
                raise
            raise error.without_traceback(note) from None

    def note(self, error: BaseException | None) -> str:
        """Return what an error's text lacks: what to pass, where the server refused a client without a secret."""
        link = " If" if str(error).endswith(".") else "; if"
        while error is not None and self.settings.get("CLIENT_SECRET") is None:
            if isinstance(error, OAuthProviderException) and error.error == OAuthProviderError.INVALID_CLIENT:
                return f"{link} the client has a secret, set {self.settings.mention('CLIENT_SECRET')}"
            error = error.__cause__
        return ""

    # -- The store, and what is remembered ----------------------------------------------------------------------

    @property
    def store(self) -> TokenStore:
        """Where tokens are kept."""
        return self._place.store

    @cached_property
    def _place(self) -> _Place:
        chosen = self.settings.get("STORE")
        if chosen is not None:
            return _Place(open_store(self.settings.mention("STORE"), chosen), chosen, is_chosen=True)
        before = self.settings.default_store
        if before is not None and not (self._is_login and before == _KEYRING):
            return _Place(open_store("the store of the last login", before), before, is_chosen=False)
        fault = None
        try:
            keyring = KeyringTokenStore()
            fault = keyring._find_fault(writes=self._is_login)
        except ImportError as error:
            fault = str(error)
        if fault is None:
            return _Place(keyring, _KEYRING, is_chosen=False)
        folder = _spare_folder()
        return _Place(FileTokenStore(folder), f"file:{folder}", is_chosen=False, fault=fault)

    @property
    def place(self) -> str:
        """Where tokens are kept, as `--store` takes it, but without a password."""
        name = self._place.name
        return name if name.startswith(("file:", "keyring:")) else without_query(name)

    def say_place(self) -> None:
        """Say where tokens are, if that should be the keyring and isn't."""
        if not self._place.is_chosen and self._place.name != _KEYRING:
            why = "" if self._place.fault is None else f" ({self._place.fault})"
            echo(f"Without a working keyring{why} the token is in a file that only you can read, in {_spare_folder()}.")

    def check_store(self, auth: Auth, *, writes: bool = False) -> None:
        """Raise `TokenStoreError` if the store fails, which auth objects only log, or is known to keep nothing."""
        try:
            if writes:
                with suppress(LockTaken), cast("Any", self.store).lock(auth._store_key, timeout=0.0):
                    pass
            self.store.load(auth._store_key)
            if isinstance(self.store, KeyringTokenStore):
                self.store._check_back_end()
        except TokenStoreError as error:
            raise TokenStoreError(f"{str(error).rstrip('.')}: {ELSEWHERE}") from None

    def remember(self, grant: str, parameters: Mapping[str, list[str]], user: str | None) -> None:
        """Remember the settings of a login that has succeeded; say what can't be."""
        place, store = self._place, {}
        if not place.is_chosen:
            store = {"default_store": place.name}
        elif holds_password(place.name):
            store = {"store": ""}
            echo(f"The store's password isn't remembered: set {self.settings.name('STORE')} for the other commands.")
        elif isinstance(place.store, FileTokenStore):
            store = {"store": f"file:{Path(place.name.partition(':')[2]).expanduser().absolute()}"}
        else:
            store = {"store": place.name}
        try:
            self.settings.remember(grant=grant, authorization_parameters=parameters or None, user=user, **store)
        except (ConfigurationError, TokenStoreError) as error:
            echo(f"oauth-auth: the other commands need the same options, since they can't be remembered: {error}")

    def lines_about(self, auth: Auth) -> list[str]:
        """Return what `status` tells people besides the token."""
        name = self.settings.profile
        return [] if name == DEFAULT_PROFILE else [f"Profile: {name}"]

    def about(self, auth: Auth, user: str | None) -> dict[str, str | None]:
        """Return what `status` tells programs besides the token."""
        issuer, client_id, scope = (self.settings.get(name) for name in ("ISSUER", "CLIENT_ID", "SCOPE"))
        return {"issuer": issuer, "client_id": client_id, "user": user, "scope": scope, "store": self.place}


_KEYRING = "keyring:"


def _spare_folder() -> str:
    """Return where tokens are kept without a keyring."""
    return os.fspath(user_folder("data") / "tokens")
