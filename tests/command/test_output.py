"""Formats, `--verbose`, pipes that are closed, and completion: what others make of the command's output."""

from __future__ import annotations

import errno
import io
import itertools
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
from click.testing import CliRunner

from oauth_auth import cli
from oauth_auth._command.setup import Setup
from oauth_auth._command.verbose import VerboseTransport
from oauth_auth._server.calls import EndpointCalls
from oauth_auth.testing import LocalProvider
from tests.command.running import COMMAND, SECRET, Browser, Ended, age, run
from tests.support.scripted import Answer, ScriptedServer


def test_a_header_for_curl(machine: LocalProvider) -> None:
    """`--format header` is a whole header line."""
    name, _, value = run("token", "--format", "header").stdout.rstrip("\n").partition(": ")
    assert 200 == requests.get(machine.api_url, headers={name: value}, timeout=10).status_code
    assert "Authorization" == name


def test_the_formats_of_a_token(machine: LocalProvider, environment: pytest.MonkeyPatch) -> None:
    """Each of them is of one and the same token."""
    token = run("token").stdout.strip()
    assert token == json.loads(run("token", "--format", "json").stdout)["access_token"]
    info = json.dumps({"apiVersion": "client.authentication.k8s.io/v1beta1", "kind": "ExecCredential"})
    environment.setenv("KUBERNETES_EXEC_INFO", info)
    credential = json.loads(run("token", "--format", "exec-credential").stdout)
    assert (token, json.loads(info)["apiVersion"]) == (credential["status"]["token"], credential["apiVersion"])
    environment.setenv("KUBERNETES_EXEC_INFO", "{}")
    assert (2, True) == (
        (ended := run("token", "--format", "exec-credential")).status,
        ended.error.startswith("KUBERNETES_EXEC_INFO must ask"),
    )
    assert "--format must be one of text, header, json, exec-credential: see oauth-auth token --help" == (
        run("token", "--format", SECRET).error
    )


def test_status_for_programs(person: LocalProvider, browser: Browser) -> None:
    """`status --format json` says whose token it is, and where; an error is no JSON."""
    ended = run("status", "--format", "json")
    assert (1, "") == (ended.status, ended.stdout)
    assert 0 == run("login", "--scope", "read").status
    fields = json.loads(run("status", "--format", "json", "--scope", "read").stdout)
    expires_at = fields.pop("expires_at")
    assert isinstance(expires_at, int)
    assert {
        "issuer": person.issuer,
        "client_id": person.client_id,
        "user": None,
        "scope": "read",
        "store": os.environ["OAUTH_STORE"],
    } == fields


def test_status_names_the_user(
    serve: Callable[..., ScriptedServer], browser: Browser, environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The user of the login's ID token, also when the token was renewed without one."""
    id_token = "e30.eyJzdWIiOiAiMSIsICJwcmVmZXJyZWRfdXNlcm5hbWUiOiAiYWxpY2UifQ.x"
    answers = [{"id_token": id_token}, {}, {}, {}]
    token = {"access_token": "t", "refresh_token": "r", "expires_in": 3600}
    server = serve(lambda request: Answer(200, {**token, **answers.pop(0)}))
    browser.answer = {"code": "c"}
    urls = {"TOKEN_URL": f"{server.url}/token", "AUTHORIZATION_URL": f"{server.url}/a", "CLIENT_ID": "c"}
    urls["STORE"] = f"file:{tmp_path / 'tokens'}"
    for name, value in urls.items():
        environment.setenv(f"OAUTH_{name}", value)
    assert 0 == run("login").status
    for left in (3600, -10):
        age(left)
        assert 0 == run("token").status
        status = json.loads(run("status", "--format", "json").stdout)
        assert ("alice", None) == (status["user"], status["issuer"])
    client = ["--grant", "client_credentials"]
    assert 0 == run("token", *client).status
    assert json.loads(run("status", *client, "--format", "json").stdout)["user"] is None
    assert [{}] == answers
    assert 0 == run("login").status  # which brings no ID token
    assert json.loads(run("status", "--format", "json").stdout)["user"] is None


# -- `--verbose` ------------------------------------------------------------------------------------------------


def test_each_request_is_told(
    serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch, quick: None
) -> None:
    """One line for each, retries included, with method, URL, status and time, and without a secret."""
    token = Answer(200, {"access_token": "access-word", "refresh_token": "refresh-word", "expires_in": 3600})
    answers = [Answer(500), Answer(0), token, Answer(200)]
    server = serve(lambda request: answers.pop(0))
    urls = {"TOKEN_URL": f"{server.url}/token?key={SECRET}", "REVOCATION_URL": f"{server.url}/revoke"}
    for name, value in {**urls, "CLIENT_ID": "c", "CLIENT_SECRET": SECRET}.items():
        environment.setenv(f"OAUTH_{name}", value)
    verbose = run("token", "--verbose")
    assert (0, "access-word\n") == (verbose.status, verbose.stdout)
    lines = [line.removeprefix(f"oauth-auth: POST {server.url}/") for line in verbose.stderr.splitlines()]
    patterns = [r"token: 500, 0\.\d\d s", r"token: no answer \(\w+\), 0\.\d\d s", r"token: 200, 0\.\d\d s"]
    assert 3 == len(lines)
    assert [] == [line for pattern, line in zip(patterns, lines, strict=True) if not re.fullmatch(pattern, line)]
    logout = run("logout", "--verbose")
    assert 1 == logout.stderr.count(f"oauth-auth: POST {server.url}/revoke: 200, ")
    for secret in (SECRET, "access-word", "refresh-word"):
        assert secret not in verbose.stderr + logout.stderr
    assert "POST" not in run("status").stderr


def test_metadata_is_told_too(person: LocalProvider) -> None:
    """All that is sent on the way, in order."""
    lines = run("token", "--grant", "client_credentials", "--verbose").stderr.splitlines()
    assert ["GET", "POST"] == [line.split()[1] for line in lines]


def test_an_answer_that_never_comes_is_told_once(environment: pytest.MonkeyPatch) -> None:
    """What is given up has its line, too, and another when it ends all the same is none."""
    url = "http://127.0.0.1:9/token"
    environment.setattr(EndpointCalls, "pauses", ())
    for name, value in {"TOKEN_URL": url, "CLIENT_ID": "c", "GRANT": "client_credentials"}.items():
        environment.setenv(f"OAUTH_{name}", value)
    setup = Setup({}, verbose=True)
    auth: Any = setup.client()
    calls: Any = auth._endpoints.calls
    held, ended = threading.Event(), threading.Event()
    inner = calls.transport._transport

    class Hanging:
        """Sends nothing, and ends long after it was given up."""

        error_class, time_out = inner.error_class, inner.time_out

        def send(self, *_: Any) -> Any:
            held.wait(20)
            ended.set()
            raise self.error_class("too late")

    hanging: Any = Hanging()
    calls.transport = VerboseTransport(hanging)
    environment.setattr(calls, "timeout", 0.1)
    told: list[str] = []
    environment.setattr("oauth_auth._command.verbose.echo", told.append)
    with pytest.raises(inner.error_class):
        auth.get_token()
    held.set()
    assert ended.wait(20)
    assert [f"oauth-auth: POST {url}: no answer, 0.05 s"] == told


# -- Pipes ------------------------------------------------------------------------------------------------------


class Closed(io.StringIO):
    """A stdout that takes nothing, as a full disk or a closed pipe does."""

    def __init__(self, error: int) -> None:
        super().__init__()
        self.error = error

    def write(self, _: str) -> int:
        raise OSError(self.error, os.strerror(self.error))


@pytest.mark.parametrize("args", [["token"], ["status"], ["--help"], ["--version"], ["token", "--help"]])
@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EPIPE])
def test_what_can_not_be_printed_is_an_error(
    machine: LocalProvider, environment: pytest.MonkeyPatch, args: list[str], error: int
) -> None:
    """Status 1 and one line, whatever it was."""
    run("token")
    stderr = io.StringIO()
    with environment.context() as patch, pytest.raises(SystemExit) as exit_info:
        patch.setattr(sys, "stdout", Closed(error))
        patch.setattr(sys, "stderr", stderr)
        cli.main(args, prog_name="oauth-auth")
    expected = f"oauth-auth: stdout can't be written: {os.strerror(error)}\n"
    assert (1, expected) == (exit_info.value.code, stderr.getvalue())


def test_an_error_that_can_not_be_printed_has_its_status(environment: pytest.MonkeyPatch) -> None:
    """Whatever becomes of stderr, a script learns how it ended."""
    with environment.context() as patch, pytest.raises(SystemExit) as exit_info:
        patch.setattr(sys, "stderr", Closed(errno.ENOSPC))
        cli.main(["token"], prog_name="oauth-auth")
    assert 2 == exit_info.value.code


OF_A_SHELL = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "PYTHONPATH",
    "NO_PROXY",
    "XDG_CONFIG_HOME",
    "XDG_STATE_HOME",
    "APPDATA",
)
"""What a program gets of this process's environment: nothing that changes how Python writes, as in a user's shell."""


def in_a_shell(command: str) -> subprocess.CompletedProcess[str]:
    variables = {name: value for name, value in os.environ.items() if name in OF_A_SHELL or name.startswith("OAUTH_")}
    return subprocess.run(
        ["bash", "-c", command], env=variables, capture_output=True, text=True, timeout=60, check=False
    )


@pytest.mark.parametrize(
    ("args", "to"),
    [
        *itertools.product(
            ["token", "status", "discover URL", "--help", "token --help"], ["> /dev/full", "| head -0", "| true"]
        ),
        # A help that nobody wants to read is no error.
        *itertools.product(["token", "status", "discover URL"], [">&-"]),
    ],
)
def test_a_process_whose_output_goes_nowhere(
    machine: LocalProvider, environment: pytest.MonkeyPatch, args: str, to: str
) -> None:
    """Also as a process, whose output waits in a buffer: status 1 and one line, nothing from the interpreter's end."""
    run("token")
    if "URL" in args:
        for name in ("ISSUER", "TOKEN_URL", "CLIENT_ID", "CLIENT_SECRET"):
            environment.delenv(f"OAUTH_{name}")
        args = args.replace("URL", machine.api_url)
    # A reader that has gone has gone for sure before the command writes.
    pause = "sleep 0.3; " if to.startswith("|") else ""
    ended = in_a_shell(f"{{ {pause}{COMMAND} {args}; echo $? >&2; }} {to}")
    line, status = ended.stderr.splitlines()
    assert ("1", "") == (status, ended.stdout)
    assert re.fullmatch(r"oauth-auth: stdout can't be written: .+", line)


def test_a_process_whose_errors_go_nowhere(machine: LocalProvider) -> None:
    """A script learns from the status how it ended, and nothing but that."""
    ended = in_a_shell(f"{COMMAND} token --client-id '' --issuer '' --token-url x 2> /dev/full; echo $?")
    assert ("2\n", "") == (ended.stdout, ended.stderr)


# -- Completion -------------------------------------------------------------------------------------------------


def complete(*words: str) -> list[str]:
    variables = {
        "_OAUTH_AUTH_COMPLETE": "bash_complete",
        "COMP_WORDS": " ".join(words),
        "COMP_CWORD": str(len(words) - 1),
    }

    from oauth_auth import cli

    result = CliRunner().invoke(cli.main, [], env=variables, prog_name="oauth-auth")
    return [line.partition(",")[2] for line in result.stdout.split()]


def test_completion(person: LocalProvider, browser: Browser, tmp_path: Path) -> None:
    """Subcommands, options, and the profiles that there are; none where they can't be read."""
    assert ["login", "logout"] == complete("oauth-auth", "log")
    assert ["--format"] == complete("oauth-auth", "token", "--for")
    assert ["device"] == complete("oauth-auth", "token", "--grant", "d")
    for profile in ("work", "home"):
        assert 0 == run("login", "--profile", profile).status
    assert ["work"] == complete("oauth-auth", "token", "--profile", "w")
    (tmp_path / "oauth_auth" / "profiles.json").write_text("{")
    assert [] == complete("oauth-auth", "token", "--profile", "w")


def test_help_has_what_the_variables_are_called() -> None:
    """Whoever reads the help knows the variables, too."""
    assert Ended(0, run("--help").stdout, "") == run("--help")
    assert "such as OAUTH_ISSUER" in " ".join(run("--help").stdout.split())
