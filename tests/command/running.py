"""Runs the command, in this process or in one of its own, for the tests of this folder."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
import time
import webbrowser
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests
from click.testing import CliRunner

import oauth_auth.requests
from oauth_auth import OAuthToken, cli
from oauth_auth.testing import LocalProvider

__all__ = [
    "COMMAND",
    "ROOT",
    "SECRET",
    "Browser",
    "Ended",
    "age",
    "finish",
    "grants",
    "read_until",
    "run",
    "start",
    "stored",
]

ROOT = Path(__file__).parents[2]
SECRET = "hunter2-x"
COMMAND = str(Path(sys.executable).with_name("oauth-auth"))


@dataclasses.dataclass
class Ended:
    """How a command ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The one line of an error; nothing else was printed."""
        assert "" == self.stdout
        assert self.stderr.startswith("oauth-auth: ")
        assert 1 == self.stderr.count("\n"), self.stderr
        return self.stderr.removeprefix("oauth-auth: ").rstrip("\n")


def run(*args: str, **variables: str) -> Ended:
    """Run the command in this process."""
    environment = {f"OAUTH_{name}": value for name, value in variables.items()}
    result = CliRunner().invoke(cli.main, args, env=environment, prog_name="oauth-auth")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ended(result.exit_code, result.stdout, result.stderr)


def start(*args: str, **variables: str) -> subprocess.Popen[str]:
    """Run it in a process of its own."""
    environment = {f"OAUTH_{name}": value for name, value in variables.items()}
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [COMMAND, *args], stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=os.environ | environment
    )


def finish(process: subprocess.Popen[str], text: str | None = None) -> Ended:
    stdout, stderr = process.communicate(text, timeout=60)
    return Ended(process.returncode, stdout, stderr)


def read_until(process: subprocess.Popen[str], pattern: str) -> str:
    """Read stderr up to the line that matches; return the match."""
    assert process.stderr is not None
    for line in process.stderr:
        if found := re.search(pattern, line):
            return found[0]
    raise AssertionError(f"no line with {pattern}")


class Browser(webbrowser.BaseBrowser):
    """A browser in this process. It follows redirects, as a person does whom the server knows already."""

    def __init__(self) -> None:
        super().__init__("for tests")
        self.opened: list[str] = []
        self.answer: dict[str, str] | None = None
        """Parameters to come back with, in place of what the server says."""
        self.is_there = True

    def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
        if not self.is_there:
            return False
        self.opened.append(url)
        if self.answer is not None:
            query = dict(parse_qsl(urlsplit(url).query))
            parameters = {"state": query["state"], **self.answer}
            requests.get(query["redirect_uri"], params=parameters, timeout=10)
        else:
            requests.get(url, timeout=10)
        return True


def stored(auth: str = "AuthorizationCodeAuth") -> OAuthToken | None:
    """What the store has for the variables."""
    made = getattr(oauth_auth.requests, auth).from_env()
    return made._stored_token()  # type: ignore[no-any-return]


def age(seconds_left: float, **changes: Any) -> None:
    """Have the person's stored token, at the store that the variables name, expire in so many seconds."""
    auth = oauth_auth.requests.AuthorizationCodeAuth.from_env()
    token = auth._stored_token()
    assert token is not None
    store, key = auth._source._entry.store, auth._store_key
    assert store is not None
    store.save(key, dataclasses.replace(token, expiry=time.time() + seconds_left, **changes))


def grants(provider: LocalProvider) -> list[str]:
    return [request.form["grant_type"][0] for request in provider.token_requests]
