"""Logins on another device (RFC 8628): a code for the device, one for its user, and polls until the user decides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import flask
from authlib.oauth2.rfc6749 import InvalidGrantError
from authlib.oauth2.rfc8628 import DeviceAuthorizationEndpoint as AuthlibDeviceAuthorizationEndpoint
from authlib.oauth2.rfc8628 import DeviceCodeGrant as AuthlibDeviceCodeGrant
from authlib.oauth2.rfc8628 import DeviceCredentialMixin

from ._issued import in_seconds

__all__ = ["DeviceAuthorizationEndpoint", "DeviceCode", "DeviceCodeGrant"]

_SLOWER = 5.0
"""What `slow_down` adds to the interval, in seconds (RFC 8628 section 3.5)."""


@dataclass(slots=True, eq=False, repr=False)
class DeviceCode(DeviceCredentialMixin):  # type: ignore[misc]
    """A device code and its user code, until they were exchanged for tokens."""

    client_id: str
    user_code: str
    scope: str
    interval: float
    now: Callable[[], float]
    expires_at: float
    polled_at: float = float("-inf")

    def get_client_id(self) -> str:
        return self.client_id

    def get_scope(self) -> str:
        return self.scope

    def get_user_code(self) -> str:
        return self.user_code

    def is_expired(self) -> bool:
        return self.now() >= self.expires_at

    def is_typed_as(self, text: str) -> bool:
        """Return whether a user who types this means this code: case and hyphens don't count (section 6.1)."""
        return _characters(text) == _characters(self.user_code)

    def is_polled_too_soon(self) -> bool:
        """Note a poll; return whether it came too soon after the last one, from which on the interval is longer."""
        now = self.now()
        too_soon = now < self.polled_at + self.interval
        self.polled_at = now
        self.interval += _SLOWER if too_soon else 0.0
        return too_soon


def _characters(user_code: str) -> str:
    return "".join(filter(str.isalnum, user_code)).upper()


class DeviceAuthorizationEndpoint(AuthlibDeviceAuthorizationEndpoint):  # type: ignore[misc]
    """Section 3.1: gives a device its codes. Lifetime and interval are the provider's."""

    @property
    def EXPIRES_IN(self) -> float:  # noqa: N802 - Authlib's name
        return in_seconds(self.server.provider.device_code_lifetime)

    @property
    def INTERVAL(self) -> float:  # noqa: N802 - Authlib's name
        return in_seconds(self.server.provider.device_interval)

    def authenticate_client(self, request: Any) -> Any:
        client = flask.g.client = super().authenticate_client(request)
        return client

    def get_verification_uri(self) -> str:
        return f"{self.server.provider.issuer}/device"

    def save_device_credential(self, client_id: str, scope: str | None, data: dict[str, Any]) -> None:
        self.server.device_codes[data["device_code"]] = DeviceCode(
            # Authlib before 1.7 hands over the form's `client_id`, which a client with Basic credentials leaves out.
            client_id=flask.g.client.get_client_id(),
            user_code=data["user_code"],
            scope=scope or "",
            interval=data["interval"],
            now=self.server.now,
            expires_at=self.server.now() + data["expires_in"],
        )


class DeviceCodeGrant(AuthlibDeviceCodeGrant):  # type: ignore[misc]
    """Section 3.4: a device code is good for tokens once, when its user has approved."""

    def query_device_credential(self, device_code: str) -> DeviceCode:
        device: DeviceCode | None = self.server.device_codes.get(device_code)
        if device is None:
            # Authlib would answer invalid_request; RFC 6749 section 5.2, which section 3.5 refers to, demands this.
            raise InvalidGrantError("Invalid 'device_code' in request.")
        return device

    def query_user_grant(self, user_code: str) -> tuple[str, bool] | None:
        return self.server.user_grants.get(user_code)  # type: ignore[no-any-return]

    def should_slow_down(self, credential: DeviceCode) -> bool:
        return credential.is_polled_too_soon()

    def save_token(self, token: dict[str, Any]) -> None:
        super().save_token(token)
        del self.server.device_codes[self.request.payload.data["device_code"]]
