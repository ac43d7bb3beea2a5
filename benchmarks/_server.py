"""A LocalProvider in a process of its own, so that its work isn't taken for the client's."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import flask

from oauth_auth.testing import LocalProvider

LOCAL_PROVIDER = "benchmarks._server"
NAMES = ("issuer", "token_url", "api_url", "authorization_url", "client_id", "client_secret", "username", "password")


class RemoteProvider:
    def __init__(self, process: Any) -> None:
        self._process = process
        self._lock = threading.Lock()
        self.__dict__.update(json.loads(process.stdout.readline()))

    def do(self, **command: Any) -> Any:
        """Set attributes, call a method, ask for a number of requests or the ledger; return the answer."""
        with self._lock:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            return json.loads(self._process.stdout.readline())

    def login(self, lifetime: float) -> dict[str, Any]:
        """Return the token answer of a user's login, made outside of what is measured."""
        return dict(self.do(login=lifetime))

    def families(self) -> tuple[int, int]:
        """Return how many logins were made since refresh tokens were revoked, and how many of them have ended."""
        made, ended = self.do(families=True)
        return made, ended

    @property
    def token_calls(self) -> int:
        return int(self.do(count="token_requests"))

    @property
    def ledger(self) -> list[dict[str, Any]]:
        """What the token endpoint did, see `keep_ledger`."""
        return list(self.do(ledger=True))


@contextmanager
def remote_provider(module: str = LOCAL_PROVIDER, **options: Any) -> Any:
    """Run a module that prints a server's attributes as JSON, and then an answer for each command it reads."""
    command = [sys.executable, "-m", module, json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RemoteProvider(process)
        finally:
            process.stdin.close()
            process.wait(10)


def digest(secret: str | None) -> str | None:
    return None if secret is None else hashlib.sha256(secret.encode()).hexdigest()[:16]


def keep_ledger(provider: LocalProvider) -> list[dict[str, Any]]:
    """Note each token request that's processed, faults left out, in order: who asked with what, and what came of it."""
    server = provider._authorization_server
    process = server.create_token_response
    ledger: list[dict[str, Any]] = []

    def processed() -> Any:
        response = process()
        form, answer = flask.request.form, response.get_json()
        ledger.append(
            {
                "time": time.monotonic(),
                "status": response.status_code,
                "grant": form.get("grant_type"),
                "group": form.get("group"),
                "worker": form.get("worker"),
                "spent": digest(form.get("refresh_token")),
                "access": digest(answer.get("access_token")),
                "refresh": digest(answer.get("refresh_token")),
            }
        )
        return response

    server.create_token_response = processed
    return ledger


def main() -> None:
    with LocalProvider(**json.loads(sys.argv[1])) as provider:
        ledger = keep_ledger(provider)
        print(json.dumps({name: getattr(provider, name) for name in NAMES}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            answer: Any = None
            if "call" in command:
                getattr(provider, command["call"])(*command.get("args", ()))
            elif "count" in command:
                answer = len(getattr(provider, command["count"]))
                provider.api_requests.clear()
            elif "login" in command:
                answer = login(provider, command["login"])
            elif "families" in command:
                families = {token.family for token in provider._authorization_server.refresh_tokens.values()}
                answer = [len(families), sum(family.ended for family in families)]
            elif "ledger" in command:
                answer = ledger
                provider.api_requests.clear()
            for name, value in command.get("set", {}).items():
                setattr(provider, name, value)
            print(json.dumps(answer), flush=True)


def login(provider: LocalProvider, lifetime: float) -> dict[str, Any]:
    """Return the token answer that a user's login gets, with this lifetime, at once, and counted nowhere."""
    old = provider.token_lifetime, provider.token_delay
    provider.token_lifetime, provider.token_delay = lifetime, 0
    form = {"grant_type": "password", "client_id": provider.client_id, "client_secret": provider.client_secret}
    form |= {"username": provider.username, "password": provider.password}
    with urlopen(provider.token_url, urlencode(form).encode()) as response:
        answer: dict[str, Any] = json.load(response)
    provider.token_requests.pop()
    provider.token_lifetime, provider.token_delay = old
    return answer


if __name__ == "__main__":
    main()
