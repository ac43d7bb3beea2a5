"""The device grant (RFC 8628): a person logs in on another device, and this one asks until they have."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Protocol

from .._wire.client_auth import ClientAuthParameters
from .._wire.messages import (
    TokenRequest,
    TokenResponse,
    build_token_request,
    read_fields,
    read_token_response,
)
from .._wire.token import OAuthToken
from ..errors import OAuthProviderException, ReauthorizationRequired, TokenError, TokenResponseError
from .calls import no_retry
from .grants import RefreshingGrant, TokenCalls, reauthorization

__all__ = ["DeviceCodeGrant", "Show", "show_on_stderr"]

_GRANT_TYPE = "urn:ietf:params:oauth:grant-type:device_code"
_DEFAULT_LIFETIME = 600.0
_DEFAULT_INTERVAL = 5.0
_SHORTEST_INTERVAL = 1.0
_LONGEST_INTERVAL = 60.0
_SLOWER = 5.0
"""What `slow_down` adds to the interval, in seconds (RFC 8628 section 3.5)."""


class Show(Protocol):
    """Shows a person where to log in, and with which code."""

    def __call__(
        self, *, user_code: str, verification_uri: str, verification_uri_complete: str | None, expires_in: float
    ) -> object:
        """Show it; `expires_in` is in seconds."""
        ...


def show_on_stderr(
    *, user_code: str, verification_uri: str, verification_uri_complete: str | None, expires_in: float
) -> None:
    """Print where to log in to stderr, with a QR code if the package `segno` is there."""
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


class _Device(NamedTuple):
    """The answer of a device authorization endpoint (RFC 8628 section 3.2); times in seconds."""

    device_code: str
    user_code: str
    verification_uri: str
    verification_uri_complete: str | None
    expires_in: float
    interval: float

    def __repr__(self) -> str:
        return f"{type(self).__name__}(…)"


class DeviceCodeGrant(RefreshingGrant):
    """RFC 8628; renewed with the refresh token."""

    def __init__(self, calls: TokenCalls, *, show: Show) -> None:
        super().__init__(calls)
        self._show = show

    @property
    def is_interactive(self) -> bool:
        return True

    def ask(self, over: threading.Event) -> Callable[[], OAuthToken]:
        """Show the person a code, and ask for the token until they have entered it."""
        device = self._client.call(self._begin)
        deadline = time.monotonic() + device.expires_in
        try:
            self._show(
                user_code=device.user_code,
                verification_uri=device.verification_uri,
                verification_uri_complete=device.verification_uri_complete,
                expires_in=device.expires_in,
            )
        except Exception as error:
            raise TokenError(f"the person could not be told: show raised {type(error).__name__}") from error
        token = self._poll(device, deadline, over)
        return lambda: token

    def obtain(self, last: OAuthToken | None, refusal: TokenError | None) -> OAuthToken:
        raise reauthorization("nobody has logged in", last, refusal) from refusal

    def _begin(self, proof: ClientAuthParameters) -> _Device:
        url = self._endpoints.require("device_authorization_url")
        fields = {"client_id": self._client.client_id, "scope": self._scope, **self._fields(proof)}
        return self._controller.calls.call(build_token_request(url, proof.authorization, fields), _read_device)

    def _poll(self, device: _Device, deadline: float, over: threading.Event) -> OAuthToken:
        interval = device.interval
        while True:
            if _wait(over, min(interval, max(deadline - time.monotonic(), 0.0))):
                raise ReauthorizationRequired("a person must log in again: the login was given up")
            if time.monotonic() >= deadline:
                raise ReauthorizationRequired("a person must log in again: nobody entered the code in time")
            try:
                return self._client.call(lambda proof: self._ask_once(proof, device.device_code))
            except OAuthProviderException as error:
                if error.error == "expired_token":
                    raise ReauthorizationRequired("a person must log in again: the code has expired") from error
                if error.error == "slow_down":
                    interval += _SLOWER
                elif error.error != "authorization_pending":
                    interval = _longer(interval, error)
            except TokenError as error:
                interval = _longer(interval, error)

    def _ask_once(self, proof: ClientAuthParameters, device_code: str) -> OAuthToken:
        fields = {"grant_type": _GRANT_TYPE, "device_code": device_code, **self._fields(proof)}
        url = self._endpoints.require("token_url")
        request = build_token_request(url, proof.authorization, fields)
        return self._controller.calls.call(request, read_token_response, repeatable=no_retry, single_use=True)


def _read_device(request: TokenRequest, response: TokenResponse) -> _Device:
    fields = read_fields(request, response, "device authorization endpoint")
    # Google's is of before the RFC, and has another name.
    fields = {"verification_uri": fields.get("verification_url"), **fields}
    texts = {name: fields.get(name) for name in ("device_code", "user_code", "verification_uri")}
    if not all(_is_line(text) for text in texts.values()):
        raise TokenResponseError(
            "the device authorization endpoint's answer lacks a usable device_code, user_code or verification_uri",
            status_code=response.status_code,
            token_url=request.url,
        )
    complete = fields.get("verification_uri_complete")
    return _Device(
        **texts,  # type: ignore[arg-type]
        verification_uri_complete=complete if _is_line(complete) else None,
        expires_in=_seconds(fields.get("expires_in"), _DEFAULT_LIFETIME),
        interval=max(_seconds(fields.get("interval"), _DEFAULT_INTERVAL), _SHORTEST_INTERVAL),
    )


def _wait(over: threading.Event, seconds: float) -> bool:
    """Wait until the next poll is due; tell whether the login is over."""
    return over.wait(seconds)


def _is_line(text: object) -> bool:
    """Tell whether this can be shown: a server mustn't be able to command a terminal."""
    return isinstance(text, str) and text != "" and text.isprintable()


def _longer(interval: float, error: TokenError) -> float:
    """Return the interval after trouble that may pass, and raise any other (RFC 8628 section 3.5)."""
    if not error.retryable:
        raise error
    return max(min(interval * 2, _LONGEST_INTERVAL), error.retry_after or 0.0)


def _seconds(value: Any, default: float) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError, OverflowError):
        return default
    return seconds if 0 <= seconds < 1e6 else default
