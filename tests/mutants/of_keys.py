"""Faults in what keys do: attempts, challenges, keys that travel with tokens, requests, and tokens made of others."""

from __future__ import annotations

from tests.mutants.edits import always, drop, insert, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

PROOFS_OF_CALLS = "units/test_proofs_of_calls.py"
BOUND_KEYS = "units/test_bound_keys.py"

MUTANTS = (
    # -- 20: Each attempt proves anew ---------------------------------------------------------------------------------
    Mutant(
        20,
        "an attempt is a copy of the one before",
        "_Jwt._make",
        replace("secrets.token_urlsafe(16)", '"the same"'),
        tests=(f"{PROOFS_OF_CALLS}::test_assertion_and_proof_are_new_each_time",),
    ),
    Mutant(
        20,
        "an assertion is for the URL though the issuer is known",
        "_Jwt._make",
        replace("attempt.url if attempt.issuer is None or to_url else attempt.issuer", "attempt.url"),
        tests=("units/test_assertions.py::test_whom_it_is_for",),
    ),
    Mutant(
        20,
        "the other audience isn't tried",
        "Client._possible_ways",
        drop('_Way(_ToUrl(method), {"assertion_to_url": True})'),
        tests=(f"{PROOFS_OF_CALLS}::test_the_audience_that_the_server_takes_is_remembered",),
    ),
    Mutant(
        20,
        "a refused assertion isn't tried by the server's clock",
        "Client._send_by",
        always("not self._calls.server.sets_clock(for_proof=False)"),
        tests=(f"{PROOFS_OF_CALLS}::test_a_refused_assertion_is_made_anew_by_the_servers_clock",),
    ),
    Mutant(
        20,
        "a key's file is read once",
        "PrivateKey._now",
        drop("content != loaded.source"),
        tests=("units/test_keys.py::test_a_file_is_read_for_each_signature",),
    ),
    Mutant(
        20,
        "an assertion's file that's missing is a final error",
        "_read",
        drop("failure.retryable = True"),
        tests=("units/test_assertions.py::test_a_projected_token_is_read_for_each_attempt",),
    ),
    # -- 21: A certificate is shown, and followed ---------------------------------------------------------------------
    Mutant(
        21,
        "calls with a certificate go where those without do",
        "Endpoints.find",
        drop("self._alias(metadata, name)"),
        tests=("units/test_metadata.py::test_calls_that_show_a_certificate_go_to_the_aliases",),
    ),
    Mutant(
        21,
        "calls without a certificate go to the aliases",
        "Endpoints._alias",
        drop("not self._shows_certificate"),
        tests=("guarantees/test_mutual_tls.py::test_aliases_are_for_certificates[requests-False-False]",),
    ),
    Mutant(
        21,
        "contexts that were given out keep the old certificate",
        "ClientCertificate._follow",
        drop("*self._given"),
        tests=("units/test_certificates.py::test_contexts_follow_at_the_next_token_call",),
    ),
    Mutant(
        21,
        "a key and a certificate that don't fit are taken",
        "ClientCertificate._follow",
        replace("(_scratch(), *self._given)", "tuple(self._given)"),
        tests=("units/test_certificates.py::test_a_pair_that_does_not_fit_leaves_contexts_as_they_are",),
    ),
    Mutant(
        21,
        "a replay goes over the connection that shows the old certificate",
        "TokenAuth._take",
        never("settings.certificate is not None"),
        tests=("guarantees/test_mutual_tls.py::test_a_rotated_certificate_is_shown_by_the_replay",),
    ),
    # -- 22: A challenge is answered with a proof ---------------------------------------------------------------------
    Mutant(
        22,
        "whether a nonce is news is asked of what is known",
        "Attempts._is_about_proof",
        replace(
            "self._challenges.answer(error, had, given)",
            "self._challenges.answer(error, self._calls.server.nonce, given)",
        ),
        tests=(f"{PROOFS_OF_CALLS}::test_a_nonce_is_taken_at_once",),
    ),
    Mutant(
        22,
        "a challenge counts among a call's attempts",
        "Attempts.make",
        insert("next(self._pauses, None)", before="continue"),
        tests=(f"{PROOFS_OF_CALLS}::test_challenges_do_not_count_as_attempts",),
    ),
    Mutant(
        22,
        "challenges of a call never end",
        "_MOST_NONCES",
        replace("2", "20"),
        tests=(f"{PROOFS_OF_CALLS}::test_challenges_that_never_end",),
    ),
    Mutant(
        22,
        "a refused proof is made anew for ever",
        "is_answerable",
        drop("error not in answered"),
        tests=(f"{PROOFS_OF_CALLS}::test_a_second_refusal_of_the_proof_is_raised",),
    ),
    Mutant(
        22,
        "a refused proof is made anew by this machine's clock",
        "ServerState.sets_clock",
        drop("self.offset = self._away"),
        tests=(f"{PROOFS_OF_CALLS}::test_a_refused_proof_is_made_anew_by_the_servers_clock",),
    ),
    Mutant(
        22,
        "any text is a nonce",
        "ServerState.note_nonce",
        drop("not is_nonce(nonce)"),
        tests=(f"{PROOFS_OF_CALLS}::test_a_challenge_without_a_nonce_is_raised",),
    ),
    Mutant(
        22,
        "a challenge of the proof counts as a rejection of the token",
        "_NOT_ABOUT_THE_TOKEN",
        drop("*_ABOUT_THE_PROOF"),
        tests=("units/test_challenges.py",),
    ),
    # -- 23: A key lives as long as its refresh token -----------------------------------------------------------------
    Mutant(
        23,
        "a refresh proves a key of the object's own",
        "Binding.key_for",
        drop("present"),
        tests=(f"{BOUND_KEYS}::test_a_refresh_proves_the_key_of_its_own_token",),
    ),
    Mutant(
        23,
        "the key isn't stored",
        "Tokens.save",
        drop("key=key"),
        tests=(f"{BOUND_KEYS}::test_a_refresh_proves_the_key_of_its_own_token",),
    ),
    Mutant(
        23,
        "a sibling's token is adopted without its key",
        "merge",
        drop("known = known.with_key(token, stored.key)"),
        tests=(f"{BOUND_KEYS}::test_a_siblings_token_comes_with_its_key",),
    ),
    Mutant(
        23,
        "a token whose key is lost is taken from the store",
        "Tokens.look",
        drop("self.can_send(last)"),
        tests=(f"{BOUND_KEYS}::test_a_token_without_its_key_is_of_no_use",),
    ),
    Mutant(
        23,
        "a key of the user's is stored",
        "Binding.use",
        replace("None if self.given is not None else key", "key"),
        tests=(f"{BOUND_KEYS}::test_a_given_key_is_not_stored",),
    ),
    Mutant(
        23,
        "a token that isn't bound is kept",
        "check_binding",
        never("key is not None and not token.is_bound"),
        tests=(f"{BOUND_KEYS}::test_a_token_that_is_not_bound_is_not_kept",),
    ),
    Mutant(
        23,
        "a web application's code is redeemed with another key",
        "Logins.complete_login.make",
        replace("login.key", "None"),
        tests=(f"{BOUND_KEYS}::test_a_login_that_was_led_elsewhere_has_its_own_key",),
    ),
    Mutant(
        23,
        "each attempt makes a key of its own",
        "Binding.key_for",
        always("self._made is None"),
        tests=(f"{BOUND_KEYS}::test_a_key_that_was_made_is_used_until_a_token_is_bound_to_it",),
    ),
    Mutant(
        23,
        "keys of tokens that are gone are kept",
        "Known.with_key",
        drop("name in kept"),
        tests=(f"{BOUND_KEYS}::test_keys_of_tokens_that_are_gone_are_forgotten",),
    ),
    Mutant(
        23,
        "a bearer token is taken for a bound one",
        "unpack",
        never('named.get("dpop") != owner.get("dpop")'),
        tests=(f"{BOUND_KEYS}::test_bound_and_other_tokens_are_never_mixed_up",),
    ),
    Mutant(
        23,
        "a refusal of the proof ends the refresh token",
        "_ABOUT_THE_CALL",
        drop("*_ABOUT_THE_PROOF"),
        tests=("units/test_grants.py::test_what_ends_a_refresh_token",),
    ),
    # -- 24: Requests that nobody can read or change, and logins that an API asks for ----------------------------------
    Mutant(
        24,
        "requests are pushed only where that's asked for",
        "AuthorizationRequests._pushes",
        replace(
            'is_required or "pushed_authorization_request_url" in self._endpoints.given',
            '"pushed_authorization_request_url" in self._endpoints.given',
        ),
        tests=("guarantees/test_authorization_requests.py::test_which_requests_are_pushed",),
    ),
    Mutant(
        24,
        "a pushed request has no proof",
        "AuthorizationRequests._push.send",
        replace("{**fields, **client.fields, **proof_of(key)}", "{**fields, **client.fields}"),
        tests=("guarantees/test_authorization_requests.py::test_a_nonce_is_taken_at_the_first_push",),
    ),
    Mutant(
        24,
        "a pushed request is in the URL, too",
        "AuthorizationRequest.url",
        drop('"request_uri"'),
        tests=("guarantees/test_authorization_requests.py::test_what_is_pushed_is_in_no_url",),
    ),
    Mutant(
        24,
        "a signed request is good for a day",
        "_LONGEST",
        replace("3600", "86400"),
        tests=("units/test_request_object.py::test_it_is_good_for_an_hour_at_most",),
    ),
    Mutant(
        24,
        "a web application's request doesn't carry its key",
        "AuthorizationCodeGrant.request_for_web",
        replace("request if self._binding.given is not None else request.bound_to(key.private_jwk)", "request"),
        tests=("guarantees/test_authorization_requests.py::test_what_one_process_begins_another_completes",),
    ),
    Mutant(
        24,
        "a demand for another login counts as a rejection of the token",
        "_NOT_ABOUT_THE_TOKEN",
        drop("_STEP_UP"),
        tests=("units/test_challenges.py",),
    ),
    Mutant(
        23,
        "joserfc is imported in a flight",
        "_read_dpop",
        drop("prepare()"),
        tests=("guarantees/test_lifecycle.py::test_a_flight_imports_nothing[requests-dpop]",),
    ),
    # -- 25: Tokens made of others ------------------------------------------------------------------------------------
    Mutant(
        25,
        "a subject that's refused isn't renewed",
        "TokenExchangeGrant.request_token",
        always("error.error not in _REFUSES_SUBJECT or not others"),
        tests=("servers/test_secure_provider.py::test_chains_of_exchanges",),
    ),
    Mutant(
        25,
        "an exchanged token outlives the login that it was made of",
        "TokenSource._end_dependents",
        replace("tuple(self._dependents or ())", "()"),
        tests=("guarantees/test_whose_tokens.py::test_an_exchanged_token_ends_with_the_login_it_was_made_of",),
    ),
    Mutant(
        25,
        "users whose logins are kept elsewhere share an exchanged token",
        "name_of_source",
        replace(
            "isinstance(source, TokenAuth) and store is not None and source._store is store",
            "isinstance(source, TokenAuth) and True",
        ),
        tests=("guarantees/test_whose_tokens.py::test_a_key_that_does_not_tell_users_apart_is_not_derived",),
    ),
)
