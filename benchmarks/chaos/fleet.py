"""The processes: started, killed at random and started again; and the user who logs in when needed."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

import requests

from oauth_auth.errors import OAuthError
from oauth_auth.requests import AuthorizationCodeAuth

from .._server import NAMES
from .worker import KINDS, open_store

__all__ = ["Fleet", "Person"]

START = 60.0
REDIRECT_URI = "http://127.0.0.1/callback"


class Fleet:
    """Workers of all kinds on one store. Those of the group `login` are never killed, and one's clock jumps."""

    def __init__(self, provider: Any, place: str, folder: Path, chance: random.Random) -> None:
        self._plan = {"provider": {name: getattr(provider, name) for name in NAMES}, "store": place}
        self._folder = folder
        self._chance = chance
        machines: dict[str, Any] = {"groups": ["machine", "user"], "clock_jumps": False}
        self._slots = [
            *({**machines, "kind": kind} for kind in KINDS),
            {**machines, "kind": "requests", "clock_jumps": True},
            *({"groups": ["login"], "kind": kind, "clock_jumps": False} for kind in ("requests", "async httpx")),
        ]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self._incarnations = [0] * len(self._slots)
        self.kills: dict[str, float] = {}
        """When each worker was killed, by its name: its slot's number and how often that was started."""

    def __enter__(self) -> Self:
        for number in range(len(self._slots)):
            self._start(number)
        deadline = time.monotonic() + START
        while any(not self._has_begun(number) for number in range(len(self._slots))):
            if time.monotonic() > deadline:
                self.__exit__()
                raise TimeoutError("not all workers could be started")
            time.sleep(0.05)
        return self

    def _has_begun(self, number: int) -> bool:
        log = self._folder / f"{number}.1.jsonl"
        return log.exists() and '"ok": true' in log.read_text()

    def __exit__(self, *exc_info: object) -> None:
        for process in self._processes.values():
            end(process)

    def _start(self, number: int) -> None:
        self._incarnations[number] += 1
        name = f"{number}.{self._incarnations[number]}"
        plan = {
            **self._plan,
            **self._slots[number],
            "name": name,
            "log": str(self._folder / f"{name}.jsonl"),
            "seed": self._chance.random(),
        }
        command = [sys.executable, "-m", "benchmarks.chaos.worker", json.dumps(plan)]
        # It ends when its standard input does: whatever becomes of this process, none is left.
        self._processes[number] = subprocess.Popen(command, stdin=subprocess.PIPE)

    def kill_one(self) -> None:
        """Kill a worker, and soon start it again."""
        number = self._chance.choice([n for n, slot in enumerate(self._slots) if "login" not in slot["groups"]])
        end(self._processes[number])
        self.kills[f"{number}.{self._incarnations[number]}"] = time.monotonic()
        time.sleep(self._chance.uniform(0, 0.5))
        self._start(number)

    @property
    def dead(self) -> list[int]:
        """The workers that have ended by themselves."""
        return [number for number, process in self._processes.items() if process.poll() is not None]

    def lines(self) -> dict[str, list[dict[str, Any]]]:
        """Return what each worker has written down."""
        found = {}
        for path in self._folder.glob("*.jsonl"):
            texts = path.read_text().split("\n")
            found[path.stem] = [json.loads(text) for text in texts[:-1]]  # a killed one's last may be cut
        return found


def end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait(20)
    if process.stdin is not None:
        process.stdin.close()


class Person:
    """Logs in by an authorization code, and again when the login's tokens are lost."""

    def __init__(self, provider: Any, place: str) -> None:
        self._provider = provider
        self._store = open_store(place)
        self.logins: list[float] = []

    def log_in(self, ended: threading.Event) -> None:
        """Try until the new token is in the store, or the run has ended."""
        while not ended.is_set():
            try:
                token = self._get_token()
                stored = self._store.load("login")
            except (OAuthError, requests.RequestException):
                stored = token = None
            if stored is not None and token is not None and stored.access_token == token.access_token:
                self.logins.append(time.monotonic())
                return
            ended.wait(0.3)

    def _get_token(self) -> Any:
        provider = self._provider
        query = {"response_type": "code", "client_id": provider.client_id, "redirect_uri": REDIRECT_URI}
        answer = requests.get(provider.authorization_url, query, allow_redirects=False, timeout=20)
        auth = AuthorizationCodeAuth(
            provider.token_url,
            provider.client_id,
            provider.client_secret,
            code=parse_qs(urlsplit(answer.headers["Location"]).query)["code"][0],
            redirect_uri=REDIRECT_URI,
            store=self._store,
            store_key="login",
            field_parameters={"group": "login", "worker": "person"},
        )
        with auth:
            return auth.get_token()

    def watch(self, ended: threading.Event) -> None:
        """Log in whenever the server has refused the login's refresh token, or the store has lost it."""
        while not ended.wait(0.3):
            refused = [entry["time"] for entry in self._provider.ledger if is_refusal(entry)]
            if (refused and refused[-1] > self.logins[-1]) or self._is_gone():
                self.log_in(ended)

    def _is_gone(self) -> bool:
        try:
            return self._store.load("login") is None
        except OAuthError:
            return False


def is_refusal(entry: dict[str, Any]) -> bool:
    return entry["group"] == "login" and entry["grant"] == "refresh_token" and entry["status"] == 400
