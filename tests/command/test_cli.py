"""The command `oauth-auth`, as people and scripts use it: what it prints where, and how it exits."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
import requests
from freezegun import freeze_time

import oauth_auth.requests
from oauth_auth import ReauthorizationRequired
from oauth_auth.stores import FileTokenStore
from oauth_auth.testing import LocalProvider
from tests.command.running import (
    COMMAND,
    ROOT,
    SECRET,
    Browser,
    Ended,
    age,
    finish,
    grants,
    read_until,
    run,
    start,
    stored,
)
from tests.servers.login import approve_device, authorize
from tests.servers.oidc_provider import OidcProvider
from tests.servers.programs import of_machine
from tests.support.clock import Clock
from tests.support.scripted import Answer, Received, ScriptedServer

NOBODY = "you are not logged in (the client itself gets a token with --grant client_credentials); run: oauth-auth login"


# -- A person's token -------------------------------------------------------------------------------------------


def test_a_login_serves_scripts(person: LocalProvider, browser: Browser) -> None:
    """Log in once; then `token` prints the access token and nothing else, without a call, until `logout` ends it."""
    assert NOBODY == run("token").error
    login = run("login")
    assert (0, "") == (login.status, login.stdout)
    assert login.stderr.startswith("You are logged in.\n")
    assert 1 == len(browser.opened)
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    assert token.stdout == run("token").stdout
    headers = {"Authorization": f"Bearer {token.stdout.removesuffix(chr(10))}"}
    assert 200 == requests.get(person.api_url, headers=headers, timeout=10).status_code
    assert ["authorization_code"] == grants(person)
    assert Ended(0, "", "You are logged out.\n") == run("logout")
    assert 401 == requests.get(person.api_url, headers=headers, timeout=10).status_code
    assert stored() is None
    assert 1 == run("token").status
    assert Ended(0, "", "You were not logged in.\n") == run("logout")


def test_a_program_goes_on_with_the_login(person: LocalProvider, browser: Browser) -> None:
    """A program with the same variables uses the token, and renews it, without a login of its own."""
    run("login")
    auth = oauth_auth.requests.AuthorizationCodeAuth.from_env()
    assert 200 == requests.get(person.api_url, auth=auth, timeout=10).status_code
    assert ["authorization_code"] == grants(person)
    assert f"{auth.refresh().access_token}\n" == run("token").stdout


@pytest.mark.parametrize("left", [-10, 5, 100])
def test_a_token_that_is_due_is_renewed(person: LocalProvider, browser: Browser, left: float) -> None:
    """What's expired, or soon will be, is renewed before it's printed: a script may need it for a while."""
    run("login")
    age(left)
    before = stored()
    assert before is not None
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    assert f"{before.access_token}\n" != token.stdout
    assert ["authorization_code", "refresh_token"] == grants(person)
    assert token.stdout == run("token").stdout


def test_a_token_that_is_good_is_printed_though_the_server_is_down(
    person: LocalProvider, browser: Browser, clock: Clock
) -> None:
    """A renewal that's due and fails is no reason not to print a token that can still be used."""
    run("login")
    age(100)
    before = stored()
    assert before is not None
    person.fail_token_requests(500, count=3)
    assert Ended(0, f"{before.access_token}\n", "") == run("token")
    age(-10)
    person.fail_token_requests(500, count=3)
    token = run("token")
    assert 1 == token.status
    assert "status 500" in token.error
    assert "login" not in token.error


def test_a_refusal_asks_for_a_login(person: LocalProvider, browser: Browser) -> None:
    """When the refresh token is dead, the error says what to run."""
    run("login")
    age(-10)
    person.revoke_refresh_tokens()
    token = run("token")
    assert 1 == token.status
    assert token.error.endswith("; run: oauth-auth login")
    assert "invalid_grant" in token.error


def test_logging_in_again_replaces_the_token(person: LocalProvider, browser: Browser) -> None:
    """`login` logs in though there's a good token, and keeps the new one."""
    run("login")
    first = run("token").stdout
    assert 0 == run("login").status
    assert first != run("token").stdout
    assert ["authorization_code", "authorization_code"] == grants(person)


@pytest.mark.parametrize("trouble", ["refused", "denied", "late"])
def test_a_login_that_fails_keeps_the_old_token(person: LocalProvider, browser: Browser, trouble: str) -> None:
    """Whatever goes wrong with a new login, the old token is still there."""
    run("login")
    first = run("token").stdout
    if trouble == "refused":
        person.fail_token_requests(400, error="invalid_grant")
    elif trouble == "denied":
        browser.answer = {"error": "access_denied", "error_description": "not today", "iss": person.issuer}
    else:
        browser.answer = {"state": "another"}
    failed = run("login", "--timeout", "0.5" if trouble == "late" else "30")
    assert 1 == failed.status
    text = {"refused": "invalid_grant", "denied": "access_denied: not today", "late": "they didn't within"}
    assert text[trouble] in failed.error
    assert Ended(0, first, "") == run("token")


def test_status_asks_nobody(person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch) -> None:
    """`status` makes no call at all; a live refresh token counts, an access token only while it lasts."""
    assert "there is no usable token; run: oauth-auth login" == run("status").error
    environment.setenv("OAUTH_SCOPE", "read write")
    run("login")
    text = "You are logged in.\nScope: read write\nThe access token expires in 60 minutes.\nIt's renewed when needed.\n"
    assert Ended(0, text, "") == run("status")
    age(-10)
    assert "The access token has expired.\nIt's renewed when needed.\n" in run("status").stdout
    with freeze_time():
        age(90, refresh_token=None)
        assert run("status").stdout.endswith("expires in 90 seconds.\n")
    age(-10, refresh_token=None)
    status = run("status")
    assert (1, "there is no usable token; run: oauth-auth login") == (status.status, status.error)
    assert ["authorization_code"] == grants(person)


def test_status_works_while_the_server_is_down(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nor does it need the metadata."""
    ended = run("status", "--issuer", "http://127.0.0.1:1", "--client-id", "c", "--store", f"file:{tmp_path}/t")
    assert (1, "there is no usable token; run: oauth-auth login") == (ended.status, ended.error)


def test_a_login_without_refresh_token_is_told(
    serve: Callable[..., ScriptedServer], browser: Browser, environment: pytest.MonkeyPatch
) -> None:
    """People learn at the login, not an hour later, that they'll have to log in again."""
    server = serve(lambda request: Answer(200, {"access_token": "t", "expires_in": 3600}))
    browser.answer = {"code": "c"}
    options = ("--token-url", server.url, "--authorization-url", f"{server.url}/a", "--client-id", "c")
    login = run("login", *options)
    assert 0 == login.status
    assert "can't be renewed" in login.stderr


# -- Logging out ------------------------------------------------------------------------------------------------


def scripted(
    serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch, script: Callable[[Received], Answer | None]
) -> ScriptedServer:
    """A server with tokens for a machine; the script has the first word."""
    token = Answer(200, {"access_token": "access-word", "refresh_token": "refresh-word", "expires_in": 3600})
    server = serve(lambda request: script(request) or token)
    for name, value in {"TOKEN_URL": f"{server.url}/token", "CLIENT_ID": "c", "CLIENT_SECRET": SECRET}.items():
        environment.setenv(f"OAUTH_{name}", value)
    return server


def test_a_refused_logout_forgets_all_the_same(
    serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch
) -> None:
    """The token is gone here; the exit status and the text say that it may live on there."""
    server = scripted(serve, environment, lambda r: Answer(400, {"error": "nope"}) if r.path == "/revoke" else None)
    assert "access-word\n" == run("token").stdout
    logout = run("logout", "--revocation-url", f"{server.url}/revoke")
    assert 1 == logout.status
    assert logout.error.startswith("you are logged out here, but the server may not have ended the token: ")
    assert "nope" in logout.error
    assert Ended(0, "", "You were not logged in.\n") == run("logout")


def test_a_logout_that_can_not_end_the_token_says_so(
    serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch
) -> None:
    """Without a revocation endpoint the token lives on: whoever leaves a machine should know."""
    scripted(serve, environment, lambda _: None)
    run("token")
    logout = run("logout")
    assert (0, "") == (logout.status, logout.stdout)
    assert "You are logged out.\nNo revocation endpoint is known" in logout.stderr
    assert stored("ClientCredentialsAuth") is None


# -- A client's own token ---------------------------------------------------------------------------------------


def test_a_client_gets_a_token_by_itself(machine: LocalProvider) -> None:
    """Where nobody can log in, it's the client's own, kept between calls."""
    assert "there is no usable token; run: oauth-auth token" == run("status").error
    token = run("token")
    assert (0, "") == (token.status, token.stderr)
    assert token.stdout == run("token").stdout
    assert run("status").stdout.startswith("The client has a token of its own.\n")
    assert ["client_credentials"] == grants(machine)
    revocation = ("--revocation-url", machine.revocation_url)
    assert Ended(0, "", "You are logged out.\n") == run("logout", *revocation)
    headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
    assert 401 == requests.get(machine.api_url, headers=headers, timeout=10).status_code


@pytest.mark.parametrize("variable", ["AUTHORIZATION_URL", "DEVICE_AUTHORIZATION_URL"])
def test_where_a_person_can_log_in_it_is_theirs(machine: LocalProvider, variable: str) -> None:
    """A client's own token isn't put in place of a person's."""
    hint = "oauth-auth login" if variable == "AUTHORIZATION_URL" else "oauth-auth login --device"
    assert NOBODY.replace("oauth-auth login", hint) == run("token", **{variable: machine.authorization_url}).error
    assert [] == machine.token_requests


@pytest.mark.parametrize("endpoints", [(), ("authorization",), ("device_authorization",)])
def test_metadata_tells_whether_a_person_can_log_in(
    serve: Callable[..., ScriptedServer], environment: pytest.MonkeyPatch, endpoints: tuple[str, ...]
) -> None:
    """With an issuer, its metadata tells which login there is, if any."""

    def script(request: Received) -> Answer | None:
        return Answer(200, metadata) if "well-known" in request.path else None

    server = scripted(serve, environment, script)
    metadata = {"issuer": server.url, "token_endpoint": f"{server.url}/token"}
    metadata |= {f"{name}_endpoint": f"{server.url}/{name}" for name in endpoints}
    environment.delenv("OAUTH_TOKEN_URL")
    environment.setenv("OAUTH_ISSUER", server.url)
    token = run("token")
    if not endpoints:
        assert "access-word\n" == token.stdout
        assert run("login").error.endswith("set --authorization-url (OAUTH_AUTHORIZATION_URL)")
    elif endpoints == ("authorization",):
        assert token.error.endswith("run: oauth-auth login")
        assert run("login", "--device").error.endswith("run: oauth-auth login")
    else:
        assert token.error.endswith("run: oauth-auth login --device")
        assert (2, True) == ((login := run("login")).status, login.error.endswith("oauth-auth login --device"))


def test_a_wrong_secret_is_told(machine: LocalProvider) -> None:
    """The server's refusal is the error, and the secret isn't in it."""
    token = run("token", "--client-secret", SECRET)
    assert (1, True, False) == (token.status, "invalid_client" in token.error, SECRET in token.error)


# -- Configuration ----------------------------------------------------------------------------------------------


def test_options_override_variables_and_files(machine: LocalProvider, tmp_path: Path) -> None:
    """An option wins over its variable and over the file; an empty one unsets both; files win over nothing."""
    file = tmp_path / "secret"
    file.write_text("wrong\n")
    right = machine.client_secret
    assert 0 == run("token", "--client-secret", right, CLIENT_SECRET="wrong").status
    assert 0 == run("token", "--client-secret", right, CLIENT_SECRET="", CLIENT_SECRET_FILE=str(file)).status
    assert 0 == run("token", "--client-secret", right, CLIENT_SECRET=right, CLIENT_SECRET_FILE="/nowhere").status
    file.write_text(f"{right}\n")
    assert 0 == run("token", "--scope", "other", CLIENT_SECRET="", CLIENT_SECRET_FILE=str(file)).status
    assert "are both set" in run("token", CLIENT_SECRET=right, CLIENT_SECRET_FILE=str(file)).error
    assert "--client-id (OAUTH_CLIENT_ID) must be set" == run("token", "--client-id", "").error
    assert 2 == len(machine.token_requests)
    assert "OAUTH_CLIENT_SECRET_FILE" not in os.environ


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["login"], "--issuer (OAUTH_ISSUER) or --authorization-url (OAUTH_AUTHORIZATION_URL) must be set"),
        (["login", "--issuer", "https://a.example"], "--client-id (OAUTH_CLIENT_ID) must be set"),
        (["login", "--client-id", "c"], "--issuer (OAUTH_ISSUER) or --authorization-url"),
        (["login", "--client-id", "c", "--authorization-url", "https://a.example"], "--token-url (OAUTH_TOKEN_URL)"),
        (["login", "--device", "--client-id", "c"], "--device-authorization-url"),
        (["token"], "--issuer (OAUTH_ISSUER) or --token-url (OAUTH_TOKEN_URL) must be set"),
        (["token", "--issuer", "https://a.example"], "--client-id (OAUTH_CLIENT_ID) must be set"),
        (["status", "--issuer", "nowhere", "--client-id", "c"], "--issuer (OAUTH_ISSUER)"),
        (["logout", "--token-url", "http://a.example", "--client-id", "c"], "--token-url (OAUTH_TOKEN_URL)"),
        (["token", "--token-url", f"https://me:{SECRET}@a.example", "--client-id", "c"], "no user or password"),
        (["token", "--token-url", "https://a.example", "--client-id", "c", "--scope", "a\tb"], "--scope (OAUTH_SCOPE)"),
        (["token", "--store", SECRET], "--store (OAUTH_STORE) must be"),
        (["token", "--store", f"redis://:{SECRET}@h:port/"], "--store (OAUTH_STORE): the Redis URL"),
        (["token", "--store", "file:/dev/null"], "--store (OAUTH_STORE): /dev/null is no folder"),
        (["login", "--device", "--console"], "can't be used together"),
        (["login", "--issuer", "https://a.example", "--client-id", "c", "--timeout", "0"], "timeout must be"),
        (["login", "--timeout", SECRET], "--timeout can't be read"),
        (["login", SECRET], "what isn't an option must be the URL of an API"),
        (["token", "--client-secret", "two", SECRET], "put a value with spaces in quotes"),
        ([SECRET], "no such subcommand"),
        (["token", f"--client-secrte={SECRET}"], "no option --client-secrte (did you mean "),
        (["--client-id", "c", "login"], "--client-id goes after the subcommand"),
        ([f"--client-secret={SECRET}", "login"], "--client-secret goes after the subcommand"),
        ([f"--bogus={SECRET}", "login"], "no option --bogus"),
        (["login", f"--device={SECRET}"], "--device"),
        (["login", "--client-secret"], "--client-secret"),
    ],
)
def test_a_wrong_configuration_is_one_line(environment: pytest.MonkeyPatch, args: list[str], text: str) -> None:
    """Exit status 2, and a line that names the option and the variable, and shows no value that may be secret."""
    environment.setenv("OAUTH_CLIENT_SECRET", SECRET)
    ended = run(*args)
    assert text in ended.error
    assert SECRET not in ended.error
    assert 2 == ended.status


def test_help_shows_no_value(environment: pytest.MonkeyPatch) -> None:
    """Help names the options, and nothing of what the variables hold."""
    environment.setenv("OAUTH_CLIENT_SECRET", SECRET)
    for args in (["--help"], ["-h"], ["login", "--help"], ["token", "-h"], ["status", "--help"], ["logout", "--help"]):
        ended = run(*args)
        assert (0, "", False) == (ended.status, ended.stderr, SECRET in ended.stdout)
    assert "login" in (bare := run()).stderr
    assert 2 == bare.status
    assert run("--version").stdout.startswith("oauth-auth, version ")


@pytest.mark.parametrize("args", [["token"], ["status"], ["logout"], ["login"]])
def test_an_unknown_issuer_is_an_error(args: list[str], person: LocalProvider, browser: Browser) -> None:
    """What isn't an issuer, or isn't there, is one line, too; status and an idle logout needn't know it."""
    ended = run(*args, "--issuer", f"{person.issuer}/token")
    if args == ["logout"]:
        assert Ended(0, "", "You were not logged in.\n") == ended
        return
    assert 1 == ended.status
    assert ("there is no usable token" if args == ["status"] else "can't be the issuer") in ended.error
    assert [] == browser.opened


# -- Stores -----------------------------------------------------------------------------------------------------


def test_the_keyring_is_the_default(person: LocalProvider, browser: Browser, keyring_folder: Path) -> None:
    """Without a store, the token is where the system keeps secrets."""
    assert 0 == run("login", "--store", "").status
    assert [1, True] == [len(list(keyring_folder.iterdir())), run("token", "--store", "keyring:").status == 0]
    assert NOBODY == run("token").error


@pytest.mark.parametrize("kind", ["fail", "null"])
def test_a_keyring_that_is_asked_for_and_is_not_there(
    person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch, kind: str
) -> None:
    """Where one is asked for that keeps no tokens, that's the error, before anybody has logged in for nothing."""
    import keyring.core

    environment.setenv("PYTHON_KEYRING_BACKEND", f"keyring.backends.{kind}.Keyring")
    environment.setattr(keyring.core, "_keyring_backend", None)
    environment.setenv("OAUTH_STORE", "keyring:")
    for args in (["login"], ["login", "--device"], ["token"], ["status"], ["logout"]):
        options = ["--device-authorization-url", person.authorization_url] if "--device" in args else []
        ended = run(*args, *options)
        assert 1 == ended.status
        assert "keyring" in ended.error
        assert "--store keeps tokens elsewhere, such as in file:PATH" in ended.error
    assert ([], []) == (browser.opened, person.token_requests)


def test_a_keyring_that_does_not_keep_the_token(
    person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch
) -> None:
    """Whatever the reason, nobody is told that they're logged in."""
    environment.setattr("keyring.set_password", lambda *_: None)
    ended = run("login", "--store", "keyring:")
    assert (1, "") == (ended.status, ended.stdout)
    assert "You are logged in." not in ended.stderr
    assert "could not keep the token: --store keeps tokens elsewhere" in ended.stderr
    assert "you are not logged in" in run("token", "--store", "keyring:").error


@pytest.mark.parametrize("kind", ["fail", "null"])
def test_a_client_needs_no_store(machine: LocalProvider, environment: pytest.MonkeyPatch, kind: str) -> None:
    """A machine without a keyring still gets its token, and is told that it's not kept."""
    import keyring.core

    environment.setenv("PYTHON_KEYRING_BACKEND", f"keyring.backends.{kind}.Keyring")
    environment.setattr(keyring.core, "_keyring_backend", None)
    token = run("token", "--store", "keyring:")
    assert 0 == token.status
    assert re.fullmatch(r"\S+\n", token.stdout)
    not_kept, why = token.stderr.splitlines()
    assert re.match(r"oauth-auth: KeyringTokenStore\(.*\) could not keep the new token: --store", not_kept)
    assert why.startswith(f"oauth-auth: token store failed to {'load' if kind == 'fail' else 'save'}: ")


@pytest.mark.parametrize(
    ("store", "text"),
    [
        (f"redis://:{SECRET}@127.0.0.1:1/0", "Connection refused"),
        ("file:/proc/nowhere", "/proc/nowhere"),
    ],
)
def test_a_broken_store_is_told(person: LocalProvider, browser: Browser, store: str, text: str) -> None:
    """A store that doesn't work is one line, without its password, and nobody logs in for nothing."""
    login = run("login", "--store", store)
    assert 1 == login.status
    assert text in login.error
    assert SECRET not in login.error
    assert [] == browser.opened


def full_disk(*args: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_token_that_can_not_be_saved_is_told(
    person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch
) -> None:
    """A login or a renewal whose token the store doesn't keep says so; a token is printed all the same."""
    run("login")
    age(-10)
    with environment.context() as patch:
        patch.setattr(os, "fsync", full_disk)
        token = run("token")
        login = run("login")
    assert 0 == token.status
    assert (
        200
        == requests.get(
            person.api_url, headers={"Authorization": f"Bearer {token.stdout.strip()}"}, timeout=10
        ).status_code
    )
    assert re.search(
        r"^oauth-auth: FileTokenStore\(.*\) could not keep the new token: --store", token.stderr, re.MULTILINE
    )
    assert (1, "") == (login.status, login.stdout)
    assert "oauth-auth: you are logged in, but FileTokenStore(" in login.stderr


def test_a_locked_keyring_is_told(person: LocalProvider, browser: Browser, keyring_folder: Path) -> None:
    """A keyring that's locked is another error than nobody being logged in."""
    run("login", "--store", "keyring:")
    (keyring_folder / "locked").touch()
    for args in (["token"], ["status"], ["logout"]):
        ended = run(*args, "--store", "keyring:")
        assert (1, True) == (ended.status, "Failed to unlock" in ended.error)
    (keyring_folder / "locked").unlink()
    assert 0 == run("token", "--store", "keyring:").status


@pytest.mark.parametrize("name", ["keyring", "redis", "filelock", "platformdirs"])
def test_a_missing_package_is_named(person: LocalProvider, environment: pytest.MonkeyPatch, name: str) -> None:
    """What isn't installed is a matter of configuration."""
    environment.setitem(sys.modules, name, None)
    store = {"keyring": "keyring:", "redis": "redis://127.0.0.1/0", "filelock": "file:x", "platformdirs": "file:x"}[
        name
    ]
    ended = run("token", "--store", store)
    assert 2 == ended.status
    assert 'pip install "oauth_auth[' in ended.error


def test_without_click() -> None:
    """The command without its extra says what to install, whichever way it's called."""
    code = "import sys; sys.modules['click'] = None; from oauth_auth.__main__ import main; main()"
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT)
    assert Ended(2, "", ended.stderr) == Ended(ended.returncode, ended.stdout, ended.stderr)
    assert 'oauth-auth: the command oauth-auth needs click: pip install "oauth_auth[cli]"\n' == ended.stderr


# -- As a process, at a real server -----------------------------------------------------------------------------


@pytest.fixture
def real(oidc: OidcProvider, environment: pytest.MonkeyPatch, tmp_path: Path) -> OidcProvider:
    """The variables for oidc-provider, the secret in a file; the keyring is the store."""
    oidc.reset()
    (tmp_path / "secret").write_text(f"{oidc.basic.client_secret}\n")
    variables = {
        "ISSUER": oidc.issuer,
        "AUTHORIZATION_URL": f"{oidc.authorization_url}?prompt=consent",  # else there's no refresh token
        "CLIENT_ID": oidc.basic.client_id,
        "CLIENT_SECRET_FILE": str(tmp_path / "secret"),
        "SCOPE": "openid offline_access api",
    }
    for name, value in variables.items():
        environment.setenv(f"OAUTH_{name}", value)
    return oidc


def test_a_browser_login_at_a_real_server(real: OidcProvider, environment: pytest.MonkeyPatch) -> None:
    """With the system's browser: login, a script with curl, a program, and a logout after which the tokens are dead."""
    environment.setenv("BROWSER", f"{shlex.quote(sys.executable)} -m tests.servers.browser %s")
    login = finish(start("login", "--timeout", "60"))
    assert (0, "") == (login.status, login.stdout), login.stderr
    assert "Scope: openid offline_access api" in login.stderr
    curl = of_machine("curl")
    script = (
        f'{curl} -sS --fail --noproxy "*" -H "Authorization: Bearer $({shlex.quote(COMMAND)} token)" {real.api_url}'
    )
    answer = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
    assert (0, True, "") == (answer.returncode, '"method":"GET"' in answer.stdout, answer.stderr)
    auth = oauth_auth.requests.AuthorizationCodeAuth.from_env(store=oauth_auth.stores.KeyringTokenStore())
    assert 200 == requests.get(real.api_url, auth=auth, timeout=10).status_code
    assert 1 == real.token_requests
    stolen = auth.refresh()
    assert Ended(0, "", "You are logged out.\n") == finish(start("logout"))
    with pytest.raises(ReauthorizationRequired):
        auth.refresh()
    bearer = oauth_auth.requests.BearerAuth(stolen)
    assert 401 == requests.get(real.api_url, auth=bearer, timeout=10).status_code


def test_a_device_login_at_a_real_server(real: OidcProvider) -> None:
    """With another device: the person gets a code to stderr; `token` serves what came of it."""
    process = start("login", "--device", SCOPE="api")
    approve_device(read_until(process, r"http\S+user_code=\S+"))
    login = finish(process)
    assert (0, "") == (login.status, login.stdout)
    assert "You are logged in.\nScope: api offline_access\n" in login.stderr  # which the server's metadata lists
    token = run("token", SCOPE="api")
    headers = {"Authorization": f"Bearer {token.stdout.strip()}"}
    assert 200 == requests.get(real.api_url, headers=headers, timeout=10).status_code


def test_a_console_login_at_a_real_server(real: OidcProvider) -> None:
    """On a machine without a browser, the URL is pasted."""
    process = start("login", "--console")
    url = read_until(process, r"http\S+code_challenge\S+")
    login = finish(process, f"{authorize(url, 'http://127.0.0.1/callback')}\n")
    assert (0, "") == (login.status, login.stdout)
    assert "It's renewed when needed." in login.stderr


@pytest.fixture
def heeds_ctrl_c() -> Iterator[None]:
    """Have programs that start now heed Ctrl-C, though the tests may not: a shell has its background jobs ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("heeds_ctrl_c")
@pytest.mark.parametrize("way", [[], ["--device"], ["--console"]])
def test_ctrl_c_ends_a_login(real: OidcProvider, environment: pytest.MonkeyPatch, way: list[str]) -> None:
    """Ctrl-C ends the wait for a person soon and with one line; another one right after it changes nothing."""
    environment.setenv("BROWSER", "false %s")  # which fails, so that the URL is printed
    process = start("login", *way)
    read_until(process, "http")
    begun = time.monotonic()
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.05)
    ended = finish(process)
    assert (1, "") == (ended.status, ended.stdout)
    assert "oauth-auth: interrupted\n" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert time.monotonic() - begun < 10
    assert 1 == run("token").status


def test_it_runs_as_a_module() -> None:
    """`python -m oauth_auth` is the same command."""
    command = [sys.executable, "-m", "oauth_auth", "token"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (2, "") == (ended.returncode, ended.stdout)
    assert "--issuer (OAUTH_ISSUER) or --token-url (OAUTH_TOKEN_URL) must be set" in ended.stderr


def test_a_file_store_is_private(person: LocalProvider, browser: Browser, tmp_path: Path) -> None:
    """What a login leaves on disk is for its owner's eyes alone."""
    run("login")
    (entry,) = (tmp_path / "tokens").glob("*.json")
    assert 0o600 == entry.stat().st_mode & 0o777
    assert FileTokenStore(tmp_path / "tokens")
