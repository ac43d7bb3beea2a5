"""Faults in what a plug-in does itself, which its own modes must notice."""

from __future__ import annotations

from tests.mutants.edits import always, drop, never, remove, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

REPLAY, ORIGINS, REACH = "guarantees/test_replay.py", "guarantees/test_origins.py", "guarantees/test_resource_reach.py"
PROOFS, REJECTION = "guarantees/test_proofs_on_the_way.py", "guarantees/test_rejection.py"
LIBRARYS_OWN = f"{REJECTION}::test_error_of_an_unreachable_token_endpoint_is_the_librarys_own_too"

MUTANTS = (
    # -- requests, and what it shares with niquests -------------------------------------------------------------------
    Mutant(
        5,
        "requests: an error of a token call is none of the library's",
        "requests:TokenTransportError",
        replace("requests.RequestException", "Exception"),
        tests=(f"{LIBRARYS_OWN}[requests]",),
    ),
    Mutant(
        22,
        "requests: a request has no proof",
        "requests:RequestsAuth.__call__",
        never("current.proof is not None"),
        tests=(f"{PROOFS}::test_a_url_without_a_path_is_proved_as_it_is_sent[requests-]",),
    ),
    Mutant(
        30,
        "requests: a request beyond the resource has the token",
        "RequestsHooks._hook_for",
        never("reach is not None and not self._is_within_reach(url)"),
        tests=(f"{REACH}::test_beside[requests-/tenants/2]",),
    ),
    # -- niquests -----------------------------------------------------------------------------------------------------
    Mutant(
        5,
        "niquests: an error of a token call is none of the library's",
        "niquests:TokenTransportError",
        replace("niquests.RequestException", "Exception"),
        tests=(f"{LIBRARYS_OWN}[niquests]",),
    ),
    Mutant(
        22,
        "niquests: a proof goes to another origin",
        "NiquestsAuth._prove",
        drop('request.headers.pop("DPoP", None)'),
        tests=(f"{PROOFS}::test_no_proof_is_sent_to_another_origin[niquests-none]",),
    ),
    Mutant(
        7,
        "niquests: a token that's fetched late by an async session is added after a redirect",
        "NiquestsAuth._fetch_async",
        always('isinstance(request.headers.get("Authorization"), _Unsent)'),
        tests=("plugins/test_niquests.py::test_a_token_fetched_late_is_not_added_after_a_redirect[niquests-asyncio]",),
    ),
    Mutant(
        6,
        "niquests: an async file isn't rewound",
        "niquests:_AsyncExchange.can_replay",
        never("inspect.iscoroutinefunction(seek)"),
        tests=("plugins/test_niquests.py::test_an_async_file_is_sent_again",),
    ),
    Mutant(
        6,
        "niquests: who holds a promised answer gets the rejection",
        "niquests:_hand_over",
        drop("response.__dict__.update(answer.__dict__)"),
        tests=("plugins/test_niquests.py::test_promised_answers_are_those_of_the_replay",),
    ),
    # -- httpx and httpx2 ---------------------------------------------------------------------------------------------
    Mutant(
        5,
        "httpx: an error of a token call is none of the library's",
        "httpx:TokenTransportError",
        replace("httpx.TransportError", "Exception"),
        tests=(f"{LIBRARYS_OWN}[httpx-asyncio]",),
    ),
    Mutant(
        5,
        "httpx2: an error of a token call is none of the library's",
        "httpx2:TokenTransportError",
        replace("httpx2.TransportError", "Exception"),
        tests=(f"{LIBRARYS_OWN}[httpx2]",),
    ),
    Mutant(
        30,
        "httpx: a request beyond the resource has the token, if one within it had",
        "httpx:HttpxResourceAuth._fast_path",
        remove(),
        tests=(f"{REACH}::test_two_resources_of_a_host[httpx-trio]",),
    ),
    Mutant(
        30,
        "httpx2: a request beyond the resource has the token, if one within it had",
        "httpx2:Httpx2ResourceAuth._fast_path",
        remove(),
        tests=(f"{REACH}::test_two_resources_of_a_host[httpx2-asyncio]",),
    ),
    Mutant(
        22,
        "httpx: a nonce in an answer isn't taken in",
        "note_nonces",
        drop("proofs.note_nonce(...)"),
        tests=(f"{PROOFS}::test_a_nonce_in_the_answer_to_a_challenged_request_counts[httpx2]",),
    ),
    Mutant(
        6,
        "httpx: a cookie that the rejection deletes is sent again",
        "HttpxExchange._keep_cookies",
        drop('request.headers.pop("Cookie", None)'),
        tests=(f"{REPLAY}::test_cookie_that_the_rejection_deletes_is_not_on_the_replay[httpx]",),
    ),
    Mutant(
        6,
        "httpx: the time-out for reading a rejection is that of the replay, too",
        "httpx_exchange:_Part.end",
        drop('self._extensions["timeout"] = self._timeouts'),
        tests=(f"{REPLAY}::test_timeout_holds_for_the_replay[client-httpx]",),
    ),
    # -- aiohttp ------------------------------------------------------------------------------------------------------
    Mutant(
        5,
        "aiohttp: an error of a token call is none of the library's",
        "aiohttp:TokenTransportError",
        replace("aiohttp.ClientConnectionError", "Exception"),
        tests=(f"{LIBRARYS_OWN}[aiohttp]",),
    ),
    Mutant(
        7,
        "aiohttp: a call that was led to another origin has the token there",
        "AiohttpAuth._send",
        never("course is not None and course.leaves(origin_of(str(url)))"),
        tests=(f"{ORIGINS}::test_token_does_not_follow_a_redirect_to_another_origin[aiohttp-200-other port]",),
    ),
    Mutant(
        8,
        "aiohttp: a proxy gets a token that is for this machine",
        "AiohttpAuth._send",
        drop("if request.proxy is not None and is_plain_loopback(str(url)): ..."),
        tests=("plugins/test_aiohttp.py::test_no_proxy_gets_what_is_for_this_machine",),
    ),
    Mutant(
        8,
        "aiohttp: token calls follow redirects",
        "AiohttpTokenTransport._send",
        replace("allow_redirects=False", "allow_redirects=True"),
        tests=(f"{ORIGINS}::test_token_call_follows_no_redirect[aiohttp-own]",),
    ),
    Mutant(
        6,
        "aiohttp: any body is sent again",
        "aiohttp:_can_be_sent_again",
        replace("return was_sent and rewind(file, body._start_position)", "return True"),
        tests=(f"{REPLAY}::test_spent_body_is_not_sent_again[aiohttp-seek lies]",),
    ),
    Mutant(
        6,
        "aiohttp: the rejection's cookies are lost",
        "aiohttp:_Exchange.send_again",
        drop("self._keep_cookies()"),
        tests=(f"{REPLAY}::test_cookies_of_the_rejection_are_kept[aiohttp]",),
    ),
    Mutant(
        5,
        "aiohttp: a call is replayed again after a redirect",
        "aiohttp:_Course.note",
        drop("course.was_replayed |= was_replayed"),
        tests=(
            f"{REJECTION}::test_request_is_replayed_once_though_the_replay_is_redirected_to_another_rejection[aiohttp]",
        ),
    ),
)
