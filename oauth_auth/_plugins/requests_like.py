"""What the plug-ins for requests and niquests share: the response hook, and the exchange that it begins.

The two libraries have the same API and different classes: each plug-in names its own, and none is imported here.
`__call__`, which every request runs, is in the plug-ins, too.
"""

from __future__ import annotations

import datetime as dt
import functools
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, ClassVar, Self
from urllib.parse import urldefrag, urljoin

from .._record import Record
from .._wire.http_fields import decompress
from .._wire.identifiers import covers
from .._wire.messages import MAX_BODY
from .._wire.token import NO_TOKEN, Credential, Header
from .._wire.urls import MOST_ORIGINS, leads_elsewhere, origin_of
from .answers import Answer
from .auth import TokenAuth
from .exchange import DRAIN_LIMIT, DRAIN_SECONDS, is_fixed, is_short, may_be_short, rewind
from .origins import Proofs, take_off
from .replacing import Parts, note_answer

__all__ = ["Hook", "RequestsExchange", "RequestsHooks", "Sent", "is_multiplexed", "set_content"]


_OURS = ("Bearer ", "DPoP ")


class Hook(functools.partial[Any]):
    """A method of an auth object that is hooked to a request. A pickled one does nothing, and holds no secret.

    Responses are pickled with their request, and this with its hooks.
    """

    def __reduce__(self) -> Any:
        return _make_inert_hook, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        return self


def _inert_hook(answer: Any, **_: Any) -> Any:
    return answer


def _make_inert_hook() -> Any:
    return _inert_hook


class Redirects(Record):
    """Has the token go along with redirects where it may: a library copies a request with its headers and hooks."""

    library: Any
    parts: Parts
    is_within_reach: Callable[[str], bool]
    is_own: Callable[[Any], bool]
    """Whether a hook is one of the auth object's own."""

    def target(self, response: Any) -> str:
        """Return where a redirect leads, as the library will ask for it. Raises `ValueError` if that can't be read."""
        location = self.library.Session.get_redirect_target(None, response)  # which needs no session
        found: str = urldefrag(urljoin(response.request.url or "", self.library.utils.requote_uri(location))).url
        return found

    def next_request(self, response: Any) -> tuple[str, str] | None:
        """Return method and URL of the request that a redirect leads to; None if it can't be read."""
        copied = response.request.copy()
        with suppress(ValueError):
            target = self.target(response)
            self.library.Session.rebuild_method(None, copied, response)
            return copied.method, target
        return None

    def let_go(self, response: Any) -> None:
        """Have the next request, a copy, go without the token if a redirect leads it out of the resource.

        One that is led on from outside has no hooks of this object any more, so that it gets none after that either.
        """
        request = response.request
        if self.parts.rules.reach is None:
            return
        if not self.is_within_reach(request.url or ""):
            request.hooks = {
                event: [hook for hook in hooks if not self.is_own(hook)] for event, hooks in request.hooks.items()
            }
            return
        with suppress(ValueError):  # then there's no next one
            if not self.is_within_reach(self.target(response)):
                response.request = request.copy()
                take_off(request.headers, self.parts.source)

    def mark(self, origin: str, request: Any, response: Any) -> None:
        """Have the next request of the chain, a copy with the same hooks, know that it was sent again before."""
        with suppress(ValueError):  # then there's no next one
            target = self.target(response)
            hooks = request.hooks["response"]
            marked = [Hook(hook.func, origin, target) if self.is_own(hook) else hook for hook in hooks]
            request.hooks = {**request.hooks, "response": marked}


class RequestsHooks(TokenAuth):
    """Decides which requests get the token and which answers reject it.

    A response hook is called for redirects, too, so it looks at each response's own request: it acts only if that
    request went to the origin first addressed, and carried a token.
    """

    _library: ClassVar[Any]
    _momentary: ClassVar[frozenset[str]] = frozenset(
        {"_origins", "_parts", "_proofs", "_replaying", "_telling", "_latest", "_places"}
    )

    _places: dict[str, bool]
    """Whether the token may go to a URL, without its query, where the origin alone doesn't say so."""
    _latest: tuple[str, int | None, Any]
    """The hooks used last, and what a URL begins with, up to this length, for which they are used again.

    That's their origin with a slash at the end; where the origin alone doesn't say it, the whole URL.

    They are made once per origin, and kept by the URL's text up to its path.
    """

    def _make_hook(self, origin: str) -> Any:
        """Return what is hooked to a request to the origin."""
        raise NotImplementedError

    def _hook_for(self, request: Any) -> Any:
        """Return the hook for the URL's origin, or None if the token may not go there."""
        if not isinstance(request, self._library.PreparedRequest):
            raise self._wrong_library(request)
        url = request.url or ""
        path = url.find("/", url.find("://") + 3)
        beginning = url if path < 0 else url[:path]
        reach = self._reach
        if reach is not None and not self._is_within_reach(url):
            take_off(request.headers, self._source)
            return None
        if (known := self._origins.known.get(beginning)) is not None:
            is_all = reach is None
            self._latest = (f"{beginning}/", len(beginning) + 1, known) if is_all else (url, None, known)
            return known
        if not self._origins.admits(url):
            if any(self._is_own(hook) for hook in request.hooks["response"]):  # the token for where it was sent before
                request.headers.pop("Authorization", None)
            return None
        hook = self._make_hook(beginning)
        if "@" not in beginning:
            self._origins.remember(beginning, hook)
        return hook

    def _is_within_reach(self, url: str) -> bool:
        """Return whether a URL is within the resource that the token stays in."""
        places, place = self._places, url.partition("?")[0]
        is_within = places.get(place)
        if is_within is None:
            if len(places) >= MOST_ORIGINS:
                places.clear()
            is_within = places[place] = self._reach is None or covers(self._reach, place)
        return is_within

    def _is_repeatable(self, request: Any) -> bool:
        return is_fixed(request.body) or rewind(request.body, getattr(request, "_body_position", None))

    def _is_own(self, hook: Any) -> bool:
        return isinstance(hook, Hook) and hook.func.__self__ is self  # type: ignore[attr-defined]

    def _begin_exchange(
        self, kind: type[RequestsExchange], origin: str, led_to: str | None, response: Any, kwargs: dict[str, Any]
    ) -> tuple[Header, RequestsExchange] | None:
        """Return the header that this response may reject, and the exchange; note what it says if it doesn't.

        `led_to` is where a request was redirected after it was sent again: there it isn't sent again, too.
        """
        is_redirect = response.is_redirect
        if is_redirect:
            self._redirects.let_go(response)
        was_led_here = led_to is not None and urldefrag(response.request.url).url == led_to
        if was_led_here and is_redirect:
            self._redirects.mark(origin, response.request, response)
        if self._proofs is not None:
            self._mind_proofs(self._proofs, response)
        status = response.status_code
        if status not in self._telling and not self._source.rejecting_origins:
            return None
        parts = self._parts
        sent = response.request.headers.get("Authorization")
        if parts.rules.reach is not None and not (isinstance(sent, str) and sent.startswith(_OURS)):
            sent = NO_TOKEN
        if not isinstance(sent, str):
            return None
        header = Header(sent)  # whose repr hides the token where a traceback shows locals
        handed = Sent(origin, kwargs, self._library, self._redirects, self._mind_proofs, self._shows_certificate)
        exchange = kind(handed, response)
        if status not in self._replaying:
            note_answer(parts, origin, header, exchange, is_replay=was_led_here)
            return None
        exchange.was_replayed = was_led_here
        if getattr(response, "_answers_replay", False):  # some sessions of others call its hooks again
            return None
        return header, exchange

    @property
    def _redirects(self) -> Redirects:
        return Redirects(self._library, self._parts, self._is_within_reach, self._is_own)

    def _mind_proofs(self, proofs: Proofs, response: Any) -> None:
        """Take in an answer's nonce; if it's a redirect, have the next request, a copy, carry a proof of its own.

        Another origin gets neither token nor proof.
        """
        request = response.request
        if "DPoP" not in request.headers:
            return
        proofs.note_nonce(request.url or "", response.headers.get("DPoP-Nonce"))
        if not response.is_redirect:
            return
        following = self._redirects.next_request(response)
        current = self._source.current
        if following is None or leads_elsewhere(request.url or "", following[1]):
            request.headers.pop("DPoP")
        elif current is not None and current.proof is not None and current.text == request.headers.get("Authorization"):
            request.headers["DPoP"] = proofs.header(current.proof, *following)


class Sent(Record):
    """What an auth object hands over of a request: how it was sent, and what is done about its redirects."""

    origin: str
    """The one first addressed."""
    options: dict[str, Any]
    """What the session gave its adapter, and some sessions of others more."""
    library: Any
    redirects: Redirects
    mind_proofs: Callable[[Proofs, Any], None]
    shows_certificate: bool


def _target(request: Any) -> tuple[str | None, str]:
    return request.method, request.url or ""


class RequestsExchange:
    """A request of a session, and its latest answer."""

    def __init__(self, sent: Sent, response: Any) -> None:
        self.response = response
        self.was_replayed = False
        self.sent = sent
        # What adapters take; some sessions of others hand on more.
        self.options = {name: value for name, value in sent.options.items() if name != "allow_redirects"}
        self._past: list[Any] = []

    # -- What the answer says -----------------------------------------------------------------------------------

    def answer(self) -> Answer:
        response, request = self.response, self.response.request
        challenges, proof = response.headers.get("WWW-Authenticate"), request.headers.get("DPoP")
        return Answer(response.status_code, challenges, *_target(request), proof)

    def carried(self, header: str) -> bool:
        (_, url), origin = _target(self.response.request), self.sent.origin
        same = url.startswith(f"{origin}/") or origin_of(url) == origin_of(origin)
        return same and header.startswith(_OURS if header else "")

    def led_on(self, header: str) -> tuple[str | None, str] | None:
        response, target = self.response, _target(self.response.request)
        leads = response.is_redirect and leads_elsewhere(target[1], response.headers["Location"])
        return target if leads and self.carried(header) else None

    def mind_proofs(self, proofs: Proofs) -> None:
        self.sent.mind_proofs(proofs, self.response)

    # -- What is done with it -----------------------------------------------------------------------------------

    def can_replay(self) -> Any:
        request = self.response.request
        if not hasattr(self.response, "connection"):  # an adapter of the user's, such as a mock, need not name itself
            return False
        return is_fixed(request.body) or rewind(request.body, getattr(request, "_body_position", None))

    def drain(self) -> Any:
        if not self.sent.shows_certificate and is_short(self.response.headers):
            self._read()

    def discard(self) -> Any:
        self._read()
        if self.sent.shows_certificate:
            with suppress(Exception):  # nothing public says where they are
                self.close_idle(self.response.raw._pool.pool)  # noqa: SLF001

    def close(self) -> Any:
        if not getattr(self.response, "_content_consumed", True) and not is_multiplexed(self.response):
            self.response.close()

    def _read(self) -> None:
        """Read what's left to its end, within limits, else close the response."""
        response, raw = self.response, self.response.raw
        if getattr(response, "_content_consumed", True) or is_multiplexed(self.response):
            return
        try:
            if not hasattr(raw, "read1") or not hasattr(raw, "connection"):  # from an adapter of the user's
                _ = response.content
                return
            is_worthwhile = not self.sent.shows_certificate and may_be_short(response.headers)
            content = self._read_raw(raw) if is_worthwhile else None
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            content = None
        if content is None:
            response.close()
        set_content(self.response, content)

    def close_idle(self, pool: Any) -> None:
        """Close the connections that the request could be sent again on, and show what was shown before."""
        idle = [pool.get_nowait() for _ in range(pool.qsize())]
        for connection in reversed(idle):
            if connection is not None:
                connection.close()  # it connects anew when it's used
            pool.put_nowait(connection)

    def _read_raw(self, raw: Any) -> bytes | None:
        """Return what's left of an answer as it was sent, or None if that's too much, or takes too long."""
        socket = getattr(raw.connection, "sock", None)
        if socket is None:  # the connection is closed after it anyway
            return None
        content, deadline, before = bytearray(), time.monotonic() + DRAIN_SECONDS / 2, socket.gettimeout()
        socket.settimeout(DRAIN_SECONDS / 2)  # of each wait, the last of which may begin just before the deadline
        try:
            while chunk := raw.read1(DRAIN_LIMIT, decode_content=False):
                content += chunk
                if len(content) > DRAIN_LIMIT or time.monotonic() > deadline:
                    return None
        finally:
            socket.settimeout(before)
        return bytes(content)

    def send_again(self, credential: Credential, proof: str | None) -> Any:
        connection, request = self.response.connection, self.prepare(credential, proof)
        begun = time.perf_counter()
        self.take(connection.send(request, **self.options), request, begun)

    def prepare(self, credential: Credential, proof: str | None) -> Any:
        """Prepare the response's request to be sent again; the response keeps a copy of what was sent.

        The object stays the same, since a redirect of the new answer copies it.
        """
        request = self.response.request
        self.response.request = request.copy()
        request.headers["Authorization"] = credential.text
        if proof is not None:
            request.headers["DPoP"] = proof
        self._keep_cookies(request)
        return request

    def take(self, answer: Any, request: Any, begun: float) -> None:
        """Have the new answer replace the old one, which goes into its history."""
        answer.elapsed = dt.timedelta(seconds=time.perf_counter() - begun)
        answer._answers_replay = True  # noqa: SLF001
        self._past.append(self.as_past(self.response))
        answer.history.extend(self._past)
        self.response = answer
        if answer.is_redirect:
            self.sent.redirects.let_go(answer)
        if answer.is_redirect and self.was_replayed:
            self.sent.redirects.mark(self.sent.origin, request, answer)

    def as_past(self, response: Any) -> Any:
        """Return the response as it's kept in the history of the one that replaces it."""
        return response

    def _keep_cookies(self, request: Any) -> None:
        """Add the cookies that the answer sets, unless the caller wrote the Cookie header by hand."""
        cookies = self.sent.library.cookies
        jar = getattr(request, "_cookies", None)
        sent = request.headers.pop("Cookie", None)
        if jar is None or (sent is not None and sent != cookies.get_cookie_header(jar, request)):
            if sent is not None:
                request.headers["Cookie"] = sent
            return
        cookies.extract_cookies_to_jar(jar, request, self.response.raw)
        request.prepare_cookies(jar)


def is_multiplexed(response: Any) -> bool:
    """Return whether others share the connection: one's time-out ends all of them, and an unread one is no burden."""
    return (getattr(response.raw, "version", None) or 0) >= 20


def set_content(response: Any, raw: bytes | None) -> None:
    """Give a response the content that was read of it, without unpacking it to any length."""
    response._content = decompress(raw or b"", response.headers.get("Content-Encoding"), MAX_BODY)  # noqa: SLF001
    response._content_consumed = True  # noqa: SLF001
