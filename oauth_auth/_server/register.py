"""How a client is registered at a server that nobody has configured (RFC 7591), once for all that share a store."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Protocol

from .._events import emit
from .._wire.challenges import is_within, united
from .._wire.client_auth import ClientAuthentication
from .._wire.registration import (
    Registration,
    build_registration,
    choose_method,
    client_metadata_for,
    read_registration_response,
)
from .._wire.token_request import Call
from .._wire.urls import without_query
from ..errors import OAuthProviderException, RegistrationError, TokenError, TokenResponseError
from .calls import EndpointCalls, Steps

__all__ = ["Registrations", "register"]


class Registrations(Protocol):
    """Where registrations are kept. Its methods block, and raise nothing of the store's."""

    def find(self, issuer: str, redirect_uri: str | None) -> Registration | None:
        """Return the registration at a server for a redirect URI, or for none, as devices have."""
        ...

    def find_client(self, issuer: str, client_id: str, redirect_uri: str | None) -> Registration | None:
        """Return a client's registration, also after another has taken its place."""
        ...

    def find_latest(self, issuer: str) -> Registration | None:
        """Return the last one at a server that has a redirect URI, whatever its port."""
        ...

    def obtain(
        self,
        issuer: str,
        redirect_uri: str | None,
        is_usable: Callable[[Registration], bool],
        make: Callable[[Registration | None], Registration],
    ) -> Registration:
        """Return one that's kept and usable, else make it and keep it, one program at a time.

        `make` takes the one that it replaces.
        """
        ...

    def forget(self, registration: Registration) -> None:
        """Forget a registration that the server doesn't know any more."""
        ...


def register(
    calls: EndpointCalls,
    url: str,
    metadata: Mapping[str, Any],
    *,
    issuer: str,
    redirect_uri: str | None,
    scope: str | None,
    supported: str | None,
    client_auth: ClientAuthentication | None,
    own: Mapping[str, Any],
) -> Steps[Registration]:
    """Register a client; return what the server says of it. Raises `TokenError`.

    The scope that it's registered with is its ceiling, so it's all that's `supported`, besides the `scope` that is to
    be asked for now; where the server refuses that, it's the latter alone.
    """
    method = choose_method(metadata.get("token_endpoint_auth_methods_supported"), client_auth)
    ceilings = [united(scope, supported), scope] if scope else [None]
    if is_within(ceilings[0], ceilings[-1]):
        ceilings = ceilings[-1:]
    failure: TokenError | None = None
    for ceiling in ceilings:
        request = build_registration(url, client_metadata_for(redirect_uri, ceiling, method, own))
        read = partial(read_registration_response, issuer=issuer, redirect_uri=redirect_uri)
        try:
            registration = yield from calls.call(Call(request), read)
        except (OAuthProviderException, TokenResponseError) as error:
            failure = error
            if error.retryable or error.status_code != 400:
                break
        else:
            text = "client %(client_id)s registered at %(issuer)s"
            emit(logging.INFO, "registered", text, client_id=registration.client_id, issuer=issuer)
            return registration
    assert failure is not None  # noqa: S101 - else one was returned
    raise _refused(failure, issuer, url)


def _refused(failure: TokenError, issuer: str, url: str) -> RegistrationError:
    """Return what is raised for a registration that the server has refused."""
    refusal = failure if isinstance(failure, OAuthProviderException) else None
    error = RegistrationError(
        f"no client could be registered at {issuer}: {failure}; pass client_id= of one registered by hand, "
        "or client_metadata_url=",
        error=None if refusal is None else str(refusal.error),
        error_description=None if refusal is None else refusal.error_description,
        status_code=failure.status_code,
        registration_url=without_query(url),
    )
    error.retryable, error.retry_after = failure.retryable, failure.retry_after
    error.server_message = failure.server_message
    return error
