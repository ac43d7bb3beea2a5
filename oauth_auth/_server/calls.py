"""Calls of an authorization server's endpoints: each attempt bounded in time, and tried again where that's safe.

A call is a generator of steps: it yields effects, such as an attempt (`Ask`) or a pause (`Sleep`), and is sent their
results. `perform` carries them out; a simulator carries them out in virtual time. An attempt is built, not repeated:
what proves who sends it is made anew each time, since servers refuse a second use as a replay.
"""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable, Generator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from .._clock import CHANCE, Chance, Clock, Now
from .._events import emit
from .._flight import Effect, Standby, attempt, carry_out, do, mark_retrying
from .._record import Record, replace
from .._wire.checks import require_encodable
from .._wire.messages import TokenResponse, read_token_response
from .._wire.token import OAuthToken
from .._wire.token_request import Attempt, Call, PerAttempt, TokenRequest
from .._wire.urls import check_transport
from ..errors import ConfigurationError, OAuthError, OAuthProviderException, TokenError, TokenTransportError
from .server_state import Challenges, ServerState

if TYPE_CHECKING:
    from .._keys.certificate import ClientCertificate

__all__ = [
    "LONGEST_OF_OTHERS",
    "Ask",
    "Attempts",
    "EndpointCalls",
    "GivenUp",
    "HeldUp",
    "Run",
    "Sleep",
    "Steps",
    "TokenHooks",
    "TokenTransport",
    "crashed",
    "no_retry",
    "perform",
    "run_code",
    "sends_async",
    "unexpected",
]

_T = TypeVar("_T")

Steps = Generator[Any, Any, _T]
"""Work that yields effects, is sent what they bring (see `do`), and returns something. It has no `finally` that yields:
a program that dies drops it at any point."""

LONGEST_OF_OTHERS = 86400.0
"""Seconds that what has its own time-outs may take, such as another auth object, whose user may have to log in."""
_WORTHWHILE = 0.05
"""The least time, in seconds, that must be left for another attempt."""


class TokenTransport(Protocol):
    """How a plug-in sends one request to an authorization server through its HTTP library."""

    error_class: ClassVar[type[TokenTransportError]]
    """The plug-in's own `TokenTransportError`."""

    def __init__(self, token_client: Any, certificate: ClientCertificate | None = None) -> None:
        """Take the user's client, or None to make one for each call, which shows the certificate.

        Raises `ConfigurationError` for a client of another type.
        """

    def send(self, request: TokenRequest, connect_timeout: float, timeout: float) -> TokenResponse:
        """Send once, follow no redirect; the time-outs bound each wait, in seconds. Raises `TokenTransportError`."""
        ...

    def time_out(self, request: TokenRequest, timeout: float) -> TokenTransportError:
        """Return the error for an answer that hasn't come within `timeout` seconds."""
        ...


def sends_async(transport: TokenTransport) -> bool:
    """Return whether a transport can also send from a task of asyncio: `send_async`, with the parameters of `send`.

    It's one that has an attribute `sends_async` that says so: those of httpx and httpx2 without a user's client.
    """
    return bool(getattr(transport, "sends_async", False))


class Ask(Effect["TokenResponse | None"]):
    """One attempt of a call. Raises `TokenError`.

    The result is None, and nothing is sent, if the request carries something that may be used once and the program was
    held up since it last looked into the store.
    """

    request: TokenRequest
    transport: TokenTransport
    connect_timeout: float
    timeout: float
    is_single_use: bool


class Sleep(Effect[None]):
    """A pause before another attempt."""

    seconds: float


class Run(Effect[_T]):
    """A call of the user's code; the result is what it returns, and what it raises is raised.

    Raises `GivenUp` after `timeout` seconds; the call may go on in its thread.
    """

    function: Callable[[], _T]
    timeout: float


class GivenUp(Exception):
    """A call of the user's code has taken too long."""


class HeldUp(TokenError):
    """The program was held up after its last look into the store, so what it would have sent may be used by now."""

    retryable = True


class TokenHooks(Record):
    """The user's functions for servers that aren't standard, see `EndpointCalls.token_call`."""

    request: Callable[[TokenRequest], TokenRequest] | None = None
    response: Callable[[Mapping[str, Any]], Mapping[str, Any]] | None = None
    allow_insecure: bool = False
    """Whether a request may be changed to go over plain http."""

    def prepare(self, request: TokenRequest) -> TokenRequest:
        """Return what to send in place of a request. Raises `TokenError` for anything that can't be sent."""
        if self.request is None:
            return request
        try:
            changed: object = self.request(request)
        except Exception as error:
            raise TokenError(f"token_request_hook raised {type(error).__name__}") from error
        if not isinstance(changed, TokenRequest):
            raise TokenError(f"token_request_hook must return the TokenRequest to send, not {type(changed).__name__}")
        try:
            changed.check()
            check_transport(changed.url, allow_insecure=self.allow_insecure)
        except ConfigurationError as error:
            raise TokenError(f"token_request_hook returned what can't be sent: {error}") from None
        return changed.with_secrets_of(request)


class EndpointCalls:
    """Sends requests through one transport. `timeout` bounds a call with its retries, in seconds."""

    __slots__ = ("_chance", "_clock", "_hooks", "server", "timeout", "transport")

    pauses: ClassVar[tuple[tuple[float, float], ...]] = ((0.1, 0.3), (0.5, 1.5))
    """Bounds, in seconds, of the random pause after the first and the second attempt."""

    def __init__(
        self,
        transport: TokenTransport,
        timeout: float,
        hooks: TokenHooks | None = None,
        server: ServerState | None = None,
        *,
        clock: Clock = Now.read,
        chance: Chance = CHANCE,
    ) -> None:
        self.transport = transport
        self.timeout = timeout
        self.server = server or ServerState()
        self._hooks = hooks or TokenHooks()
        self._clock = clock
        self._chance = chance

    def run(self, steps: Steps[_T]) -> _T:
        """Return what the steps return; block meanwhile."""
        return carry_out(steps, perform)

    def call(
        self,
        call: Call,
        read: Callable[[TokenRequest, TokenResponse], _T],
        *,
        repeatable: Callable[[TokenError], bool] = lambda error: error.retryable,
        single_use: bool = False,
    ) -> Steps[_T]:
        """Build, send, and read the answer; again, up to three times in all, if that fails and is `repeatable`.

        `single_use` is for a code or refresh token: a late answer is waited for, since a server that has taken it
        by then counts a second use as theft, and ends all tokens that came from it. An answer that's about the proof
        alone is followed by another attempt at once, which isn't counted.
        """
        return self._attempts(call, read, repeatable, single_use=single_use).make()

    def token_call(
        self,
        call: Call,
        *,
        repeatable: Callable[[TokenError], bool] = lambda error: error.retryable,
        single_use: bool = False,
    ) -> Attempts[OAuthToken]:
        """Return the attempts of a call of the token endpoint, see `call`; the user's hooks see each of them."""
        read = partial(read_token_response, adapt=self._hooks.response)
        return self._attempts(call, read, repeatable, single_use=single_use, prepare=self._hooks.prepare)

    def _attempts(
        self,
        call: Call,
        read: Callable[[TokenRequest, TokenResponse], _T],
        repeatable: Callable[[TokenError], bool],
        *,
        single_use: bool,
        prepare: Callable[[TokenRequest], TokenRequest] | None = None,
    ) -> Attempts[_T]:
        return Attempts(
            self, call, read, repeatable, prepare, single_use=single_use, clock=self._clock, chance=self._chance
        )

    def make_attempt(self, url: str) -> Attempt:
        """Return what is known now for an attempt at this URL."""
        server = self.server
        return Attempt(url, server.issuer, self._clock().wall + server.offset, server.nonce)


class Attempts(Generic[_T]):
    """The attempts of one call; `make` makes them. The call's time begins with the first."""

    __slots__ = (
        "_call",
        "_calls",
        "_challenges",
        "_chance",
        "_clock",
        "_deadline",
        "_is_single_use",
        "_pauses",
        "_prepare",
        "_read",
        "_repeatable",
        "statuses",
    )

    def __init__(
        self,
        calls: EndpointCalls,
        call: Call,
        read: Callable[[TokenRequest, TokenResponse], _T],
        repeatable: Callable[[TokenError], bool],
        prepare: Callable[[TokenRequest], TokenRequest] | None,
        *,
        single_use: bool,
        clock: Clock,
        chance: Chance,
    ) -> None:
        self._calls = calls
        self._call = call
        self._read = read
        self._repeatable = repeatable
        self._prepare = prepare
        """Makes of the request what an attempt sends."""
        self._is_single_use = single_use
        self._clock = clock
        self._chance = chance
        self._deadline = 0.0
        self._pauses = iter(calls.pauses)
        self._challenges = Challenges()
        self.statuses: list[int | None] = []
        """The HTTP status of each attempt so far, None without an answer."""

    def make(self) -> Steps[_T]:
        """Return what one of them brings. Raises `TokenError`."""
        begun = self._clock().monotonic
        self._deadline = begun + self._calls.timeout
        while True:
            left = max(self._left(), _WORTHWHILE)
            half = min(self._calls.timeout / 2, left)
            attempt, built = yield from self._build(half)
            if self._call.is_unbounded:  # it has had its own time
                self._deadline += max(left - self._left(), 0.0)
            nonce = None
            self.statuses.append(None)
            try:
                sent = built if self._prepare is None else self._prepare(built)
                response = yield from self._ask(sent, half, left if self._is_single_use else half)
                arrived = self._clock().wall
                nonce = self._calls.server.note(response.headers, arrived) if self._call.per_attempt else None
                return self._read(sent, replace(response, received_at=arrived))
            except TokenError as error:
                self.statuses[-1] = error.status_code
                failure = error
            if self._call.has_proof and self._is_about_proof(failure, attempt.nonce, nonce):
                continue
            pause = self._pause_after(failure)
            if pause is None:
                break
            yield from do(Sleep(pause))
            if self._left() < _WORTHWHILE:  # the machine slept, too
                break
        raise self._with_effort(failure, self._clock().monotonic - begun)

    def _left(self) -> float:
        return self._deadline - self._clock().monotonic

    def _ask(self, request: TokenRequest, connect_timeout: float, timeout: float) -> Steps[TokenResponse]:
        response = yield from do(Ask(request, self._calls.transport, connect_timeout, timeout, self._is_single_use))
        if response is None:
            raise HeldUp("the program was held up before it could ask for a token")
        self.statuses[-1] = response.status_code
        return response

    def _build(self, timeout: float) -> Steps[tuple[Attempt, TokenRequest]]:
        """Return one attempt, and what it sends; the user's functions have `timeout` seconds each. Raises `TokenError`.

        They come first, since they may take long, as a login does: what is signed after that is of its time.
        """
        call, url = self._call, self._call.request.url
        attempt, texts = self._calls.make_attempt(url), {}
        for name, part in call.per_attempt.items():
            if part.runs_code:
                limit = timeout if part.is_bounded else LONGEST_OF_OTHERS
                texts[name] = yield from _run_code(name, part, attempt, limit)
        attempt = self._calls.make_attempt(url) if texts else attempt
        for name, part in call.per_attempt.items():
            if not part.runs_code:
                texts[name] = part.make(attempt)
        return attempt, call.with_made(texts)

    def _is_about_proof(self, failure: TokenError, had: str | None, given: str | None) -> bool:
        """Return whether a failure is answered by another proof; go by the server's clock if it refuses one."""
        error = failure.error if isinstance(failure, OAuthProviderException) else None
        if error == "invalid_dpop_proof":
            self._calls.server.sets_clock(for_proof=True)
        return error is not None and self._challenges.answer(error, had, given)

    def _pause_after(self, failure: TokenError) -> float | None:
        """Return the pause before another attempt; None if there's to be none."""
        bounds = next(self._pauses, None)
        if bounds is None or isinstance(failure, HeldUp) or not self._repeatable(failure):
            return None
        pause = max(self._chance.uniform(*bounds), failure.retry_after or 0.0)
        return pause if pause + _WORTHWHILE <= self._left() else None

    def _with_effort(self, failure: TokenError, seconds: float) -> TokenError:
        """Return a failure to reach the server with what was done; another failure as it is."""
        if not isinstance(failure, TokenTransportError):
            return failure
        attempts, timeout = len(self.statuses), self._calls.timeout
        times = "1 attempt" if attempts == 1 else f"{attempts} attempts"
        return failure.without_traceback(f" ({times} in {seconds:.1f} s; token_timeout is {timeout:.3g} s)")


def _run_code(name: str, part: PerAttempt, attempt: Attempt, timeout: float) -> Steps[str]:
    """Make a part of an attempt by the user's code. What that raises is retryable, and its text isn't shown."""
    failure: TokenError
    try:
        text: object = yield from do(Run(partial(part.make, attempt), timeout))
    except OAuthError:
        raise
    except GivenUp:
        failure = TokenError(f"the function that makes {name} hasn't returned within {timeout:.3g} s")
        failure.retryable = True
        raise failure from None
    except Exception as error:
        failure = TokenError(f"the function that makes {name} raised {type(error).__name__}")
        failure.retryable = True
        raise failure from error
    if not isinstance(text, str) or not text:
        raise TokenError(f"the function that makes {name} must return text, not {type(text).__name__}")
    try:
        return require_encodable(f"what the function that makes {name} returned", text)
    except ConfigurationError as error:
        raise TokenError(str(error)) from None


def perform(effect: object, tick: Callable[[], object] = lambda: None) -> Any:
    """Carry out an effect of a call, and return its result; `tick` is called each second meanwhile."""
    if isinstance(effect, Ask):
        return _ask(effect, tick)
    if isinstance(effect, Sleep):
        mark_retrying()
        time.sleep(effect.seconds)
        return None
    if isinstance(effect, Run):
        return run_code(effect, tick)
    raise AssertionError(effect)  # pragma: no cover - there are no others


def run_code(effect: Run[_T], tick: Callable[[], object], standby: Standby | None = None) -> _T:
    """Call the user's code, in a thread that can be given up. Raises `GivenUp`."""
    outcome = attempt(effect.function, standby=standby).wait(effect.timeout, tick)
    if outcome is None:
        raise GivenUp
    result: _T = outcome.unwrap()
    return result


def _ask(effect: Ask, tick: Callable[[], object]) -> TokenResponse:
    """Send in a thread that can be abandoned: a library's time-outs bound single waits, not their sum."""
    request, transport = effect.request, effect.transport
    sending = attempt(lambda: transport.send(request, effect.connect_timeout, effect.timeout))
    outcome = sending.wait(effect.timeout, tick)
    if outcome is None:
        raise transport.time_out(request, effect.timeout)
    error = outcome.error
    if isinstance(error, OAuthError):
        raise error
    if error is not None:  # from a hook of the user's client, say
        raise crashed(error) from error.with_traceback(None)
    assert outcome.value is not None  # noqa: S101 - without an error there's a value
    return outcome.value


def crashed(error: BaseException) -> TokenError:
    """Return what is raised for an unexpected error of an attempt, which is logged."""
    text = "".join(traceback.format_exception(error))
    emit(logging.ERROR, "crashed", "a token call ended in an unexpected error:\n%(error)s", error=text)
    return unexpected(f"the token call ended in an unexpected {type(error).__name__}")


def unexpected(text: str) -> TokenError:
    """Return an error that says nothing of the next call."""
    error = TokenError(text)
    error.is_unexpected = True
    return error


def no_retry(_: TokenError) -> bool:
    """Return False: a retry predicate for callers that repeat the call themselves."""
    return False
