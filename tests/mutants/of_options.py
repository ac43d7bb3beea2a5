"""Faults in what the newest options do: targets, hooks, offline access, and logins that are led elsewhere."""

from __future__ import annotations

from tests.mutants.edits import always, drop, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS = (
    # -- 17: Logins that a web application leads ----------------------------------------------------------------------
    Mutant(
        17,
        "a redirect that comes again sends its code again",
        "Logins.complete_login.make",
        never("is_present is not None"),
        tests=("units/test_acquisition.py::test_a_completed_login_is_not_completed_twice",),
    ),
    Mutant(
        17,
        "siblings don't learn that a login is complete",
        "AuthorizationCodeGrant.dump_state",
        replace('{"completed": list(self._completed)} if self._completed else {}', "{}"),
        tests=("units/test_acquisition.py::test_a_completed_login_is_not_completed_twice",),
    ),
    Mutant(
        17,
        "a code that was refused counts as a completed login",
        "AuthorizationCodeGrant.load_state",
        replace('state.get("completed")', 'state.get("completed") or [state.get("code")]'),
        tests=("units/test_acquisition.py::test_a_code_that_was_only_spent_is_no_login",),
    ),
    Mutant(
        17,
        "a sibling's token takes the place of a new login",
        "Logins.complete_login",
        replace("self._making.under_lock(Reason.LOGIN, None, make)", "self._making.under_lock(Reason.LOGIN, (), make)"),
        tests=("units/test_acquisition.py::test_no_siblings_token_takes_the_place_of_a_new_login",),
    ),
    Mutant(
        17,
        "the refresh token of the login before isn't ended",
        "Logins._to_be_ended",
        replace(
            "None if subject is not None and subject == subject_of(before) else before",
            "None if subject is not None and subject == subject_of(before) else None",
        ),
        tests=("units/test_acquisition.py::test_a_login_led_elsewhere_replaces_the_one_before",),
    ),
    Mutant(
        17,
        "a refresh token that the server has issued again is ended",
        "Logins._to_be_ended",
        drop("before.refresh_token == token.refresh_token"),
        tests=("units/test_acquisition.py::test_only_another_refresh_token_is_ended",),
    ),
    Mutant(
        17,
        "a refused revocation fails the new login",
        "Logins.end_login",
        replace("except OAuthError as error: ...", "except KeyError as error: ..."),
        tests=("units/test_acquisition.py::test_a_new_login_stands_if_the_old_one_cannot_be_ended",),
    ),
    Mutant(
        17,
        "the old refresh token is used after it was ended",
        "Logins._to_be_ended",
        drop("self._grant.bury([digest(before.refresh_token)])"),
        tests=("units/test_acquisition.py::test_a_new_login_stands_if_the_old_one_cannot_be_ended",),
    ),
    Mutant(
        17,
        "a failed login leaves its failure to the requests",
        "Renewals._complete_login",
        replace("self._land(Landed(still_valid(self._slot.state, self._flown()), failed))", "self._land_failed(error)"),
        tests=("logins/test_web_logins.py::test_a_failed_login_is_no_failure_of_the_requests[requests]",),
    ),
    Mutant(
        17,
        "the redirect isn't checked",
        "AuthorizationCode._complete",
        replace("request.code_from(redirected_url)", 'redirected_url.partition("code=")[2].partition("&")[0]'),
        tests=("logins/test_web_logins.py::test_a_login_that_fails_changes_nothing[requests]",),
    ),
    Mutant(
        17,
        "a request of another client is taken",
        "AuthorizationCode._complete",
        never("request.client_id != self._client.client_id"),
        tests=("logins/test_web_logins.py::test_what_does_not_belong_together_is_refused[requests]",),
    ),
    Mutant(
        17,
        "the login before is ended though the new one isn't saved",
        "Logins._to_be_ended",
        drop("self.tokens.known.is_unsaved"),
        tests=("units/test_acquisition.py::test_the_login_before_is_not_ended_until_the_new_one_is_saved",),
    ),
    Mutant(
        17,
        "the same user's login before is ended, and the new one with it",
        "Logins._to_be_ended",
        never("subject is not None"),
        tests=("units/test_acquisition.py::test_the_same_users_login_is_not_ended",),
    ),
    Mutant(
        17,
        "a login whose lock was lost gives way to a renewal of the one before",
        "Logins._keep",
        replace(
            "tokens.renewed(token, key, is_login=True)", "if before is None: tokens.renewed(token, key, is_login=True)"
        ),
        tests=("units/test_acquisition.py::test_a_login_is_kept_though_the_lock_was_lost",),
    ),
    Mutant(
        17,
        "an earlier login's code stands for the present one",
        "AuthorizationCodeGrant.completion",
        always("code_digest == self._completed[-1]"),
        tests=("units/test_acquisition.py::test_only_the_present_logins_code_stands_for_it",),
    ),
    Mutant(
        17,
        "a request of another server is taken",
        "AuthorizationCode._complete",
        replace(
            'not request.is_for(self._endpoints.issuer, self._endpoints.given.get("authorization_url"))',
            'False and not request.is_for(self._endpoints.issuer, self._endpoints.given.get("authorization_url"))',
        ),
        tests=("logins/test_web_logins.py::test_what_does_not_belong_together_is_refused[requests]",),
    ),
    Mutant(
        9,
        "what a sibling has replaced is gone back to",
        "merge",
        replace("None if was_replaced else known.last", "known.last"),
        tests=("units/test_merge.py::test_what_a_sibling_has_replaced_is_not_kept",),
    ),
    Mutant(
        13,
        "a flight imports what it needs",
        "load_for_flights",
        drop("importlib.import_module(name)"),
        tests=("guarantees/test_lifecycle.py::test_a_flight_imports_nothing[requests-none]",),
    ),
    # -- 12, 18: Hooks ------------------------------------------------------------------------------------------------
    Mutant(
        12,
        "a secret that a hook adds is shown",
        "TokenHooks.prepare",
        replace("changed.with_secrets_of(request)", "changed"),
        tests=("guarantees/test_token_hooks.py::test_a_secret_that_a_hook_adds_is_not_shown[requests]",),
    ),
    Mutant(
        18,
        "a hook may send a secret over plain http",
        "TokenHooks.prepare",
        drop("check_transport(changed.url, allow_insecure=self.allow_insecure)"),
        tests=("guarantees/test_token_hooks.py::test_a_hook_that_fails_is_a_token_error",),
    ),
    Mutant(
        18,
        "a hook sees the first attempt alone",
        "Attempts.make",
        replace("self._prepare is None", "self._prepare is None or self.statuses[1:]"),
        tests=("guarantees/test_token_hooks.py::test_a_hook_sees_each_attempt[requests]",),
    ),
    Mutant(
        10,
        "a hook that fails hides the server's words",
        "_adapt",
        replace("if is_error: ...", "if False: ..."),
        tests=("guarantees/test_token_hooks.py::test_the_servers_words_stand_where_a_hook_fails_on_an_error",),
    ),
    # -- 10: What a token is for --------------------------------------------------------------------------------------
    Mutant(
        10,
        "the authorization request has no audience",
        "AuthorizationRequests.make",
        replace(
            '{**({"prompt": "consent"} if is_offline else {}), **options.targets}',
            '{**({"prompt": "consent"} if is_offline else {}), }',
        ),
        tests=("guarantees/test_targets.py::test_the_authorization_request_says_it_too[requests]",),
    ),
    Mutant(
        10,
        "what the URL says is said twice",
        "AuthorizationRequests.make",
        drop("name not in in_url"),
        tests=("guarantees/test_targets.py::test_what_the_url_says_is_not_said_twice[requests]",),
    ),
    Mutant(
        10,
        "offline access is asked for where the server doesn't offer it",
        "Endpoints.scope_of_login",
        always("isinstance(supported, list) and _OFFLINE_ACCESS in supported"),
        tests=("guarantees/test_targets.py::test_offline_access_is_asked_for_where_the_server_offers_it",),
    ),
    Mutant(
        10,
        "a resource may have a fragment",
        "check_resource",
        never('"#" in resource'),
        tests=("units/test_options.py::test_wrong_options_are_refused",),
    ),
    Mutant(
        14,
        "a class in place of an object is told as a missing argument",
        "takes_options.checked",
        never("len(args) > 1"),
        tests=("guarantees/test_mistakes.py::test_a_mistake_is_explained",),
    ),
)
