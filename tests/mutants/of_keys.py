"""Faults in what keys do: attempts, challenges, keys that travel with tokens, requests, and tokens made of others."""

from __future__ import annotations

from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

CALLS = "_server/calls.py"
STATE = "_server/server_state.py"
PROOFS_OF_CALLS = "units/test_proofs_of_calls.py"
BOUND_KEYS = "units/test_bound_keys.py"

MUTANTS = (
    # -- 20: Each attempt proves anew ---------------------------------------------------------------------------------
    Mutant(
        20,
        "an attempt is a copy of the one before",
        "_keys/assertions.py",
        '            "jti": secrets.token_urlsafe(16),',
        '            "jti": "the same",',
        (f"{PROOFS_OF_CALLS}::test_assertion_and_proof_are_new_each_time",),
    ),
    Mutant(
        20,
        "an assertion is for the URL though the issuer is known",
        "_keys/assertions.py",
        "attempt.url if attempt.issuer is None or to_url else attempt.issuer",
        "attempt.url",
        ("units/test_assertions.py::test_whom_it_is_for",),
    ),
    Mutant(
        20,
        "the other audience isn't tried",
        "_server/client.py",
        'return _Way(method, {"assertion_to_url": False}), _Way(_ToUrl(method), {"assertion_to_url": True})',
        'return (_Way(method, {"assertion_to_url": False}),)',
        (f"{PROOFS_OF_CALLS}::test_the_audience_that_the_server_takes_is_remembered",),
    ),
    Mutant(
        20,
        "a refused assertion isn't tried by the server's clock",
        "_server/client.py",
        "or not self._calls.server.sets_clock(for_proof=False):",
        "or True:",
        (f"{PROOFS_OF_CALLS}::test_a_refused_assertion_is_made_anew_by_the_servers_clock",),
    ),
    Mutant(
        20,
        "a key's file is read once",
        "_keys/jose.py",
        "            if loaded is None or content != self._read:\n",
        "            if loaded is None:\n",
        ("units/test_keys.py::test_a_file_is_read_for_each_signature",),
    ),
    Mutant(
        20,
        "an assertion's file that's missing is a final error",
        "_keys/assertions.py",
        "    failure.retryable = True\n    raise failure\n",
        "    raise failure\n",
        ("units/test_assertions.py::test_a_projected_token_is_read_for_each_attempt",),
    ),
    # -- 22: A challenge is answered with a proof ---------------------------------------------------------------------
    Mutant(
        22,
        "whether a nonce is news is asked of what is known",
        CALLS,
        "        return error is not None and challenges.answer(error, had, given)\n",
        "        return error is not None and challenges.answer(error, self.server.nonce, given)\n",
        (f"{PROOFS_OF_CALLS}::test_a_nonce_is_taken_at_once",),
    ),
    Mutant(
        22,
        "a challenge counts among a call's attempts",
        CALLS,
        "            if call.has_proof and self._is_about_proof(failure, challenges, attempt.nonce, nonce):\n"
        "                continue\n",
        "            if call.has_proof and self._is_about_proof(failure, challenges, attempt.nonce, nonce):\n"
        "                next(pauses, None)\n                continue\n",
        (f"{PROOFS_OF_CALLS}::test_challenges_do_not_count_as_attempts",),
    ),
    Mutant(
        22,
        "challenges of a call never end",
        STATE,
        "_MOST_NONCES = 2\n",
        "_MOST_NONCES = 20\n",
        (f"{PROOFS_OF_CALLS}::test_challenges_that_never_end",),
    ),
    Mutant(
        22,
        "a refused proof is made anew for ever",
        STATE,
        '        if error == "invalid_dpop_proof" and not self._has_renewed:\n',
        '        if error == "invalid_dpop_proof":\n',
        (f"{PROOFS_OF_CALLS}::test_a_second_refusal_of_the_proof_is_raised",),
    ),
    Mutant(
        22,
        "a refused proof is made anew by this machine's clock",
        STATE,
        "        self.offset = self._away\n",
        "        pass\n",
        (f"{PROOFS_OF_CALLS}::test_a_refused_proof_is_made_anew_by_the_servers_clock",),
    ),
    Mutant(
        22,
        "any text is a nonce",
        STATE,
        "        if nonce is None or not is_nonce(nonce):\n            return None\n        self.nonce",
        "        if nonce is None:\n            return None\n        self.nonce",
        (f"{PROOFS_OF_CALLS}::test_a_challenge_without_a_nonce_is_raised",),
    ),
    Mutant(
        22,
        "a challenge of the proof counts as a rejection of the token",
        "_wire/challenges.py",
        "    *_ABOUT_THE_PROOF,\n",
        "",
        ("units/test_challenges.py",),
    ),
    # -- 23: A key lives as long as its refresh token -----------------------------------------------------------------
    Mutant(
        23,
        "a refresh proves a key of the object's own",
        "_keys/binding.py",
        "        key = self.given or present\n",
        "        key = self.given\n",
        (f"{BOUND_KEYS}::test_a_refresh_proves_the_key_of_its_own_token",),
    ),
    Mutant(
        23,
        "the key isn't stored",
        "_renewal/known_tokens.py",
        "superseded=known.superseded, key=key)",
        "superseded=known.superseded)",
        (f"{BOUND_KEYS}::test_a_refresh_proves_the_key_of_its_own_token",),
    ),
    Mutant(
        23,
        "a sibling's token is adopted without its key",
        "_renewal/merge.py",
        "    known = known.with_key(token, stored.key)\n",
        "",
        (f"{BOUND_KEYS}::test_a_siblings_token_comes_with_its_key",),
    ),
    Mutant(
        23,
        "a token whose key is lost is taken from the store",
        "_renewal/known_tokens.py",
        "is_usable = has_key and ",
        "is_usable = ",
        (f"{BOUND_KEYS}::test_a_token_without_its_key_is_of_no_use",),
    ),
    Mutant(
        23,
        "a key of the user's is stored",
        "_renewal/known_tokens.py",
        "return None if binding is None or binding.given is not None else key",
        "return None if binding is None else key",
        (f"{BOUND_KEYS}::test_a_given_key_is_not_stored",),
    ),
    Mutant(
        23,
        "a token that isn't bound is kept",
        "_server/server_errors.py",
        "    if key is not None and not token.is_bound:\n",
        "    if False:\n",
        (f"{BOUND_KEYS}::test_a_token_that_is_not_bound_is_not_kept",),
    ),
    Mutant(
        23,
        "a web application's code is redeemed with another key",
        "_renewal/logins.py",
        "before = yield from self._keep_login(token, login.key)",
        "before = yield from self._keep_login(token, None)",
        (f"{BOUND_KEYS}::test_a_login_that_was_led_elsewhere_has_its_own_key",),
    ),
    Mutant(
        23,
        "each attempt makes a key of its own",
        "_keys/binding.py",
        "        if self._made is None:\n            self._made",
        "        if True:\n            self._made",
        (f"{BOUND_KEYS}::test_a_key_that_was_made_is_used_until_a_token_is_bound_to_it",),
    ),
    Mutant(
        23,
        "keys of tokens that are gone are kept",
        "_renewal/merge.py",
        " for name, known in self.keys.items() if name in kept}",
        " for name, known in self.keys.items()}",
        (f"{BOUND_KEYS}::test_keys_of_tokens_that_are_gone_are_forgotten",),
    ),
    Mutant(
        23,
        "a bearer token is taken for a bound one",
        "_renewal/entry.py",
        '        if named.get("dpop") != owner.get("dpop"):\n',
        "        if False:\n",
        (f"{BOUND_KEYS}::test_bound_and_other_tokens_are_never_mixed_up",),
    ),
    Mutant(
        23,
        "a refusal of the proof ends the refresh token",
        "_server/server_errors.py",
        "_ABOUT_THE_CALL = {\n    *_ABOUT_THE_PROOF,\n",
        "_ABOUT_THE_CALL = {\n",
        ("units/test_grants.py::test_what_ends_a_refresh_token",),
    ),
)
