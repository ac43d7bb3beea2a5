"""OpenTelemetry: token calls are spans of whoever asked for the token, and what the library does can be counted."""

from __future__ import annotations

import base64
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import freezegun
import pytest
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import oauth_auth.otel
from oauth_auth import MemoryTokenStore, TokenError, _events
from oauth_auth._flight import Flight
from tests.support.modes import Client, Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_silence

from .test_events import DOCUMENT

pytestmark = pytest.mark.shared_core

TOKEN_CALL = "oauth token call"


class Telemetry:
    """A program's providers, and what they were told."""

    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        self.tracer_provider = TracerProvider(shutdown_on_exit=False)
        self.tracer_provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self._reader = InMemoryMetricReader()
        self.meter_provider = MeterProvider([self._reader], shutdown_on_exit=False)
        self.tracer = self.tracer_provider.get_tracer("tests")

    def instrument(self) -> None:
        oauth_auth.otel.instrument(tracer_provider=self.tracer_provider, meter_provider=self.meter_provider)

    def shut_down(self) -> None:
        self.tracer_provider.shutdown()
        self.meter_provider.shutdown()

    @property
    def token_calls(self) -> list[ReadableSpan]:
        return [span for span in self._exporter.get_finished_spans() if span.name == TOKEN_CALL]

    def span(self, name: str) -> ReadableSpan:
        [span] = [span for span in self._exporter.get_finished_spans() if span.name == name]
        return span

    @property
    def metrics(self) -> dict[str, Any]:
        data = self._reader.get_metrics_data()
        resources = [] if data is None else data.resource_metrics
        return {
            metric.name: metric
            for resource in resources
            for scope in resource.scope_metrics
            for metric in scope.metrics
        }

    def points(self, name: str) -> list[Any]:
        return list(self.metrics[name].data.data_points) if name in self.metrics else []

    def counts(self, name: str) -> dict[str, int]:
        """Return a counter's values by their `oauth.result`."""
        return {point.attributes.get("oauth.result", ""): point.value for point in self.points(name)}

    def send(self, client: Client, url: str, name: str = "caller") -> Any:
        """Send a request within a span of the caller's, in the thread or task that has it."""

        def within_a_span() -> Any:
            with self.tracer.start_as_current_span(name):
                return client.request("GET", url)

        async def within_a_span_async() -> Any:
            with self.tracer.start_as_current_span(name):
                return await client.request("GET", url)

        return client.run(within_a_span if client.mode.backend is None else within_a_span_async)


@contextmanager
def instrumented() -> Iterator[Telemetry]:
    await_silence()
    telemetry = Telemetry()
    telemetry.instrument()
    try:
        yield telemetry
    finally:
        oauth_auth.otel.uninstrument()
        telemetry.shut_down()


@pytest.fixture
def telemetry() -> Iterator[Telemetry]:
    with instrumented() as telemetry:
        yield telemetry


def assert_child(child: ReadableSpan, parent: ReadableSpan) -> None:
    assert child.parent is not None
    assert parent.context is not None
    assert (parent.context.trace_id, parent.context.span_id) == (child.parent.trace_id, child.parent.span_id)


def test_a_token_call_is_a_span_of_its_caller(
    mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """The span's parent is that of the request that waits, and its time lies within that one's."""
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 200 == telemetry.send(client, api.url).status_code
        telemetry.send(client, api.url, "with a valid token")
    [call], caller = telemetry.token_calls, telemetry.span("caller")

    assert_child(call, caller)
    assert SpanKind.CLIENT == call.kind
    times = (caller.start_time, call.start_time, call.end_time, caller.end_time)
    # The start is reckoned from the duration, by another clock than the caller's.
    slack = 2_000_000
    assert all(one is not None and two is not None and one <= two + slack for one, two in itertools.pairwise(times))


def test_a_renewal_after_a_rejection_is_a_span_of_its_caller(
    mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """A request whose token is rejected is the parent of the renewal's span."""
    with mode.client(client_credentials(mode, tokens)) as client:
        client.get(api.url)
        tokens.revoke()
        assert 200 == telemetry.send(client, api.url).status_code
    [first, second] = telemetry.token_calls

    assert first.parent is None
    assert_child(second, telemetry.span("caller"))


def test_a_background_renewal_is_a_span_of_its_caller(
    mode: Mode, tokens: Tokens, serve: Callable[..., ScriptedServer], telemetry: Telemetry
) -> None:
    """A request that begins a renewal in the background is the parent of its span, though it doesn't wait for it."""
    api = serve(lambda _: Answer(200))
    auth = client_credentials(mode, tokens, token=token_that_expires_in(120))
    with mode.client(auth) as client:
        assert 200 == telemetry.send(client, api.url).status_code
        await_silence()

    [call] = telemetry.token_calls
    assert_child(call, telemetry.span("caller"))
    assert ({"renewed": 1}, []) == (telemetry.counts("oauth.renewals"), telemetry.points("oauth.waits"))


def test_a_span_ends_with_its_call_whenever_it_is_told(
    mode: Mode, tokens: Tokens, telemetry: Telemetry, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another listener that blocks makes no span longer, nor later."""
    monkeypatch.setattr(Flight, "patience", patience)
    go_on = threading.Event()

    def block(event: str, fields: Mapping[str, object]) -> None:
        if event == "token_call":
            go_on.wait(20)

    _events.listeners.insert(0, block)
    try:
        before = time.time_ns()
        mode.get_token(client_credentials(mode, tokens))
        after = time.time_ns()
        go_on.set()
        await_silence()
    finally:
        _events.listeners.remove(block)
    [call] = telemetry.token_calls
    assert call.start_time is not None
    assert call.end_time is not None
    assert before - 2_000_000 <= call.start_time <= call.end_time <= after - patience / 2 * 1e9


def test_a_span_says_how_the_call_went(plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry) -> None:
    """Attributes and status of a call that succeeds after a retry, of one refused, and of one out of reach."""
    answers = [Answer(503), None, Answer(400, {"error": "invalid_scope"}), Answer(400, {"error": "odd"})]
    tokens.answer = lambda _: answers[tokens.calls - 1]
    plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    for _ in range(2):
        with pytest.raises(TokenError):
            plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    with pytest.raises(TokenError):
        plugin_mode.get_token(
            plugin_mode.plugin.ClientCredentialsAuth("http://127.0.0.1:9/token", "id", "s", token_timeout=0.1)
        )

    common = {"oauth.grant_type": "client_credentials", "server.address": "127.0.0.1", "http.request.method": "POST"}
    port = int(tokens.url.split(":")[2].removesuffix("/token"))
    here = {**common, "server.port": port, "url.full": tokens.url}
    there = {**common, "server.port": 9, "url.full": "http://127.0.0.1:9/token"}
    ok = {"oauth.result": "ok", "http.response.status_code": 200, "oauth.attempts": 2}
    refused = {"http.response.status_code": 400, "oauth.attempts": 1}
    *answered, unanswered = telemetry.token_calls
    assert [
        {**here, **ok},
        {**here, **refused, "oauth.result": "invalid_scope", "error.type": "invalid_scope"},
        {**here, **refused, "oauth.result": "odd", "error.type": "_OTHER"},
    ] == [dict(span.attributes or {}) for span in answered]
    assert {
        **there,
        "oauth.result": "TokenTransportError",
        "error.type": "TokenTransportError",
        "oauth.attempts": 1,
    } == dict(unanswered.attributes or {})
    assert [(StatusCode.UNSET, None)] + [
        (StatusCode.ERROR, result) for result in ("invalid_scope", "odd", "TokenTransportError")
    ] == [(span.status.status_code, span.status.description) for span in telemetry.token_calls]


def test_token_calls_are_timed(plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry) -> None:
    """The histogram has each call once, in seconds and in buckets for seconds, as long as its span."""
    plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    tokens.answer = lambda _: Answer(400, {"error": "odd"})
    with pytest.raises(TokenError):
        plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    points = sorted(telemetry.points("oauth.token_call.duration"), key=lambda point: len(point.attributes))

    assert [None, "_OTHER"] == [point.attributes.get("error.type") for point in points]
    assert ["client_credentials"] * 2 == [point.attributes["oauth.grant_type"] for point in points]
    for point, span in zip(points, telemetry.token_calls, strict=True):
        assert span.start_time is not None
        assert span.end_time is not None
        assert (1, 14) == (point.count, len(point.explicit_bounds))
        assert abs(point.sum - (span.end_time - span.start_time) / 1e9) < 1e-6


def test_renewals_are_counted(plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry) -> None:
    """By what came of them; failures by their error."""
    auth = client_credentials(plugin_mode, tokens)
    for _ in range(3):
        plugin_mode.refresh(auth)
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(3000))
    plugin_mode.get_token(client_credentials(plugin_mode, tokens, store=store, store_key="k"))
    tokens.answer = lambda _: Answer(400, {"error": "odd"})
    with pytest.raises(TokenError):
        plugin_mode.refresh(auth)

    assert {"acquired": 1, "renewed": 2, "adopted": 1, "failed": 1} == telemetry.counts("oauth.renewals")
    types = [point.attributes.get("error.type") for point in telemetry.points("oauth.renewals")]
    assert ["OAuthProviderException"] == [error_type for error_type in types if error_type is not None]


def test_rejections_and_replays_are_counted(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """By the API that rejects, whatever the path; replays also by whether they could be made."""

    async def parts() -> Any:
        yield b"x"

    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        for number in range(3):
            client.get(f"{api.url}/{number}")
            tokens.revoke()
            body: Any = b"x" if number else ((part for part in [b"x"]) if plugin_mode.backend is None else parts())
            client.send("POST", f"{api.url}/{number}?key=s3cret", body=body)

    at_the_api = {"server.address": "127.0.0.1", "server.port": int(api.url.rpartition(":")[2])}
    [point] = telemetry.points("oauth.rejections")
    assert (3, {**at_the_api, "http.response.status_code": 401}) == (point.value, dict(point.attributes))
    assert {"replayed": 2, "not_replayed": 1} == telemetry.counts("oauth.replays")
    for point in telemetry.points("oauth.replays"):
        assert {**at_the_api, "http.response.status_code": 401}.items() <= dict(point.attributes).items()


def test_waits_are_counted_and_timed(mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry) -> None:
    """Each request that waits counts, and no other."""
    with mode.client(client_credentials(mode, tokens)) as client:
        for _ in range(3):
            client.get(api.url)
    [count], [histogram], [call] = (
        telemetry.points(name) for name in ("oauth.waits", "oauth.wait.duration", "oauth.token_call.duration")
    )

    assert (1, 1) == (count.value, histogram.count)
    assert histogram.sum >= call.sum > 0


def test_no_secret_is_traced_or_measured(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """Not even where a server repeats in its error what it was sent."""
    secret = "s3cret-of-the-client"
    auth = plugin_mode.plugin.ClientCredentialsAuth(f"{tokens.url}?key=s3cret", "client", secret)

    def echo(request: Received) -> Answer:
        return Answer(400, {"error": f"{request.authorization} {request.form['password'][0]}"})

    with plugin_mode.client(auth) as client:
        client.get(f"{api.url}?key=s3cret")
        tokens.revoke()
        client.get(f"{api.url}?key=s3cret")
        tokens.answer = echo
        password = plugin_mode.plugin.PasswordAuth(tokens.url, "id", secret, username="john", password="s3cret-of-john")
        with pytest.raises(TokenError):
            plugin_mode.get_token(password)
    spans, measured = telemetry.token_calls, telemetry.metrics
    text = " ".join([*(span.to_json() for span in spans), *(metric.to_json() for metric in measured.values())])

    assert (3, 6) == (len(spans), len(measured))
    basics = [base64.b64encode(f"{name}:{secret}".encode()).decode() for name in ("client", "id")]
    assert [] == [part for part in ("s3cret", "token-1", "token-2", *basics) if part in text]


def test_instrumenting_twice_doubles_nothing(plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry) -> None:
    """Of two calls the last one's providers are told, once; and one call of `uninstrument` ends it."""
    with instrumented() as second:
        second.instrument()
        plugin_mode.get_token(client_credentials(plugin_mode, tokens))
        assert (0, 1) == (len(telemetry.token_calls), len(second.token_calls))
        assert {"acquired": 1} == second.counts("oauth.renewals")
        oauth_auth.otel.uninstrument()
        oauth_auth.otel.uninstrument()
        plugin_mode.get_token(client_credentials(plugin_mode, tokens))
        assert (0, 1) == (len(telemetry.token_calls), len(second.token_calls))
    assert [] == _events.listeners


def test_other_listeners_are_left_alone(telemetry: Telemetry) -> None:
    """Neither call touches listeners of others."""

    def other(event: str, fields: object) -> None:
        pass

    _events.listeners.append(other)
    try:
        telemetry.instrument()
        assert [other, oauth_auth.otel._Telemetry] == [
            listener if listener is other else type(listener) for listener in _events.listeners
        ]
        oauth_auth.otel.uninstrument()
        assert [other] == _events.listeners
    finally:
        _events.listeners.remove(other)


def test_the_global_providers_are_the_default(
    plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without arguments, spans and measurements go where the program's own go."""
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: telemetry.tracer_provider)
    monkeypatch.setattr(metrics._internal, "get_meter_provider", lambda: telemetry.meter_provider)
    oauth_auth.otel.instrument()
    plugin_mode.get_token(client_credentials(plugin_mode, tokens))

    assert (1, {"acquired": 1}) == (len(telemetry.token_calls), telemetry.counts("oauth.renewals"))


def test_without_an_sdk_nothing_happens(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """With OpenTelemetry's API alone, requests go through."""
    oauth_auth.otel.instrument(tracer_provider=trace.NoOpTracerProvider(), meter_provider=metrics.NoOpMeterProvider())
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
    assert ([], {}) == (telemetry.token_calls, telemetry.metrics)


def test_a_span_goes_by_the_frozen_clock(plugin_mode: Mode, tokens: Tokens, telemetry: Telemetry) -> None:
    """The span's time is that of freezegun, along with all else."""
    with freezegun.freeze_time("2031-02-03"):
        now = time.time_ns()
        plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    [span] = telemetry.token_calls

    assert now == span.end_time


def test_the_documented_metrics_are_all(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, telemetry: Telemetry
) -> None:
    """docs/events.md has each metric with its kind and attributes, and each attribute of a span."""
    auth = client_credentials(plugin_mode, tokens)
    with plugin_mode.client(auth) as client:
        client.get(api.url)
        tokens.revoke()
        client.get(api.url)
        tokens.answer = lambda _: Answer(400)
        with pytest.raises(TokenError):
            plugin_mode.refresh(auth)
    seen = {
        name: (
            "histogram" if hasattr(metric.data.data_points[0], "bucket_counts") else "counter",
            {attribute for point in metric.data.data_points for attribute in point.attributes},
        )
        for name, metric in telemetry.metrics.items()
    }
    text = DOCUMENT.read_text()
    rows = re.findall(r"^\| `(oauth\.[\w.]+)` \| (histogram|counter) \| \w+ \|(.*)\|$", text, re.MULTILINE)
    documented = {name: (kind, set(re.findall(r"`([a-z_]+\.[\w.]+)`", cell))) for name, kind, cell in rows}
    documented["oauth.replays"][1].discard("oauth.rejections")
    documented["oauth.replays"][1].update(documented["oauth.rejections"][1])
    assert documented == seen

    first_cells = re.findall(r"^\| (`[^|]+`) \| [^|]+\|$", text[text.index("| span attribute") :], re.MULTILINE)
    of_spans = {name for cell in first_cells for name in re.findall(r"`([\w.]+)`", cell)}
    assert of_spans == {name for span in telemetry.token_calls for name in span.attributes or {}}
