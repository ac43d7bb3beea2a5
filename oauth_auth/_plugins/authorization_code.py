"""The auth class for users who log in in a browser, and the logins that a web application leads."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from .._flight import run, run_async
from .._renewal.logins import NewLogin
from .._server.authorization_request import AuthorizationOptions
from .._server.code_grant import AuthorizationCodeGrant
from .._server.grant import Grant
from .._server.grants import TokenCalls
from .._wire.checks import require_flag, require_text
from .._wire.token import OAuthToken
from ..errors import ConfigurationError
from .option_types import HTTPClient
from .options import Settings, takes_options
from .token_endpoint import TokenEndpointAuth, without_frames

if TYPE_CHECKING:
    from .._renewal.source import Waiting
    from ..login._request import AuthorizationRequest
    from .option_types import AuthorizationCodeOptions, AuthorizationCodeParameters

__all__ = ["AuthorizationCode"]


class AuthorizationCode(TokenEndpointAuth["AuthorizationCodeParameters[HTTPClient]"]):
    """Authorize requests for a user who logs in (RFC 6749 section 4.1, RFC 7636).

    A user logs in with a `code`, by `complete_login`, or by `login`; afterwards the refresh token renews. Where none
    lives, `login` has the user log in again; without it a request raises `ReauthorizationRequired`.
    """

    _grant_type = "authorization_code"
    _variables: ClassVar[Mapping[str, str]] = {
        "AUTHORIZATION_URL": "authorization_url",
        "REDIRECT_URI": "redirect_uri",
        "PAR": "par",
    }
    _own_urls = ("authorization_url", "pushed_authorization_request_url")
    _grant: AuthorizationCodeGrant

    @takes_options
    def __init__(
        self,
        token_url: str,
        client_id: str,
        client_secret: str | None = None,
        **options: Unpack[AuthorizationCodeOptions[HTTPClient]],
    ) -> None:
        """Take the options; nothing is sent before a token is needed. Raises `ConfigurationError`."""
        self._set_up(
            {
                "issuer": None,
                "token_url": token_url,
                "client_id": client_id,
                "client_secret": client_secret,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_issuer(
        cls,
        issuer: str,
        client_id: str,
        client_secret: str | None = None,
        *,
        token_url: str | None = None,
        **options: Unpack[AuthorizationCodeOptions[HTTPClient]],
    ) -> Self:
        """Make one that takes the server's URLs from its metadata (RFC 8414, OpenID Discovery) when first needed.

        `issuer` is the URL that the metadata names, to the letter. URLs that are given override those in the metadata.
        The options are the constructor's.
        """
        return cls._from_issuer(
            {
                "issuer": issuer,
                "client_id": client_id,
                "client_secret": client_secret,
                "token_url": token_url,
                **options,
            }
        )

    @classmethod
    @takes_options
    def from_env(cls, prefix: str = "OAUTH_", **options: Unpack[AuthorizationCodeParameters[HTTPClient]]) -> Self:
        """Make one from environment variables; options override them.

        It reads what `ClientCredentialsAuth.from_env` reads, and AUTHORIZATION_URL, REDIRECT_URI and PAR ("true"), each
        after the prefix. Raises `ConfigurationError`, which names the variable.
        """
        return cls._read_environment(prefix, options)

    def _make_grant(self, calls: TokenCalls, settings: Settings, own: AuthorizationCodeParameters[Any]) -> Grant:
        return AuthorizationCodeGrant(
            calls,
            code=own.get("code"),
            redirect_uri=own.get("redirect_uri"),
            code_verifier=own.get("code_verifier"),
            login=own.get("login"),
            options=AuthorizationOptions(
                own.get("authorization_parameters") or {},
                {**settings.targets, **settings.details},
                settings.offline_access,
                own.get("par"),
                own.get("request_object"),
            ),
        )

    def _check_own(self, own: AuthorizationCodeParameters[Any], *, has_issuer: bool) -> str:
        for name in ("code", "redirect_uri", "code_verifier"):
            if own.get(name) is not None:
                require_text(name, own.get(name), "text that isn't empty, or None")
        if own.get("code") is not None and own.get("redirect_uri") is None:
            raise ConfigurationError("a code needs the redirect_uri that it was asked for with: pass redirect_uri=")
        _check_requests(own, has_issuer=has_issuer)
        if own.get("login") is not None or own.get("authorization_parameters") is not None:
            from ..login._context import check_login, check_parameters  # noqa: PLC0415 - programs without logins needn't load it

            check_parameters(own.get("authorization_parameters"))
            if own.get("login") is not None:
                check_login(own.get("login"))
                if own.get("authorization_url") is None and not has_issuer:
                    raise ConfigurationError("login needs the authorization_url: pass it, or use from_issuer()")
        return ""

    def authorization_request(self, redirect_uri: str | None = None) -> AuthorizationRequest:
        """Return a new request that a user authorize the client: redirect them to its `url`.

        Keep it for `complete_login` where the user can't see it: `to_dict()` goes into a session on the server.
        `redirect_uri` may be left out if the auth object was given one. Blocks if the issuer's metadata must be fetched
        first, or the request pushed. Raises `ConfigurationError`, and `TokenError` if the metadata can't be had, or the
        server refuses the request.
        """
        return self._ask_server(self._grant.request_for_web(redirect_uri))

    async def aauthorization_request(self, redirect_uri: str | None = None) -> AuthorizationRequest:
        """Return a new request without blocking the event loop, see `authorization_request`."""
        return await self._ask_server_async(self._grant.request_for_web(redirect_uri))

    def complete_login(self, request: AuthorizationRequest | Mapping[str, Any], redirected_url: str) -> OAuthToken:
        """Log the user in with the URL that they were redirected to, and return the token.

        `request` is the one that they were sent with, or its `to_dict()`.
        The code in it is exchanged at once. The token replaces what was stored, whose refresh token is revoked where
        the server has a URL for that. The same redirect again, as by a reload, changes nothing, and returns the present
        token. Where anything goes wrong, all stays as it was.

        Raises `AuthorizationResponseError` if the URL doesn't answer the request or carries an error, `TokenError` if
        the code can't be exchanged, and `ConfigurationError` for a request of another client.
        """
        steps = without_frames(self._complete(request, redirected_url))
        del request, redirected_url
        token: OAuthToken = run(steps).token
        return token

    async def acomplete_login(
        self, request: AuthorizationRequest | Mapping[str, Any], redirected_url: str
    ) -> OAuthToken:
        """Log the user in without blocking the event loop, see `complete_login`."""
        steps = without_frames(self._complete(request, redirected_url))
        del request, redirected_url
        token: OAuthToken = (await run_async(steps)).token
        return token

    def _complete(self, request: Any, redirected_url: str) -> Waiting:
        from ..login._request import AuthorizationRequest  # noqa: PLC0415 - programs without logins needn't load it

        if isinstance(request, Mapping):
            request = AuthorizationRequest.from_dict(request)
        if not isinstance(request, AuthorizationRequest):
            kind = type(request).__name__
            raise ConfigurationError(
                f"complete_login takes the AuthorizationRequest that the user was sent with, not {kind}"
            )
        if request.client_id != self._client.client_id:
            raise ConfigurationError(f"the request is of another client, {request.client_id!r}: use its auth object")
        if not request.is_for(self._endpoints.issuer, self._endpoints.given.get("authorization_url")):
            raise ConfigurationError("the request is of another authorization server: use the auth object that made it")
        code, grant = request.code_from(redirected_url), self._grant
        key = grant.key_of_request(request)
        redeem = partial(grant.complete, code, request.redirect_uri, request.code_verifier, key)
        return (yield from self._source.complete_login(NewLogin(partial(grant.completion, code), redeem, key)))


def _check_requests(own: AuthorizationCodeParameters[Any], *, has_issuer: bool) -> None:
    """Check how authorization requests are sent."""
    par, signs = own.get("par"), own.get("request_object")
    if par is not None:
        require_flag("par", par)
    if par and not has_issuer and own.get("pushed_authorization_request_url") is None:
        raise ConfigurationError("par needs the pushed_authorization_request_url: pass it, or use from_issuer()")
    if signs is not None:
        if isinstance(signs, type) or not hasattr(signs, "sign"):
            raise ConfigurationError("request_object must be an object such as RequestObject(…)")
        if signs.audience is None and not has_issuer:
            raise ConfigurationError(
                "request_object needs to know whom requests are for: use from_issuer(), or pass it an audience"
            )
    if own.get("step_up") and own.get("login") is None:
        raise ConfigurationError("step_up needs a login, such as BrowserLogin(): pass login=")
