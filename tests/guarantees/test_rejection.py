"""Guarantee 5: a rejected token is renewed and the request replayed, once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from oauth_auth import OAuthError, OAuthProviderException, OAuthToken, ReauthorizationRequired, TokenResponseError
from tests.support.clock import MonotonicClock
from tests.support.modes import OF_REQUESTS, Mode
from tests.support.scripted import Answer, Received, ScriptedServer
from tests.support.tokens import Tokens, accepting, client_credentials

Serve = Callable[..., ScriptedServer]

ALSO_SHARING = True

GIVEN = OAuthToken(access_token="given")
"""A token that no API of these tests takes."""


def rejecting(request: Received) -> Answer:
    return Answer(401, b"never", (("WWW-Authenticate", 'Bearer error="invalid_token"'),))


def sent(server: ScriptedServer) -> list[str | None]:
    """Return the tokens that a server got, without `Bearer`."""
    return [request.authorization and request.authorization.removeprefix("Bearer ") for request in server.requests]


# -- Renewed and replayed, once -----------------------------------------------------------------------------------


def test_rejected_token_is_renewed_and_the_request_replayed(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A 401 costs one token call and one more request, and the caller sees neither."""
    with mode.client(client_credentials(mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code

    assert ["token-1", "token-1", "token-2"] == sent(api)
    assert 2 == tokens.calls


def test_token_given_is_renewed_when_rejected(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A token that the caller began with, and that says nothing of its expiry, is renewed like any other."""
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(api.url).status_code

    assert ["given", "token-1"] == sent(api)
    assert 1 == tokens.calls


def test_late_rejection_of_an_old_token_makes_no_token_call(
    mode: Mode, tokens: Tokens, serve: Serve, held: threading.Event
) -> None:
    """A 401 that arrives after the token was renewed replays with the current one, without another call."""
    answer = accepting(tokens)
    arrived = threading.Event()

    def script(request: Received) -> Answer:
        if request.path == "/slow" and request.authorization == "Bearer given":
            arrived.set()
            held.wait(20)
        return answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        slow = client.begin("GET", f"{api.url}/slow")
        assert arrived.wait(20)
        assert 200 == client.get(f"{api.url}/quick").status_code
        held.set()
        assert 200 == slow.result(20).status_code

    assert 1 == tokens.calls
    assert ["given", "given", "token-1", "token-1"] == sent(api)


def test_ten_rejections_at_once_cost_one_token_call(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Ten requests whose token is rejected at the same moment share one renewal, and all go through."""
    answer = accepting(tokens)
    all_here = threading.Barrier(10)

    def script(request: Received) -> Answer:
        if request.authorization == "Bearer given":
            all_here.wait(20)
        return answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        responses = client.get_many(api.url, 10)

    assert [200] * 10 == [response.status_code for response in responses]
    assert 1 == tokens.calls
    assert ["given"] * 10 + ["token-1"] * 10 == sent(api)


def test_ten_rejections_of_an_api_that_rejects_everything_cost_one_token_call(
    mode: Mode, tokens: Tokens, serve: Serve
) -> None:
    """Ten requests that are rejected twice make one renewal together, and no second one for the replays."""
    all_here = threading.Barrier(10)

    def script(request: Received) -> Answer:
        all_here.wait(20)
        return rejecting(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        responses = client.get_many(api.url, 10)

    assert [401] * 10 == [response.status_code for response in responses]
    assert 1 == tokens.calls
    assert ["given"] * 10 + ["token-1"] * 10 == sent(api)


def test_rejection_joins_a_renewal_that_is_under_way(
    mode: Mode, tokens: Tokens, serve: Serve, held: threading.Event
) -> None:
    """A request rejected while its token is being renewed anyway waits for that renewal and starts none."""
    calling, rejected = threading.Event(), threading.Event()

    def answer_token(request: Received) -> Answer | None:
        calling.set()
        held.wait(20)
        return None

    tokens.answer = answer_token
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        if request.path == "/rejects" and request.authorization == "Bearer given":
            rejected.set()
        return answer(request)

    api = serve(script)
    auth = client_credentials(mode, tokens, token=GIVEN)
    with mode.client(auth) as client:
        refreshing = threading.Thread(target=lambda: mode.refresh(auth))
        refreshing.start()
        assert calling.wait(20)
        response = client.begin("GET", f"{api.url}/rejects")
        assert rejected.wait(20)
        held.set()
        assert 200 == response.result(20).status_code
        refreshing.join(20)

    assert 1 == tokens.calls


def test_second_rejection_is_returned(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """The answer to the replay is the caller's, a 401 with its content included."""
    api = serve(rejecting)
    with mode.client(client_credentials(mode, tokens)) as client:
        response = client.get(api.url)

    assert (401, b"never") == (response.status_code, response.content)
    assert ["token-1", "token-2"] == sent(api)
    assert 2 == tokens.calls


@pytest.mark.parametrize("mode", [mode for mode in OF_REQUESTS if mode.backend is None], ids=str)
def test_request_is_replayed_once_though_its_hooks_are_called_twice(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A session that calls the response hooks once more with what it got, as some caches do, gets no second replay."""
    api = serve(rejecting)
    with mode.client(client_credentials(mode, tokens)) as client:
        send = client.inner.send

        def send_and_call_hooks(request: Any, **options: Any) -> Any:
            answer = send(request, **options)
            return mode.library.hooks.dispatch_hook("response", request.hooks, answer, **options)

        client.inner.send = send_and_call_hooks
        answer = client.get(api.url)

    assert (401, [401]) == (answer.status_code, [past.status_code for past in answer.history])
    assert ["token-1", "token-2"] == sent(api)


@pytest.mark.parametrize("mode", [mode for mode in OF_REQUESTS if mode.backend is None], ids=str)
def test_request_is_replayed_where_a_session_calls_the_hooks_itself(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """A session that calls the response hooks with options of its own, which adapters don't take, gets a replay."""
    auth = client_credentials(mode, tokens)
    auth.get_token()
    tokens.revoke()
    with mode.client(auth) as client:
        send, library_hooks = client.inner.send, mode.library.hooks

        def send_then_call_hooks(request: Any, **options: Any) -> Any:
            hooks, request.hooks = request.hooks, library_hooks.default_hooks()
            answer = send(request, **options)
            return library_hooks.dispatch_hook("response", hooks, answer, **options)

        client.inner.send = send_then_call_hooks
        assert 200 == client.get(api.url).status_code

    assert ["token-1", "token-2"] == sent(api)


def test_request_is_replayed_once_though_the_replay_is_redirected_to_another_rejection(
    mode: Mode, tokens: Tokens, serve: Serve
) -> None:
    """A replay that leads through a redirect to another 401 is not replayed again, and nothing renewed again."""

    def script(request: Received) -> Answer:
        if request.path == "/moved" and request.authorization == "Bearer token-1":
            return Answer(302, b"", (("Location", "/here"),))
        return rejecting(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        response = client.get(f"{api.url}/moved")

    assert 401 == response.status_code
    assert [("/moved", "Bearer given"), ("/moved", "Bearer token-1"), ("/here", "Bearer token-1")] == [
        (request.path, request.authorization) for request in api.requests
    ]
    assert 1 == tokens.calls


def test_rejection_after_a_redirect_is_renewed(mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 that comes after a redirect within the origin is a rejection like any other."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        return Answer(302, b"", (("Location", "/here"),)) if request.path == "/moved" else answer(request)

    api = serve(script)
    with mode.client(client_credentials(mode, tokens, token=GIVEN)) as client:
        assert 200 == client.get(f"{api.url}/moved").status_code

    assert [("/moved", "Bearer given"), ("/here", "Bearer given"), ("/here", "Bearer token-1")] == [
        (request.path, request.authorization) for request in api.requests
    ]
    assert 1 == tokens.calls


# -- When the renewal fails ---------------------------------------------------------------------------------------


def failing(status: int, body: Any, headers: tuple[tuple[str, str], ...] = ()) -> Callable[[Received], Answer]:
    return lambda request: Answer(status, body, headers)


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (failing(401, {"error": "invalid_client"}), OAuthProviderException),
        (failing(403, b"<html>no</html>", (("Content-Type", "text/html"),)), TokenResponseError),
    ],
    ids=["invalid_client", "html"],
)
def test_error_of_the_renewal_is_raised(
    mode: Mode, tokens: Tokens, api: ScriptedServer, answer: Callable[[Received], Answer], expected: type[OAuthError]
) -> None:
    """A renewal that fails raises its own error, which names the rejection's status and URL, but no query."""
    tokens.answer = answer
    with (
        mode.client(client_credentials(mode, tokens, token=GIVEN)) as client,
        pytest.raises(expected) as raised,
    ):
        client.get(f"{api.url}/private/thing?key=query-secret#fragment-secret")

    assert "401" in str(raised.value)
    assert f"{api.url}/private/thing" in str(raised.value)
    assert "-secret" not in str(raised.value)
    assert "-secret" not in repr(raised.value)
    assert ["given"] == sent(api)


def test_error_of_an_unreachable_token_endpoint_is_the_librarys_own_too(
    mode: Mode, tokens: Tokens, api: ScriptedServer
) -> None:
    """A token endpoint that can't be reached raises what the library raises for network trouble, with the URL."""
    tokens.answer = lambda request: Answer(0)
    auth = client_credentials(mode, tokens, token=GIVEN, token_timeout=0.2)
    with mode.client(auth) as client, pytest.raises(mode.transport_error) as raised:
        client.get(f"{api.url}/private?key=query-secret")

    assert isinstance(raised.value, mode.plugin.TokenTransportError)
    assert f"{api.url}/private" in str(raised.value)
    assert "401" in str(raised.value)
    assert "query-secret" not in str(raised.value)


def test_error_holds_no_user_info_of_the_url(plugin_mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A URL with user and password in it is named without them."""
    tokens.answer = failing(400, {"error": "invalid_scope"})
    url = api.url.replace("http://", "http://alice:sesame@")
    with (
        plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client,
        pytest.raises(OAuthProviderException) as raised,
    ):
        client.get(f"{url}/private")

    assert f"{api.url}/private" in str(raised.value)
    assert "sesame" not in str(raised.value)
    assert ["given"] == sent(api)


@pytest.mark.shared_core
def test_person_is_asked_for_when_only_a_person_can_help(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A rejected token without a refresh token raises `ReauthorizationRequired` with status and URL; no token call."""
    auth = mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret", token=GIVEN)
    with mode.client(auth) as client, pytest.raises(ReauthorizationRequired) as raised:
        client.get(f"{api.url}/private?key=query-secret")

    assert "401" in str(raised.value)
    assert f"{api.url}/private" in str(raised.value)
    assert "query-secret" not in str(raised.value)
    assert 0 == tokens.calls


@pytest.mark.shared_core
def test_person_is_asked_for_when_the_refresh_token_is_refused(mode: Mode, tokens: Tokens, api: ScriptedServer) -> None:
    """A rejected token whose refresh token is dead as well raises `ReauthorizationRequired` with status and URL."""
    tokens.answer = failing(400, {"error": "invalid_grant"})
    given = OAuthToken(access_token="given", refresh_token="dead")
    auth = mode.plugin.AuthorizationCodeAuth(tokens.url, "client", "secret", token=given)
    with mode.client(auth) as client, pytest.raises(ReauthorizationRequired) as raised:
        client.get(f"{api.url}/private")

    assert f"{api.url}/private" in str(raised.value)
    assert "401" in str(raised.value)
    assert 1 == tokens.calls


# -- An API that rejects every token ------------------------------------------------------------------------------


def most_in_a_minute(moments: list[float]) -> int:
    return max(sum(begin <= moment < begin + 60 for moment in moments) for begin in moments)


@pytest.mark.shared_core
def test_api_that_rejects_every_token_costs_a_handful_of_calls_a_minute(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """Token calls for an API that takes no token are few in every minute, however many requests there are."""
    api = serve(rejecting)
    moments: list[float] = []

    def answer(request: Received) -> Answer | None:
        moments.append(monotonic.ahead)
        return None

    tokens.answer = answer
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        statuses = set()
        for _ in range(150):
            statuses.add(client.get(api.url).status_code)
            monotonic.ahead += 2

    assert {401} == statuses
    assert most_in_a_minute(moments) <= 6
    # It's still tried now and then, since the API may come to its senses.
    assert moments[-1] > 200


@pytest.mark.shared_core
def test_many_callers_of_an_api_that_rejects_every_token_share_the_handful(
    mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """Requests that are sent at the same time cost no more token calls than those that come one by one."""
    api = serve(rejecting)
    with mode.client(client_credentials(mode, tokens)) as client:
        statuses = {response.status_code for _ in range(6) for response in client.get_many(api.url, 10)}

    assert {401} == statuses
    assert tokens.calls <= 5


@pytest.mark.shared_core
@pytest.mark.parametrize("status", [302, 503])
def test_answers_that_show_no_acceptance_reset_nothing(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock, status: int
) -> None:
    """What proxies and rate limiters answer doesn't make an API that rejects every token look like one that works."""

    def script(request: Received) -> Answer:
        if request.path == "/":
            return Answer(status, b"", (("Location", "/here"),) if status == 302 else ())
        return rejecting(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        for _ in range(10):
            client.get(api.url)
            client.get(f"{api.url}/here")

    assert tokens.calls <= 5


def test_caller_gets_the_rejection_whole_when_nothing_is_renewed(
    mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """While renewals for an origin pause, the caller gets the 401 with its content, and no exception."""
    api = serve(rejecting)
    with mode.client(client_credentials(mode, tokens)) as client:
        responses = [client.get(api.url) for _ in range(8)]

    assert [(401, b"never")] * 8 == [(response.status_code, response.content) for response in responses]
    assert len(api.requests) < 16, "no pause was reached"


@pytest.mark.shared_core
def test_origin_that_rejects_everything_costs_other_origins_nothing(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, api: ScriptedServer, monotonic: MonotonicClock
) -> None:
    """Renewals that pause for one origin go on at once for another, whether it has accepted a token or not."""
    hostile = serve(rejecting)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        for _ in range(8):
            client.get(hostile.url)
        spent = tokens.calls
        tokens.revoke()
        assert 200 == client.get(api.url).status_code
        tokens.revoke()
        assert 200 == client.get(api.url).status_code

    assert spent + 2 == tokens.calls


@pytest.mark.shared_core
def test_acceptance_resets_the_count_of_an_origin(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """An origin that has accepted one request is given as many renewals again."""
    is_open = False
    api = serve(lambda request: Answer(200) if is_open else rejecting(request))

    def spend(client: Any) -> int:
        before = tokens.calls
        for _ in range(8):
            assert 401 == client.get(api.url).status_code
        return tokens.calls - before

    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        first = spend(client)
        is_open = True
        assert 200 == client.get(api.url).status_code
        is_open = False
        second = spend(client)

    # The first count includes the first token of all.
    assert second >= first - 1 > 0


@pytest.mark.shared_core
@pytest.mark.parametrize("path", ["/api", "/moved"])
def test_token_that_had_worked_is_always_renewed_at_once(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock, path: str
) -> None:
    """Twenty tokens in a row that are revoked after one use each are renewed at once: no caller sees a failure."""
    answer = accepting(tokens)

    def script(request: Received) -> Answer:
        return Answer(302, b"", (("Location", "/api"),)) if request.path == "/moved" else answer(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        statuses = [client.get(f"{api.url}{path}").status_code]
        for _ in range(20):
            tokens.revoke()
            statuses.append(client.get(f"{api.url}{path}").status_code)

    assert [200] * 21 == statuses
    assert 21 == tokens.calls


@pytest.mark.shared_core
@pytest.mark.parametrize("status", [200, 404])
def test_answer_that_shows_acceptance_makes_a_token_one_that_had_worked(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock, status: int
) -> None:
    """A token counts as one that had worked by any answer that only comes after it was found good."""

    def script(request: Received) -> Answer:
        return Answer(status) if request.authorization in tokens.accepted else rejecting(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        statuses = []
        for _ in range(8):
            tokens.revoke()
            statuses.append(client.get(api.url).status_code)

    assert [status] * 8 == statuses


@pytest.mark.parametrize(("follow", "expected"), [(True, 200), (False, 302)])
def test_redirect_to_another_origin_makes_a_token_one_that_had_worked(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock, *, follow: bool, expected: int
) -> None:
    """An API that sends all who have a good token elsewhere, as for downloads, has its tokens renewed at once."""
    storage = serve(lambda request: Answer(200, b"a file"))

    def script(request: Received) -> Answer:
        if request.authorization in tokens.accepted:
            return Answer(302, b"", (("Location", f"{storage.url}/file"),))
        return rejecting(request)

    api = serve(script)
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        statuses = []
        for _ in range(8):
            tokens.revoke()
            statuses.append(client.get(api.url, follow_redirects=follow).status_code)

    assert [expected] * 8 == statuses


@pytest.mark.shared_core
def test_token_that_had_worked_is_renewed_at_once_for_many_origins(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """What one origin has accepted is remembered though others have accepted newer tokens since."""
    answer = accepting(tokens)
    servers = [serve(answer) for _ in range(3)]
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        statuses = []
        for turn in range(18):
            tokens.revoke()
            statuses.append(client.get(servers[turn % 3].url).status_code)

    assert [200] * 18 == statuses


@pytest.mark.shared_core
def test_token_endpoint_that_hands_out_the_same_token_again_is_not_asked_for_each_request(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, monotonic: MonotonicClock
) -> None:
    """A token that had worked, is rejected now, and is all that the server has, costs a handful of calls."""
    is_open = True
    api = serve(lambda request: Answer(200) if is_open else rejecting(request))
    tokens.answer = lambda request: Answer(200, {"access_token": "the-same", "expires_in": 3600})
    with plugin_mode.client(client_credentials(plugin_mode, tokens)) as client:
        assert 200 == client.get(api.url).status_code
        is_open = False
        statuses = {client.get(api.url).status_code for _ in range(20)}

    assert {401} == statuses
    assert tokens.calls <= 8


# -- What is a rejection ------------------------------------------------------------------------------------------

REJECTIONS: list[str | None] = [
    None,
    "",
    "Bearer",
    'Bearer realm="api"',
    'Bearer error="invalid_token"',
    'Bearer realm="api", error="invalid_token", error_description="insufficient_scope"',
    'Bearer error="something_new"',
    "Bearer error=invalid_token",
    'bearer ERROR="invalid_token"',
    # Not about a bearer token.
    'Basic realm="api"',
    'Basic realm="api", error="insufficient_scope"',
    'DPoP error="insufficient_scope"',
    "Negotiate",
    "Negotiate YWJj==",
    # One challenge says that the token is bad.
    'Bearer error="insufficient_scope", Bearer error="invalid_token"',
    'Bearer error="invalid_token", Bearer error="insufficient_scope"',
    # What looks like an error is inside a text.
    r'Bearer realm="error=\"insufficient_scope\""',
    'Bearer realm=", Bearer error=insufficient_scope"',
    # Malformed counts as absent.
    '"',
    ",,,",
    "=",
    'error="insufficient_scope"',
    'Bearer error="insufficient_scope',
    "Bearer error=",
    'Bearer ="insufficient_scope"',
    "Bearer realm=caf\xe9",
    "Bearer " + "\\" * 5000,
    'Bearer realm="' + r"\"" * 4000,
]

NOT_ABOUT_THE_TOKEN: list[str | None] = [
    'Bearer error="insufficient_scope"',
    'Bearer error="invalid_request"',
    "Bearer error=insufficient_scope",
    'BEARER Error="insufficient_scope"',
    'Bearer realm="api", error="insufficient_scope", scope="read write"',
    'Bearer realm="a, b", error="insufficient_scope"',
    'Bearer error = "insufficient_scope"',
    r'Bearer error="insufficient\_scope"',
    'Basic realm="api", Bearer error="insufficient_scope"',
    'Bearer error="insufficient_scope", Basic realm="api"',
    'Negotiate YWJj==, Bearer error="insufficient_scope"',
    'Negotiate, Bearer realm="api", error="insufficient_scope"',
    'Bearer error="insufficient_scope", Bearer error="invalid_request"',
    ', Bearer error="insufficient_scope",',
]


def statuses_by_challenge(
    mode: Mode, tokens: Tokens, serve: Serve, challenges: list[str | None]
) -> dict[str | None, int]:
    """Return how a request ends whose token was rejected with each of the challenges."""

    def script(request: Received) -> Answer:
        challenge = challenges[int(request.path[1:])]
        if request.authorization != "Bearer given":
            return Answer(200)
        return Answer(401, b"who are you?", () if challenge is None else (("WWW-Authenticate", challenge),))

    api = serve(script)
    statuses = {}
    with mode.client() as client:
        for number, challenge in enumerate(challenges):
            auth = client_credentials(mode, tokens, token=GIVEN)
            response = client.get(f"{api.url}/{number}", auth=auth)
            assert response.status_code == 200 or response.content == b"who are you?"
            statuses[challenge] = response.status_code
    return statuses


@pytest.mark.shared_core
def test_401_is_a_rejection_whatever_its_challenge_is(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 with no challenge, one that can't be read, or one about something else, is a rejection of the token."""
    assert dict.fromkeys(REJECTIONS, 200) == statuses_by_challenge(plugin_mode, tokens, serve, REJECTIONS)
    assert len(REJECTIONS) == tokens.calls


@pytest.mark.shared_core
def test_challenge_that_says_the_token_is_good_renews_nothing(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 401 for a lack of scope or a bad request is the caller's: another token would not help."""
    statuses = statuses_by_challenge(plugin_mode, tokens, serve, NOT_ABOUT_THE_TOKEN)
    assert dict.fromkeys(NOT_ABOUT_THE_TOKEN, 401) == statuses
    assert 0 == tokens.calls


@pytest.mark.parametrize(
    ("challenges", "expected"),
    [
        (['Bearer error="insufficient_scope"', 'Basic realm="api"'], 401),
        (['Bearer error="insufficient_scope"', 'Bearer error="invalid_token"'], 200),
    ],
)
def test_several_challenge_headers_are_read_as_one_list(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, challenges: list[str], expected: int
) -> None:
    """Challenges in several `WWW-Authenticate` headers count like those in one."""
    headers = tuple(("WWW-Authenticate", challenge) for challenge in challenges)
    api = serve(lambda request: Answer(200 if request.authorization in tokens.accepted else 401, b"", headers))
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        assert expected == client.get(api.url).status_code


@pytest.mark.shared_core
def test_403_is_the_callers_by_default(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 403 says that the token is good and the request isn't allowed."""
    api = serve(lambda request: Answer(403, b"no", (("WWW-Authenticate", 'Bearer error="invalid_token"'),)))
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN)) as client:
        assert 403 == client.get(api.url).status_code

    assert 0 == tokens.calls


@pytest.mark.shared_core
@pytest.mark.parametrize("status", [401, 403])
def test_rejection_statuses_are_the_callers_to_choose(
    plugin_mode: Mode, tokens: Tokens, serve: Serve, status: int
) -> None:
    """Each of `rejection_statuses` is a rejection of the token."""
    api = serve(lambda request: Answer(200 if request.authorization in tokens.accepted else status))
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, rejection_statuses=(401, 403))
    with plugin_mode.client(auth) as client:
        assert 200 == client.get(api.url).status_code

    assert 1 == tokens.calls


@pytest.mark.shared_core
def test_lack_of_scope_is_no_rejection_with_any_status(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """A 403 with `insufficient_scope` is the caller's, even where a 403 means that the token was rejected."""
    challenge = 'Bearer error="insufficient_scope"'
    api = serve(lambda request: Answer(403, b"", (("WWW-Authenticate", challenge),)))
    auth = client_credentials(plugin_mode, tokens, token=GIVEN, rejection_statuses=[403])
    with plugin_mode.client(auth) as client:
        assert 403 == client.get(api.url).status_code

    assert 0 == tokens.calls


@pytest.mark.shared_core
def test_401_is_the_callers_where_it_is_no_rejection_status(plugin_mode: Mode, tokens: Tokens, serve: Serve) -> None:
    """Statuses that the caller left out mean nothing."""
    api = serve(rejecting)
    with plugin_mode.client(client_credentials(plugin_mode, tokens, token=GIVEN, rejection_statuses=(403,))) as client:
        assert 401 == client.get(api.url).status_code

    assert 0 == tokens.calls


@pytest.mark.parametrize("path", ["/api", "/moved"])
def test_rejection_of_a_fixed_token_is_the_callers(plugin_mode: Mode, serve: Serve, path: str) -> None:
    """`BearerAuth` renews nothing: a 401 comes back whole, whatever it is, and the request was sent once."""

    def script(request: Received) -> Answer:
        return Answer(302, b"", (("Location", "/api"),)) if request.path == "/moved" else rejecting(request)

    api = serve(script)
    with plugin_mode.client(plugin_mode.plugin.BearerAuth("given")) as client:
        responses = [client.get(f"{api.url}{path}") for _ in range(3)]

    assert [(401, b"never")] * 3 == [(response.status_code, response.content) for response in responses]
    assert ["given"] * len(api.requests) == sent(api)
    assert 3 == sum(request.path == "/api" for request in api.requests)
