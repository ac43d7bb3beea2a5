"""Auth objects from environment variables: every error says which variable, and none shows a secret."""

from __future__ import annotations

import copy
import logging
import os
import pickle
import traceback
from base64 import b64decode
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from oauth_auth import ConfigurationError, InsecureTransportError, MemoryTokenStore, OAuthProviderException
from oauth_auth._server.device_grant import DeviceCodeGrant
from oauth_auth.stores import FileTokenStore, KeyringTokenStore, RedisTokenStore
from oauth_auth.testing import LocalProvider
from tests.servers.redis import RedisServer
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens
from tests.support.variables import Variables

pytestmark = pytest.mark.shared_core

SECRET = "hunter2-x"
CLASSES = ("ClientCredentialsAuth", "AuthorizationCodeAuth", "PasswordAuth", "RefreshTokenAuth", "DeviceCodeAuth")
RESOURCE = "https://api.example.com/v1"
ENOUGH = {
    "TOKEN_URL": "https://auth.example.com/token",
    "CLIENT_ID": "client",
    "CLIENT_SECRET": SECRET,
    "USERNAME": "alice",
    "PASSWORD": SECRET,
    "REFRESH_TOKEN": SECRET,
    "DEVICE_AUTHORIZATION_URL": "https://auth.example.com/device",
}


@pytest.fixture
def variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Variables:
    return Variables(monkeypatch, tmp_path)


@pytest.fixture
def enough(variables: Variables) -> Variables:
    """The environment with what each class needs."""
    variables.set(**ENOUGH)
    return variables


def refused(auth_class: Any, *args: Any, **options: Any) -> str:
    """Return the text of the error; it holds no secret."""
    with pytest.raises(ConfigurationError) as caught:
        auth_class.from_env(*args, **options)
    assert SECRET not in str(caught.value)
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    return str(caught.value)


# -- What is read -----------------------------------------------------------------------------------------------


@pytest.mark.each_plugin
def test_each_class_can_be_made(enough: Variables, plugin_mode: Mode) -> None:
    """Each class that calls a token endpoint takes from the environment what it needs, and shows no secret."""
    for name in CLASSES:
        auth = getattr(plugin_mode.plugin, name).from_env()
        assert type(auth) is getattr(plugin_mode.plugin, name)
        assert SECRET not in repr(auth)


@pytest.mark.each_plugin
def test_the_others_can_not(plugin_mode: Mode) -> None:
    """A provider and a fixed token aren't text."""
    for name in ("TokenProviderAuth", "BearerAuth"):
        assert not hasattr(getattr(plugin_mode.plugin, name), "from_env")


@pytest.mark.parametrize("from_files", [False, True])
def test_what_is_read_is_used(
    variables: Variables, tokens: Tokens, plugin_mode: Mode, tmp_path: Path, from_files: bool
) -> None:
    """Each variable has its effect, whether it holds the value or names a file that does."""
    values = {
        "TOKEN_URL": tokens.url,
        "CLIENT_ID": "client",
        "CLIENT_SECRET": SECRET,
        "SCOPE": "read write",
        "USERNAME": "alice",
        "PASSWORD": "pass word",
        "REVOCATION_URL": f"{tokens.server.url}/revoke",
        "STORE": f"file:{tmp_path}/tokens",
    }
    for name, value in values.items():
        if from_files:
            variables.set_file(name, f"{value}\n".encode())
        else:
            variables.set(**{name: value})
    auth = plugin_mode.plugin.PasswordAuth.from_env()
    assert "token-1" == auth.get_token().access_token
    (call,) = tokens.server.requests
    assert ("/token", ["read write"], ["alice"], ["pass word"]) == (
        call.path,
        *(call.form[name] for name in ("scope", "username", "password")),
    )
    assert (call.authorization or "").startswith("Basic ")
    assert 1 == len(list((tmp_path / "tokens").glob("*.json")))
    auth.revoke()
    assert "/revoke" == tokens.server.requests[-1].path
    assert "token-1" not in "".join(path.read_text() for path in (tmp_path / "tokens").glob("*.json"))


def test_a_refresh_token_is_read(enough: Variables, tokens: Tokens, plugin_mode: Mode) -> None:
    """A program that was given a refresh token needs no code for it."""
    enough.set(TOKEN_URL=tokens.url)
    plugin_mode.plugin.RefreshTokenAuth.from_env().get_token()
    assert [SECRET] == tokens.server.requests[0].form["refresh_token"]


def test_an_issuer_is_read(variables: Variables, provider: LocalProvider, plugin_mode: Mode) -> None:
    """The issuer in place of all URLs."""
    variables.set(ISSUER=provider.issuer, CLIENT_ID=provider.client_id, CLIENT_SECRET=provider.client_secret)
    with plugin_mode.client(plugin_mode.plugin.ClientCredentialsAuth.from_env()) as client:
        assert 200 == client.get(provider.api_url).status_code


def test_a_token_url_overrides_the_issuer_s(
    variables: Variables, plugin_mode: Mode, serve: Callable[..., ScriptedServer]
) -> None:
    """With both, the metadata is the issuer's, and the token endpoint the one that is given."""
    answer = {"access_token": "t", "token_endpoint": "https://no.example"}
    server = serve(lambda _: Answer(200, answer))
    answer["issuer"] = server.url
    variables.set(ISSUER=server.url, TOKEN_URL=f"{server.url}/own", CLIENT_ID="client", CLIENT_SECRET=SECRET)
    plugin_mode.plugin.ClientCredentialsAuth.from_env().get_token()
    assert "/own" == server.requests[-1].path


def test_a_login_goes_where_the_variables_say(enough: Variables, provider: LocalProvider, plugin_mode: Mode) -> None:
    """Authorization URL and redirect URI are read; what logs in is an option, since it's no text."""
    seen: list[Any] = []

    def login(begin: Any) -> str:
        seen.append(begin.redirect_uri)
        request = begin(begin.redirect_uri)
        return str(client.get(request.url, follow_redirects=False).headers["Location"])

    enough.set(
        TOKEN_URL=provider.token_url,
        AUTHORIZATION_URL=provider.authorization_url,
        REDIRECT_URI="http://127.0.0.1:49152/there",
        CLIENT_ID=provider.client_id,
        CLIENT_SECRET=provider.client_secret,
    )
    with plugin_mode.client() as client:
        auth = plugin_mode.plugin.AuthorizationCodeAuth.from_env(login=login)
        assert auth.get_token().refresh_token is not None
    assert ["http://127.0.0.1:49152/there"] == seen


def test_a_resource_is_read(variables: Variables, plugin_mode: Mode, tmp_path: Path) -> None:
    """`ResourceAuth` needs the URL alone, and takes all else that is text from the environment, too."""
    variables.set(RESOURCE=RESOURCE)
    options = plugin_mode.plugin.ResourceAuth.from_env()._grant.options
    assert (RESOURCE, None, None, None) == (options.resource, options.issuer, options.client_id, options.scope)
    variables.set(
        ISSUER="https://auth.example.com",
        CLIENT_ID="client",
        CLIENT_SECRET=SECRET,
        SCOPE="read write",
        REDIRECT_URI="http://127.0.0.1:49152/there",
        STORE=f"file:{tmp_path}/tokens",
    )
    auth = plugin_mode.plugin.ResourceAuth.from_env()
    options = auth._grant.options
    assert ("https://auth.example.com", "client", SECRET) == (options.issuer, options.client_id, options.client_secret)
    assert ("read write", "http://127.0.0.1:49152/there") == (options.scope, options.redirect_uri)
    assert FileTokenStore is type(store_of(auth))
    assert SECRET not in repr(auth)


def test_a_document_is_read(variables: Variables, plugin_mode: Mode) -> None:
    """The URL of a client's metadata may come from the environment, and options override."""
    variables.set(RESOURCE=RESOURCE, CLIENT_METADATA_URL="https://app.example.com/client.json", SCOPE="read")
    options = plugin_mode.plugin.ResourceAuth.from_env(scope="write", login=print)._grant.options
    assert ("https://app.example.com/client.json", "write") == (options.client_metadata_url, options.scope)


def test_a_missing_resource_is_told(variables: Variables, plugin_mode: Mode) -> None:
    """The error names the variable, by whatever prefix."""
    variables.set(ISSUER="https://auth.example.com")
    assert "OAUTH_RESOURCE must be set" in refused(plugin_mode.plugin.ResourceAuth)
    assert "MCP_RESOURCE must be set" in refused(plugin_mode.plugin.ResourceAuth, "MCP_")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RESOURCE", "api.example.com"),
        ("RESOURCE", "http://api.example.com"),
        ("ISSUER", "auth.example.com"),
        ("CLIENT_METADATA_URL", "https://app.example.com/"),
        ("REDIRECT_URI", "/callback"),
    ],
)
def test_a_resource_s_unfit_variable_is_named(variables: Variables, plugin_mode: Mode, name: str, value: str) -> None:
    """What can't be used is told by the name of its variable."""
    variables.set(**{"RESOURCE": RESOURCE, name: value})
    assert f"OAUTH_{name}" in refused(plugin_mode.plugin.ResourceAuth)


def test_a_secret_without_its_issuer_is_told(variables: Variables, plugin_mode: Mode) -> None:
    """A secret from the environment isn't sent to whatever server an API names either."""
    variables.set(RESOURCE=RESOURCE, CLIENT_ID="client", CLIENT_SECRET=SECRET)
    assert "issuer" in refused(plugin_mode.plugin.ResourceAuth).lower()


def test_another_prefix(variables: Variables, plugin_mode: Mode) -> None:
    """Two sets of variables side by side are two clients; an empty prefix is one, too."""
    variables.set("BILLING_", TOKEN_URL="https://a.example/token", CLIENT_ID="billing")
    variables.set("", TOKEN_URL="https://b.example/token", CLIENT_ID="plain")
    make = plugin_mode.plugin.ClientCredentialsAuth.from_env
    assert ["billing", "plain"] == [make(prefix)._client.client_id for prefix in ("BILLING_", "")]
    assert "OAUTH_ISSUER or OAUTH_TOKEN_URL must be set" in refused(plugin_mode.plugin.ClientCredentialsAuth)
    assert "SHOP_ISSUER" in refused(plugin_mode.plugin.ClientCredentialsAuth, "SHOP_")
    assert "SHOP_ISSUER" in refused(plugin_mode.plugin.ClientCredentialsAuth, prefix="SHOP_")


def test_options_override(enough: Variables, tokens: Tokens, plugin_mode: Mode) -> None:
    """What's passed wins over the environment, even where that couldn't be read; None is passed, too."""
    enough.set(SCOPE="from-env", SCOPE_FILE="/nowhere", STORE="bogus", CLIENT_SECRET_FILE="/nowhere")
    store = MemoryTokenStore()
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env(
        token_url=tokens.url,
        client_id="mine",
        client_secret=None,
        scope="own",
        store=store,
        field_parameters={"a": "b"},
    )
    auth.get_token()
    form = tokens.server.requests[0].form
    assert (["mine"], ["own"], ["b"]) == (form["client_id"], form["scope"], form["a"])
    assert 1 == len(store._tokens)


def test_an_empty_variable_is_not_set(enough: Variables, plugin_mode: Mode) -> None:
    """Deployments blank what they don't use: no secret then means a public client."""
    enough.set(ISSUER="", CLIENT_SECRET="", CLIENT_SECRET_FILE="", SCOPE="", STORE="", REVOCATION_URL="")
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    assert (None, False) == (auth._client._client_secret, auth._source._entry.is_shared)
    enough.set(CLIENT_ID="")
    assert "OAUTH_CLIENT_ID must be set" in refused(plugin_mode.plugin.ClientCredentialsAuth)


def test_what_it_reads_of_other_classes_is_ignored(enough: Variables, plugin_mode: Mode) -> None:
    """One environment can serve several classes: a variable that isn't for a class isn't even looked at."""
    enough.set(PASSWORD_FILE="/nowhere", REFRESH_TOKEN_FILE="/nowhere", AUTHORIZATION_URL="bogus")
    assert plugin_mode.plugin.ClientCredentialsAuth.from_env()


# -- Files ------------------------------------------------------------------------------------------------------


CONTENTS = [
    (b"word", "word"),
    (b"word\n", "word"),
    (b"word\r\n", "word"),
    (b"word\n\n", "word\n"),
    (b" word ", " word "),
    (b"wo\r\nrd", "wo\r\nrd"),
    (b"word\r", "word\r"),
    (b"\xef\xbb\xbfword\n", "word"),
    ("wörd\n".encode(), "wörd"),
]


def test_one_line_end_is_not_part_of_it(enough: Variables, plugin_mode: Mode) -> None:
    """A file's last line end isn't part of the value; all else is, byte by byte."""
    for content, secret in CONTENTS:
        enough.set_file("CLIENT_SECRET", content)
        auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
        assert secret == auth._client._client_secret


def test_both_is_an_error(enough: Variables, plugin_mode: Mode) -> None:
    """A value and a file at once: nobody can tell which is meant."""
    classes = {"REFRESH_TOKEN": "RefreshTokenAuth", "DEVICE_AUTHORIZATION_URL": "DeviceCodeAuth"}
    for variable in (*ENOUGH, "ISSUER", "SCOPE", "STORE", "REVOCATION_URL"):
        enough.set_file(variable, SECRET.encode())
        enough.set(**{variable: SECRET})
        text = refused(getattr(plugin_mode.plugin, classes.get(variable, "PasswordAuth")))
        assert f"OAUTH_{variable} and OAUTH_{variable}_FILE are both set" in text
        enough.set(**{f"{variable}_FILE": None, variable: ENOUGH.get(variable)})


def test_a_file_that_can_not_be_read(enough: Variables, plugin_mode: Mode, tmp_path: Path) -> None:
    """The error says which variable and why, but not the path: it may be a secret in the wrong variable."""
    make = plugin_mode.plugin.ClientCredentialsAuth
    enough.set(CLIENT_SECRET=None, CLIENT_SECRET_FILE=SECRET)
    assert "OAUTH_CLIENT_SECRET_FILE names a file that can't be read: No such file" in refused(make)
    enough.set(CLIENT_SECRET_FILE=str(tmp_path))
    assert "OAUTH_CLIENT_SECRET_FILE names a file that can't be read: Is a directory" in refused(make)
    enough.set(CLIENT_SECRET_FILE="x" * 5000)
    assert "OAUTH_CLIENT_SECRET_FILE names a file that can't be read: File name too long" in refused(make)
    enough.set_file("CLIENT_SECRET", SECRET.encode() + b"\xff")
    assert "OAUTH_CLIENT_SECRET_FILE names a file that can't be read: it isn't UTF-8" in refused(make)
    for content in (b"", b"\n", b"\r\n"):
        enough.set_file("CLIENT_SECRET", content)
        assert "OAUTH_CLIENT_SECRET_FILE names a file with nothing in it" in refused(make)
    enough.set(CLIENT_SECRET_FILE="/dev/zero")
    assert "OAUTH_CLIENT_SECRET_FILE names a file that is longer" in refused(make)


# -- Files that change ------------------------------------------------------------------------------------------


class Vault:
    """Has the client's secret, or a user's password, replaced: at the server, and in the file that the variable names.

    `sent` is each one that the server was shown, in order.
    """

    def __init__(self, variables: Variables, tokens: Tokens, variable: str = "CLIENT_SECRET") -> None:
        self._variables = variables
        self._variable = variable
        self._refusal = {"CLIENT_SECRET": "invalid_client", "PASSWORD": "invalid_grant"}[variable]
        self._good = ""
        self.sent: list[str] = []
        variables.set(TOKEN_URL=tokens.url, REVOCATION_URL=f"{tokens.server.url}/revoke")
        variables.set(DEVICE_AUTHORIZATION_URL=f"{tokens.server.url}/device")
        tokens.fields["refresh_token"] = "refresh-1"
        tokens.answer = self._answer

    def _answer(self, request: Received) -> Answer | None:
        if self._variable == "CLIENT_SECRET":
            value = b64decode((request.authorization or "").removeprefix("Basic ")).decode().partition(":")[2]
        elif (value := request.form.get("password", [""])[0]) == "":
            return Answer(400, {"error": "invalid_grant"})
        self.sent.append(value)
        if value != self._good:
            return Answer(401, {"error": self._refusal})
        return Answer(200, DEVICE_CODES) if request.path == "/device" else None

    def rotate_server(self, value: str) -> None:
        self._good = value

    def rotate_file(self, value: str) -> None:
        self._variables.set_file(self._variable, f"{value}\n".encode())

    def rotate(self, value: str) -> None:
        self.rotate_server(value)
        self.rotate_file(value)

    def remove_file(self) -> None:
        Path(os.environ[f"OAUTH_{self._variable}_FILE"]).unlink()


DEVICE_CODES = {"device_code": "d", "user_code": "u", "verification_uri": "https://auth.example.com/", "interval": 0}


@pytest.fixture
def vault(enough: Variables, tokens: Tokens) -> Vault:
    vault = Vault(enough, tokens)
    vault.rotate("0ld")
    return vault


def test_a_secret_that_is_rotated_is_read_anew(vault: Vault, mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """When the server refuses the secret, the one that is in the file by now is sent, and from then on that one."""
    auth = mode.plugin.ClientCredentialsAuth.from_env()
    with mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code
        vault.rotate("n3w")
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
    assert ["0ld", "0ld", "n3w", "n3w"] == vault.sent


@pytest.mark.parametrize("name", CLASSES)
def test_each_class_reads_its_secret_anew(
    vault: Vault, plugin_mode: Mode, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever is called first, with whatever grant, goes on with the new secret; and so does a revocation."""
    monkeypatch.setattr(DeviceCodeGrant, "shortest_interval", 0.0)
    monkeypatch.setattr(DeviceCodeGrant, "default_interval", 0.0)
    options: dict[str, Any] = {"show": lambda **_: None} if name == "DeviceCodeAuth" else {}
    options |= {"code": "c", "redirect_uri": "https://app.example.com/"} if name == "AuthorizationCodeAuth" else {}
    auth = getattr(plugin_mode.plugin, name).from_env(**options)
    for number in range(3):
        vault.rotate(f"secret{number}")
        vault.sent.clear()
        [auth.get_token, auth.refresh, auth.revoke][number]()
        assert [f"secret{number - 1}" if number else "0ld", f"secret{number}"] == vault.sent[:2]
        assert {f"secret{number}"} == set(vault.sent[1:])


@pytest.mark.parametrize("change", ["nothing", "a line end", "removed", "empty", "no text"])
def test_a_file_without_another_secret_changes_nothing(
    vault: Vault, enough: Variables, plugin_mode: Mode, change: str
) -> None:
    """A wrong secret is sent once: where the file has no other one, the refusal is what's raised."""
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    vault.rotate_server("n3w")
    if change == "removed":
        vault.remove_file()
    elif change != "nothing":
        enough.set_file("CLIENT_SECRET", {"a line end": b"0ld\r\n", "empty": b"\n", "no text": b"\xff"}[change])
    for _ in range(3):
        with pytest.raises(OAuthProviderException, match="invalid_client"):
            auth.get_token()
    assert ["0ld"] == vault.sent


def test_a_new_secret_that_is_wrong_is_sent_once(vault: Vault, plugin_mode: Mode) -> None:
    """Of two wrong secrets each is sent once, and no other is looked for."""
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    vault.rotate_server("n3w")
    vault.rotate_file("wr0ng")
    for _ in range(3):
        with pytest.raises(OAuthProviderException, match="invalid_client"):
            auth.get_token()
    assert ["0ld", "wr0ng"] == vault.sent


def test_a_new_secret_is_sent_in_the_form_that_works(vault: Vault, plugin_mode: Mode) -> None:
    """The form that this server takes is remembered, and not guessed again for another secret."""
    vault.rotate("0ld/+ %")
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    auth.get_token()
    vault.rotate("n3w/+ %")
    auth.refresh()
    assert ["0ld%2F%2B%20%25", "0ld/+ %", "0ld/+ %", "n3w/+ %"] == vault.sent


def test_a_secret_of_another_kind_than_the_last(vault: Vault, plugin_mode: Mode) -> None:
    """Where the old secret was the same in both forms, the new one's form is found as that of any secret is."""
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    auth.get_token()
    vault.rotate("n3w/+ %")
    auth.refresh()
    auth.refresh()
    assert ["0ld", "0ld", "n3w%2F%2B%20%25", "n3w/+ %", "n3w/+ %"] == vault.sent


@pytest.mark.parametrize("double", [lambda auth: pickle.loads(pickle.dumps(auth)), copy.deepcopy, copy.copy])
def test_copies_read_the_file_anew(
    vault: Vault, plugin_mode: Mode, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, double: Callable[[Any], Any]
) -> None:
    """A copy knows the file, wherever the program was when it read it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OAUTH_CLIENT_SECRET_FILE", "CLIENT_SECRET.txt")
    auth = double(plugin_mode.plugin.ClientCredentialsAuth.from_env())
    monkeypatch.chdir("/")
    vault.rotate("n3w")
    assert "token-1" == auth.get_token().access_token
    assert ["0ld", "n3w"] == vault.sent


def test_a_secret_that_is_given_is_not_looked_for(vault: Vault, enough: Variables, plugin_mode: Mode) -> None:
    """An option overrides the file for good, and so does a variable that holds the secret itself."""
    given = plugin_mode.plugin.ClientCredentialsAuth.from_env(client_secret="g1ven")
    vault.remove_file()
    enough.set(CLIENT_SECRET="g1ven", CLIENT_SECRET_FILE=None)
    for auth in (given, plugin_mode.plugin.ClientCredentialsAuth.from_env()):
        with pytest.raises(OAuthProviderException):
            auth.get_token()
    assert ["g1ven"] * 2 == vault.sent


def test_a_password_that_is_changed_is_read_anew(enough: Variables, tokens: Tokens, mode: Mode) -> None:
    """When the server refuses the password, the one that is in its file by now is sent, and from then on that one."""
    vault = Vault(enough, tokens, "PASSWORD")
    vault.rotate("0ld")
    auth = mode.plugin.PasswordAuth.from_env()
    mode.get_token(auth)
    vault.rotate("n3w")
    mode.refresh(auth)
    mode.refresh(auth)
    assert ["0ld", "0ld", "n3w", "n3w"] == vault.sent
    vault.rotate_server("another")
    with pytest.raises(OAuthProviderException, match="invalid_grant"):
        mode.refresh(auth)
    assert ["n3w"] == vault.sent[4:]


def test_a_secret_from_a_file_is_not_shown(
    vault: Vault, enough: Variables, plugin_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """Neither the old nor the new secret is in an error, the log, or the repr of anything on the way."""
    caplog.set_level(logging.DEBUG, "oauth_auth")
    enough.set_file("PASSWORD", b"hunter2-y")
    vault.rotate("hunter2-x")
    auth = plugin_mode.plugin.PasswordAuth.from_env()
    vault.rotate_file("hunter2-z")
    vault.rotate_server("n3w")
    with pytest.raises(OAuthProviderException) as caught:
        auth.get_token()
    grant = auth._source._grant
    texts = [str(caught.value), repr(vars(caught.value)), *map(repr, (auth, auth._client._client_secret))]
    texts += [repr(grant._password), "".join(traceback.format_exception(caught.value)), caplog.text]
    texts.append(pickle.dumps(caught.value).decode("latin-1"))
    assert ["hunter2-x", "hunter2-z"] == vault.sent
    assert [] == [text for text in texts if "hunter2" in text]


# -- Errors -----------------------------------------------------------------------------------------------------


MISSING = [
    ("ClientCredentialsAuth", "TOKEN_URL", "OAUTH_ISSUER or OAUTH_TOKEN_URL must be set"),
    ("ClientCredentialsAuth", "CLIENT_ID", "OAUTH_CLIENT_ID must be set"),
    ("PasswordAuth", "USERNAME", "OAUTH_USERNAME must be set"),
    ("PasswordAuth", "PASSWORD", "OAUTH_PASSWORD must be set"),
    ("RefreshTokenAuth", "REFRESH_TOKEN", "OAUTH_REFRESH_TOKEN must be set"),
    ("DeviceCodeAuth", "DEVICE_AUTHORIZATION_URL", "OAUTH_DEVICE_AUTHORIZATION_URL"),
]


def test_what_is_missing_is_named(enough: Variables, plugin_mode: Mode) -> None:
    """The error names the variable to set."""
    for name, missing, text in MISSING:
        enough.set(**{missing: None})
        assert text in refused(getattr(plugin_mode.plugin, name))
        enough.set(**{missing: ENOUGH[missing]})


WRONG = [
    ("ClientCredentialsAuth", "TOKEN_URL", "auth.example.com"),
    ("ClientCredentialsAuth", "TOKEN_URL", f"https://me:{SECRET}@auth.example.com/"),
    ("ClientCredentialsAuth", "TOKEN_URL", f"https://auth.example.com/#{SECRET}"),
    ("ClientCredentialsAuth", "TOKEN_URL", f"https://[{SECRET}"),
    ("ClientCredentialsAuth", "TOKEN_URL", f"https://auth.example.com:{SECRET}/"),
    ("ClientCredentialsAuth", "ISSUER", f"https://auth.example.com/?x={SECRET}"),
    ("ClientCredentialsAuth", "ISSUER", "nowhere"),
    ("ClientCredentialsAuth", "REVOCATION_URL", "nowhere"),
    ("ClientCredentialsAuth", "SCOPE", "a\tb"),
    ("AuthorizationCodeAuth", "AUTHORIZATION_URL", "nowhere"),
    ("DeviceCodeAuth", "DEVICE_AUTHORIZATION_URL", "nowhere"),
    ("PasswordAuth", "USERNAME", "\udcff"),
    ("PasswordAuth", "PASSWORD", f"{SECRET}\udcff"),
    ("PasswordAuth", "CLIENT_SECRET", f"{SECRET}\udcff"),
    ("RefreshTokenAuth", "REFRESH_TOKEN", f"{SECRET}\udcff"),
]


def test_what_is_wrong_is_named(enough: Variables, plugin_mode: Mode) -> None:
    """Whoever set the variable doesn't know our parameters: the error names it."""
    for name, variable, value in WRONG:
        enough.set(**{variable: value})
        assert f"OAUTH_{variable}" in refused(getattr(plugin_mode.plugin, name))
        enough.set(**{variable: ENOUGH.get(variable)})


def test_plain_http_is_refused(enough: Variables, plugin_mode: Mode) -> None:
    """A secret doesn't go out in the clear because of a variable, unless the program allows that."""
    for variable in ("TOKEN_URL", "ISSUER", "REVOCATION_URL"):
        enough.set(**{variable: "http://auth.example.com/"})
        with pytest.raises(InsecureTransportError, match=f"OAUTH_{variable}"):
            plugin_mode.plugin.ClientCredentialsAuth.from_env()
        assert plugin_mode.plugin.ClientCredentialsAuth.from_env(allow_insecure_transport=True)
        enough.set(**{variable: ENOUGH.get(variable)})


def test_wrong_arguments_are_told(enough: Variables, plugin_mode: Mode) -> None:
    """Errors of the program rather than of its environment are told as such."""
    make = plugin_mode.plugin.ClientCredentialsAuth
    assert "prefix must be text" in refused(make, None)
    assert "did you mean 'scope'" in refused(make, scop="a")
    assert "token_url must be a URL as text" in refused(make, token_url=5)
    assert "client_id must be" in refused(make, client_id=5)
    assert "OAUTH_CLIENT_ID must be set" in refused(make, client_id=None)
    assert "OAUTH_CLIENT_ID" not in refused(make, client_id="")
    assert "unknown option 'username'" in refused(make, username="alice")
    assert "login must be" in refused(plugin_mode.plugin.AuthorizationCodeAuth, login=5)
    assert "OAUTH_AUTHORIZATION_URL" in refused(plugin_mode.plugin.AuthorizationCodeAuth, login=lambda begin: "")


@pytest.mark.parametrize(
    ("given", "hint"),
    [
        ({"ISSUR": "https://a.example", "CLIENT_ID": "c"}, "OAUTH_ISSUR is set: did you mean OAUTH_ISSUER?"),
        ({"ISSUER_URL": "https://a.example", "CLIENT_ID": "c"}, "OAUTH_ISSUER_URL is set: did you mean OAUTH_ISSUER?"),
        ({"TOKENURL": "https://a.example", "CLIENT_ID": "c"}, "OAUTH_TOKENURL is set: did you mean OAUTH_TOKEN_URL?"),
        ({"TOKEN_URL": "https://a.example", "CLIENTID": "c"}, "OAUTH_CLIENTID is set: did you mean OAUTH_CLIENT_ID?"),
        ({"TOKEN_URL": "https://a.example", "ID": "c"}, "OAUTH_ID is set: did you mean OAUTH_CLIENT_ID?"),
        (
            {"TOKEN_URL": "https://a.example", "CLIENT_ID": "c", "SECRET": SECRET},
            "OAUTH_SECRET is set: did you mean OAUTH_CLIENT_SECRET?",
        ),
        (
            {"TOKEN_URL": "https://a.example", "CLIENT_ID": "c", "CLIENT_SECERT_FILE": "/run/secret"},
            "OAUTH_CLIENT_SECERT_FILE is set: did you mean OAUTH_CLIENT_SECRET_FILE?",
        ),
        ({"TOKEN_URL": "https://a.example", "CLIENT_ID": "c", "SCOPES": "a"}, "did you mean OAUTH_SCOPE?"),
    ],
)
def test_a_misspelt_variable_is_named(variables: Variables, plugin_mode: Mode, given: Any, hint: str) -> None:
    """The error names the variable that is set, and the one that was meant."""
    variables.set(**given)
    assert hint in refused(plugin_mode.plugin.ClientCredentialsAuth)


@pytest.mark.parametrize("name", ["TOKEN", "DEBUG", "CLIENT", "PROFILE", "GRANT", "ISSUER_FILE"])
def test_a_variable_of_somebody_else_is_none_of_ours(enough: Variables, plugin_mode: Mode, name: str) -> None:
    """A name that's only somewhat similar, one of the command's, or an empty one, makes no error."""
    enough.set(**{name: "" if name == "ISSUER_FILE" else "x"}, CLIENT_SECRET="", SCOPES="")
    plugin_mode.plugin.ClientCredentialsAuth.from_env()


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("B_AUDIENCE", {}),  # of another client, whose prefix begins like this one
        ("B_CLIENT_SECRET", {"client_secret": None}),
        ("DB_TOKEN_URL", {}),
        ("TOKEN_URI", {}),
        ("AUDIENCES", {"audience": None}),
    ],
)
def test_what_may_be_anothers_breaks_nothing(enough: Variables, plugin_mode: Mode, name: str, options: Any) -> None:
    """Variables of other prefixes, of URLs that aren't needed, and those that an option overrides are left alone."""
    enough.set(**{name: "x"})
    plugin_mode.plugin.ClientCredentialsAuth.from_env(**options)


def test_under_another_prefix_a_secret_may_be_the_programs_own(
    monkeypatch: pytest.MonkeyPatch, plugin_mode: Mode
) -> None:
    """`APP_SECRET` and `APP_URL` are what many programs call their own."""
    for name, value in {"ISSUER": "https://a.example", "CLIENT_ID": "c", "SECRET": SECRET, "URL": "https://my"}.items():
        monkeypatch.setenv(f"APP_{name}", value)
    plugin_mode.plugin.AuthorizationCodeAuth.from_env("APP_")


def test_a_prefix_without_its_underscore_is_told(enough: Variables, plugin_mode: Mode) -> None:
    """`from_env("OAUTH")` says that the variables begin with `OAUTH_`."""
    assert "pass the prefix 'OAUTH_'" in refused(plugin_mode.plugin.ClientCredentialsAuth, "OAUTH")


def test_targets_are_read(enough: Variables, tokens: Tokens, plugin_mode: Mode) -> None:
    """AUDIENCE holds a text, RESOURCE one URI, or several between spaces."""
    enough.set(TOKEN_URL=tokens.url, AUDIENCE="My orders", RESOURCE="https://a.example https://b.example")
    plugin_mode.plugin.ClientCredentialsAuth.from_env().get_token()
    [call] = tokens.server.requests
    assert (["My orders"], ["https://a.example", "https://b.example"]) == (call.form["audience"], call.form["resource"])


# -- Stores -----------------------------------------------------------------------------------------------------


def store_of(auth: Any) -> Any:
    return auth._source._entry.store


def test_a_folder(enough: Variables, plugin_mode: Mode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`file:` takes any path, from here or from home, also with colons and spaces."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for value, path in {
        "tokens": tmp_path / "tokens",
        "./a b:c": tmp_path / "a b:c",
        "~/.tokens": tmp_path / "home/.tokens",
        str(tmp_path): tmp_path,
    }.items():
        enough.set(STORE=f"file:{value}")
        store = store_of(plugin_mode.plugin.ClientCredentialsAuth.from_env())
        assert (FileTokenStore, path) == (type(store), store._folder)


def test_a_keyring(enough: Variables, plugin_mode: Mode, keyring_folder: Path) -> None:
    """`keyring:` is the system's, and what comes after it is the name to show there."""
    for value, service in (("keyring:", "oauth_auth"), ("keyring", "oauth_auth"), ("keyring:my app", "my app")):
        enough.set(STORE=value)
        store = store_of(plugin_mode.plugin.ClientCredentialsAuth.from_env())
        assert (KeyringTokenStore, service) == (type(store), store._service)


def test_redis(enough: Variables, tokens: Tokens, plugin_mode: Mode, running_redis: RedisServer) -> None:
    """A Redis URL, as a whole; two programs with the same environment share the token."""
    enough.set(STORE=running_redis.url, TOKEN_URL=tokens.url)
    first, second = (plugin_mode.plugin.ClientCredentialsAuth.from_env() for _ in range(2))
    assert first.get_token().access_token == second.get_token().access_token
    assert 1 == tokens.calls


NO_STORES = [
    "file",
    "file:",
    "File:x",
    "keyrings:",
    "memory:",
    SECRET,
    f"https://me:{SECRET}@redis.example/",
    "redis:",
    f"redis://:{SECRET}@host:port/0",
    f"redis://:{SECRET}[@host/0",
    f"rediss://:{SECRET}#@host:6379/0",
    "file:~nobody-of-this-name/tokens",
    "file:/dev/null",
    "file:/tmp\0",
]


def test_what_is_no_store_is_told(enough: Variables, plugin_mode: Mode) -> None:
    """The error names the variable and the forms, and shows no password that's part of the value."""
    for value in NO_STORES:
        enough.set(STORE_FILE=None)
        if "\0" in value:
            enough.set_file("STORE", value.encode())
        else:
            enough.set(STORE=value)
        assert "OAUTH_STORE" in refused(plugin_mode.plugin.ClientCredentialsAuth)


def test_a_redis_that_is_not_there_harms_nothing(
    enough: Variables, tokens: Tokens, plugin_mode: Mode, caplog: pytest.LogCaptureFixture
) -> None:
    """A store that can't be reached is logged without its password, and the request goes through."""
    enough.set(STORE=f"redis://:{SECRET}@127.0.0.1:1/0", TOKEN_URL=tokens.url)
    auth = plugin_mode.plugin.ClientCredentialsAuth.from_env()
    assert "token-1" == auth.get_token().access_token
    assert "token store failed" in caplog.text
    assert SECRET not in caplog.text + repr(auth) + repr(store_of(auth))
    assert RedisTokenStore is type(store_of(auth))


@pytest.mark.parametrize(("name", "missing"), [("TokenExchangeAuth", "subject_token"), ("JwtBearerAuth", "assertion")])
def test_an_argument_that_is_missing_is_told_after_the_variables(
    plugin_mode: Mode, monkeypatch: pytest.MonkeyPatch, name: str, missing: str
) -> None:
    """What the environment lacks comes first, then what no variable can say, as an error that says what to give."""
    auth_class = getattr(plugin_mode.plugin, name)
    with pytest.raises(ConfigurationError, match="OAUTH_TOKEN_URL"):
        auth_class.from_env()
    monkeypatch.setenv("OAUTH_TOKEN_URL", "https://auth.example/token")
    monkeypatch.setenv("OAUTH_CLIENT_ID", "client")
    with pytest.raises(ConfigurationError, match=f"{missing} must be"):
        auth_class.from_env()
