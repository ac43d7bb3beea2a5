"""The device grant (RFC 8628): a user logs in on another device, and this program polls until they have."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, ClassVar, Protocol

from .._wire.client_auth import ClientAuthParameters
from .._wire.messages import DeviceResponse, read_device_response
from .._wire.token import OAuthToken
from .._wire.token_request import build_call
from ..errors import OAuthProviderException, ReauthorizationRequired, TokenError
from .calls import Steps, no_retry
from .grants import RefreshingGrant, TokenCalls, check_binding, proof_of, reauthorization

if TYPE_CHECKING:
    from .._keys.dpop import DPoPKey

__all__ = ["DeviceCodeGrant", "Show", "show_on_stderr"]

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_LONGEST_INTERVAL = 60.0
_SLOWER = 5.0
"""What `slow_down` adds to the interval, in seconds (RFC 8628 section 3.5)."""


class Show(Protocol):
    """Shows the user where to log in, and with which code."""

    def __call__(
        self, *, user_code: str, verification_uri: str, verification_uri_complete: str | None, expires_in: float
    ) -> object:
        """Show it; `expires_in` is in seconds."""
        ...


def show_on_stderr(
    *, user_code: str, verification_uri: str, verification_uri_complete: str | None, expires_in: float
) -> None:
    """Print where to log in to stderr, with a QR code if the package `segno` is installed."""
    lines = ["To log in, open this page on any device:", "", f"    {verification_uri}", "", "and enter the code:", ""]
    lines += [f"    {user_code}", "", f"It is good for {max(round(expires_in / 60), 1)} minutes."]
    if verification_uri_complete is not None:
        lines += ["", f"Or open {verification_uri_complete}"]
    print(*lines, sep="\n", file=sys.stderr, flush=True)
    try:
        import segno  # type: ignore[import-not-found, unused-ignore]  # noqa: PLC0415 - optional
    except ImportError:
        return
    with suppress(ValueError):  # too long for a QR code
        segno.make(verification_uri_complete or verification_uri, error="l").terminal(sys.stderr, compact=True)
        sys.stderr.flush()


class DeviceCodeGrant(RefreshingGrant):
    """RFC 8628; renewed with the refresh token."""

    default_interval: ClassVar[float] = 5.0
    """Seconds between two polls, where the server names none (RFC 8628 section 3.2)."""
    shortest_interval: ClassVar[float] = 1.0
    """The least that a server's interval counts as, in seconds."""

    def __init__(self, calls: TokenCalls, *, show: Show, offline_access: bool | None = None) -> None:
        super().__init__(calls)
        self._show = show
        self._offline_access = offline_access

    @property
    def is_interactive(self) -> bool:
        return True

    def authorize(
        self, cancelled: threading.Event, key: DPoPKey | None = None, demands: Mapping[str, str] | None = None
    ) -> Callable[[], Steps[OAuthToken]]:
        """Show the user a code, and poll for the token until they have entered it."""
        device = self.controller.calls.run(self.client.call(self._start_device))
        deadline = time.monotonic() + device.expires_in
        try:
            self._show(
                user_code=device.user_code,
                verification_uri=device.verification_uri,
                verification_uri_complete=device.verification_uri_complete,
                expires_in=device.expires_in,
            )
        except Exception as error:
            raise TokenError(f"the code could not be shown to the user: show raised {type(error).__name__}") from error
        token = self._poll(device, deadline, cancelled, key)

        def redeem() -> Steps[OAuthToken]:
            yield from ()
            return token

        return redeem

    def request_token(
        self, last: OAuthToken | None, refusal: TokenError | None, key: DPoPKey | None = None
    ) -> Steps[OAuthToken]:
        yield from ()
        raise reauthorization(None, last, refusal) from refusal

    def _start_device(self, client: ClientAuthParameters) -> Steps[DeviceResponse]:
        url = yield from self._endpoints.require("device_authorization_url")
        scope, _ = yield from self._endpoints.scope_of_login(self._scope, self._offline_access)
        own = {"client_id": self.client.client_id, "scope": scope, **self.details}
        fields = {**own, **client.fields, **self.field_parameters}
        call = build_call(url, client.authorization, fields)
        return (yield from self.controller.calls.call(call, read_device_response))

    def _poll(
        self, device: DeviceResponse, deadline: float, cancelled: threading.Event, key: DPoPKey | None
    ) -> OAuthToken:
        interval = self.default_interval if device.interval is None else device.interval
        interval = max(interval, self.shortest_interval)
        while True:
            if self.wait(cancelled, min(interval, max(deadline - time.monotonic(), 0.0))):
                raise ReauthorizationRequired("the user must log in: the login was cancelled")
            if time.monotonic() >= deadline:
                raise ReauthorizationRequired("the user must log in: the code wasn't entered in time")
            try:
                ask = partial(self._ask_once, device.device_code, key)
                return check_binding(self.controller.calls.run(self.client.call(ask)), key)
            except OAuthProviderException as error:
                if error.error == "expired_token":
                    raise ReauthorizationRequired("the user must log in: the code has expired") from error
                if error.error == "slow_down":
                    interval += _SLOWER
                elif error.error != "authorization_pending":
                    interval = _longer(interval, error)
            except TokenError as error:
                interval = _longer(interval, error)

    def wait(self, cancelled: threading.Event, seconds: float) -> bool:
        """Wait until the next poll is due; return whether the login was cancelled."""
        return cancelled.wait(seconds)

    def _ask_once(self, device_code: str, key: DPoPKey | None, client: ClientAuthParameters) -> Steps[OAuthToken]:
        url = yield from self._endpoints.require("token_url")
        fields = {"grant_type": _GRANT_TYPE, "device_code": device_code, **client.fields, **self.field_parameters}
        call = build_call(url, client.authorization, {**fields, **proof_of(key)})
        attempts = self.controller.calls.token_call(call, repeatable=no_retry, single_use=True)
        return (yield from attempts.make())


def _longer(interval: float, error: TokenError) -> float:
    """Return a longer interval after an error that may pass (RFC 8628 section 3.5). Raises any other error."""
    if not error.retryable:
        raise error
    return max(min(interval * 2, _LONGEST_INTERVAL), error.retry_after or 0.0)
