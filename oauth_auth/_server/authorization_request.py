"""Makes authorization requests: as a URL, signed (RFC 9101), or pushed to the server first (RFC 9126)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

from .._record import Record
from .._wire.client_auth import ClientAuthParameters
from .._wire.messages import read_pushed_response
from .._wire.token_request import PerAttempt, build_call
from .calls import Steps
from .grants import TokenCalls, proof_of

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey
    from .._keys.request_object import RequestObject
    from ..login._request import AuthorizationRequest

__all__ = ["AuthorizationOptions", "AuthorizationRequests"]


class AuthorizationOptions(Record):
    """What an auth object's authorization requests are like."""

    parameters: Mapping[str, Any] = {}
    """The user's additional ones, which have the last word."""
    targets: Mapping[str, Any] = {}
    """Audience, resource and authorization details."""
    offline_access: bool | None = None
    par: bool | None = None
    """Whether requests are pushed; None for where the server requires it, or there's a URL given for it."""
    request_object: RequestObject | None = None


class AuthorizationRequests:
    """Makes the authorization requests of one client at one server."""

    __slots__ = ("_calls", "_client", "_endpoints", "_options", "_scope")

    def __init__(self, calls: TokenCalls, options: AuthorizationOptions) -> None:
        self._calls = calls.controller.calls
        self._client, self._endpoints, self._scope = calls.client, calls.endpoints, calls.scope
        self._options = options

    def make(
        self, redirect_uri: str, key: DPoPKey | None, more: Mapping[str, str] | None = None
    ) -> Steps[AuthorizationRequest]:
        """Return a new request whose code is bound to the key; `more` are parameters that override others.

        Raises `OAuthError`: what the server refuses isn't shown to a user.
        """
        from ..login._request import AuthorizationRequest  # noqa: PLC0415 - programs without logins needn't load it

        endpoints, options = self._endpoints, self._options
        authorization_url = yield from endpoints.require("authorization_url")
        metadata = yield from endpoints.metadata()
        scope, is_offline = yield from endpoints.scope_of_login(self._scope, options.offline_access)
        defaults = {**({"prompt": "consent"} if is_offline else {}), **options.targets}
        in_url = {name for name, _ in parse_qsl(urlsplit(authorization_url).query, keep_blank_values=True)}
        defaults = {name: value for name, value in defaults.items() if name not in in_url}
        bound = {} if key is None else {"dpop_jkt": key.thumbprint}  # RFC 9449 section 10
        request = AuthorizationRequest(
            authorization_url,
            self._client.client_id,
            redirect_uri,
            scope=scope,
            issuer=endpoints.issuer,
            issuer_required=metadata.get("authorization_response_iss_parameter_supported") is True,
            parameters={**defaults, **options.parameters, **(more or {}), **bound},
            allow_insecure_transport=endpoints.allow_insecure,
        )
        if self._pushes(metadata):
            return request.pushed((yield from self._push(request, key)))
        if options.request_object is not None:
            attempt = self._calls.make_attempt(authorization_url)
            return request.signed(options.request_object.sign(request.parameters, request.client_id, attempt))
        return request

    def _pushes(self, metadata: Mapping[str, Any]) -> bool:
        if self._options.par is not None:
            return self._options.par
        is_required = metadata.get("require_pushed_authorization_requests") is True
        return is_required or "pushed_authorization_request_url" in self._endpoints.given

    def _push(self, request: AuthorizationRequest, key: DPoPKey | None) -> Steps[str]:
        """Send a request to the server itself; return the reference to it."""
        url = yield from self._endpoints.require("pushed_authorization_request_url")
        fields = self._fields_of(request)

        def send(client: ClientAuthParameters) -> Steps[str]:
            call = build_call(url, client.authorization, {**fields, **client.fields, **proof_of(key)})
            return self._calls.call(call, read_pushed_response)

        return (yield from self._client.call(send))

    def _fields_of(self, request: AuthorizationRequest) -> dict[str, Any]:
        signs = self._options.request_object
        if signs is not None:
            sign = partial(signs.sign, request.parameters, request.client_id)
            return {"client_id": request.client_id, "request": PerAttempt(sign)}
        fields: dict[str, Any] = {}
        for name, value in request.parameters:
            fields.setdefault(name, []).append(value)
        return fields
