"""OpenTelemetry: spans of the token calls within the program's own, and metrics, printed to the console.

Run it: python examples/opentelemetry_traces.py
"""

import requests
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

import oauth_auth.otel
from oauth_auth.requests import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


def main() -> None:
    tracer_provider = TracerProvider()
    tracer_provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter()))
    meter_provider = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())])
    # A program that has set global providers leaves these out.
    oauth_auth.otel.instrument(tracer_provider=tracer_provider, meter_provider=meter_provider)
    tracer = tracer_provider.get_tracer("example")

    with LocalProvider() as provider:
        session = requests.Session()
        session.auth = ClientCredentialsAuth(provider.token_url, provider.client_id, provider.client_secret)
        with tracer.start_as_current_span("first request"):
            session.get(provider.api_url)
        provider.revoke_access_tokens()
        with tracer.start_as_current_span("after a revocation"):
            session.get(provider.api_url)
        token_calls = len(provider.token_requests)

    tracer_provider.shutdown()
    meter_provider.shutdown()  # prints the metrics, which else come once a minute
    print("token calls:", token_calls)


if __name__ == "__main__":
    main()
