"""Guarantee 15, for programs: events have names and fields, docs/events.md has them all, and telling harms nothing."""

from __future__ import annotations

import ast
import io
import json
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import requests

import oauth_auth
from oauth_auth import BrowserLogin, MemoryTokenStore, OAuthToken, TokenError, _events
from oauth_auth._flight import Flight
from oauth_auth._plugins.replacing import Rejection
from oauth_auth._record import fields
from oauth_auth._server import operations as controller
from oauth_auth.stores import FileTokenStore
from oauth_auth.testing import LocalProvider
from tests.support.modes import Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, client_credentials, token_that_expires_in
from tests.support.waiting import await_silence

pytestmark = pytest.mark.shared_core

PACKAGE = Path(oauth_auth.__file__).parent
DOCUMENT = Path(__file__).parents[2] / "docs" / "events.md"

SECRETS = ("s3cret", "token-1", "token-2", "token-3", "given")
"""What mustn't be told: each secret of the events below has one of these in it."""


class Event(NamedTuple):
    """What an event is: its level, and its fields, for the documented ones with the types of their values."""

    level: str
    fields: Mapping[str, frozenset[str]]


def documented_events() -> dict[str, Event]:
    """Read the table in docs/events.md."""
    rows = re.findall(r"^\| `(\w+)` \| ([A-Z]+) \| [^|]+ \|([^|]*)\|$", DOCUMENT.read_text(), re.MULTILINE)
    events = {}
    for name, level, cell in rows:
        fields = re.findall(r"`oauth_(\w+)` \(([^;)]+)[;)]", cell)
        assert len(fields) == cell.count("`oauth_"), cell
        events[name] = Event(level, {field: frozenset(types.split(", ")) for field, types in fields})
    assert len(events) == len(rows)
    return events


DOCUMENTED = documented_events()


def told_events() -> Iterator[tuple[str, str, frozenset[str]]]:
    """Read the source: name, level and fields of each event that a call of `emit` emits, or a landing has emitted."""
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        for scope in ast.walk(tree):
            if not isinstance(scope, ast.FunctionDef | ast.AsyncFunctionDef):
                continue
            for call in ast.walk(scope):
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                    continue
                if call.func.id == "emit" and ast.unparse(call.args[0]) != "event.level":  # a landing's own, see below
                    level, event, _ = call.args
                    assert isinstance(level, ast.Attribute), ast.unparse(call)
                    for name in texts(event, scope):
                        yield name, level.attr, frozenset(fields_of(call))
                elif call.func.id == "Event":
                    level, event, _, fields = call.args
                    assert isinstance(level, ast.Attribute), ast.unparse(call)
                    for name in texts(event, scope):
                        yield name, level.attr, frozenset(keys_of(fields, scope))


def texts(node: ast.expr, scope: ast.AST) -> set[str]:
    """Return all texts that an expression may be, going by the assignments in its function."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return {node.value}
    if isinstance(node, ast.IfExp):
        return texts(node.body, scope) | texts(node.orelse, scope)
    assert isinstance(node, ast.Name), f"an event's name that can't be read: {ast.unparse(node)}"
    assigned = [
        other.value
        for other in ast.walk(scope)
        if isinstance(other, ast.Assign) and node.id in {ast.unparse(target) for target in other.targets}
    ]
    assert assigned, f"an event's name that is assigned nowhere: {node.id}"
    return set().union(*(texts(value, scope) for value in assigned))


def keys_of(node: ast.expr, scope: ast.AST) -> Iterator[str]:
    """Return the keys of a dictionary, going by its assignment."""
    found = [
        other.value
        for other in ast.walk(scope)
        if isinstance(other, ast.Assign) and ast.unparse(node) in {ast.unparse(target) for target in other.targets}
    ]
    assert len(found) == 1, ast.unparse(node)
    assert isinstance(found[0], ast.Dict), ast.unparse(node)
    for key in found[0].keys:
        assert isinstance(key, ast.Constant), ast.unparse(node)
        yield str(key.value)


def fields_of(call: ast.Call) -> Iterator[str]:
    for keyword in call.keywords:
        if keyword.arg is not None:
            yield keyword.arg
        else:
            assert ast.unparse(keyword.value) == "asdict(self)", ast.unparse(keyword)
            yield from fields(Rejection)


def test_the_table_has_all_events() -> None:
    """docs/events.md has the events that the source tells, no other, with their levels and fields."""
    told = set(told_events())

    assert {(name, event.level, frozenset(event.fields)) for name, event in DOCUMENTED.items()} == told
    assert len(DOCUMENTED) == len(told)


def test_all_events_go_through_emit() -> None:
    """No module has a logger of its own, or tells under another name, which the test above wouldn't see."""
    for path in PACKAGE.rglob("*.py"):
        if "testing" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module == "_events":
                assert [("emit", None)] == [(alias.name, alias.asname) for alias in node.names]
            elif isinstance(node, ast.Attribute) and node.attr == "getLogger":
                assert path.name in {"__init__.py", "_events.py", "reporting.py"}  # two give it a handler


# -- Each event, made to happen ---------------------------------------------------------------------------------


class Stage(NamedTuple):
    mode: Mode
    tokens: Tokens
    api: ScriptedServer
    monkeypatch: pytest.MonkeyPatch
    folder: Path

    def auth(self, **options: Any) -> Any:
        return self.mode.plugin.ClientCredentialsAuth(self.tokens.url, "client", "s3cret-of-the-client", **options)

    def get(self, **options: Any) -> None:
        with self.mode.client(self.auth(**options)) as client:
            assert 200 == client.get(f"{self.api.url}?key=s3cret").status_code


def reject(stage: Stage, body: Any = None) -> None:
    with stage.mode.client(stage.auth()) as client:
        client.get(stage.api.url)
        stage.tokens.revoke()
        client.send("POST", f"{stage.api.url}/thing?key=s3cret", body=body)


def reject_a_stream(stage: Stage) -> None:
    async def parts() -> Any:
        yield b"x"

    reject(stage, (part for part in [b"x"]) if stage.mode.backend is None else parts())


def reject_for_ever(stage: Stage) -> None:
    def echo(request: Received) -> Answer:
        return Answer(401, b"", (("WWW-Authenticate", f'Bearer error="{request.authorization}"'),))

    stage.api.script = echo
    with stage.mode.client(stage.auth()) as client:
        client.get(f"{stage.api.url}?key=s3cret")


def want_another_scope(stage: Stage) -> None:
    def echo(request: Received) -> Answer:
        challenge = f'Bearer error="insufficient_scope", scope="{request.authorization}"'
        return Answer(403, b"", (("WWW-Authenticate", challenge),))

    stage.api.script = echo
    with stage.mode.client(stage.auth()) as client:
        client.get(f"{stage.api.url}?key=s3cret")


def leave_the_allowed_origins(stage: Stage) -> None:
    with stage.mode.client(stage.auth(allowed_origins=["https://api.example.com"])) as client:
        client.get(f"{stage.api.url}?key=s3cret")


def renew(stage: Stage) -> None:
    auth = stage.auth()
    stage.mode.refresh(auth)
    stage.mode.refresh(auth)


def adopt(stage: Stage) -> None:
    store = MemoryTokenStore()
    store.save("k", token_that_expires_in(3000))
    stage.mode.get_token(stage.auth(store=store, store_key="k"))


def refuse(stage: Stage) -> None:
    """Fail at a server that repeats in its error all that it was sent."""

    def echo(request: Received) -> Answer:
        text = f"{request.body.decode()} {request.form['password'][0]} {request.authorization}"
        return Answer(400, {"error": text, "error_description": text})

    stage.tokens.answer = echo
    options: Any = {"username": "john", "password": "s3cret-of-john"}
    auth = stage.mode.plugin.PasswordAuth(f"{stage.tokens.url}?key=s3cret", "id", "s3cret", **options)
    with pytest.raises(TokenError):
        stage.mode.get_token(auth)


class UnsteadyStore(MemoryTokenStore):
    """Fails at its first use."""

    uses = 0

    def load(self, key: str) -> OAuthToken | None:
        self.uses += 1
        if self.uses == 1:
            raise OSError("the disk is away")
        return super().load(key)


def lose_the_store(stage: Stage) -> None:
    stage.mode.get_token(stage.auth(store=UnsteadyStore(), store_key="k"))


def damage_an_entry(stage: Stage) -> None:
    folder = stage.folder / "tokens"
    for contents in (b"{", b"[]"):
        stage.mode.get_token(stage.auth(store=FileTokenStore(folder), store_key="k"))
        (entry,) = folder.glob("*.json")
        entry.write_bytes(contents)
        stage.mode.get_token(stage.auth(store=FileTokenStore(folder), store_key="k"))


def open_the_folder(stage: Stage) -> None:
    stage.folder.chmod(0o755)
    FileTokenStore(stage.folder)


def issue_another_type(stage: Stage) -> None:
    stage.monkeypatch.setattr(controller, "unknown_types", set())
    stage.tokens.fields = {"token_type": "Odd", "expires_in": None}
    stage.get()


def fail_in_a_callback(stage: Stage) -> None:
    def update(token: OAuthToken) -> None:
        raise LookupError("no such table")

    stage.get(on_token_update=update)


def hang_in_a_callback(stage: Stage) -> None:
    released = threading.Event()
    stage.get(on_token_update=lambda token: released.wait(60), token_timeout=0.5)
    released.set()


def crash(stage: Stage) -> None:
    def fail(response: Any) -> Any:
        raise LookupError("no such hook")

    with stage.mode.token_client(hook=fail) as client, pytest.raises(TokenError):
        stage.mode.get_token(stage.auth(token_client=client))


def log_in_twice(stage: Stage) -> None:
    def issue(request: Received) -> Answer:
        if request.path == "/revoke":
            return Answer(400, {"error": "invalid_request", "error_description": request.form["token"][0]})
        (code,) = request.form["code"]
        return Answer(200, {"access_token": f"{code}-s3cret", "refresh_token": f"{code}-refresh-s3cret"})

    stage.tokens.answer = issue
    server = stage.tokens.server.url
    auth = stage.mode.plugin.AuthorizationCodeAuth(
        f"{server}/token", "client", authorization_url=f"{server}/authorize", revocation_url=f"{server}/revoke"
    )
    for code in ("first", "second"):
        request = auth.authorization_request("https://app.example/callback")
        auth.complete_login(request, f"?code={code}&state={request.state}")


def want_a_nonce(stage: Stage) -> None:
    """Have the API want a nonce in the proof."""

    def script(request: Received) -> Answer:
        if stage.api.requests[1:]:
            return Answer(200)
        return Answer(401, b"", (("WWW-Authenticate", 'DPoP error="use_dpop_nonce"'), ("DPoP-Nonce", "n")))

    stage.tokens.fields = {"token_type": "DPoP", "expires_in": 3600}
    stage.api.script = script
    stage.get(dpop=True)


def want_another_login(stage: Stage) -> None:
    """Have the API want a login that the user had, or not."""

    def script(request: Received) -> Answer:
        if stage.api.requests[1:]:
            return Answer(200)
        challenge = 'Bearer error="insufficient_user_authentication", acr_values="strong", max_age="60"'
        return Answer(401, b"", (("WWW-Authenticate", challenge),))

    def log_in(begin: Any) -> str:
        request = begin("https://app.example/callback")
        return f"{request.redirect_uri}?code=c&state={request.state}"

    stage.api.script = script
    options: Any = {"authorization_url": f"{stage.tokens.server.url}/authorize", "login": log_in, "step_up": True}
    auth = stage.mode.plugin.AuthorizationCodeAuth(stage.tokens.url, "client", **options)
    with stage.mode.client(auth) as client:
        assert 200 == client.get(f"{stage.api.url}?key=s3cret").status_code


def meet_an_unknown_api(stage: Stage) -> None:
    """Have an API want a token that it says itself where to get."""
    login = BrowserLogin(open_browser=lambda url: requests.get(url, timeout=10).ok, quiet=True)
    with (
        LocalProvider() as server,
        stage.mode.client(stage.mode.plugin.ResourceAuth(server.api_url, login=login)) as client,
    ):
        assert 200 == client.get(f"{server.api_url}?key=s3cret").status_code


OCCASIONS: dict[str, Callable[[Stage], None]] = {
    "not_revoked": log_in_twice,
    "acquired": Stage.get,
    "renewed": renew,
    "adopted": adopt,
    "failed": refuse,
    "waited": Stage.get,
    "token_call": refuse,
    "rejected": reject,
    "replayed": reject,
    "not_replayed": reject_a_stream,
    "challenged": want_a_nonce,
    "discovered": meet_an_unknown_api,
    "registered": meet_an_unknown_api,
    "step_up": want_another_login,
    "stepped_up": want_another_login,
    "rejected_again": reject_for_ever,
    "insufficient_scope": want_another_scope,
    "withheld": leave_the_allowed_origins,
    "store_failed": lose_the_store,
    "store_recovered": lose_the_store,
    "entry_ignored": damage_an_entry,
    "folder_open": open_the_folder,
    "unknown_token_type": issue_another_type,
    "callback_failed": fail_in_a_callback,
    "callback_hangs": hang_in_a_callback,
    "crashed": crash,
}


@pytest.fixture
def stage(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Stage:
    return Stage(plugin_mode, tokens, api, monkeypatch, tmp_path)


Heard = list[tuple[str, dict[str, object]]]


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Listen to what is told."""
    await_silence()
    heard: Heard = []
    listener: _events.Listener = lambda event, fields: heard.append((event, dict(fields)))
    _events.listeners.append(listener)
    yield heard
    _events.listeners.remove(listener)


def test_each_event_has_its_occasion() -> None:
    """The tests below make each documented event happen."""
    assert set(DOCUMENTED) == set(OCCASIONS)


@pytest.mark.parametrize("event", OCCASIONS)
def test_a_record_carries_its_event(event: str, stage: Stage, heard: Heard, caplog: pytest.LogCaptureFixture) -> None:
    """Each record has event and fields as attributes, as documented, and listeners hear the same; no secret is told."""
    caplog.set_level(logging.DEBUG, "oauth_auth")
    OCCASIONS[event](stage)

    records = [record for record in caplog.records if record.name == "oauth_auth"]
    assert event in {vars(record)["oauth_event"] for record in records}
    for record in records:
        fields = {name: value for name, value in vars(record).items() if name.startswith("oauth_")}
        name = fields.pop("oauth_event")
        assert DOCUMENTED[name].level == record.levelname
        assert {f"oauth_{field}" for field in DOCUMENTED[name].fields} == set(fields)
        for field, types in DOCUMENTED[name].fields.items():
            assert type(fields[f"oauth_{field}"]).__name__.replace("NoneType", "None") in types, (name, field)
        assert (name, {field.removeprefix("oauth_"): value for field, value in fields.items()}) in heard
        assert [] == [secret for secret in SECRETS if secret in repr(vars(record)) + record.getMessage()]


def test_a_token_call_is_told_as_it_went(mode: Mode, tokens: Tokens, heard: Heard) -> None:
    """Result, status and number of attempts are those of the call: after a retry, of the last attempt."""
    answers = [Answer(503), None, Answer(400, {"error": "invalid_scope"}), Answer(200, b"<html>")]
    tokens.answer = lambda _: answers[tokens.calls - 1]
    mode.get_token(client_credentials(mode, tokens))
    for _ in range(2):
        with pytest.raises(TokenError):
            mode.get_token(client_credentials(mode, tokens))

    calls = [fields for event, fields in heard if event == "token_call"]
    assert [("ok", 200, 2), ("invalid_scope", 400, 1), ("TokenResponseError", 200, 1)] == [
        (fields["result"], fields["status"], fields["attempts"]) for fields in calls
    ]


def test_an_interrupted_token_call_is_not_told_as_a_success(
    plugin_mode: Mode, tokens: Tokens, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in an operation of the controller: the event says so."""
    operations = plugin_mode.plugin.OAuthAuthorizationController(tokens.url)

    def interrupt(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Flight, "wait", interrupt)
    with pytest.raises(KeyboardInterrupt):
        operations.request_token_o_auth_ccg(None)

    assert [("KeyboardInterrupt", None)] == [(fields["result"], fields["status"]) for _, fields in heard]


# -- Telling harms nothing --------------------------------------------------------------------------------------


class Broken(logging.Handler):
    """Raises instead of writing."""

    count = 0

    def emit(self, record: logging.LogRecord) -> None:
        self.count += 1
        raise LookupError("the log is full")


def live_a_life(mode: Mode, tokens: Tokens, api: ScriptedServer) -> list[int]:
    """Have a token acquired, kept through a failure, and replaced; return the statuses that the caller sees."""
    auth = client_credentials(mode, tokens)
    with mode.client(auth) as client:
        statuses = [client.get(api.url).status_code]
        tokens.revoke()
        statuses.append(client.send("PUT", api.url, body=b"x").status_code)
        tokens.answer = lambda _: Answer(400)
        with pytest.raises(TokenError, match="refused"):
            client.run(auth.refresh if mode.backend is None else auth.arefresh)
        statuses.append(client.get(api.url).status_code)
    return statuses


def test_a_listener_that_raises_harms_no_request(mode: Mode, tokens: Tokens, api: ScriptedServer, heard: Heard) -> None:
    """Whatever a listener raises, requests go through, and other listeners hear of the event."""
    count = []

    def broken(event: str, fields: Mapping[str, object]) -> None:
        count.append(event)
        raise LookupError("no ears")

    _events.listeners.insert(0, broken)
    try:
        assert [200, 200, 200] == live_a_life(mode, tokens, api)
    finally:
        _events.listeners.remove(broken)
    assert count == [event for event, _ in heard] != []


def test_a_log_handler_that_raises_harms_no_request(
    mode: Mode, tokens: Tokens, api: ScriptedServer, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever a log handler raises, requests go through, and listeners hear of the event."""
    logger, broken = logging.getLogger("oauth_auth"), Broken()
    caplog.set_level(logging.DEBUG, "oauth_auth")
    logger.addHandler(broken)
    try:
        assert [200, 200, 200] == live_a_life(mode, tokens, api)
    finally:
        logger.removeHandler(broken)
    assert broken.count == len(heard) > 0


def test_the_hot_path_tells_nothing(mode: Mode, tokens: Tokens, api: ScriptedServer, heard: Heard) -> None:
    """A request with a valid token calls no listener."""
    with mode.client(client_credentials(mode, tokens)) as client:
        client.get(api.url)
        before = list(heard)
        for _ in range(5):
            assert 200 == client.get(api.url).status_code
    assert before == heard != []


def test_a_listener_may_go_while_it_listens(plugin_mode: Mode, tokens: Tokens, heard: Heard) -> None:
    """A listener that removes itself keeps no event from another."""

    def once(event: str, fields: Mapping[str, object]) -> None:
        _events.listeners.remove(once)

    _events.listeners.insert(0, once)
    plugin_mode.get_token(client_credentials(plugin_mode, tokens))
    assert ["token_call", "acquired"] == [event for event, _ in heard][:2]


def test_the_documented_formatter_works(
    plugin_mode: Mode, tokens: Tokens, api: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The example in docs/events.md writes a line of JSON for each event but those that it filters out."""
    await_silence()
    logger = logging.getLogger("oauth_auth")
    monkeypatch.setattr(logger, "handlers", [*logger.handlers])
    level = logger.level
    output = io.StringIO()
    monkeypatch.setattr("sys.stderr", output)
    [code] = [block for block in re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL) if "Json" in block]
    try:
        exec(code, {})
        with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
            client.get(api.url)
    finally:
        logger.setLevel(level)

    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert ["token_call", "acquired"] == [line["oauth_event"] for line in lines]
    assert ("INFO", 3600) == (lines[1]["level"], lines[1]["oauth_expires_in"])
