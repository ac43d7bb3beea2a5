"""What is done about answers, and how often: a fake API, and a grant that brings what it's told to."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from oauth_auth import OAuthError, OAuthToken, ReauthorizationRequired
from oauth_auth._flight import run
from oauth_auth._plugins.answers import NOTHING, Answer, Reading, Rules
from oauth_auth._plugins.replacing import Due, Parts, Progress, due, replacing
from oauth_auth._renewal.slot import Landing
from oauth_auth._wire.challenges import Demand, Kind
from oauth_auth._wire.token import Credential
from tests.support.on_demand import Asked
from tests.support.steps import at
from tests.units.test_source import Late

URL, ORIGIN, REACH = "https://api.example/v1/things", "https://api.example", "https://api.example/v1"
WANTS = "Bearer"
REJECTS = 'Bearer error="invalid_token"'


def wants(scope: str) -> tuple[int, str]:
    return 403, f'Bearer error="insufficient_scope", scope="{scope}"'


def tokens(*scopes: str | None) -> list[OAuthToken]:
    return [
        OAuthToken(access_token=f"token-{number}", scope=scope, expires_in=3600, expiry=at(3600).wall)
        for number, scope in enumerate(scopes, 1)
    ]


class Answered:
    """A request to an API that answers by what it's sent: with a status, and a challenge if it has one."""

    def __init__(
        self, late: Late, api: Callable[[str], tuple[int, str | None]], header: str = "", **options: Any
    ) -> None:
        news: set[Any] = set()
        origins: Any = SimpleNamespace(is_news=lambda *what: what not in news and not news.add(what))  # type: ignore[func-returns-value]
        rules = Rules((401,), options.pop("steps_up", frozenset({Kind.LOGIN, Kind.SCOPE})), reach=REACH)
        self.parts = Parts(late.source, origins, None, rules)
        self.api, self.url, self.is_repeatable = api, URL, True
        self.was_replayed = False
        self.sent: list[str] = []
        for name, value in options.items():
            setattr(self, name, value)
        self._send(header)

    def _send(self, header: str) -> None:
        self.sent.append(header.removeprefix("Bearer "))
        status, challenge = self.api(self.sent[-1])
        self.status, self.challenges, self.response = status, challenge, SimpleNamespace(headers={})

    def replace(self) -> int:
        """Do what the plug-ins do; return the last answer's status."""
        header = f"Bearer {self.sent[0]}" if self.sent[0] else ""
        run(replacing(self.parts, ORIGIN, header, self))
        return self.status

    def answer(self) -> Answer:
        return Answer(self.status, self.challenges, "GET", self.url, None)

    def carried(self, header: str) -> bool:
        return header.removeprefix("Bearer ") == self.sent[-1]

    def led_on(self, header: str) -> None: ...

    def mind_proofs(self, proofs: object) -> None: ...

    def can_replay(self) -> bool:
        return self.is_repeatable

    def drain(self) -> None: ...

    def discard(self) -> None: ...

    def close(self) -> None: ...

    def send_again(self, credential: Credential, proof: str | None) -> None:
        self._send(credential.text)


def taking(*good: str) -> Callable[[str], tuple[int, str | None]]:
    """Return an API that wants one of these tokens."""
    return lambda token: (200, None) if token in good else (401, REJECTS if token else WANTS)


def test_a_request_is_sent_without_and_with_a_token() -> None:
    """A demand is met once, and the answer is that of the second."""
    late = Late(Asked(*tokens(None)))
    exchange = Answered(late, taking("token-1"))
    assert (200, ["", "token-1"]) == (exchange.replace(), exchange.sent)
    assert {} == late.source.rejecting_origins


def test_what_demands_nothing_is_left_alone() -> None:
    """Whatever the status; and a demand from beyond the resource is none."""
    for status, challenge in ((200, None), (404, None), (403, WANTS), (401, 'Bearer error="invalid_request"')):
        grant = Asked(*tokens(None))
        exchange = Answered(Late(grant), lambda _, answer=(status, challenge): answer)  # type: ignore[misc]
        assert (status, [""], []) == (exchange.replace(), exchange.sent, grant.calls)
    for url in ("https://api.example/v2", "https://other.example/v1/things", "https://api.example/v1/../v2"):
        grant = Asked(*tokens(None))
        exchange = Answered(Late(grant), taking("token-1"), url=url)
        assert (401, [""], []) == (exchange.replace(), exchange.sent, grant.calls)


def test_what_cannot_be_sent_again_is_not() -> None:
    """A token is had for the next request all the same; the answer is the caller's, also where that fails."""
    brings: list[OAuthToken | OAuthError] = [*tokens(None), ReauthorizationRequired("nobody there")]
    for brought in brings:
        grant = Asked(brought)
        exchange = Answered(Late(grant), taking("token-1"), is_repeatable=False)
        assert (401, [""]) == (exchange.replace(), exchange.sent)
        assert "log in" in grant.calls


def test_a_failed_login_is_the_requests_error() -> None:
    """With the answer that it came from in its text."""
    with pytest.raises(ReauthorizationRequired, match=r"after GET .* was answered with 401"):
        Answered(Late(Asked(ReauthorizationRequired("no"))), taking()).replace()


def test_three_times_at_most() -> None:
    """Without a token, with one, and with more scope; then the answer is the caller's, whatever it demands."""
    needs = {"": (401, 'Bearer scope="a"'), "token-1": wants("b"), "token-2": wants("c"), "token-3": wants("d")}
    grant = Asked(*tokens("a", "a b", "a b c"))
    exchange = Answered(Late(grant), needs.__getitem__)
    assert (403, ["", "token-1", "token-2"]) == (exchange.replace(), exchange.sent)
    assert [("prepare", Demand(Kind.TOKEN, "a")), "log in", "request"] == grant.calls[:3]
    assert 2 == grant.calls.count("log in")


def test_a_stale_token_and_more_scope_are_three_times_too() -> None:
    """A token that was rejected is replaced once, and stepped up from once."""
    grant = Asked(*tokens("a", "a b", "a b c"))
    late = Late(grant)
    late.meet()
    needs = {"token-1": (401, REJECTS), "token-2": wants("c"), "token-3": wants("d")}
    exchange = Answered(late, needs.__getitem__, "Bearer token-1")
    assert (403, ["token-1", "token-2", "token-3"]) == (exchange.replace(), exchange.sent)
    assert 3 == grant.calls.count("log in")


def test_a_403_that_does_not_end_costs_one_login() -> None:
    """The demand is remembered as vain: the next requests go on with the token that there is, and ask nobody."""
    grant = Asked(*tokens("a", "a", "a", "a"))
    late = Late(grant)
    late.meet()
    for _ in range(5):
        current = late.source.current
        assert current is not None
        exchange = Answered(late, lambda _: wants("b"), current.text)
        assert 403 == exchange.replace()
        assert len(exchange.sent) <= 2
    assert 2 == grant.calls.count("log in")


def test_challenges_that_grow_cost_three_logins() -> None:
    """A demand that's another one each time is followed three times, no more."""
    grant = Asked(*tokens(*["a"] * 9))
    late, number = Late(grant), 0
    late.meet()

    def api(_: str) -> tuple[int, str | None]:
        nonlocal number
        number += 1
        return wants(f"scope-{number}")

    for _ in range(6):
        current = late.source.current
        assert current is not None
        assert 403 == Answered(late, api, current.text).replace()
    assert 4 == grant.calls.count("log in")


def test_a_scope_that_was_granted_is_not_asked_for_again() -> None:
    """An API that demands what the token has is wrong, and its answer is the caller's."""
    grant = Asked(*tokens("a b"))
    late = Late(grant)
    late.meet()
    exchange = Answered(late, lambda _: wants("b"), "Bearer token-1")
    assert (403, ["token-1"]) == (exchange.replace(), exchange.sent)
    assert 1 == grant.calls.count("log in")


def test_a_login_that_can_bring_no_more_sends_nothing_again() -> None:
    """The grant knows what was asked for before."""
    grant = Asked(*tokens("a"))
    late = Late(grant)
    late.meet()
    grant.brings_more = False
    exchange = Answered(late, lambda _: wants("b"), "Bearer token-1")
    assert (403, ["token-1"]) == (exchange.replace(), exchange.sent)
    assert 1 == grant.calls.count("log in")


def test_a_401_that_does_not_end_costs_one_login() -> None:
    """A login whose token is rejected isn't repeated for the next request, with or without a token, for a while."""
    grant = Asked(*tokens(*[None] * 9))
    late = Late(grant)
    exchange = Answered(late, taking())
    assert (401, ["", "token-1"]) == (exchange.replace(), exchange.sent)
    for _ in range(5):
        exchange = Answered(late, taking(), "Bearer token-1")
        assert (401, ["token-1"]) == (exchange.replace(), exchange.sent)
    assert 1 == grant.calls.count("log in")
    late.clock.advance(10.0)
    exchange = Answered(late, taking(), "Bearer token-1")
    assert (401, ["token-1", "token-2"]) == (exchange.replace(), exchange.sent)
    assert "moved?" in grant.calls


def test_a_token_that_came_meanwhile_is_no_vain_login() -> None:
    """It was made for another request; if it's rejected, it's replaced."""
    grant = Asked(*tokens(None, None))
    late = Late(grant)
    late.meet()
    exchange = Answered(late, taking("token-2"))
    assert (200, ["", "token-1", "token-2"]) == (exchange.replace(), exchange.sent)


def test_a_token_that_came_meanwhile_is_replaced_and_stepped_up_from_three_times_in_all() -> None:
    """Without a token, with that of another request, with its replacement: no more, whatever is demanded then."""
    needs = {"": (401, WANTS), "token-1": (401, REJECTS), "token-2": wants("b"), "token-3": wants("c")}
    grant = Asked(*tokens("a", "a", "a b", "a b c"))
    late = Late(grant)
    late.meet()
    exchange = Answered(late, needs.__getitem__)
    assert (403, ["", "token-1", "token-2"]) == (exchange.replace(), exchange.sent)
    assert 2 == grant.calls.count("log in")


def test_requests_that_share_a_login_count_as_one() -> None:
    """Ten whose common new token is rejected make one vain login, so the pause isn't that of ten."""
    late = Late(Asked(*tokens(*[None] * 9)))
    waiting = [replacing(one.parts, ORIGIN, "", one) for one in (Answered(late, taking()) for _ in range(10))]
    landings = [_until_landing(steps) for steps in waiting]
    for steps, landing in zip(waiting, landings, strict=True):
        run(_resumed(steps, landing))
    breaker = late.source.rejecting_origins[ORIGIN]
    assert (1, 1, 10.0) == (len(late.flights), breaker.times, breaker.cooldown.length)


def _until_landing(steps: Any) -> Any:
    """Return what the steps wait for, up to the first flight."""
    step = next(steps)
    while not isinstance(step, Landing):
        step = steps.send(step.wait())
    return step


def _resumed(steps: Any, landing: Landing) -> Any:
    """Go on after that flight."""
    try:
        step = steps.send(landing.wait())
        while True:
            step = steps.send((yield step))
    except StopIteration:
        return


def test_another_login_is_demanded_once() -> None:
    """RFC 9470: by a new login, not by a refresh; if that isn't enough, the answer is the caller's."""
    challenge = 'Bearer error="insufficient_user_authentication", acr_values="gold"'
    answers: list[tuple[int, str | None]] = [(200, None), (401, challenge)]
    for answer in answers:
        grant = Asked(*tokens(None, None, None))
        late = Late(grant)
        late.meet()
        exchange = Answered(late, {"token-1": (401, challenge), "token-2": answer}.__getitem__, "Bearer token-1")
        assert (answer[0], ["token-1", "token-2"]) == (exchange.replace(), exchange.sent)
        assert {"acr_values": "gold"} == grant.demands[-1]
        assert "refresh" not in grant.calls


def test_who_cannot_step_up_gets_the_answer() -> None:
    """Without a user, or for a plug-in's other classes."""
    grant = Asked(*tokens("a"))
    late = Late(grant)
    late.meet()
    exchange = Answered(late, lambda _: wants("b"), "Bearer token-1", steps_up=frozenset())
    assert (403, ["token-1"]) == (exchange.replace(), exchange.sent)
    exchange = Answered(late, lambda _: wants("b"), "Bearer token-1", is_repeatable=False)
    assert 403 == exchange.replace()
    assert ["token-1"] == exchange.sent


def test_errors_of_a_step_up_are_the_requests() -> None:
    """Where the request could have been sent again."""
    late = Late(Asked(*tokens("a"), ReauthorizationRequired("the window was closed")))
    late.meet()
    with pytest.raises(OAuthError, match="closed"):
        Answered(late, lambda _: wants("b"), "Bearer token-1").replace()


# -- What is due: the bounds of guarantees 22, 24 and 35, without an exchange -----------------------------------------

ANY, RESOURCE = Rules(), Rules(reach=REACH)
MORE = Demand(Kind.SCOPE, "write")
REJECTED, DEMANDS, GOOD = Reading(rejects=True), Reading(demand=MORE), Reading(accepts=True)
BOTH = Reading(demand=MORE, rejects=True)
AGAIN: Due = "tell that a new token is rejected"
SENDING = {"send another proof", "meet the demand", "step up", "replace the token"}


@pytest.mark.parametrize(
    ("reading", "progress", "rules", "expected"),
    [
        (GOOD, Progress(), ANY, ["note"]),
        (NOTHING, Progress(), ANY, ["note"]),
        (REJECTED, Progress(), ANY, ["replace the token"]),
        (REJECTED, Progress(replaced=1), ANY, ["note", "replace the token"]),
        (REJECTED, Progress(replaced=1, is_final=True), ANY, ["note", AGAIN]),
        (REJECTED, Progress(replaced=2), ANY, ["note", AGAIN]),
        (REJECTED, Progress(times_sent=2), RESOURCE, ["replace the token"]),
        (REJECTED, Progress(times_sent=3), RESOURCE, [AGAIN]),
        (REJECTED, Progress(times_sent=3), ANY, ["replace the token"]),
        (REJECTED, Progress(is_fresh=True), RESOURCE, ["note", "count a vain demand", AGAIN]),
        (GOOD, Progress(is_fresh=True), RESOURCE, ["note"]),
        (DEMANDS, Progress(), ANY, ["step up", "note"]),
        (DEMANDS, Progress(times_sent=2), RESOURCE, ["step up", "note"]),
        (DEMANDS, Progress(times_sent=3), RESOURCE, ["note"]),
        (DEMANDS, Progress(login=MORE), ANY, ["count a vain login", "note"]),
        (REJECTED, Progress(login=MORE), ANY, ["count a vain login", "replace the token"]),
        (GOOD, Progress(login=MORE), ANY, ["note"]),
        (BOTH, Progress(), ANY, ["step up", "replace the token"]),
        (DEMANDS, Progress(has_token=False), RESOURCE, ["meet the demand"]),
        (GOOD, Progress(has_token=False), RESOURCE, []),
        (Reading("use_dpop_nonce"), Progress(), ANY, ["send another proof", "note"]),
        (Reading("use_dpop_nonce", rejects=True), Progress(), ANY, ["send another proof", "replace the token"]),
        (REJECTED, Progress(was_led_here=True), ANY, [AGAIN]),
        (BOTH, Progress(was_led_here=True), ANY, [AGAIN]),
        (Reading("use_dpop_nonce"), Progress(was_led_here=True), ANY, ["send another proof"]),
        (GOOD, Progress(was_led_here=True), ANY, []),
    ],
)
def test_what_is_due_about_an_answer(reading: Reading, progress: Progress, rules: Rules, expected: list[Due]) -> None:
    """It follows from what the answer says, and from what was done before."""
    assert expected == due(reading, progress, rules)


def _ways(reading: Reading, progress: Progress, rules: Rules) -> list[tuple[str, Progress]]:
    """Return what may send a request again, each with the progress after it: what's due before may not succeed."""
    found: list[tuple[str, Progress]] = []
    for step in due(reading, progress, rules):
        match step:
            case "meet the demand":
                found += [(step, progress.after_demand(is_fresh=is_fresh)) for is_fresh in (True, False)]
            case "step up":
                found.append((step, progress.after_step_up(reading.demand)))
            case "replace the token":
                found += [(step, progress.after_replacement(is_final=is_final)) for is_final in (True, False)]
    return found


def _most(progress: Progress, rules: Rules, step: str = "") -> int:
    """Return how often the request is sent, or only by this step, whatever is answered each time."""
    ways = [way for reading in (GOOD, REJECTED, DEMANDS, BOTH) for way in _ways(reading, progress, rules)]
    counts = ((not step or taken == step) + _most(after, rules, step) for taken, after in ways)
    return max(counts, default=0)


def test_whatever_a_resource_answers_is_bounded() -> None:
    """A request is sent three times at most, so that it causes two logins at most (guarantee 35)."""
    assert 3 == 1 + _most(Progress(has_token=False), RESOURCE)
    assert 3 == 1 + _most(Progress(), RESOURCE)


def test_whatever_any_api_answers_is_bounded() -> None:
    """Two rejected tokens are replaced at most, and a login is made once for each token that was rejected."""
    assert 2 == _most(Progress(), ANY, "replace the token")
    assert 3 == _most(Progress(), ANY, "step up")


def test_each_challenge_about_the_proof_is_answered_once() -> None:
    """For each URL and token: a proof that's invalid once, and a nonce twice, if it's another one (guarantee 22)."""
    progress = Progress()
    assert not progress.may_prove("u", "use_dpop_nonce", "n", "n")
    assert not progress.may_prove("u", "use_dpop_nonce", None, None)
    for error, times in (("use_dpop_nonce", 2), ("invalid_dpop_proof", 1)):
        for _ in range(times):
            assert progress.may_prove("u", error, None, "n")
            progress = progress.after_proof("u", error)
        assert not progress.may_prove("u", error, None, "n")
        assert progress.may_prove("another", error, None, "n")
    assert 1 == progress.times_sent
    for after in (progress.after_step_up(None), progress.after_replacement(is_final=False)):
        assert after.may_prove("u", "invalid_dpop_proof", None, None)
