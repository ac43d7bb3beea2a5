"""OpenTelemetry: a span for each token call, and metrics of what the library does.

    oauth_auth.otel.instrument()

It instruments all auth objects, of every HTTP library. docs/events.md lists the span and the metrics.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

try:
    from opentelemetry import metrics, trace
except ImportError as error:  # pragma: no cover - tested in a process of its own
    raise ImportError('oauth_auth.otel needs opentelemetry-api: pip install "oauth_auth[otel]"') from error

from . import _events, errors

__all__ = ["instrument", "uninstrument"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""Bounds of a histogram's buckets: those of the semantic conventions for HTTP, as the SDK's are for milliseconds."""

_ERROR_TYPES = {*map(str, errors.OAuthProviderError), *errors.__all__}
"""The values of `error.type`. A server's error codes can be anything, and each value makes a time series of its own."""

_lock = threading.Lock()


def instrument(
    *, tracer_provider: trace.TracerProvider | None = None, meter_provider: metrics.MeterProvider | None = None
) -> None:
    """Make spans and metrics from now on, with the program's global providers by default.

    A second call replaces the providers of the first.
    """
    _replace(_Telemetry(tracer_provider, meter_provider))


def uninstrument() -> None:
    """Make no more spans and metrics."""
    _replace()


def _replace(*new: _Telemetry) -> None:
    with _lock:
        others = [listener for listener in _events.listeners if not isinstance(listener, _Telemetry)]
        _events.listeners[:] = [*others, *new]


class _Telemetry:
    """Turns events into spans and measurements."""

    def __init__(
        self, tracer_provider: trace.TracerProvider | None, meter_provider: metrics.MeterProvider | None
    ) -> None:
        self._tracer = trace.get_tracer("oauth_auth", tracer_provider=tracer_provider)
        meter = metrics.get_meter("oauth_auth", meter_provider=meter_provider)
        self._calls = meter.create_histogram(
            "oauth.token_call.duration",
            "s",
            "How long token calls took, with their retries",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._waits = meter.create_counter("oauth.waits", "{wait}", "Requests that waited for a token")
        self._waiting = meter.create_histogram(
            "oauth.wait.duration",
            "s",
            "How long requests waited for a token",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._renewals = meter.create_counter(
            "oauth.renewals", "{renewal}", "Renewals and first tokens, by their result"
        )
        self._rejections = meter.create_counter("oauth.rejections", "{rejection}", "Answers that rejected the token")
        self._replays = meter.create_counter("oauth.replays", "{replay}", "Rejected requests, sent again or not")

    def __call__(self, event: str, fields: Mapping[str, Any]) -> None:
        match event:
            case "token_call":
                self._record_call(fields)
            case "waited":
                self._waits.add(1)
                self._waiting.record(fields["duration"])
            case "acquired" | "renewed" | "adopted" | "failed":
                self._renewals.add(1, _known({"oauth.result": event, "error.type": fields.get("error_type")}))
            case "rejected":
                self._rejections.add(1, _answer_attributes(fields))
            case "replayed" | "not_replayed":
                self._replays.add(1, {"oauth.result": event, **_answer_attributes(fields)})

    def _record_call(self, fields: Mapping[str, Any]) -> None:
        """Make a span and a measurement of a token call that has just ended."""
        end = _events.happened_at()
        result, duration = fields["result"], fields["duration"]
        has_failed = result != "ok"
        common = {
            "oauth.grant_type": fields["grant_type"],
            "error.type": (result if result in _ERROR_TYPES else "_OTHER") if has_failed else None,
            **_answer_attributes({"url": fields["token_url"], "status": fields["status"]}),
        }
        self._calls.record(duration, _known(common))
        only_in_spans = {
            "oauth.result": result,
            "oauth.attempts": fields["attempts"],
            "url.full": fields["token_url"],
            "http.request.method": "POST",
        }
        span = self._tracer.start_span(
            "oauth token call",
            kind=trace.SpanKind.CLIENT,
            attributes=_known({**common, **only_in_spans}),
            start_time=end - int(duration * 1e9),
        )
        if has_failed:
            span.set_status(trace.Status(trace.StatusCode.ERROR, result))
        span.end(end)


def _answer_attributes(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return an answer's server and status, without its URL, which would make a time series each."""
    parts = urlsplit(fields["url"])
    return _known(
        {
            "server.address": parts.hostname,
            "server.port": parts.port or {"http": 80, "https": 443}.get(parts.scheme),
            "http.response.status_code": fields["status"],
        }
    )


def _known(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that aren't None."""
    return {name: value for name, value in attributes.items() if value is not None}
