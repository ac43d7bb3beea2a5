"""What the plug-ins for requests and niquests share: the response hook.

The two libraries have the same API and different classes: each plug-in names its own, and none is imported here.
`__call__`, which every request runs, is in the plug-ins, too.
"""

from __future__ import annotations

import datetime as dt
import time
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar
from urllib.parse import urljoin

from .._renewal.source import Waiting
from .._wire.challenges import is_rejection, tells_acceptance
from .._wire.token import Header
from .._wire.urls import MOST_ORIGINS, check_transport, origin_of, without_query
from ..errors import OAuthError
from .auth import TokenAuth
from .rejection import Do, Rejection, is_short, path_of
from .replay import is_fixed, rewind

__all__ = ["Exchange", "RequestsHooks", "can_replay"]


class RequestsHooks(TokenAuth):
    """Decides which requests get the token and which answers reject it, and replays what was rejected.

    A response hook is called for redirects, too, so it looks at each response's own request: it acts only if that
    request went to the origin first addressed, and carried a token.
    """

    _library: ClassVar[Any]

    _hooks: dict[str, Any]
    """The hook of each origin that the token may go to, by the URL's text up to its path.

    Made once per origin, since making one for each request would be much of a request's cost.
    """
    _latest: tuple[str, Any]
    """The hook used last, and its origin with a slash at the end: most programs use the same again."""

    def _make_hook(self, origin: str, replayed: Any) -> Any:
        """Return what is hooked to a request to the origin; after a replay it acts for that very request only."""
        raise NotImplementedError

    def _hook_for(self, request: Any) -> Any:
        """Return the hook for the URL's origin, or None if the token may not go there."""
        if not isinstance(request, self._library.PreparedRequest):
            raise self._wrong_library(request)
        url = request.url or ""
        path = url.find("/", 8)
        beginning = url if path < 0 else url[:path]
        if (known := self._hooks.get(beginning)) is not None:
            self._latest = (f"{beginning}/", known)
            return known
        if self._allowed_origins is not None and origin_of(url) not in self._allowed_origins:
            return None
        check_transport(url, allow_insecure=self._allow_insecure_transport)
        hook = self._make_hook(beginning, None)
        if "@" not in beginning and len(self._hooks) < MOST_ORIGINS:
            self._hooks[beginning] = hook
        return hook

    def _wrong_library(self, request: object) -> TypeError:
        return TypeError(f"{type(self).__name__} of {type(self).__module__} can't be used with a {type(request)}")

    def _rejected_header(self, origin: str, replayed: Any, response: Any) -> Header | None:
        """Return the header that this response rejects and that can be replaced, if any; note it if it accepts one.

        After a replay only that very request counts, not a redirect of its new answer.
        """
        request = response.request
        sent = request.headers.get("Authorization")
        if not isinstance(sent, str):
            return None
        header = Header(sent)  # whose repr hides the token where a traceback shows locals
        if response.status_code not in self._rejection_statuses:
            if self._source.rejecting_origins:
                self._note(origin, header, response, is_replay=False)
            return None
        was_replayed = replayed is not None and replayed is not request
        if was_replayed or not self._source.renews or not _is_ours(origin, header, response):
            return None
        return header if self._is_rejected(response) else None

    def _is_rejected(self, response: Any) -> bool:
        challenge = response.headers.get("WWW-Authenticate")
        return is_rejection(response.status_code, challenge, self._rejection_statuses)

    def _replacing(self, origin: str, header: str, response: Any, exchange: Exchange) -> Waiting:
        """Replace a rejected token; return the answer to the replay, or the old answer.

        A sibling's token may have been revoked as well, so it's replaced once more.
        """
        for is_last in (False, True):
            request, rejection = response.request, rejection_of(response)
            is_repeatable = yield Do(partial(exchange.can_replay, response))
            rejection.emit_rejection(can_replay=is_repeatable)
            replacing = self._source.replace(
                header, origin, path_of(request.method, request.url or ""), rejection.about
            )
            if not is_repeatable:
                with suppress(OAuthError):  # it's logged, and the answer that the caller gets says what is wrong
                    yield from replacing
                return response
            yield Do(partial(exchange.drain, response))
            try:
                replacement = yield from replacing
            except GeneratorExit:
                raise
            except BaseException:  # interrupted or cancelled, too
                yield Do(partial(exchange.close, response))
                raise
            if replacement is None:
                return response
            rejection.emit_replay()
            header = replacement.credential.header
            request = self._prepare_replay(origin, response, header)
            yield Do(partial(exchange.close, response))  # if it's too long to be read for its connection's sake
            begun = time.perf_counter()
            answer = yield Do(partial(exchange.send, response, request))
            answer.elapsed = dt.timedelta(seconds=time.perf_counter() - begun)
            self._note(origin, header, answer, is_replay=True)
            answer.history.extend(
                [*response.history, exchange.past(response)] if is_last else [exchange.past(response)]
            )
            response = answer
            if replacement.is_final or not self._is_rejected(answer):
                break
        return response

    def _note(self, origin: str, header: str, response: Any, *, is_replay: bool) -> None:
        accepted = tells_acceptance(response.status_code) or _leads_elsewhere(response)
        if accepted and _is_ours(origin, header, response):
            request = response.request
            path = path_of(request.method, request.url or "")
            self._source.record_acceptance(origin, path, header, is_replay=is_replay)

    def _prepare_replay(self, origin: str, response: Any, header: str) -> Any:
        """Prepare the response's request to be sent again; the response keeps a copy of what was sent.

        The object stays the same, since a redirect of the new answer copies it.
        """
        request = response.request
        response.request = request.copy()
        hooks = [self._after_replay(hook, origin, request) for hook in request.hooks["response"]]
        request.hooks = {**request.hooks, "response": hooks}
        request.headers["Authorization"] = header
        self._keep_cookies(request, response)
        return request

    def _after_replay(self, hook: Any, origin: str, request: Any) -> Any:
        """Return the hook, or instead of our own one that knows of the replay, which redirects will copy."""
        raise NotImplementedError

    def _keep_cookies(self, request: Any, response: Any) -> None:
        """Add the cookies that the answer sets, unless the caller wrote the Cookie header by hand."""
        cookies = self._library.cookies
        jar = getattr(request, "_cookies", None)
        sent = request.headers.pop("Cookie", None)
        if jar is None or (sent is not None and sent != cookies.get_cookie_header(jar, request)):
            if sent is not None:
                request.headers["Cookie"] = sent
            return
        cookies.extract_cookies_to_jar(jar, request, response.raw)
        request.prepare_cookies(jar)


class Exchange:
    """The operations on a rejected answer, and the sending of its replay; in async code they return awaitables."""

    def __init__(self, kwargs: dict[str, Any]) -> None:
        self._kwargs = kwargs

    def can_replay(self, response: Any) -> Any:
        """Return whether the response's request can be sent again with the same bytes; rewind its body."""
        return can_replay(response)

    def drain(self, response: Any) -> Any:
        """Read the answer to its end, which frees its connection for other requests."""
        try:
            if is_short(response):
                _ = response.content
        except Exception:  # noqa: BLE001 - the answer is to be replaced anyway
            self.close(response)

    def close(self, response: Any) -> Any:
        """Close a response, unless it was read."""
        if not getattr(response, "_content_consumed", True):
            response.close()

    def send(self, response: Any, request: Any) -> Any:
        """Send the request over the adapter that the response came from."""
        return response.connection.send(request, **self._kwargs)

    def past(self, response: Any) -> Any:
        """Return the response as it's kept in the history of the one that replaces it."""
        return response


def rejection_of(response: Any) -> Rejection:
    """Return the request and the status of an answer, as errors and events name them."""
    return Rejection(response.request.method, without_query(response.request.url or ""), response.status_code)


def can_replay(response: Any) -> bool:
    """Return whether the response's request can be sent again with the same bytes; rewind its body."""
    request = response.request
    if not hasattr(response, "connection"):  # an adapter of the user's, such as a mock, need not name itself
        return False
    return is_fixed(request.body) or rewind(request.body, getattr(request, "_body_position", None))


def _is_ours(origin: str, header: str, response: Any) -> bool:
    """Return whether this response is to a request that carried a token to the origin first addressed."""
    url = response.request.url or ""
    same = url.startswith(f"{origin}/") or origin_of(url) == origin_of(origin)
    return same and header.startswith("Bearer ")


def _leads_elsewhere(response: Any) -> bool:
    """Return whether a redirect leads to another origin, as to a download; one within the origin may lead to a 401."""
    url = response.request.url or ""
    return response.is_redirect and origin_of(urljoin(url, response.headers["Location"])) != origin_of(url)
