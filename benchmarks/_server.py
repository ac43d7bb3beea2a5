"""A LocalProvider in a process of its own, so that its work isn't taken for the client's."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from typing import Any

from oauth_auth.testing import LocalProvider


class RemoteProvider:
    def __init__(self, process: Any) -> None:
        self._process = process
        self.__dict__.update(json.loads(process.stdout.readline()))

    def do(self, **command: Any) -> Any:
        """Set attributes, call a method, or ask for the number of token requests so far; return the answer."""
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    @property
    def token_calls(self) -> int:
        return int(self.do(count="token_requests"))


@contextmanager
def remote_provider(**options: Any) -> Any:
    command = [sys.executable, "-m", "benchmarks._server", json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield RemoteProvider(process)
        finally:
            process.stdin.close()
            process.wait(10)


def main() -> None:
    with LocalProvider(**json.loads(sys.argv[1])) as provider:
        names = ("token_url", "api_url", "client_id", "client_secret", "username", "password")
        print(json.dumps({name: getattr(provider, name) for name in names}), flush=True)
        for line in sys.stdin:
            command = json.loads(line)
            answer = None
            if "call" in command:
                getattr(provider, command["call"])(*command.get("args", ()))
            elif "count" in command:
                answer = len(getattr(provider, command["count"]))
                provider.api_requests.clear()
            for name, value in command.get("set", {}).items():
                setattr(provider, name, value)
            print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
