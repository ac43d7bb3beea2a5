"""Authorization requests: pushed beforehand (RFC 9126), signed (RFC 9101), or in the URL as they are."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from authlib.oauth2 import OAuth2Error
from authlib.oauth2.rfc6749 import InvalidRequestError

from ._client import CLIENT_AUTH_METHODS
from ._issued import in_seconds
from ._proofs import ProofError
from ._request_object import Fields, read_request_object

if TYPE_CHECKING:
    from ._authorization import AuthorizationServer
    from ._provider import LocalProvider

__all__ = ["ENDPOINT", "AuthorizationRequests"]

ENDPOINT = "pushed_authorization_request"
_PREFIX = "urn:ietf:params:oauth:request_uri:"
_OF_THE_CLIENT = {"client_secret", "client_assertion", "client_assertion_type"}


class InvalidRequestUriError(OAuth2Error):  # type: ignore[misc]
    """RFC 9101 section 7."""

    error = "invalid_request_uri"


@dataclass(frozen=True, slots=True, repr=False)
class _Pushed:
    fields: Fields
    expires_at: float


class AuthorizationRequests:
    """Takes requests that are pushed, and finds for a browser's what it stands for. Its caller holds the lock."""

    def __init__(self, provider: LocalProvider, server: AuthorizationServer) -> None:
        self._provider = provider
        self._server = server
        self._pushed: dict[str, _Pushed] = {}

    def push(self) -> tuple[int, dict[str, Any], list[tuple[str, str]]]:
        """Answer the request that Flask has (RFC 9126 section 2). Raises `OAuth2Error`."""
        request = self._server.create_oauth2_request(None)
        self._server.authenticate_client(request, CLIENT_AUTH_METHODS, ENDPOINT)
        if "request_uri" in request.form:
            raise InvalidRequestError("A pushed request has no request_uri.")
        fields = dict(self._unwrapped(request.payload).datalist)
        if jkt := request.binding.jkt:
            if fields.get("dpop_jkt", [jkt]) != [jkt]:
                raise ProofError("The proof is of another key than dpop_jkt.")
            fields["dpop_jkt"] = [jkt]
        request.payload = Fields({name: fields[name] for name in fields if name not in _OF_THE_CLIENT})
        try:
            self._server.get_authorization_grant(request).validate_authorization_request()
        except OAuth2Error as error:
            error.redirect_uri = None  # there is no browser to redirect
            raise
        lifetime = self._provider.request_uri_lifetime
        reference = _PREFIX + secrets.token_urlsafe(32)
        self._pushed[reference] = _Pushed(request.payload, self._server.now() + lifetime)
        answer = {"request_uri": reference, "expires_in": in_seconds(lifetime)}
        return 201, answer, [("Content-Type", "application/json"), ("Cache-Control", "no-store")]

    def from_browser(self) -> Any:
        """Return the request that Flask has, with the parameters that it stands for. Raises `OAuth2Error`."""
        request = self._server.create_oauth2_request(None)
        if (reference := request.payload.data.get("request_uri")) is not None:
            request.payload = self._take(reference, request.payload.client_id)
        elif self._provider.require_pushed_authorization_requests:
            raise InvalidRequestError("Authorization requests must be pushed.")
        else:
            request.payload = self._unwrapped(request.payload)
        return request

    def _take(self, reference: str, client_id: str | None) -> Fields:
        """Return the pushed request that a reference stands for, once (RFC 9126 section 4)."""
        pushed = self._pushed.get(reference)
        if pushed is None or client_id != pushed.fields.client_id:
            raise InvalidRequestUriError("The request_uri is unknown, of another client, or was used before.")
        del self._pushed[reference]
        if self._server.now() >= pushed.expires_at:
            raise InvalidRequestUriError("The request_uri has expired.")
        return pushed.fields

    def _unwrapped(self, payload: Any) -> Any:
        """Return the parameters that are signed, if any are."""
        if (signed := payload.data.get("request")) is not None:
            return read_request_object(signed, payload.client_id, self._provider, self._server.unix_time())
        if self._provider.require_signed_request_object:
            raise InvalidRequestError("Authorization requests must be signed.")
        return payload
