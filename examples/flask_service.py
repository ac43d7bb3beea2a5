"""A Flask service that calls an API on its own behalf: one module-level auth object for all its threads.

Run it: python examples/flask_service.py
"""

from typing import Any

import flask
import requests

from oauth_auth.requests import ClientCredentialsAuth
from oauth_auth.testing import LocalProvider


def create_app(token_url: str, client_id: str, client_secret: str, api_url: str) -> flask.Flask:
    app = flask.Flask(__name__)
    # The token may go to this one origin, whatever URL a handler builds.
    auth = ClientCredentialsAuth(token_url, client_id, client_secret, allowed_origins=[api_url.removesuffix("/api")])

    @app.get("/orders/<int:number>")
    def order(number: int) -> Any:
        answer = requests.get(f"{api_url}/orders/{number}", auth=auth, timeout=5)
        answer.raise_for_status()
        return answer.json()

    return app


def main() -> None:
    with LocalProvider() as provider:
        app = create_app(provider.token_url, provider.client_id, provider.client_secret, provider.api_url)
        browser = app.test_client()
        print("the service answers:", browser.get("/orders/7").text)
        print("and once more:", browser.get("/orders/8").text)
        print("token calls:", len(provider.token_requests))


if __name__ == "__main__":
    main()
