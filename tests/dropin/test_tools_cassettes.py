"""What records calls and plays them again: token calls are among them, and no secret if that's asked for."""

from __future__ import annotations

import collections
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import betamax
import pytest
import requests
import vcr
from betamax.cassette import Cassette
from betamax.cassette.cassette import Placeholder

from oauth_auth import ClientSecretPost
from tests.support import modes
from tests.support.modes import Mode

from .service import Service, go_through, sender

OF_VCRPY = tuple(mode for mode in modes.ALL if mode.library is requests or mode.is_like_httpx)
SECRETS = ("client-secret", "token-1", "token-2", "token-3")


def go_through_again(service: Service, send: Callable[[], int]) -> None:
    """Make the calls of `go_through` while a cassette is played: the service is asked for nothing."""
    statuses = [send(), send()]
    service.expire()
    statuses += [send(), send(), send()]

    assert [200] * 5 == statuses
    assert 3 == service.token_calls


def secrets_in(file: Path) -> list[str]:
    return [secret for secret in SECRETS if secret in file.read_text()]


def disguise(response: Any) -> Any:
    """Give each recorded token another name: under one name for all, the new one would count as rejected, too."""
    document = json.loads(response["body"]["string"])
    if document and "access_token" in document:
        document["access_token"] = hashlib.sha256(document["access_token"].encode()).hexdigest()
        response["body"]["string"] = json.dumps(document).encode()
    return response


@pytest.fixture
def recorder() -> Any:
    return vcr.VCR(
        filter_headers=["Authorization"],
        filter_post_data_parameters=["client_secret"],
        before_record_response=disguise,
    )


@pytest.mark.parametrize("mode", OF_VCRPY, ids=str)
def test_vcrpy(mode: Mode, served: Service, recorder: Any, tmp_path: Path) -> None:
    """`vcrpy` records first token, renewal and replay without a secret, and plays them."""
    path = tmp_path / "cassette.yaml"

    with recorder.use_cassette(path), mode.client(auth_of(mode, served)) as client:
        go_through(served, sender(served, client))
    with recorder.use_cassette(path, record_mode="none") as cassette, mode.client(auth_of(mode, served)) as client:
        go_through_again(served, sender(served, client))

    assert cassette.all_played
    assert [] == secrets_in(path)


def auth_of(mode: Mode, service: Service) -> Any:
    return service.auth(mode.plugin, client_auth=ClientSecretPost())


@pytest.mark.parametrize("mode", OF_VCRPY, ids=str)
def test_vcrpy_without_filters(mode: Mode, served: Service, tmp_path: Path) -> None:
    """`vcrpy` can write what is sent, the header with the token included."""
    path = tmp_path / "cassette.yaml"
    with vcr.use_cassette(path), mode.client(auth_of(mode, served)) as client:
        send = sender(served, client)
        assert 200 == send()
        served.revoke()
        assert 200 == send()

    assert ["client-secret", "token-1", "token-2"] == secrets_in(path)
    assert "Bearer token-1" in path.read_text()
    assert "Bearer token-2" in path.read_text()


def test_vcrpy_with_aiohttp(served: Service, recorder: Any, tmp_path: Path) -> None:
    """With aiohttp, `vcrpy` records what the caller gets, and plays that without calling a middleware."""
    mode, path = modes.AIOHTTP, tmp_path / "cassette.yaml"

    with recorder.use_cassette(path), mode.client(auth_of(mode, served)) as client:
        go_through(served, sender(served, client))
    with recorder.use_cassette(path, record_mode="none") as cassette, mode.client(auth_of(mode, served)) as client:
        go_through_again(served, sender(served, client))

    assert (8, 5) == (len(cassette), cassette.play_count)  # the three token calls aren't played, the 401 isn't recorded
    assert [] == secrets_in(path)


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning:betamax")
def test_betamax(served: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`betamax` records a session that's the `token_client`, too, and plays first token, renewal and replay."""
    monkeypatch.setattr(Cassette, "hooks", collections.defaultdict(list))

    def hide(interaction: Any, cassette: Any) -> None:
        document = json.loads(interaction.data["response"]["body"]["string"])
        if document and "access_token" in document:
            name = f"<access token {len(cassette.placeholders)}>"
            cassette.placeholders.append(Placeholder(name, document["access_token"]))
            del interaction.data["response"]["headers"]["Content-Length"]  # the name's length is another

    with betamax.Betamax.configure() as config:
        config.before_record(callback=hide)

    def make_session() -> requests.Session:
        session = requests.Session()
        session.auth = served.auth(modes.REQUESTS.plugin, token_client=session, client_auth=ClientSecretPost())
        return session

    options = {"placeholders": [{"placeholder": "<client secret>", "replace": "client-secret"}]}
    for record, make_calls in (("once", go_through), ("none", go_through_again)):
        with make_session() as session, betamax.Betamax(session, cassette_library_dir=str(tmp_path)) as recorder:
            recorder.use_cassette("calls", record=record, **options)
            make_calls(served, lambda: session.post(served.api_url, b"body").status_code)

    assert [] == secrets_in(tmp_path / "calls.json")
