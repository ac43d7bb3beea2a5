"""Faults in origins, transports, refresh tokens, answers, client authentication and what is shown."""

from __future__ import annotations

from tests.mutants.edits import always, drop, insert, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS = (
    # -- 7: The token goes only where the caller sent it --------------------------------------------------------------
    Mutant(
        7,
        "requests: another origin's rejection counts as the first one's",
        "RequestsExchange.carried",
        replace('same and header.startswith(_OURS if header else "")', 'header.startswith(_OURS if header else "")'),
        tests=(
            "guarantees/test_origins.py::test_rejection_by_another_origin_that_got_the_token_renews_nothing[requests]",
        ),
    ),
    Mutant(
        7,
        "niquests: another origin's rejection counts as the first one's",
        "RequestsExchange.carried",
        replace('same and header.startswith(_OURS if header else "")', 'header.startswith(_OURS if header else "")'),
        tests=(
            (
                "guarantees/test_origins.py::"
                "test_rejection_by_another_origin_that_got_the_token_renews_nothing[niquests-asyncio]"
            ),
        ),
    ),
    Mutant(
        7,
        "httpx: another origin's rejection counts as the first one's",
        "HttpxExchange._carries",
        drop("not self._leaves(request)"),
        tests=(
            "guarantees/test_origins.py::test_rejection_by_another_origin_that_got_the_token_renews_nothing[httpx]",
        ),
    ),
    Mutant(
        7,
        "requests: the rejection of credentials of the caller's counts as one of the token",
        "RequestsExchange.carried",
        drop('header.startswith(_OURS if header else "")'),
        tests=(
            "guarantees/test_origins.py::test_rejection_of_other_credentials_after_a_redirect_renews_nothing[requests]",
        ),
    ),
    Mutant(
        7,
        "the token goes to origins that aren't allowed",
        "Origins.admits",
        never("self._allowed is not None and (origin := origin_of(url)) not in self._allowed"),
        tests=(
            "guarantees/test_origins.py::test_origin_that_is_not_allowed_gets_the_request_without_the_token[requests-200]",
            "guarantees/test_origins.py::test_origin_that_is_not_allowed_gets_the_request_without_the_token[httpx2-200]",
        ),
    ),
    Mutant(
        7,
        "requests: a URL that begins like the last origin counts as there",
        "RequestsHooks._hook_for",
        replace('(f"{beginning}/", len(beginning) + 1, known)', "(beginning, len(beginning), known)"),
        tests=("guarantees/test_origins.py::test_url_without_a_path_opens_no_other_origin[requests]",),
    ),
    Mutant(
        7,
        "ports make no other origin",
        "origin_of",
        replace('f"{scheme}://{host}:{port}"', 'f"{scheme}://{host}"'),
        tests=("units/test_urls.py::test_origins_are_read",),
    ),
    Mutant(
        7,
        "niquests: a token that's fetched late is added after a redirect",
        "NiquestsAuth._fetch",
        always('isinstance(request.headers.get("Authorization"), _Unsent)'),
        tests=("plugins/test_niquests.py::test_a_token_fetched_late_is_not_added_after_a_redirect[niquests]",),
    ),
    # -- 8: No token or secret over plain http ------------------------------------------------------------------------
    Mutant(
        8,
        "the token goes over plain http",
        "Origins.admits",
        drop("check_transport(url, allow_insecure=self._allow_insecure)"),
        tests=(
            "guarantees/test_origins.py::test_token_is_not_sent_over_plain_http[requests]",
            "guarantees/test_origins.py::test_token_is_not_sent_over_plain_http[httpx]",
        ),
    ),
    Mutant(
        8,
        "a host whose name ends like loopback's counts as loopback",
        "_is_loopback",
        replace('host.endswith(".localhost")', 'host.endswith("localhost")'),
        tests=("units/test_urls.py::test_plain_http_beyond_loopback_is_refused",),
    ),
    Mutant(
        8,
        "WebSockets without TLS count as safe",
        "_SAME_SECURITY",
        replace(
            '{"ws": "http", "wss": "https", "psse": "http", "sse": "https"}',
            '{"wss": "https", "psse": "http", "sse": "https"}',
        ),
        tests=("units/test_urls.py::test_schemes_of_http_are_known",),
    ),
    Mutant(
        8,
        "a token endpoint may be on plain http",
        "check_endpoint",
        replace("allow_insecure=allow_insecure", "allow_insecure=True"),
        tests=("units/test_urls.py::test_plain_http_beyond_loopback_is_refused",),
    ),
    Mutant(
        8,
        "requests: token calls follow redirects",
        "RequestsTokenTransport._send",
        replace("allow_redirects=False", "allow_redirects=True"),
        tests=("guarantees/test_origins.py::test_token_call_follows_no_redirect[requests-own]",),
    ),
    Mutant(
        8,
        "httpx: token calls follow redirects",
        "HttpxTokenTransport._send",
        replace("follow_redirects=False", "follow_redirects=True"),
        tests=("guarantees/test_origins.py::test_token_call_follows_no_redirect[httpx-own]",),
    ),
    Mutant(
        8,
        "httpx: token calls that share an event loop follow redirects",
        "HttpxTokenTransport._send_async",
        replace("follow_redirects=False", "follow_redirects=True"),
        tests=("guarantees/test_many_objects.py::test_no_redirect_is_followed",),
    ),
    # -- 9: Rotated refresh tokens aren't lost ------------------------------------------------------------------------
    Mutant(
        9,
        "while a token is unsaved, whatever a sibling saved counts as newer",
        "merge",
        drop("not known.is_unsaved"),
        tests=("units/test_merge.py::test_while_a_token_is_unsaved_the_later_expiry_wins",),
    ),
    Mutant(
        9,
        "after a failed save a sibling's older token is adopted",
        "merge",
        drop("not known.is_unsaved"),
        tests=(
            (
                "guarantees/test_refresh_tokens.py::"
                "test_an_older_token_that_a_sibling_saved_meanwhile_is_not_adopted[requests]"
            ),
        ),
    ),
    Mutant(
        9,
        "what a store that went back in time brings is adopted",
        "merge",
        never("known.has_superseded(token)"),
        tests=("units/test_merge.py::test_a_replaced_token_is_no_news",),
    ),
    Mutant(
        9,
        "what the store held at the last look counts as news",
        "merge",
        drop("_is_same(token, known.in_store)"),
        tests=("units/test_merge.py::test_what_was_there_before_is_no_news",),
    ),
    Mutant(
        9,
        "a logout isn't heeded by siblings",
        "merge",
        replace(
            "ended if known.is_ended_by(stored.logged_out) else replace(known, in_store=None)",
            "replace(known, in_store=None)",
        ),
        tests=("units/test_merge.py::test_a_mark_ends_the_login_that_it_is_about",),
    ),
    Mutant(
        9,
        "an answer without a refresh token loses the old one",
        "RefreshingGrant.refresh",
        replace("dataclasses.replace(token, refresh_token=refresh_token)", "token"),
        tests=("units/test_grants.py::test_a_refresh_token_is_kept_or_replaced",),
    ),
    Mutant(
        9,
        "a refused refresh token is sent again",
        "RefreshingGrant.refresh",
        drop("if ends_refresh_token(error): ..."),
        tests=("units/test_grants.py::test_a_dead_refresh_token_is_not_sent_again",),
    ),
    Mutant(
        9,
        "only `invalid_grant` ends a refresh token",
        "ends_refresh_token",
        never("error.status_code == 400 and error.error not in _ABOUT_THE_CALL and not refuses_client(error)"),
        tests=("units/test_grants.py::test_what_ends_a_refresh_token",),
    ),
    Mutant(
        9,
        "a refresh asks for more scope than was granted",
        "RefreshingGrant.refresh",
        replace("scope or self._scope", "self._scope"),
        tests=("units/test_grants.py::test_a_refresh_asks_for_the_scope_that_was_granted",),
    ),
    Mutant(
        9,
        "the store isn't looked into under the lock",
        "Making.under_lock",
        drop("if token is not None: ..."),
        tests=("units/test_acquisition.py::test_a_siblings_token_is_taken_under_the_lock",),
    ),
    Mutant(
        9,
        "the store isn't looked into after a refusal",
        "Making._make",
        replace("yield from tokens.look(excluded)", "None"),
        tests=("units/test_acquisition.py::test_after_a_refused_refresh_token_the_store_is_looked_into",),
    ),
    Mutant(
        9,
        "a new token isn't saved",
        "Making.keep",
        drop("yield from tokens.save()"),
        tests=("units/test_acquisition.py::test_a_first_token_is_made_under_the_lock_and_saved",),
    ),
    Mutant(
        9,
        "who lost the lock overwrites what a sibling saved",
        "Making.keep",
        always("yield from do(StillHeld())"),
        tests=("units/test_acquisition.py::test_who_lost_the_lock_takes_what_a_sibling_saved",),
    ),
    Mutant(
        9,
        "who has a good token waits for a sibling's lock",
        "Reason.waits_for_lock",
        replace("{Reason.DUE, Reason.STALE, Reason.UNSAVED}", "{Reason.UNSAVED}"),
        tests=("units/test_acquisition.py::test_a_lock_that_is_taken_is_not_waited_for_with_a_good_token",),
    ),
    Mutant(
        9,
        "a lock that nothing comes of is waited for all day",
        "Making.take_lock",
        replace("begun + self._entry.lock_wait", "begun + 86400"),
        tests=("units/test_acquisition.py::test_a_lock_is_gone_without_after_30_seconds_of_nothing",),
    ),
    Mutant(
        9,
        "a sibling's failure of a moment ago isn't shared",
        "Tokens.raise_shared_failure",
        replace("raise failure.restored(self._grant.transport_error, now)", "return"),
        tests=("units/test_acquisition.py::test_who_takes_the_lock_shares_the_last_failure",),
    ),
    Mutant(
        9,
        "a refresh token is sent after the program stood still",
        "HoldUps.forbid",
        never("isinstance(effect, Ask) and effect.is_single_use"),
        tests=("units/test_effects.py::test_nothing_is_sent_by_who_stood_still",),
    ),
    Mutant(
        9,
        "what couldn't be saved isn't tried again",
        "Renewals._mind_saver",
        never("saver is None and is_at_stake"),
        tests=(
            (
                "guarantees/test_refresh_tokens.py::"
                "test_a_token_that_could_not_be_saved_is_saved_without_a_request[requests-False]"
            ),
        ),
    ),
    Mutant(
        9,
        "the previous token's refresh asks for the last one's scope",
        "Tokens.live_refresh_token",
        replace("token.scope", "None if self.known.last is None else self.known.last.scope"),
        tests=("units/test_tokens.py::test_a_refresh_token_goes_with_its_own_scope",),
    ),
    # -- 10: Real servers' answers are read ---------------------------------------------------------------------------
    Mutant(
        10,
        "a lifetime as text isn't read",
        "_read_number",
        replace("str | int", "int"),
        tests=("units/test_messages.py::test_lifetimes_are_read",),
    ),
    Mutant(
        10,
        "a scope as a list isn't read",
        "read_answer",
        never("isinstance(scope, list)"),
        tests=("units/test_messages.py::test_scopes_are_read",),
    ),
    Mutant(
        10,
        "a form that's declared as text isn't read",
        "parse_body",
        drop('"text/plain"'),
        tests=("units/test_messages.py::test_bodies_are_read",),
    ),
    Mutant(
        10,
        "a refusal doesn't say that no secret was sent",
        "Sent.hints",
        never("not self.is_authenticated"),
        tests=(
            "units/test_words.py::test_what_is_said_of_a_refusal",
            "guarantees/test_mistakes.py::test_a_mistake_is_explained[requests-no secret]",
        ),
    ),
    Mutant(
        10,
        "an error with status 200 isn't read",
        "read_fields",
        always('fields.get("access_token") or not isinstance(error, str) or not error'),
        tests=("units/test_messages.py::test_errors_are_read_with_any_status",),
    ),
    Mutant(
        10,
        "an answer of more than 1 MiB is read",
        "read_fields",
        never("len(body) > MAX_BODY"),
        tests=("units/test_messages.py::test_a_longer_body_is_refused",),
    ),
    Mutant(
        10,
        "an endless answer is read on and on",
        "Body.takes",
        drop("if len(self._bytes) > MAX_BODY: ..."),
        tests=("guarantees/test_token_calls.py::test_an_endless_body_is_refused[httpx2]",),
    ),
    Mutant(
        10,
        "a token of an unknown type isn't sent as Bearer",
        "Credential.from_token",
        replace("token.authorization", 'f"{token.token_type} {token.access_token}"'),
        tests=("guarantees/test_answers.py::test_an_unknown_token_type_is_sent_as_bearer_and_logged_once[requests]",),
    ),
    Mutant(
        10,
        "a kept token's `expires_at` isn't read",
        "OAuthToken.from_dict",
        drop('"expires_at"'),
        tests=("units/test_token.py::test_a_token_that_another_library_kept_is_read",),
    ),
    Mutant(
        10,
        "a provider's `ConfigurationError` reaches the request",
        "TokenProvider.request_token",
        replace("except TokenError: ...", "except OAuthError: ..."),
        tests=(
            "guarantees/test_answers.py::test_a_provider_that_gets_no_token_fails_the_request_as_a_server_does[requests-{}]",
        ),
    ),
    Mutant(
        10,
        "a date in `Retry-After` is compared with the local clock",
        "where_from",
        drop('read_date(response.headers.get("date"))'),
        tests=("units/test_messages.py::test_a_pause_counts_from_the_answers_own_date",),
    ),
    Mutant(
        10,
        "a lifetime counts from when the answer was read",
        "Attempts.make",
        replace("replace(response, received_at=arrived)", "response"),
        tests=("units/test_calls.py::test_an_answer_counts_from_when_it_arrived",),
    ),
    # -- 11: Basic client authentication ------------------------------------------------------------------------------
    Mutant(
        11,
        "id and secret aren't form-encoded",
        "basic_authorization",
        replace('_basic(quote(client_id, safe=""), quote(client_secret, safe=""))', "_basic(client_id, client_secret)"),
        tests=("units/test_client_auth.py::test_id_and_secret_are_form_encoded",),
    ),
    Mutant(
        11,
        "slashes aren't encoded",
        "basic_authorization",
        replace('quote(client_secret, safe="")', "quote(client_secret)"),
        tests=("units/test_client_auth.py::test_id_and_secret_are_form_encoded",),
    ),
    Mutant(
        11,
        "the other form isn't tried",
        "Client._send",
        never("refuses_client(error) and len(ways) > 1"),
        tests=("units/test_client_auth.py::test_the_other_form_is_tried_once",),
    ),
    Mutant(
        11,
        "the form that works isn't remembered",
        "Client._send",
        drop("self._detected = way if len(ways) > 1 else self._detected"),
        tests=("units/test_client_auth.py::test_the_other_form_is_tried_once",),
    ),
    Mutant(
        11,
        "a remembered form is second-guessed",
        "Client._ways",
        replace("self._possible_ways() if self._detected is None else (self._detected,)", "self._possible_ways()"),
        tests=("units/test_client_auth.py::test_a_remembered_form_is_never_second_guessed",),
    ),
    Mutant(
        11,
        "a wrong plain secret is sent twice",
        "ClientSecretBasic.other_form",
        drop('client_id + client_secret == quote(client_id + client_secret, safe="")'),
        tests=("units/test_client_auth.py::test_what_has_one_form_is_sent_once",),
    ),
    Mutant(
        11,
        "a secret's file is read only once",
        "Client.call",
        replace("read_anew(self._client_secret)", "None"),
        tests=("guarantees/test_environment.py::test_a_secret_that_is_rotated_is_read_anew[requests]",),
    ),
    Mutant(
        11,
        "a secret that's the same in its file is sent again",
        "FileSecret.read_anew",
        replace("None if text == self else FileSecret(text, self.path)", "FileSecret(text, self.path)"),
        tests=("guarantees/test_environment.py::test_a_file_without_another_secret_changes_nothing",),
    ),
    Mutant(
        11,
        "a refusal without an error isn't one of the client",
        "refuses_client",
        never("isinstance(error, TokenResponseError) and error.status_code in {400, 401, 403}"),
        tests=("units/test_client_auth.py::test_what_refuses_the_client",),
    ),
    # -- 12: No secret is shown ---------------------------------------------------------------------------------------
    Mutant(
        12,
        "a token's repr shows it",
        "OAuthToken.access_token",
        replace("access_token: str = dataclasses.field(repr=False)", "access_token: str"),
        tests=("units/test_token.py::test_its_repr_shows_all_that_is_no_secret",),
    ),
    Mutant(
        12,
        "a header's repr shows the token",
        "Header.__repr__",
        replace("f\"'{self.partition(' ')[0]} …'\"", "str.__repr__(self)"),
        tests=("guarantees/test_secrets.py::test_values_on_the_way_show_no_secret",),
    ),
    Mutant(
        12,
        "what a server echoes is shown",
        "redact",
        drop('value = value.replace(form, "[redacted]")'),
        tests=("units/test_properties.py::test_no_echo_shows_a_secret",),
    ),
    Mutant(
        12,
        "a server's words are shortened before secrets are removed",
        "redact",
        insert("value = value[:longest]", before="forms = ..."),
        tests=("units/test_words.py::test_a_secret_is_removed_before_the_text_is_shortened",),
    ),
    Mutant(
        12,
        "an echo of PKCE's verifier is shown",
        "_SECRET_FIELDS",
        drop('"code_verifier"'),
        tests=("guarantees/test_secrets.py::test_fields_that_are_secret_by_their_name_are_not_echoed",),
    ),
    Mutant(
        12,
        "the query of the device endpoint is in an error",
        "_unusable",
        replace("token_url=without_query(request.url)", "token_url=request.url"),
        tests=("guarantees/test_secrets.py::test_the_query_of_an_endpoint_is_not_shown[requests-device_login-empty]",),
    ),
    Mutant(
        12,
        "a request's repr shows its body",
        "TokenRequest.__repr__",
        replace(
            'f"{type(self).__name__}(method={self.method!r}, url={self.url!r})"',
            'f"{type(self).__name__}(url={self.url!r}, body={self.body!r})"',
        ),
        tests=("units/test_messages.py::test_a_token_request_shows_no_secret",),
    ),
    Mutant(
        12,
        "an operation raises from a frame that holds the secrets",
        "_operation.operation",
        drop("del args, kwargs"),
        tests=("guarantees/test_secrets.py::test_a_failing_operation_shows_no_secret[requests]",),
    ),
    Mutant(
        12,
        "a URL's query is shown",
        "without_query",
        replace(
            "f\"{prefix}{parts.netloc.rpartition('@')[2]}{parts.path}\"",
            "f\"{prefix}{parts.netloc.rpartition('@')[2]}{parts.path}?{parts.query}\"",
        ),
        tests=("units/test_urls.py::test_messages_show_no_secret_of_a_url",),
    ),
    Mutant(
        12,
        "a URL's user info is shown",
        "without_query",
        replace("parts.netloc.rpartition('@')[2]", "parts.netloc"),
        tests=("units/test_urls.py::test_messages_show_no_secret_of_a_url",),
    ),
    Mutant(
        12,
        "a transport error's cause holds the request",
        "unreachable",
        replace("copy(text)", "error"),
        tests=("guarantees/test_token_calls.py::test_the_cause_of_a_transport_error_holds_nothing[requests]",),
    ),
    Mutant(
        12,
        "what any store says in its error is logged",
        "_safe_text",
        drop("if not isinstance(error, OSError | TokenStoreError): ..."),
        tests=("guarantees/test_secrets.py::test_trouble_with_a_store_shows_no_secret",),
    ),
)
