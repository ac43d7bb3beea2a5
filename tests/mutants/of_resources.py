"""Faults in what a resource says of itself: whether it's believed, what is asked for, and where tokens go."""

from __future__ import annotations

from tests.mutants.edits import always, drop, never, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

OF_IDENTIFIERS, OF_CHALLENGES = "units/test_identifiers.py", "units/test_challenges.py"
OF_ACQUISITION, OF_DECISIONS = "units/test_acquisition.py", "units/test_decisions.py"
OF_GRANT, OF_REPLACING = "units/test_resource.py", "units/test_replacing.py"
OF_METADATA = "units/test_resource_metadata.py"

MUTANTS = (
    # -- The token stays in the resource ------------------------------------------------------------------------------
    Mutant(
        30,
        "a resource has what begins as its path does",
        "_is_below",
        replace('f"{above}/"', "above"),
        tests=(f"{OF_IDENTIFIERS}::test_what_is_within_a_resource",),
    ),
    Mutant(
        30,
        "a path may climb out of its resource",
        "covers",
        drop("not _climbs(parts.path)"),
        tests=(f"{OF_IDENTIFIERS}::test_dot_segments_are_outside",),
    ),
    Mutant(
        30,
        "a path is decoded once",
        "_climbs",
        replace("path = cleaned", "return re.search(_DOT_SEGMENT, cleaned) is not None"),
        tests=(f"{OF_IDENTIFIERS}::test_dot_segments_are_outside",),
    ),
    Mutant(
        30,
        "a request that a redirect has led out of the resource is sent again with the token",
        "_Course._is_within_reach",
        always("reach is None or covers(reach, self._answer.url)"),
        tests=(f"{OF_REPLACING}::test_what_demands_nothing_is_left_alone",),
    ),
    Mutant(
        32,
        "an address in hexadecimal digits is a name",
        "_address",
        replace('re.fullmatch(r"[0-9a-fx.]+", host)', 're.fullmatch(r"[0-9.]+", host)'),
        tests=(f"{OF_IDENTIFIERS}::test_hosts_inside",),
    ),
    Mutant(
        32,
        "an address of IPv6 that stands for a private one is taken as it is",
        "_address",
        drop("address.sixtofour"),
        tests=(f"{OF_IDENTIFIERS}::test_hosts_inside",),
    ),
    # -- What an answer demands ---------------------------------------------------------------------------------------
    Mutant(
        28,
        "the first challenge counts, whichever names an error",
        "_decisive",
        replace(
            'next((one for one in fitting if one.get("error") is not None), fitting[0] if fitting else None)',
            "fitting[0] if fitting else None",
        ),
        tests=(f"{OF_CHALLENGES}::test_what_an_answer_demands",),
    ),
    Mutant(
        28,
        "a request that's wrong demands a token",
        "demand_for",
        drop("error in _NOT_ABOUT_THE_TOKEN"),
        tests=(f"{OF_CHALLENGES}::test_what_an_answer_demands",),
    ),
    Mutant(
        28,
        "a scope that breaks its syntax is asked for",
        "demand_for",
        replace("scope if scope and re.fullmatch(_SCOPE, scope) else None", "scope or None"),
        tests=(f"{OF_CHALLENGES}::test_the_syntax_of_a_scope",),
    ),
    Mutant(
        35,
        "a demand in another order is another demand",
        "Demand.wanted",
        replace('frozenset((self.scope or "").split())', "self.scope"),
        tests=(f"{OF_CHALLENGES}::test_which_demands_are_one",),
    ),
    # -- Whose word counts --------------------------------------------------------------------------------------------
    Mutant(
        29,
        "metadata of any resource is believed",
        "ResourceMetadata.read",
        drop("not is_at_or_above(named, given)"),
        tests=(f"{OF_METADATA}::test_whose_word_counts",),
    ),
    Mutant(
        29,
        "a wider resource is believed from anywhere",
        "ResourceMetadata.read",
        drop("if not is_same_resource(named, given) and place != resource_metadata_places(named)[0]: ..."),
        tests=(f"{OF_METADATA}::test_whose_word_counts",),
    ),
    Mutant(
        28,
        "a bad gateway is a server's trouble",
        "read_resource_document",
        never("response.status_code == 502"),
        tests=(f"{OF_METADATA}::test_anything_else_is_not_here",),
    ),
    Mutant(
        29,
        "a resource's metadata is taken from another origin",
        "find_resource",
        replace(
            'named_place is not None and origin_of(named_place) == origin_of(resource) and "@" not in named_place',
            "named_place is not None",
        ),
        tests=(f"{OF_GRANT}::test_the_places_of_a_resources_metadata_are_asked_in_turn",),
    ),
    Mutant(
        28,
        "the resource's origin is asked before its path",
        "resource_metadata_places",
        replace(
            '[f"{origin}{_RESOURCE_METADATA}{path}", f"{origin}{_RESOURCE_METADATA}"]',
            '[f"{origin}{_RESOURCE_METADATA}", f"{origin}{_RESOURCE_METADATA}{path}"]',
        ),
        tests=(f"{OF_IDENTIFIERS}::test_places_of_a_resources_metadata",),
    ),
    Mutant(
        29,
        "an issuer that the user hasn't named is taken",
        "candidates_for",
        never("metadata.servers and not any(is_same_issuer(named, issuer) for named in metadata.servers)"),
        tests=(f"{OF_GRANT}::test_the_users_issuer_is_the_only_one",),
    ),
    Mutant(
        29,
        "an issuer with a slash at its path's end is another's",
        "is_same_issuer",
        replace("without_lone_slash(named) == without_lone_slash(issuer)", 'named.rstrip("/") == issuer.rstrip("/")'),
        tests=(f"{OF_IDENTIFIERS}::test_the_same_issuer",),
    ),
    Mutant(
        28,
        "a server that says nothing of PKCE is taken",
        "Surroundings.why_not",
        never("not isinstance(methods, list) and options.issuer is None"),
        tests=(f"{OF_GRANT}::test_a_named_issuer_need_not_list_pkce",),
    ),
    Mutant(
        32,
        "an endpoint on this machine is called for a resource that is elsewhere",
        "Endpoints.find",
        never("self._stays_outside and isinstance(url, str) and leads_inside(url)"),
        tests=(f"{OF_GRANT}::test_nothing_is_sent_to_this_machine_for_a_resource_that_is_elsewhere",),
    ),
    # -- Scope --------------------------------------------------------------------------------------------------------
    Mutant(
        34,
        "what a resource lists is asked for beside what it demands",
        "scope_to_ask",
        replace("united(given, asked, named) or united(listed)", "united(given, asked, named, listed)"),
        tests=("units/test_scopes.py::test_which_scope_is_asked_for",),
    ),
    Mutant(
        34,
        "more scope is asked for instead of what was granted",
        "scope_to_ask",
        replace("united(given, asked, granted, named or listed)", "united(given, named or listed)"),
        tests=("units/test_scopes.py::test_which_scope_is_asked_for",),
    ),
    Mutant(
        34,
        "a login is asked for whatever was granted already",
        "ResourceGrant.prepare",
        always("not is_for_more or not is_within(scope, granted or asked)"),
        tests=(f"{OF_GRANT}::test_more_scope_is_asked_for_with_all_that_was",),
    ),
    Mutant(
        38,
        "scopes of one server are asked for at another",
        "ResourceGrant.prepare",
        replace("before is not None and is_same", "before is not None"),
        tests=(f"{OF_GRANT}::test_nothing_of_the_old_server_reaches_the_new_one",),
    ),
    Mutant(
        33,
        "a client is registered for what is asked for now alone",
        "register",
        drop("united(scope, supported)"),
        tests=(f"{OF_GRANT}::test_the_scope_that_is_registered_is_the_ceiling",),
    ),
    # -- Where a token is from ----------------------------------------------------------------------------------------
    Mutant(
        31,
        "a given token is sent to the server that an API names",
        "ResourceTokens.__init__",
        replace(
            "token is not None and options.issuer is not None and options.client_id is not None", "token is not None"
        ),
        tests=(f"{OF_GRANT}::test_a_given_token_is_not_sent_to_a_server_that_only_the_api_named",),
    ),
    Mutant(
        31,
        "a stored token is renewed at another server than the user's",
        "ResourceTokens.live_refresh_token",
        drop("self.accepts(token)"),
        tests=(f"{OF_GRANT}::test_whose_refresh_tokens_are_used",),
    ),
    Mutant(
        37,
        "a refresh token is known by its access token",
        "_key",
        drop("token.refresh_token"),
        tests=("units/test_bonds.py::test_a_token_is_recognized_by_what_renews_it",),
    ),
    Mutant(
        32,
        "a store names any server",
        "Bonds.load",
        drop("may_be_called(bond.issuer)"),
        tests=(f"{OF_GRANT}::test_a_stored_bonds_server_is_not_called",),
    ),
    Mutant(
        31,
        "a user's client is used at any server",
        "Surroundings._check_client_fits",
        never("not is_same_issuer(bond.issuer, issuer)"),
        tests=(f"{OF_GRANT}::test_a_given_client_is_used_and_bound_to_its_first_server",),
    ),
    # -- Clients that end ---------------------------------------------------------------------------------------------
    Mutant(
        33,
        "a client that the server has forgotten is used for ever",
        "ResourceGrant.has_another_client",
        drop("yield from do(Run(self._forget_client, _STORE_SECONDS))"),
        tests=(f"{OF_GRANT}::test_which_errors_a_new_client_helps_with",),
    ),
    Mutant(
        33,
        "a refresh token outlives its client",
        "ResourceTokens.refresh",
        drop("self.bury([digest(refresh_token)])"),
        tests=(f"{OF_GRANT}::test_a_client_that_the_server_has_forgotten_is_forgotten_here",),
    ),
    Mutant(
        33,
        "a login that nobody answered leaves the client",
        "ResourceGrant._authorize_by_code",
        drop("self._forget_client()"),
        tests=(f"{OF_GRANT}::test_a_login_that_nobody_answered_forgets_the_client",),
    ),
    Mutant(
        33,
        "a registration serves any scope",
        "Registration.serves",
        drop("self.scope is None or is_within(scope, self.scope)"),
        tests=("units/test_registration.py::test_how_long_it_serves",),
    ),
    # -- Nothing is asked for that isn't demanded ---------------------------------------------------------------------
    Mutant(
        27,
        "an open API's requests ask for a token",
        "for_offer",
        drop("not around.is_shared"),
        tests=(f"{OF_DECISIONS}::test_an_offer_is_decided", "units/test_source.py::test_an_open_api_costs_nothing"),
    ),
    Mutant(
        27,
        "trouble of the server fails requests that need no token",
        "for_offer",
        replace("has_failed or not around.is_shared", "not around.is_shared"),
        tests=(f"{OF_DECISIONS}::test_an_offer_is_decided",),
    ),
    Mutant(
        27,
        "a look into the store has the user log in",
        "OnDemand._renew",
        never("is_look and isinstance(result, AuthorizationRequired)"),
        tests=(f"{OF_ACQUISITION}::test_a_look_renews_what_can_be_renewed",),
    ),
    Mutant(
        27,
        "an open resource that is asked has the user log in",
        "OnDemand.acquire",
        drop("if demand is None and purpose.reason is Reason.ASK: ..."),
        tests=(f"{OF_ACQUISITION}::test_an_open_resource_that_is_asked_wants_nothing",),
    ),
    Mutant(
        26,
        "a demand doesn't reach the flight",
        "for_demand",
        drop("demand=demand"),
        tests=(f"{OF_DECISIONS}::test_a_demand_is_decided",),
    ),
    # -- A server that may have moved ---------------------------------------------------------------------------------
    Mutant(
        38,
        "each rejection has the resource read anew",
        "for_rejection",
        always("breaker is not None and breaker.cooldown.length > 0 and (path, rejected) not in breaker.accepting"),
        tests=(f"{OF_DECISIONS}::test_a_rejection_is_decided",),
    ),
    Mutant(
        38,
        "a server that has moved is never noticed",
        "OnDemand._renew",
        drop("is_elsewhere = yield from self._grant.has_moved(last)"),
        tests=(f"{OF_ACQUISITION}::test_a_server_that_fails_is_asked_about",),
    ),
    Mutant(
        33,
        "with another client a login is tried for ever",
        "OnDemand._authorize",
        replace(
            """
            order.cancelled.clear()
            return (yield from self._acquisition.authorize(...))
            """,
            """
            order.cancelled.clear()
            return (yield from self._authorize(order, excluded, demand))
            """,
        ),
        tests=(f"{OF_ACQUISITION}::test_no_client_is_tried_for_ever",),
    ),
    # -- Bounds -------------------------------------------------------------------------------------------------------
    Mutant(
        35,
        "a request is sent four times",
        "_MOST_TIMES",
        replace("3", "4"),
        tests=(f"{OF_REPLACING}::test_a_token_that_came_meanwhile_is_replaced_and_stepped_up_from_three_times_in_all",),
    ),
    Mutant(
        35,
        "a 401 that doesn't end costs a login for each request",
        "_Course._record",
        drop("source.count_vain_demand(self._origin, summary.path)"),
        tests=(f"{OF_REPLACING}::test_a_401_that_does_not_end_costs_one_login",),
    ),
    Mutant(
        35,
        "ten requests that share a login in vain count as ten",
        "Breakers.count_vain_demand",
        always("past is None or past.cooldown.remaining(now) <= 0"),
        tests=(f"{OF_REPLACING}::test_requests_that_share_a_login_count_as_one",),
    ),
    Mutant(
        35,
        "challenges that grow are followed for ever",
        "VainLogins.may_help",
        drop("len(recent) < _MOST_VAIN"),
        tests=(f"{OF_REPLACING}::test_challenges_that_grow_cost_three_logins",),
    ),
    # -- Logins, what is kept of them, and what is shown --------------------------------------------------------------
    Mutant(
        36,
        "the login that an API demands isn't asked for",
        "Acquisition.authorize",
        replace("demands = {} if demand is None else dict(demand.login)", "demands: dict[str, str] = {}"),
        tests=(f"{OF_ACQUISITION}::test_a_login_for_a_demand",),
    ),
    Mutant(
        37,
        "a second process doesn't know where a token is from",
        "Bonds.dump",
        replace("{_FIELD: {key: asdict(bond) for key, bond in self._of.items()}} if self._of else {}", "{}"),
        tests=(f"{OF_GRANT}::test_the_first_renewal_of_a_second_process_costs_two_calls",),
    ),
    Mutant(
        39,
        "a client shows its secret",
        "ClientIdentity.__repr__",
        replace('f"{type(self).__name__}(…)"', 'f"{self.client_secret}"'),
        tests=(f"{OF_GRANT}::test_nothing_secret_is_shown",),
    ),
)
