"""The command takes the URL of an API and finds out the rest; what one stores the others find, and so do programs."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import shlex
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from oauth_auth.requests import ResourceAuth
from oauth_auth.stores import FileTokenStore, KeyringTokenStore
from oauth_auth.testing import LocalProvider
from tests.command.running import SECRET, Browser, Ended, finish, grants, read_until, run, start
from tests.command.test_output import complete
from tests.servers.mcp_servers import TypeScriptServer
from tests.support.scripted import Answer, Received, ScriptedServer


@pytest.fixture
def api(provider: LocalProvider) -> LocalProvider:
    """An API that says itself what it wants; the keyring is the store."""
    provider.scopes_supported = ["read", "admin", "offline_access"]
    provider.required_scopes = {"/": "read"}
    return provider


def get(url: str, token: str) -> int:
    return requests.get(url, headers={"Authorization": f"Bearer {token.strip()}"}, timeout=10).status_code


def kept(url: str, **options: Any) -> ResourceAuth:
    """A program that knows the URL, and asks nobody."""
    return ResourceAuth(url, store=KeyringTokenStore(), **options)


def age(auth: ResourceAuth, left: float) -> None:
    """Have a stored token expire in so many seconds."""
    store: Any = auth._source._entry.store
    stored = store.load(auth._store_key)
    assert stored is not None
    store.save(auth._store_key, dataclasses.replace(stored, expiry=time.time() + left))


class ScriptedApi:
    """An API and its server, which say of themselves what the test wants. `metadata` None: it says nothing."""

    def __init__(self, serve: Callable[..., ScriptedServer]) -> None:
        self.status, self.challenge = 401, "Bearer"
        self.server = serve(self._answer)
        self.issuer, self.url = self.server.url, f"{self.server.url}/mcp"
        self.metadata: dict[str, Any] | None = {"resource": self.url, "authorization_servers": [self.issuer]}
        self.server_metadata: dict[str, Any] | None = {
            "issuer": self.issuer,
            **{f"{name}_endpoint": f"{self.issuer}/{name}" for name in ("authorization", "token", "registration")},
            "code_challenge_methods_supported": ["S256"],
        }

    def _answer(self, request: Received) -> Answer:
        documents = {
            "/.well-known/oauth-protected-resource/mcp": self.metadata,
            "/.well-known/oauth-authorization-server": self.server_metadata,
            "/registration": {"client_id": "registered", "token_endpoint_auth_method": "none"},
            "/token": {"access_token": "access-word", "token_type": "Bearer", "refresh_token": "r", "expires_in": 3600},
        }
        if request.path == "/mcp":
            return Answer(self.status, b"", (("WWW-Authenticate", self.challenge),) if self.challenge else ())
        document = documents.get(request.path)
        return Answer(404) if document is None else Answer(200, document)

    def calls(self, path: str) -> int:
        return len([request for request in self.server.requests if request.path == path])


@pytest.fixture
def scripted(serve: Callable[..., ScriptedServer]) -> ScriptedApi:
    return ScriptedApi(serve)


# -- A person's token -------------------------------------------------------------------------------------------


def test_the_url_is_enough(api: LocalProvider, browser: Browser) -> None:
    """One login serves scripts and programs, which need no call, until a logout ends it."""
    url = api.api_url
    assert f"you are not logged in; run: oauth-auth login {url}" == run("token", url).error
    login = run("login", url)
    assert (0, "") == (login.status, login.stdout), login.stderr
    first, *_ = login.stderr.splitlines()
    assert f"{api.issuer} will ask you to log in, for {url}." == first
    assert "You are logged in.\nScope: read offline_access\n" in login.stderr
    assert 1 == len(api.registrations)
    calls = len(api.api_requests)
    token = run("token", url)
    assert (0, "") == (token.status, token.stderr)
    assert token == run("token", f"{url}/")
    assert f"Authorization: Bearer {token.stdout}" == run("token", url, "--format", "header").stdout
    assert calls == len(api.api_requests)
    assert 200 == get(url, token.stdout)
    auth = kept(url)
    assert 200 == requests.get(url, auth=auth, timeout=10).status_code
    assert f"{auth.get_token().access_token}\n" == token.stdout
    assert ["authorization_code"] == grants(api)
    assert Ended(0, "", "You are logged out.\n") == run("logout", url)
    assert 401 == get(url, token.stdout)
    assert f"you are not logged in; run: oauth-auth login {url}" == run("token", url).error
    assert Ended(0, "", "You were not logged in.\n") == run("logout", url)


def test_a_login_page_of_another_host_is_named(scripted: ScriptedApi) -> None:
    """A server may name another one's page as its own: the user, who sees that page, can tell."""
    assert scripted.server_metadata is not None
    own = run("login", scripted.url, "--timeout", "0.2").stderr
    assert f"{scripted.issuer} will ask you to log in, for {scripted.url}.\n" in own
    scripted.server_metadata["authorization_endpoint"] = "http://localhost:9/login"
    other = run("login", scripted.url, "--timeout", "0.2").stderr
    assert f"for {scripted.url}. Its page is at http://localhost:9: is that the same server?\n" in other


def test_without_a_token_nobody_is_asked(api: LocalProvider) -> None:
    """Neither the API nor a server, whatever the command."""
    for args in (["token"], ["status"], ["logout"]):
        run(*args, api.api_url)
    assert ([], [], []) == (api.api_requests, api.registrations, api.token_requests)


def test_a_token_that_is_due_is_renewed(api: LocalProvider, browser: Browser) -> None:
    """By the registered client, without a login; and when the refresh token is dead, the error says what to run."""
    url = api.api_url
    run("login", url)
    before = run("token", url).stdout
    age(kept(url), -10)
    after = run("token", url)
    assert (0, "", False) == (after.status, after.stderr, before == after.stdout)
    assert (["authorization_code", "refresh_token"], 1) == (grants(api), len(api.registrations))
    age(kept(url), -10)
    api.revoke_refresh_tokens()
    ended = run("token", url)
    assert (1, True) == (ended.status, "invalid_grant" in ended.error)
    assert ended.error.endswith(f"; run: oauth-auth login {url}")


def test_logging_in_again(api: LocalProvider, browser: Browser) -> None:
    """The token is replaced, and the client is that of the first login."""
    url = api.api_url
    run("login", url)
    first = run("token", url).stdout
    assert 0 == run("login", url).status
    assert first != run("token", url).stdout
    assert (2, 1) == (len(browser.opened), len(api.registrations))


def test_status_tells_where_the_token_is_from(api: LocalProvider, browser: Browser) -> None:
    """For people and for programs; no server is asked."""
    url = api.api_url
    ended = run("status", url)
    assert (1, f"there is no usable token; run: oauth-auth login {url}") == (ended.status, ended.error)
    run("login", url)
    expected = f"You are logged in.\nResource: {url}\nServer: {api.issuer}\nScope: read offline_access\n"
    assert run("status", url).stdout.startswith(expected)
    fields = json.loads(run("status", url, "--format", "json").stdout)
    assert isinstance(fields.pop("expires_at"), int)
    assert re.fullmatch(r"\S+", fields.pop("client_id"))
    told = {"resource": url, "issuer": api.issuer, "user": None, "scope": "read offline_access", "store": "keyring:"}
    assert told == fields


def test_what_the_api_demands_is_asked_for(scripted: ScriptedApi, browser: Browser) -> None:
    """A login asks the API first, since its challenge tells which scope it wants."""
    scripted.challenge = 'Bearer scope="basic"'
    browser.answer = {"code": "c"}
    for _ in range(2):  # a token that's there makes no difference
        assert 0 == run("login", scripted.url).status
    assert all("&scope=basic&" in url for url in browser.opened)
    assert 2 == len(browser.opened) == scripted.calls("/mcp")


def test_a_device_login(api: LocalProvider) -> None:
    """The server is named before the code; the next login is by device, too."""
    for args in (["--device"], []):
        process = start("login", api.api_url, *args)
        lines = []
        assert process.stderr is not None
        for line in process.stderr:
            lines.append(line)
            if found := re.search(r"http\S+user_code=\S+", line):
                requests.get(found[0], timeout=10)
                break
        ended = finish(process)
        assert (0, "") == (ended.status, ended.stdout), ended.stderr
        assert f"{api.issuer} will ask you to log in, for {api.api_url}.\n" == lines[0]
        assert 200 == get(api.api_url, run("token", api.api_url).stdout)
    assert 200 == requests.get(api.api_url, auth=kept(api.api_url), timeout=10).status_code


def test_a_console_login(api: LocalProvider) -> None:
    """Without a browser on this machine, the URL is pasted."""
    process = start("login", api.api_url, "--console")
    redirect = requests.get(read_until(process, r"http\S+code_challenge\S+"), allow_redirects=False, timeout=10)
    ended = finish(process, f"{redirect.headers['Location']}\n")
    assert (0, "") == (ended.status, ended.stdout), ended.stderr
    assert 200 == get(api.api_url, run("token", api.api_url).stdout)


# -- Options ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("args", "options"),
    [
        (["--scope", "read admin"], {"scope": "read admin"}),
        (["--client-id", "local-client"], {"client_id": "local-client"}),
        (["--issuer", "ISSUER"], {"issuer": "ISSUER"}),
        (["--audience", "orders"], {"audience": "orders"}),
        (["--redirect-uri", "http://127.0.0.1/other"], {"redirect_uri": "http://127.0.0.1/other"}),
    ],
)
def test_options_are_remembered_by_url(
    api: LocalProvider, browser: Browser, args: list[str], options: dict[str, str]
) -> None:
    """What a login was given, the other commands needn't be, nor the next login; a program passes the same."""
    url, args = api.api_url, [api.issuer if word == "ISSUER" else word for word in args]
    options = {name: api.issuer if value == "ISSUER" else value for name, value in options.items()}
    login = run("login", url, *args)
    assert 0 == login.status, login.stderr
    token = run("token", url)
    assert (0, token) == (token.status, run("token", url, *args))
    assert f"{kept(url, **options).get_token().access_token}\n" == token.stdout
    assert ["authorization_code"] == grants(api)
    assert 0 == run("login", url).status
    token = run("token", url)
    assert f"{kept(url, **options).get_token().access_token}\n" == token.stdout
    assert 0 == run("logout", url).status
    assert 401 == get(url, token.stdout)


def test_the_url_of_a_metadata_document(scripted: ScriptedApi, browser: Browser) -> None:
    """It's the client's id where the server takes such, and remembered; a client id in its place replaces it."""
    assert scripted.server_metadata is not None
    scripted.server_metadata["client_id_metadata_document_supported"] = True
    browser.answer = {"code": "c"}
    document = "https://tool.example/client.json"
    assert 0 == run("login", scripted.url, "--client-metadata-url", document).status
    assert "client_id=https%3A%2F%2Ftool.example%2Fclient.json&" in browser.opened[0]
    assert 0 == run("login", scripted.url).status
    assert "client_id=https%3A%2F%2Ftool.example%2Fclient.json&" in browser.opened[1]
    assert 0 == run("token", scripted.url).status
    assert "access-word" == kept(scripted.url, client_metadata_url=document).get_token().access_token
    assert "you are not logged in" in run("token", scripted.url, "--client-id", "by-hand").error
    assert 0 == run("login", scripted.url, "--client-id", "by-hand").status
    assert "client_id=by-hand&" in browser.opened[2]
    assert 0 == run("login", scripted.url, CLIENT_METADATA_URL=document).status
    assert "tool.example" in browser.opened[3]
    assert 0 == scripted.calls("/registration")


def test_profiles_keep_accounts_apart(api: LocalProvider, browser: Browser) -> None:
    """Each has its own token at the same URL; the last login is the default, and the hint names it."""
    url = api.api_url
    for profile in ("home", "work"):
        assert 0 == run("login", url, "--profile", profile).status
    work, home = run("token", url), run("token", url, "--profile", "home")
    assert (0, 0, False) == (work.status, home.status, work.stdout == home.stdout)
    assert work == run("token", url, "--profile", "work")
    assert run("status", url).stdout.startswith(f"You are logged in.\nProfile: work\nResource: {url}\n")
    assert 0 == run("logout", url).status
    assert f"you are not logged in; run: oauth-auth login {url} --profile work" == run("token", url).error
    assert home == run("token", url, "--profile", "home")
    ended = run("token", url, "--profile", "wrok")
    assert (2, True) == (ended.status, "there is no profile 'wrok' (there are home, work)" in ended.error)


def test_a_login_without_a_name_is_that_of_programs(api: LocalProvider, browser: Browser) -> None:
    """Whatever logins with names there are, and however they were made."""
    url = api.api_url
    assert 0 == run("login", url, "--profile", "work", "--scope", "admin").status
    assert kept(url)._stored_token() is None
    assert 0 == run("login", url).status
    assert run("token", url).stdout == f"{kept(url).get_token().access_token}\n"
    assert run("token", url).stdout != run("token", url, "--profile", "work").stdout


def test_logins_to_a_url_and_to_a_server_know_nothing_of_each_other(
    person: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch
) -> None:
    """Nor does what one has remembered reach the other, nor one URL another."""
    environment.setenv("OAUTH_STORE", "")
    assert 0 == run("login", "--scope", "read").status
    plain = run("token").stdout
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
        environment.delenv(f"OAUTH_{name}")
    for url in (person.api_url, f"{person.api_url}/admin"):
        assert "you are not logged in" in run("token", url).error
        assert 0 == run("login", url).status
        assert 200 == get(person.api_url, run("token", url).stdout)
    assert "client_id" not in json.dumps(list(profiles()["resources"].values()))
    assert plain == run("token").stdout
    environment.setenv("OAUTH_CLIENT_SECRET", person.client_secret)
    assert Ended(0, "", "You are logged out.\n") == run("logout")
    environment.delenv("OAUTH_CLIENT_SECRET")
    assert 0 == run("token", person.api_url).status


def profiles() -> Any:
    return json.loads(Path(os.environ["XDG_CONFIG_HOME"], "oauth_auth", "profiles.json").read_text())


@pytest.fixture
def service(api: LocalProvider, environment: pytest.MonkeyPatch) -> LocalProvider:
    """A client with a secret, whose server is named."""
    for name in ("ISSUER", "CLIENT_ID", "CLIENT_SECRET"):
        environment.setenv(f"OAUTH_{name}", getattr(api, name.lower()))
    return api


def test_a_client_with_a_secret(service: LocalProvider, browser: Browser) -> None:
    """A user's token stays the user's, and is renewed with the secret; the client's own is another grant."""
    url = service.api_url
    hint = "(the client itself gets a token with --grant client_credentials)"
    assert f"you are not logged in {hint}; run: oauth-auth login {url}" == run("token", url).error
    assert ([], []) == (service.api_requests, service.token_requests)
    assert 0 == run("login", url).status
    options = {name: getattr(service, name) for name in ("issuer", "client_id", "client_secret")}
    auth = kept(url, login=lambda _: pytest.fail("nobody is asked"), **options)
    age(auth, -10)
    token = run("token", url)
    assert (0, ["authorization_code", "refresh_token"]) == (token.status, grants(service))
    own = run("token", url, "--grant", "client_credentials")
    assert (0, "client_credentials", False) == (own.status, grants(service)[-1], own.stdout == token.stdout)
    assert own.stdout == f"{kept(url, **options).get_token().access_token}\n"
    status = run("status", url, "--grant", "client_credentials")
    assert status.stdout.startswith(f"The client has a token of its own.\nResource: {url}\n")
    assert token == run("token", url)
    for args in ([], ["--grant", "client_credentials"]):
        assert Ended(0, "", "You are logged out.\n") == run("logout", url, *args)
    assert [401, 401] == [get(url, one.stdout) for one in (token, own)]


def test_a_login_of_the_client_itself(service: LocalProvider, browser: Browser) -> None:
    """Remembered as that, and no browser is opened; without a secret it can't be."""
    url = service.api_url
    login = run("login", url, "--grant", "client_credentials", "--scope", "read")
    assert (0, True) == (login.status, login.stderr.startswith("The client has a token of its own.\n"))
    assert (0, []) == (run("token", url).status, browser.opened)
    ended = run("login", url, "--grant", "client_credentials", CLIENT_SECRET="")
    assert (2, True) == (ended.status, "--client-secret (OAUTH_CLIENT_SECRET)" in ended.error)


@pytest.mark.usefixtures("service")
def test_a_dead_login_of_a_client_with_a_secret(api: LocalProvider, browser: Browser) -> None:
    """It ends with what to run, and no browser is opened by `token`."""
    url = api.api_url
    assert 0 == run("login", url).status
    options = {name: getattr(api, name) for name in ("issuer", "client_id", "client_secret")}
    age(kept(url, login=lambda _: "", **options), -10)
    api.revoke_refresh_tokens()
    ended = run("token", url)
    assert (1, True) == (ended.status, ended.error.endswith(f"; run: oauth-auth login {url}"))
    assert 1 == len(browser.opened)


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["login", "api.example.com"], "must be the URL of an API, such as https://api.example.com/mcp"),
        (["token", SECRET], "must be the URL of an API, such as https://api.example.com/mcp"),
        (["login", "--client-secret", "two", SECRET], "put a value with spaces in quotes"),
        (["login", f"https://me:{SECRET}@api.example.com"], "the URL of an API must hold no user or password"),
        (["login", f"https://api.example.com?key={SECRET}"], "the URL of an API must have no query"),
        (["login", "https://api.example.com/a/../b"], "the URL of an API must have no '.' or '..'"),
        (["login", "http://api.example.com"], "the URL of an API must begin with https:"),
        (["login", "https://api.example.com", SECRET], "takes one URL"),
        (["discover"], "oauth-auth discover needs the URL of an API"),
        (["login", "https://a.example", "--token-url", "https://b.example"], "--token-url can't be used with"),
        (["login", "https://a.example", "--par"], "--par can't be used with the URL of an API"),
        (["login", "https://a.example", "--resource", "https://b.example"], "--resource can't be used with"),
        (["login", "https://a.example", "--grant", "password"], "(OAUTH_GRANT) must be one of authorization_code"),
        (["login", "https://a.example", "--client-secret", SECRET, "--client-id", "c"], "client_secret needs issuer"),
        (["login", "https://a.example", "--client-metadata-url", "https://b.example"], "an https URL with a path"),
        (["login", "--client-metadata-url", "https://b.example/c"], "goes with the URL of an API"),
    ],
)
def test_a_wrong_configuration_is_one_line(args: list[str], text: str) -> None:
    """Exit status 2; what isn't a URL may be a secret, and isn't shown."""
    ended = run(*args)
    assert (2, True) == (ended.status, text in ended.error), ended.error
    assert SECRET not in ended.error


# -- Discovery --------------------------------------------------------------------------------------------------


def test_what_is_found(api: LocalProvider) -> None:
    """The API, its scopes and its server, and how it could be used; nothing is registered, and nobody logs in."""
    ended = run("discover", api.api_url)
    assert (0, "") == (ended.status, ended.stderr)
    assert [
        f"Resource: {api.api_url}",
        "Token: demanded",
        "Scopes: read admin",
        "A login asks for: read",
        f"Server: {api.issuer}",
        "  Client id: registered when it's needed",
        "  Login: with a browser, on another device (--device)",
    ] == ended.stdout.splitlines()
    fields = json.loads(run("discover", api.api_url, "--json").stdout)
    server = {"issuer": api.issuer, "usable": True, "reason": None}
    assert {
        "resource": api.api_url,
        "demands_token": True,
        "scopes": ["read", "admin"],
        "scope": "read",
        "servers": [{**server, "client_id": ["registration"], "login": ["browser", "device"]}],
    } == fields
    assert ([], []) == (api.registrations, api.token_requests)


@pytest.mark.usefixtures("service")
def test_what_a_service_finds(api: LocalProvider) -> None:
    """Where the client has a secret, it can get a token of its own."""
    (server,) = json.loads(run("discover", api.api_url, "--json").stdout)["servers"]
    assert ["browser", "device", "client_credentials"] == server["login"]
    assert [] == api.token_requests


def test_all_servers_are_told(scripted: ScriptedApi, serve: Callable[..., ScriptedServer]) -> None:
    """Those that can't serve, too, and why; what they call themselves is shown without control characters."""
    other = ScriptedApi(serve)
    assert scripted.metadata is not None
    assert other.server_metadata is not None
    other.server_metadata["code_challenge_methods_supported"] = ["plain"]
    bad = "https://bad.example/\x1b[31m"
    scripted.metadata["authorization_servers"] = [bad, other.issuer, scripted.issuer]
    ended = run("discover", scripted.url)
    assert (0, "", False) == (ended.status, ended.stderr, "\x1b" in ended.stdout)
    first, second, third, *_ = [line for line in ended.stdout.splitlines() if line.startswith("Server: ")]
    assert first.startswith("Server: https://bad.example/ [31m can't be used: ")
    assert second.startswith(f"Server: {other.issuer} can't be used: it doesn't know PKCE with S256")
    assert f"Server: {scripted.issuer}" == third
    fields = json.loads(run("discover", scripted.url, "--json").stdout)
    assert [bad, other.issuer, scripted.issuer] == [server["issuer"] for server in fields["servers"]]
    assert [False, False, True] == [server["usable"] for server in fields["servers"]]


def without_registration(api: ScriptedApi) -> None:
    assert api.server_metadata is not None
    del api.server_metadata["registration_endpoint"]


def of_another_resource(api: ScriptedApi) -> None:
    assert api.metadata is not None
    api.metadata["resource"] = "https://api.example/mcp"


def without_a_server(api: ScriptedApi) -> None:
    api.metadata = api.server_metadata = None


def with_a_server_that_is_gone(api: ScriptedApi) -> None:
    assert api.metadata is not None
    api.metadata["authorization_servers"] = ["http://127.0.0.1:9"]


def with_an_endpoint_without_tls(api: ScriptedApi) -> None:
    assert api.server_metadata is not None
    api.server_metadata["authorization_endpoint"] = "http://auth.example/authorize"
    api.server_metadata["registration_endpoint"] = "http://auth.example/register"


def out_of_order(api: ScriptedApi) -> None:
    api.status = 503


@pytest.mark.parametrize(
    ("spoil", "text", "is_told"),
    [
        (without_registration, "it registers no clients (RFC 7591): pass --client-id of one registered by hand", True),
        (of_another_resource, "is of another resource, 'https://api.example/mcp'", False),
        (without_a_server, "demands a token, but names no authorization server", False),
        (with_a_server_that_is_gone, "127.0.0.1:9 refused the connection", True),
        (with_an_endpoint_without_tls, "would carry a token or secret over plain http", True),
        (out_of_order, "the resource could not be asked what it wants", False),
    ],
)
@pytest.mark.parametrize("command", ["discover", "login"])
def test_an_api_that_can_not_be_used(
    scripted: ScriptedApi, quick: None, browser: Browser, command: str, spoil: Any, text: str, is_told: bool
) -> None:
    """Status 1, and one line that says why; what was found is told all the same, and nothing is registered."""
    spoil(scripted)
    ended = run(command, scripted.url)
    assert 1 == ended.status
    assert 1 == ended.stderr.count("\n"), ended.stderr
    assert text in ended.stderr or (command == "login" and spoil is without_a_server)
    assert (command == "discover" and is_told) is bool(ended.stdout)
    assert not re.search(r"(issuer|client_id|client_metadata_url)=( |;|$)", ended.stderr)
    assert ([], 0) == (browser.opened, scripted.calls("/registration"))


def test_an_api_without_a_server_takes_an_issuer(
    scripted: ScriptedApi, browser: Browser, provider: LocalProvider
) -> None:
    """Where the API says nothing, the user can."""
    without_a_server(scripted)
    assert "; pass --issuer if you know the server" in run("discover", scripted.url).stderr
    found = run("discover", scripted.url, "--issuer", provider.issuer)
    assert (0, True) == (found.status, f"Server: {provider.issuer}\n" in found.stdout)
    login = run("login", scripted.url, "--issuer", provider.issuer)
    assert (0, True) == (login.status, login.stderr.startswith(f"{provider.issuer} will ask you to log in, for "))
    assert 0 == run("token", scripted.url).status


@pytest.mark.parametrize("status", [200, 405])
def test_an_api_that_wants_no_token(scripted: ScriptedApi, browser: Browser, status: int) -> None:
    """It can be used as it is, and whoever would log in is told so."""
    without_a_server(scripted)
    scripted.status, scripted.challenge = status, ""
    assert Ended(0, f"Resource: {scripted.url}\nToken: not demanded\n", "") == run("discover", scripted.url)
    fields = json.loads(run("discover", scripted.url, "--json").stdout)
    assert (False, []) == (fields["demands_token"], fields["servers"])
    ended = run("login", scripted.url)
    expected = f"there's nothing to log in to: {scripted.url} answers without a token"
    assert (1, True) == (ended.status, ended.error.startswith(expected))
    assert [] == browser.opened


@pytest.mark.parametrize(
    ("status", "text"), [(404, "is it the URL of the API?"), (307, "give the URL that it leads to")]
)
def test_a_url_that_is_not_that_of_an_api(scripted: ScriptedApi, status: int, text: str) -> None:
    """Both commands ask whether it's the right one."""
    without_a_server(scripted)
    scripted.status, scripted.challenge = status, ""
    for command in ("discover", "login"):
        ended = run(command, scripted.url)
        assert (1, True) == (ended.status, text in ended.error)


def test_a_server_found_by_a_guess(scripted: ScriptedApi) -> None:
    """Where the API names none, its own origin may be one, and that's said."""
    scripted.metadata = None
    assert f"Server: {scripted.issuer} (a guess, since the API names none)\n" in run("discover", scripted.url).stdout


@pytest.mark.parametrize(
    ("missing", "args", "grant"),
    [("authorization", [], "device"), ("device_authorization", ["--device"], "authorization_code")],
)
def test_another_way_to_log_in(
    scripted: ScriptedApi, browser: Browser, missing: str, args: list[str], grant: str
) -> None:
    """Where the server has an endpoint for another login alone, the error says what to run."""
    assert scripted.server_metadata is not None
    scripted.server_metadata["device_authorization_endpoint"] = f"{scripted.issuer}/device"
    del scripted.server_metadata[f"{missing}_endpoint"]
    assert 0 == run("discover", scripted.url).status
    ended = run("login", scripted.url, *args)
    hint = f"; run: oauth-auth login {scripted.url} --grant {grant}"
    assert (1, True, []) == (ended.status, ended.error.endswith(hint), browser.opened)


def test_a_registration_that_is_refused(api: LocalProvider, browser: Browser, environment: pytest.MonkeyPatch) -> None:
    """It's named in one line, with the option to pass."""
    api.fail_registrations(400, error="invalid_client_metadata", count=3)
    ended = run("login", api.api_url)
    assert (1, "") == (ended.status, ended.stdout)
    assert "no client could be registered at" in ended.stderr
    assert "pass --client-id of one registered by hand" in ended.stderr
    assert [] == browser.opened


def test_each_request_is_told(api: LocalProvider, browser: Browser) -> None:
    """With `--verbose` discovery and registration are, too."""
    discover = run("discover", api.api_url, "--verbose").stderr
    assert [
        f"GET {api.api_url}: 401",
        f"GET {api.issuer}/.well-known/oauth-protected-resource/api: 200",
        f"GET {api.issuer}/.well-known/oauth-authorization-server: 200",
    ] == re.findall(r"^oauth-auth: (.*), 0\.\d\d s$", discover, re.MULTILINE)
    login = run("login", api.api_url, "--verbose").stderr
    for text in ("GET", f"POST {api.issuer}/register: 201", f"POST {api.token_url}: 200"):
        assert f"oauth-auth: {text}" in login


def test_completion(api: LocalProvider, browser: Browser, tmp_path: Path) -> None:
    """URLs that somebody has logged in to; none where they can't be read."""
    assert ["discover"] == complete("oauth-auth", "disc")
    assert [] == complete("oauth-auth", "token", "http")
    run("login", api.api_url)
    assert [api.api_url] == complete("oauth-auth", "token", "http")
    (tmp_path / "oauth_auth" / "profiles.json").write_text("{")
    assert [] == complete("oauth-auth", "token", "http")


# -- As processes, at a server of others ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def running_mcp() -> Iterator[TypeScriptServer]:
    with TypeScriptServer() as server:
        yield server


@pytest.fixture
def mcp(running_mcp: TypeScriptServer, environment: pytest.MonkeyPatch) -> TypeScriptServer:
    """An MCP server, and a browser in which its user agrees at once."""
    running_mcp.reset()
    environment.setenv("BROWSER", f"{shlex.quote(sys.executable)} -m tests.servers.approving_browser %s")
    return running_mcp


def process(*args: str) -> Ended:
    return finish(start(*args))


def test_at_an_mcp_server(mcp: TypeScriptServer) -> None:
    """Each command a process of its own: they find what the others have stored, and so does a program."""
    url = mcp.url
    found = process("discover", url, "--json")
    assert (0, "") == (found.status, found.stderr)
    (server,) = json.loads(found.stdout)["servers"]
    assert (mcp.issuer, True) == (server["issuer"], server["usable"])
    assert (0, 0) == (mcp.registrations, mcp.logins)
    assert f"you are not logged in; run: oauth-auth login {url}" == process("token", url).error
    login = process("login", url)
    assert (0, "") == (login.status, login.stdout), login.stderr
    told, opening = login.stderr.index(" will ask you to log in, for "), login.stderr.index("Opening your browser")
    assert told < opening
    seen = mcp.metadata_requests, mcp.token_requests
    token = process("token", url)
    assert (0, "") == (token.status, token.stderr)
    assert re.fullmatch(r"\S+\n", token.stdout)
    assert token == process("token", url)
    assert (0, "") == ((status := process("status", url)).status, status.stderr)
    auth = kept(url)
    answer = requests.post(url, json=INITIALIZE, headers={"Accept": ACCEPT}, auth=auth, timeout=10)
    assert 200 == answer.status_code
    assert f"{auth.get_token().access_token}\n" == token.stdout
    assert seen == (mcp.metadata_requests, mcp.token_requests)
    assert (1, 1) == (mcp.registrations, mcp.logins)


def test_a_renewal_at_an_mcp_server(mcp: TypeScriptServer) -> None:
    """A process renews what another has stored, with no more than the server's metadata."""
    assert 0 == process("login", mcp.url).status
    first = process("token", mcp.url).stdout
    age(kept(mcp.url), -10)
    before = mcp.requests
    second = process("token", mcp.url)
    assert (0, False) == (second.status, second.stdout == first), second.stderr
    assert (1, 1, 2, before) == (mcp.registrations, mcp.logins, mcp.token_requests, mcp.requests)


ACCEPT = "application/json, text/event-stream"
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def test_a_store_of_files(mcp: TypeScriptServer, tmp_path: Path) -> None:
    """`--store` is remembered by URL, and a program finds there what was stored."""
    folder = tmp_path / "tokens"
    assert 0 == process("login", mcp.url, "--store", f"file:{folder}").status
    token = process("token", mcp.url)
    program = ResourceAuth(mcp.url, store=FileTokenStore(folder))
    assert token.stdout == f"{program.get_token().access_token}\n"
