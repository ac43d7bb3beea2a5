"""Faults in flights, windows, pauses, token calls, rejections and replays."""

from __future__ import annotations

from tests.mutants.edits import always, drop, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS = (
    # -- 1: One flight ----------------------------------------------------------------------------------------------
    Mutant(
        1,
        "each caller launches a renewal of its own",
        "TokenSource._decide",
        replace("slot.flight", "None"),
        tests=("guarantees/test_one_flight.py::test_requests_at_once_share_one_call[requests]",),
    ),
    Mutant(
        1,
        "who has no token launches another renewal beside the one under way",
        "for_request",
        replace(
            "(Wait(), state) if around.is_running else _launch(state, Purpose(reason), now, around)",
            "_launch(state, Purpose(reason), now, around)",
        ),
        tests=("units/test_decisions.py::test_a_request_is_decided",),
    ),
    Mutant(
        1,
        "refresh() doesn't share the renewal under way",
        "for_renewal",
        replace("None if around.is_running else Purpose(reason)", "Purpose(reason)"),
        tests=("units/test_decisions.py::test_who_wants_a_new_token_waits_for_it",),
    ),
    Mutant(
        1,
        "callers share one exception object",
        "TokenSource._still_good",
        replace("error.without_traceback(about)", "error"),
        tests=("guarantees/test_one_flight.py::test_an_exception_of_one_caller_is_no_business_of_others[requests]",),
    ),
    Mutant(
        1,
        "who joined a flight that brings no token fails instead of deciding anew",
        "TokenSource.obtain",
        replace(
            "while True: ...",
            """
            for _ in range(1): ...
            raise TokenError("the renewal was deferred")
            """,
        ),
        tests=("guarantees/test_revocation.py::test_requests_meanwhile_get_a_first_token[requests]",),
    ),
    Mutant(
        1,
        "who joined such a flight with a rejected request fails instead of deciding anew",
        "TokenSource.replace",
        replace(
            "for _ in range(3): ...",
            """
            for _ in range(1): ...
            raise TokenError("the renewal was deferred")
            """,
        ),
        tests=("guarantees/test_revocation.py::test_requests_meanwhile_get_another_token[requests]",),
    ),
    Mutant(
        1,
        "a callback waits for the flight that it's part of",
        "_landing",
        never("flight.is_reentrant"),
        tests=(
            "guarantees/test_one_flight.py::test_a_provider_that_uses_its_own_auth_object_gets_an_error[requests-get_token]",
        ),
    ),
    Mutant(
        1,
        "a flight forgets the flights that it's part of",
        "Flight.take_up",
        drop("*(flight for flight in _current_flights.get() if flight.is_under_way)"),
        tests=("units/test_flight.py::test_a_flight_within_a_flight_is_both",),
    ),
    Mutant(
        1,
        "a task's time-out takes no account of the task",
        "_arrival_in_asyncio",
        replace("asyncio.timeout(timeout)", "asyncio.timeout(None)"),
        tests=("units/test_flight.py::test_a_wait_may_end_before_the_flight",),
    ),
    Mutant(
        1,
        "a first token that was found is what refresh() asks for",
        "land_token",
        replace(
            "held is not None and held.header != credential.header", "held is None or held.header != credential.header"
        ),
        tests=(
            "units/test_landing.py::test_which_token_is_new",
            "units/test_landing.py::test_a_first_token_that_was_found_is_not_what_a_refresh_asks_for",
        ),
    ),
    # -- 2: Nobody waits for a renewal that isn't due -----------------------------------------------------------------
    Mutant(
        2,
        "callers wait in the refresh window",
        "for_request",
        replace(
            "Send(current, Purpose(Reason.DUE, can_wait=now.wall < current.stale_at))", "Wait(Purpose(Reason.DUE))"
        ),
        tests=("units/test_decisions.py::test_a_request_is_decided",),
    ),
    Mutant(
        2,
        "the request that begins a background renewal waits for it",
        "TokenSource.obtain",
        replace("_begin(flight)", "if flight is not None: yield Landing(flight)"),
        tests=("guarantees/test_renewal_windows.py::test_nobody_waits_in_the_refresh_window[requests]",),
    ),
    Mutant(
        2,
        "each request in the window launches a renewal",
        "for_request",
        replace(
            "Send(current, Purpose(Reason.DUE, can_wait=now.wall < current.stale_at)), later",
            "Send(current, Purpose(Reason.DUE, can_wait=now.wall < current.stale_at)), state",
        ),
        tests=("units/test_decisions.py::test_a_request_is_decided",),
    ),
    Mutant(
        2,
        "programs renew at the same moment",
        "Credential.from_token",
        replace("min(refresh_window, lifetime / 5) * chance.uniform(0.5, 1.0)", "min(refresh_window, lifetime / 5)"),
        tests=("guarantees/test_renewal_windows.py::test_renewals_begin_at_random[requests]",),
    ),
    Mutant(
        2,
        "the window may be a short token's whole lifetime",
        "Credential.from_token",
        replace("min(refresh_window, lifetime / 5)", "refresh_window"),
        tests=("units/test_decisions.py::test_the_windows",),
    ),
    Mutant(
        2,
        "the leeway may be a short token's whole lifetime",
        "Credential.from_token",
        replace("min(leeway, lifetime / 10)", "leeway"),
        tests=("units/test_decisions.py::test_the_windows",),
    ),
    Mutant(
        2,
        "a token in its last seconds is sent though a better one could be had",
        "for_request",
        never("now.wall >= current.stale_at and failure is None and not state.waiting_is_pointless(around)"),
        tests=("units/test_decisions.py::test_a_request_is_decided",),
    ),
    Mutant(
        2,
        "who waits in the leeway waits until the old token has expired",
        "for_request",
        replace("timeout=(current.expires_at - now.wall) / 2", "timeout=current.expires_at - now.wall"),
        tests=("units/test_decisions.py::test_a_request_is_decided",),
    ),
    # -- 3: A failed renewal takes no valid token away ----------------------------------------------------------------
    Mutant(
        3,
        "a failure takes the token away",
        "State.failed",
        replace(
            """
            state = replace(self, failure=failure)
            current = self.credential
            """,
            "state, current = State(failure=failure), None",
        ),
        tests=("guarantees/test_renewal_windows.py::test_an_outage_for_the_whole_window_goes_unnoticed",),
    ),
    Mutant(
        3,
        "who waited for a renewal that failed gets its error, though the old token is good",
        "TokenSource._still_good",
        never("current is not None and current.header != rejected"),
        tests=(
            "guarantees/test_renewal_windows.py::test_a_failed_renewal_takes_no_token_away[requests-provider-fails]",
        ),
    ),
    Mutant(
        3,
        "there's no pause after a failure",
        "_FIRST_COOLDOWN",
        replace("2.0", "0.0"),
        tests=("units/test_backoff.py::test_pauses_grow",),
    ),
    Mutant(
        3,
        "pauses don't grow",
        "Failure.after",
        replace("_FIRST_COOLDOWN * 2.0 ** min(times - 1, 10)", "_FIRST_COOLDOWN"),
        tests=("units/test_backoff.py::test_pauses_grow",),
    ),
    Mutant(
        3,
        "programs that failed together try again together",
        "Failure.after",
        replace("chance.uniform(longest / 2, longest)", "longest"),
        tests=("units/test_backoff.py::test_pauses_grow",),
    ),
    Mutant(
        3,
        "the pause that the server asks for isn't kept between renewals",
        "Failure.after",
        replace("max(seconds, asked_pause(error))", "seconds"),
        tests=("units/test_backoff.py::test_retry_after_makes_a_pause_longer",),
    ),
    Mutant(
        3,
        "a final refusal isn't remembered",
        "Failure.fails_fast",
        drop("is_final(self.error)"),
        tests=("units/test_backoff.py::test_whom_a_failure_holds_up",),
    ),
    Mutant(
        3,
        "an error of an unknown kind counts as a refusal",
        "is_final",
        drop("not (isinstance(error, TokenError) and error.is_unexpected)"),
        tests=("units/test_backoff.py::test_what_is_final",),
    ),
    Mutant(
        3,
        "a hook's error in a call is a refusal",
        "unexpected",
        drop("error.is_unexpected = True"),
        tests=("guarantees/test_unexpected_errors.py::test_the_next_request_asks_again[requests-LookupError]",),
    ),
    Mutant(
        3,
        "httpx: a hook's error that the library may raise, too, is one of the configuration",
        "HttpxTokenTransport._judge",
        replace(
            "not isinstance(error, self._library.HTTPError | self._library.InvalidURL)",
            "False and not isinstance(error, self._library.HTTPError | self._library.InvalidURL)",
        ),
        tests=("guarantees/test_unexpected_errors.py::test_the_next_request_asks_again[httpx2-RuntimeError]",),
    ),
    Mutant(
        3,
        "requests: a hook's error that the library may raise, too, is one of the configuration",
        "RequestsTokenTransport._wrap",
        replace(
            "not is_known or isinstance(error, library.exceptions.InvalidJSONError)",
            "False and isinstance(error, library.exceptions.InvalidJSONError)",
        ),
        tests=("guarantees/test_unexpected_errors.py::test_the_next_request_asks_again[requests-OSError]",),
    ),
    Mutant(
        3,
        "a success doesn't begin the pauses anew",
        "State.renewed",
        replace(
            "State(credential, is_replacement=is_replacement)",
            "replace(self, credential=credential, is_replacement=is_replacement)",
        ),
        tests=("units/test_decisions.py::test_a_new_token_ends_all_that_was",),
    ),
    Mutant(
        3,
        "who learns of siblings' failures pauses as if it were the first",
        "land_failed",
        drop("times=shared_times"),
        tests=("units/test_landing.py::test_failures_of_the_fleet_count",),
    ),
    Mutant(
        3,
        "what siblings count of failures doesn't reach the landing",
        "Renewals._land_failed",
        replace("shared_times=times", "shared_times=0"),
        tests=("units/test_landing.py::test_a_source_counts_the_failures_of_its_siblings",),
    ),
    # -- 4: Token calls are retried -----------------------------------------------------------------------------------
    Mutant(
        4,
        "there are two attempts",
        "Attempts.__init__",
        replace("calls.pauses", "calls.pauses[:1]"),
        tests=("units/test_calls.py::test_trouble_that_passes_is_tried_again",),
    ),
    Mutant(
        4,
        "a certificate that doesn't verify is tried again",
        "_about_certificate",
        replace("may_pass=False", "may_pass=True"),
        tests=(
            "units/test_trouble.py::test_what_is_known_is_said",
            "guarantees/test_mistakes.py::test_a_mistake_is_explained[requests-a certificate of a private authority]",
        ),
    ),
    Mutant(
        4,
        "a code is sent again after an answer",
        "_unless_answered",
        drop("error.status_code is None"),
        tests=("units/test_calls.py::test_a_code_is_never_sent_twice_after_an_answer",),
    ),
    Mutant(
        4,
        "a refresh token is sent again after a 2xx that was cut off",
        "_unless_rotated",
        drop("error.status_code is None or error.status_code == 429 or error.status_code >= 500"),
        tests=("units/test_calls.py::test_a_refresh_token_that_may_be_spent_is_not_sent_again",),
    ),
    Mutant(
        4,
        "an error of the protocol is tried again whatever its status",
        "OAuthProviderException.__init__",
        replace("status_code == 429 or status_code >= 500", "status_code >= 400"),
        tests=(
            "units/test_calls.py::test_what_will_not_pass_is_not_tried_again",
            "units/test_calls.py::test_a_final_answer_is_final",
        ),
    ),
    Mutant(
        4,
        "the pause that the server asks for isn't kept between attempts",
        "Attempts._pause_after",
        replace("max(self._chance.uniform(*bounds), failure.retry_after or 0.0)", "self._chance.uniform(*bounds)"),
        tests=("units/test_calls.py::test_retry_after_makes_the_pause_longer",),
    ),
    Mutant(
        4,
        "a pause beyond the time-out is waited for",
        "Attempts._pause_after",
        always("pause + _WORTHWHILE <= self._left()"),
        tests=("units/test_calls.py::test_a_pause_beyond_the_time_out_is_not_waited_for",),
    ),
    Mutant(
        4,
        "one attempt may take all the time",
        "Attempts.make",
        replace("min(self._calls.timeout / 2, left)", "left"),
        tests=("units/test_calls.py::test_one_attempt_is_enough_if_it_works",),
    ),
    Mutant(
        4,
        "a refresh token is sent again while its answer may still come",
        "Attempts.make",
        replace("left if self._is_single_use else half", "half"),
        tests=("units/test_calls.py::test_what_may_be_used_once_is_waited_for",),
    ),
    Mutant(
        4,
        "an answer that drips is waited for",
        "_ask",
        replace("sending.wait(effect.timeout, tick)", "sending.wait(300.0, tick)"),
        tests=("guarantees/test_token_calls.py::test_an_answer_that_drips_is_given_up[requests-status line]",),
    ),
    # -- 5: Rejections ------------------------------------------------------------------------------------------------
    Mutant(
        5,
        "a late rejection of an old token makes a token call",
        "for_rejection",
        replace("current if current is not None and current.header != rejected else None", "None"),
        tests=("units/test_decisions.py::test_a_rejection_is_decided",),
    ),
    Mutant(
        5,
        "each of ten rejections makes a token call",
        "for_rejection",
        drop("return Wait(), state"),
        tests=("units/test_decisions.py::test_a_rejection_is_decided",),
    ),
    Mutant(
        5,
        "an API that rejects everything costs a token call for each request",
        "for_rejection",
        never("breaker is not None and breaker.blocks(now, path, rejected)"),
        tests=("units/test_decisions.py::test_a_rejection_is_decided",),
    ),
    Mutant(
        5,
        "vain renewals are hardly spaced",
        "_REJECTION_COOLDOWN",
        replace("10.0", "1.0"),
        tests=("units/test_backoff.py::test_vain_renewals_are_spaced",),
    ),
    Mutant(
        5,
        "a revoked token isn't renewed at once among vain renewals",
        "OriginBreaker.blocks",
        drop("(path, header) not in self.accepting"),
        tests=("units/test_backoff.py::test_what_a_breaker_blocks",),
    ),
    Mutant(
        5,
        "a renewal that helped doesn't reset an origin's count",
        "Breakers.accepted",
        never("is_replay or path in breaker.vain_paths or breaker.is_over(now)"),
        tests=("guarantees/test_rejection.py::test_acceptance_resets_the_count_of_an_origin[requests]",),
    ),
    Mutant(
        5,
        "a lack of scope is a rejection",
        "_NOT_ABOUT_THE_TOKEN",
        drop('"insufficient_scope"'),
        tests=("units/test_challenges.py::test_a_challenge_may_say_that_the_token_is_good",),
    ),
    Mutant(
        5,
        "a rejected replay is replayed",
        "_due_about_token",
        drop("progress.is_final"),
        tests=(
            "guarantees/test_rejection.py::test_second_rejection_is_returned[requests]",
            "guarantees/test_rejection.py::test_second_rejection_is_returned[httpx2]",
        ),
    ),
    Mutant(
        5,
        "the renewal's error doesn't say which request was rejected",
        "TokenSource.replace",
        drop("about=about"),
        tests=("guarantees/test_rejection.py::test_error_of_the_renewal_is_raised[requests-invalid_client]",),
    ),
    Mutant(
        5,
        "a token that an API has rejected is sent while a better one is made",
        "landing:provide",
        drop("credential.header != rejected"),
        tests=("units/test_landing.py::test_what_is_provided",),
    ),
    Mutant(
        5,
        "what an API has rejected isn't told to who provides a token meanwhile",
        "Renewals._renew",
        replace("rejected=purpose.rejected", "rejected=None"),
        tests=("units/test_landing.py::test_a_source_sends_no_rejected_token_meanwhile",),
    ),
    # -- 6: Replays ---------------------------------------------------------------------------------------------------
    Mutant(
        6,
        "requests: any body is sent again",
        "RequestsExchange.can_replay",
        always("is_fixed(request.body)"),
        tests=("guarantees/test_replay.py::test_spent_body_is_not_sent_again[requests-generator]",),
    ),
    Mutant(
        6,
        "httpx: any body is sent again",
        "can_rewind",
        replace(
            "return content is not None and (is_fixed(content) or rewind(content, position))",
            """
            rewind(content, position)
            return True
            """,
        ),
        tests=("guarantees/test_replay.py::test_spent_body_is_not_sent_again",),
    ),
    Mutant(
        6,
        "a file is sent again from its beginning",
        "rewind",
        replace(
            """
            body.seek(position)
            return bool(body.tell() == position)
            """,
            """
            body.seek(0)
            return True
            """,
        ),
        tests=("guarantees/test_replay.py::test_file_is_sent_again_from_where_it_stood[BytesIO-1-requests]",),
    ),
    Mutant(
        6,
        "a multipart's file isn't rewound",
        "are_rewindable",
        drop("rewind(file, 0)"),
        tests=("guarantees/test_replay.py::test_multipart_with_a_spent_file_is_not_sent_again",),
    ),
    Mutant(
        6,
        "a failed renewal takes the answer to a spent body away",
        "_Course._replace",
        replace("suppress(OAuthError)", "suppress(KeyError)"),
        tests=(
            "guarantees/test_replay.py::test_rejection_of_a_spent_body_is_returned_though_the_renewal_fails[requests]",
            "guarantees/test_replay.py::test_rejection_of_a_spent_body_is_returned_though_the_renewal_fails[httpx2]",
        ),
    ),
    Mutant(
        6,
        "httpx: the first request of a chain is replayed",
        "HttpxExchange.send_again",
        replace("self.response", "(self.response.history or [self.response])[0]"),
        tests=("guarantees/test_replay.py::test_last_request_of_a_chain_of_redirects_is_replayed",),
    ),
    Mutant(
        6,
        "requests: the rejection's cookies are lost",
        "RequestsExchange._keep_cookies",
        drop("cookies.extract_cookies_to_jar(jar, request, self.response.raw)"),
        tests=("guarantees/test_replay.py::test_cookies_of_the_rejection_are_kept[requests]",),
    ),
    Mutant(
        6,
        "httpx: the rejection's cookies are lost",
        "HttpxExchange._keep_cookies",
        drop("cookies.extract_cookies(self.response)"),
        tests=("guarantees/test_replay.py::test_cookies_of_the_rejection_are_kept[httpx2]",),
    ),
    Mutant(
        6,
        "requests: the rejection isn't in the history",
        "RequestsExchange.take",
        drop("answer.history.extend(self._past)"),
        tests=("guarantees/test_replay.py::test_rejection_is_in_the_history_and_the_token_call_is_not[requests]",),
    ),
    Mutant(
        6,
        "requests: the rejection's connection isn't used again",
        "RequestsExchange._read",
        replace("self._read_raw(raw) if is_worthwhile else None", "None"),
        tests=(
            "guarantees/test_replay.py::test_connection_of_a_streamed_rejection_is_used_again[requests]",
            "guarantees/test_replay.py::test_connection_of_the_rejection_is_used_again[requests-plain]",
        ),
    ),
    Mutant(
        6,
        "the rejection's connection is held while the token is renewed",
        "_Course._replace",
        drop("Do(exchange.drain)"),
        tests=("guarantees/test_replay.py::test_connection_of_the_rejection_serves_others_while_the_token_is_renewed",),
    ),
)
