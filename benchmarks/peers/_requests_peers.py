"""The peers that work with requests."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from ._contender import NO_401, NO_DPOP, Contender, Rereading, plain_session, read_json, requests_session, write_json


class AuthlibSession(Contender):
    """Its session renews by itself, but has to be given a first token: here one that has expired."""

    name = "Authlib OAuth2Session"
    http = "requests"
    early = 60
    cannot: ClassVar = {"revocation": NO_401, "proofs": NO_DPOP}

    def _session(self, provider: Any, **options: Any) -> Any:
        from authlib.integrations.requests_client import OAuth2Session

        options = {"token_endpoint": provider.token_url, **options}
        return requests_session(OAuth2Session(provider.client_id, provider.client_secret, **options))

    def service(self, provider: Any, early: float | None = None) -> Any:
        leeway = self.early if early is None else early
        old = {"access_token": "expired", "token_type": "Bearer", "expires_at": 1}
        return self._session(provider, grant_type="client_credentials", token=old, leeway=leeway)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return self._session(provider, token=kept)

    def sharing(self, provider: Any, folder: Path) -> Any:
        path = folder / "token.json"

        def update_token(token: Any, refresh_token: str | None = None, access_token: str | None = None) -> None:
            write_json(path, token)

        session = self._session(provider, token=read_json(path), update_token=update_token, leeway=0.2)
        return Rereading(session, path)


class RequestsOauthlib(Contender):
    """It renews by itself with a refresh token only, so that's what it has: one that isn't rotated, for a service."""

    name = "requests-oauthlib OAuth2Session"
    http = "requests"
    remarks: ClassVar = {"expiry": "reckons the expiry in whole seconds"}
    cannot: ClassVar = {"revocation": NO_401, "proofs": NO_DPOP}

    def _session(self, provider: Any, token: Any, token_updater: Any) -> Any:
        from requests_oauthlib import OAuth2Session

        session = OAuth2Session(
            provider.client_id,
            token=token,
            auto_refresh_url=provider.token_url,
            auto_refresh_kwargs={"client_id": provider.client_id, "client_secret": provider.client_secret},
            token_updater=token_updater,
        )
        return requests_session(session)

    def service(self, provider: Any, early: float | None = None) -> Any:
        return self._session(provider, {**provider.login(3600), "expires_at": 1}, lambda _: None)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return self._session(provider, kept, lambda _: None)

    def sharing(self, provider: Any, folder: Path) -> Any:
        path = folder / "token.json"
        session = self._session(provider, read_json(path), lambda token: write_json(path, token))
        return Rereading(session, path)


class RequestsOauth2client(Contender):
    name = "requests_oauth2client"
    http = "requests"
    early = 20
    cannot: ClassVar = {"revocation": NO_401, "processes": "can't: no hook to save a renewed token"}
    remarks: ClassVar = {"proofs": "one nonce for all APIs, none for a renewed token's new key; doesn't renew at a 401"}

    def _client(self, provider: Any) -> Any:
        from requests_oauth2client import OAuth2Client

        credentials = (provider.client_id, provider.client_secret)
        return OAuth2Client(token_endpoint=provider.token_url, auth=credentials, testing=True)

    def service(self, provider: Any, early: float | None = None) -> Any:
        return self._service(provider, early)

    def bound(self, provider: Any, early: float | None = None) -> Any:
        return self._service(provider, early, dpop=True)

    def _service(self, provider: Any, early: float | None, **options: Any) -> Any:
        from requests_oauth2client import OAuth2ClientCredentialsAuth

        leeway: Any = self.early if early is None else early
        return plain_session(OAuth2ClientCredentialsAuth(self._client(provider), leeway=leeway, **options))

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        from requests_oauth2client import BearerToken, OAuth2AccessTokenAuth

        token = BearerToken(kept["access_token"], expires_in=kept["expires_in"], refresh_token=kept["refresh_token"])
        return plain_session(OAuth2AccessTokenAuth(self._client(provider), token))


class RequestsAuth(Contender):
    """It takes no login that was kept, and with a code opens a browser: so it knows the person's password."""

    name = "requests-auth"
    http = "requests"
    early = 30
    logs_in = True
    cannot: ClassVar = {"revocation": NO_401, "proofs": NO_DPOP}
    remarks: ClassVar = dict.fromkeys(("rotation", "processes"), "may log in with the password again")

    def service(self, provider: Any, early: float | None = None) -> Any:
        from requests_auth import OAuth2, OAuth2ClientCredentials

        OAuth2.token_cache.clear()
        auth = OAuth2ClientCredentials(
            provider.token_url, provider.client_id, provider.client_secret, early_expiry=early
        )
        return plain_session(auth)

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        from requests_auth import OAuth2

        OAuth2.token_cache.clear()
        return self._with_password(provider)

    def _with_password(self, provider: Any) -> Any:
        from requests_auth import OAuth2ResourceOwnerPasswordCredentials

        auth = OAuth2ResourceOwnerPasswordCredentials(
            provider.token_url,
            provider.username,
            provider.password,
            session_auth=(provider.client_id, provider.client_secret),
            early_expiry=0.2,
        )
        return plain_session(auth)

    def save_login(self, provider: Any, kept: dict[str, Any], folder: Path) -> None:
        with self.sharing(provider, folder) as session:
            session.get(provider.api_url)

    def sharing(self, provider: Any, folder: Path) -> Any:
        from requests_auth import JsonTokenFileCache, OAuth2

        OAuth2.token_cache = JsonTokenFileCache(folder / "tokens.json")
        return self._with_password(provider)


class GoogleAuth(Contender):
    """It has no client-credentials grant but for Google's own accounts: a service has a refresh token here."""

    name = "google-auth AuthorizedSession"
    http = "requests"
    early = 225
    cannot: ClassVar = {"processes": "can't: no hook to save a rotated refresh token", "proofs": NO_DPOP}
    remarks: ClassVar = {"expiry": "a token is stale 225 s before its expiry, not settable"}

    def _session(self, provider: Any, token: str | None, refresh_token: str) -> Any:
        from google.auth.transport.requests import AuthorizedSession
        from google.oauth2.credentials import Credentials

        credentials = Credentials(
            token,
            refresh_token=refresh_token,
            token_uri=provider.token_url,
            client_id=provider.client_id,
            client_secret=provider.client_secret,
        )
        self._configure(credentials)
        return requests_session(AuthorizedSession(credentials))

    def _configure(self, credentials: Any) -> None:
        pass

    def service(self, provider: Any, early: float | None = None) -> Any:
        return self._session(provider, None, provider.login(3600)["refresh_token"])

    def person(self, provider: Any, kept: dict[str, Any]) -> Any:
        return self._session(provider, None, kept["refresh_token"])


class GoogleAuthBackground(GoogleAuth):
    """The same with a renewal that doesn't block, which one has to ask for."""

    name = "google-auth, with_non_blocking_refresh"
    scenarios = ("expiry", "outage")

    def _configure(self, credentials: Any) -> None:
        credentials.with_non_blocking_refresh()


CONTENDERS: list[Contender] = [
    AuthlibSession(),
    RequestsOauthlib(),
    RequestsOauth2client(),
    RequestsAuth(),
    GoogleAuth(),
    GoogleAuthBackground(),
]
