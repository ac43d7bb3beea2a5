"""OpenTelemetry's own instrumentation of HTTP libraries, beside `oauth_auth.otel`."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import httpx
import httpx2
import pytest
from opentelemetry import trace
from opentelemetry.instrumentation.aiohttp_client import AioHttpClientInstrumentor
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor, HTTPXClientInstrumentor
from opentelemetry.instrumentation.requests import RequestsInstrumentor
from opentelemetry.instrumentation.urllib3 import URLLib3Instrumentor
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import oauth_auth.otel
from tests.support import modes
from tests.support.modes import Client, Mode
from tests.support.waiting import await_silence

from .service import Service, nothing, posting

SECRETS = ("client-secret", base64.b64encode(b"client-id:client-secret").decode(), "token-1", "token-2", "token-3")

OURS = "oauth token call 200"
ALL = [
    "/token 200",
    OURS,
    "/things 200",
    "/token 200",
    OURS,
    "/things 200",
    "/things 401",
    "/token 200",
    OURS,
    "/things 200",
]
"""First token, renewal, and replay, as an instrumentation shows them that sees each sending."""
WITHOUT_REPLAYS = [text for text in ALL if text != "/things 401"]
"""As one shows them for which a request and its replay are one span, with the last answer's status."""
QUIET_INSIDE = [*WITHOUT_REPLAYS[:-3], *WITHOUT_REPLAYS[-2:]]
"""As one shows them that is quiet within a request: the token call for a replay has our span alone."""

HTTPX = {httpx: HTTPXClientInstrumentor, httpx2: HTTPX2ClientInstrumentor}
INSTRUMENTED = [
    *(pytest.param(mode, HTTPX[mode.library], ALL, id=f"httpx's with {mode}") for mode in modes.OF_HTTPX),
    pytest.param(modes.REQUESTS, RequestsInstrumentor, QUIET_INSIDE, id="that of requests"),
    pytest.param(modes.REQUESTS, URLLib3Instrumentor, ALL, id="urllib3's"),
    pytest.param(modes.AIOHTTP, AioHttpClientInstrumentor, WITHOUT_REPLAYS, id="aiohttp's"),
]


@contextmanager
def instrumented(instrumentor: Any) -> Iterator[tuple[trace.Tracer, InMemorySpanExporter]]:
    """Instrument an HTTP library and all auth objects."""
    exporter, provider = InMemorySpanExporter(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    instrumentor.instrument(tracer_provider=provider)
    oauth_auth.otel.instrument(tracer_provider=provider)
    try:
        yield provider.get_tracer("tests"), exporter
    finally:
        oauth_auth.otel.uninstrument()
        instrumentor.uninstrument()
        provider.shutdown()


def send_in_span(service: Service, client: Client, tracer: trace.Tracer) -> int:
    """Send a request within a span of the caller's, in the thread or task that has it."""
    post = posting(client, service.api_url)

    def send() -> Any:
        with tracer.start_as_current_span("caller"):
            return post()

    async def send_async() -> Any:
        with tracer.start_as_current_span("caller"):
            return await post()

    return int(client.run(send if client.mode.backend is None else send_async))


def text_of(span: ReadableSpan) -> str:
    attributes = span.attributes or {}
    status = attributes.get("http.status_code", attributes.get("http.response.status_code"))
    return f"{span.name if span.name.startswith('oauth') else urlsplit(str(attributes['http.url'])).path} {status}"


@pytest.mark.parametrize(("mode", "instrumentor", "expected"), INSTRUMENTED)
def test_instrumented(mode: Mode, instrumentor: Any, expected: list[str], served: Service) -> None:
    """Each sending has the spans that its instrumentation makes, all below the caller's, and none holds a secret."""
    with instrumented(instrumentor()) as (tracer, exporter), mode.client(served.auth(mode.plugin)) as client:
        for happen in (nothing, served.expire, served.revoke):
            happen()
            assert 200 == send_in_span(served, client, tracer)
        await_silence()  # a token call's span is made when its callers have gone on
        spans = list(exporter.get_finished_spans())

    assert sorted(expected) == sorted(text_of(span) for span in spans if span.name != "caller")
    assert 3 == len({span.context.trace_id for span in spans if span.context})
    told = "".join(span.to_json() for span in spans)
    assert [] == [secret for secret in SECRETS if secret in told]
