"""`--grant` says how the token is got; without it the command finds out, and says what it lacks."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth.testing import LocalProvider
from tests.command.running import SECRET, Browser, Ended, age, grants, run
from tests.support.scripted import Answer, ScriptedServer

DEVICE = "urn:ietf:params:oauth:grant-type:device_code"
COMMANDS = [["login"], ["token"], ["status"], ["logout"]]


@pytest.fixture
def user(person: LocalProvider, environment: pytest.MonkeyPatch) -> LocalProvider:
    """A server, and the user name and password as variables."""
    environment.setenv("OAUTH_USERNAME", person.username)
    environment.setenv("OAUTH_PASSWORD", person.password)
    return person


@pytest.fixture
def approved(environment: pytest.MonkeyPatch, provider: LocalProvider) -> None:
    """Have the user enter each code that's shown, before the device asks for the first time."""
    shown: list[str] = []

    def wait(_: DeviceCodeGrant, cancelled: threading.Event, seconds: float) -> bool:
        provider.approve_device(shown.pop())
        return False

    def show(*, user_code: str, **_: object) -> None:
        shown.append(user_code)

    environment.setattr(DeviceCodeGrant, "wait", wait)
    environment.setattr("oauth_auth._server.device_grant.show_on_stderr", show)


@pytest.mark.parametrize("way", ["option", "variable"])
def test_a_service_gets_its_own_token(person: LocalProvider, environment: pytest.MonkeyPatch, way: str) -> None:
    """Where people could log in, too, `--grant client_credentials` is the client's own token, on all commands."""
    args = ["--grant", "client_credentials"] if way == "option" else []
    if way == "variable":
        environment.setenv("OAUTH_GRANT", "client_credentials")
    assert "there is no usable token; run: oauth-auth token" == run("status", *args).error
    token = run("token", *args)
    assert (0, "", ["client_credentials"]) == (token.status, token.stderr, grants(person))
    assert run("status", *args).stdout.startswith("The client has a token of its own.\n")
    assert Ended(0, "", "You are logged out.\n") == run("logout", *args)
    login = run("login", *args)
    assert (0, "") == (login.status, login.stdout)
    assert login.stderr.startswith("The client has a token of its own.\n")
    assert "login" not in login.stderr
    first = run("token")  # with the grant of that login
    assert 0 == run("login", *args).status
    assert first != run("token")
    assert 3 * ["client_credentials"] == grants(person)


@pytest.mark.parametrize("grant", ["authorization_code", "device", "password"])
def test_a_grant_is_that_token_alone(user: LocalProvider, grant: str) -> None:
    """`status` and `logout` for a user leave the client's own token alone."""
    token = run("token", "--grant", "client_credentials")
    assert 1 == run("status", "--grant", grant).status
    assert Ended(0, "", "You were not logged in.\n") == run("logout", "--grant", grant)
    assert token == run("token", "--grant", "client_credentials")


def test_a_password(user: LocalProvider, environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`--grant password` takes user name and password from the environment; afterwards neither is needed."""
    token = run("token", "--grant", "password")
    assert (0, "", ["password"]) == (token.status, token.stderr, grants(user))
    assert 0 == run("login", "--grant", "password").status
    assert user.password not in (tmp_path / "oauth_auth" / "profiles.json").read_text()
    assert 2 * ["password"] == grants(user)
    for name in ("USERNAME", "PASSWORD"):
        environment.delenv(f"OAUTH_{name}")
    assert token != (found := run("token"))
    assert (0, "") == (found.status, found.stderr)
    assert run("status").stdout.startswith("You are logged in.\n")
    assert user.username == json.loads(run("status", "--format", "json").stdout)["user"]
    assert Ended(0, "", "You are logged out.\n") == run("logout")
    ended = run("token")
    assert (1, True) == (ended.status, ended.error.endswith("; run: oauth-auth login --grant password"))
    assert 2 * ["password"] == grants(user)
    assert "OAUTH_PASSWORD must be set" == run("login").error


def test_a_login_with_the_wrong_password(user: LocalProvider, environment: pytest.MonkeyPatch) -> None:
    """A login uses the password, though there is a refresh token; if it's refused the old token is still there."""
    assert 0 == run("login", "--grant", "password").status
    token = run("token")
    environment.setenv("OAUTH_PASSWORD", SECRET)
    login = run("login", "--grant", "password")
    assert (1, True, False) == (login.status, "invalid_grant" in login.error, SECRET in login.error)
    assert token == run("token")


@pytest.mark.parametrize("args", [["--device"], ["--grant", "device"]])
def test_a_device(person: LocalProvider, approved: None, args: list[str]) -> None:
    """`login --grant device` is `login --device`, and remembered: the next login is one on a device, too."""
    device = {"DEVICE_AUTHORIZATION_URL": person.device_authorization_url}
    login = run("login", *args, **device)
    assert (0, [DEVICE]) == (login.status, grants(person)), login.stderr
    for more in ([], ["--grant", "device"], ["--grant", "authorization_code"]):
        assert 0 == run("token", *more).status
    assert 0 == run("login", **device).status
    assert [DEVICE, DEVICE] == grants(person)


@pytest.mark.parametrize("args", COMMANDS)
def test_a_grant_that_nobody_knows(person: LocalProvider, browser: Browser, args: list[str]) -> None:
    """It's a matter of configuration, with the names that there are, and without the value."""
    for ended in (run(*args, "--grant", SECRET), run(*args, GRANT=SECRET)):
        assert 2 == ended.status
        assert "--grant" in ended.error
        assert "must be one of client_credentials, authorization_code, device, password" in ended.error
        assert SECRET not in ended.error
    assert [] == browser.opened


@pytest.mark.parametrize(
    ("args", "error"),
    [
        (["--device", "--grant", "password"], "--device and --grant password can't be used together"),
        (["--console", "--grant", "device"], "--console and --grant device can't be used together"),
        (["--device", "--console"], "--device and --console can't be used together"),
        (["--grant", "password"], "OAUTH_USERNAME must be set"),
    ],
)
def test_options_that_contradict_each_other(person: LocalProvider, args: list[str], error: str) -> None:
    """Exit status 2, before anything is asked of the server."""
    ended = run("login", *args)
    assert (2, error, []) == (ended.status, ended.error, person.token_requests)


def test_an_option_wins_over_the_variable(person: LocalProvider, browser: Browser, approved: None) -> None:
    """`--device` is an option, too."""
    variables = {"GRANT": "client_credentials", "DEVICE_AUTHORIZATION_URL": person.device_authorization_url}
    assert 0 == run("login", "--device", **variables).status
    assert 0 == run("login", "--grant", "authorization_code", **variables).status
    assert [DEVICE, "authorization_code"] == grants(person)


@pytest.mark.parametrize(
    ("args", "named"),
    [([], True), (["--client-secret", ""], False), (["--grant", "authorization_code"], False)],
)
def test_a_service_learns_of_its_grant(person: LocalProvider, args: list[str], named: bool) -> None:
    """With a secret and nobody logged in, the message says how the client gets a token itself."""
    ended = run("token", *args)
    assert 1 == ended.status
    assert ended.error.endswith("; run: oauth-auth login")
    assert named is ("--grant client_credentials" in ended.error)


def test_a_user_does_not_get_the_token_of_the_client(machine: LocalProvider) -> None:
    """Who asks for a user's token isn't given another where no login is known."""
    ended = run("token", "--grant", "authorization_code")
    assert (1, True, []) == (ended.status, "log in" in ended.error, grants(machine))


# -- Refusals ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["token", "login", "refresh", "revoke"])
@pytest.mark.parametrize(("error", "secret"), [("invalid_client", ""), ("invalid_client", SECRET), ("nope", "")])
def test_a_refusal_without_a_secret_names_the_option(
    serve: Callable[..., ScriptedServer],
    environment: pytest.MonkeyPatch,
    tmp_path: Path,
    browser: Browser,
    way: str,
    error: str,
    secret: str,
) -> None:
    """If no secret was sent, and the server refuses the client, the command says how to give one."""
    token = Answer(200, {"access_token": "t", "refresh_token": "r", "expires_in": 3600})
    answers = [token]
    server = serve(lambda request: answers[0])
    variables = {"TOKEN_URL": f"{server.url}/token", "AUTHORIZATION_URL": f"{server.url}/authorize"}
    variables |= {"REVOCATION_URL": f"{server.url}/revoke", "CLIENT_ID": "c", "CLIENT_SECRET": secret}
    variables["STORE"] = f"file:{tmp_path / 'tokens'}"
    for name, value in variables.items():
        environment.setenv(f"OAUTH_{name}", value)
    browser.answer = {"code": "code"}
    if way in {"refresh", "revoke"}:
        assert 0 == run("login").status
    if way == "refresh":
        age(-10)
    answers[:] = [Answer(401, {"error": error})]
    args = {"token": ["token", "--grant", "client_credentials"], "login": ["login"], "refresh": ["token"]}
    ended = run(*args.get(way, ["logout"]))
    assert (1, True) == (ended.status, error in ended.error)
    named = "f the client has a secret, set --client-secret (OAUTH_CLIENT_SECRET)" in ended.error
    assert named is (error == "invalid_client" and not secret)
