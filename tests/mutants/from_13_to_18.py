"""Faults in the life of auth objects, pairings, what is told, stores, logins, and what servers say of themselves."""

from __future__ import annotations

from tests.mutants.edits import always, drop, insert, never, remove, replace
from tests.mutants.mutant import Mutant

__all__ = ["MUTANTS"]

MUTANTS = (
    # -- 13: An auth object lives anywhere ----------------------------------------------------------------------------
    Mutant(
        13,
        "a child waits for a flight of its parent's",
        "Flight.is_under_way",
        drop("self._pid == os.getpid()"),
        tests=("guarantees/test_lifecycle.py::test_a_child_forgets_the_flight[requests-no-store]",),
    ),
    Mutant(
        13,
        "a child inherits a lock that is held",
        "landing:",
        never('hasattr(os, "register_at_fork")'),
        tests=("guarantees/test_lifecycle.py::test_a_fork_waits_for_decisions[requests]",),
    ),
    Mutant(
        13,
        "the interpreter's exit doesn't wait for a flight",
        "Flight._start_thread",
        replace("daemon=self._is_daemon", "daemon=True"),
        tests=("units/test_flight.py::test_only_what_may_hang_is_a_daemon",),
    ),
    Mutant(
        13,
        "Ctrl-C while a thread starts counts as no thread to be had",
        "Flight._start_thread",
        drop("raise_interruption(error)"),
        tests=("units/test_flight.py::test_ctrl_c_between_two_steps_of_a_condition",),
    ),
    Mutant(
        13,
        "Ctrl-C while a caller waits is an error of a lock",
        "Flight.wait",
        drop("raise_interruption(error)"),
        tests=("units/test_flight.py::test_ctrl_c_between_two_steps_of_a_condition",),
    ),
    Mutant(
        13,
        "Ctrl-C just before a caller waits is seen when the token is there",
        "Flight._result",
        replace("min(max(left, 0.0), 1.0)", "None if left == math.inf else min(max(left, 0.0), 1.0)"),
        tests=("guarantees/test_lifecycle.py::test_ctrl_c_that_does_not_end_the_wait[requests]",),
    ),
    Mutant(
        13,
        "at exit a rotated token is lost",
        "Flight._start_thread",
        replace("daemon=self._is_daemon", "daemon=True"),
        tests=("guarantees/test_lifecycle.py::test_a_flight_is_finished_at_exit[requests]",),
    ),
    Mutant(
        13,
        "where no thread can start nobody does the work",
        "Flight.start",
        drop("is_done_here = context.run(self._run)"),
        tests=("units/test_flight.py::test_where_no_thread_can_start_the_caller_does_the_work",),
    ),
    Mutant(
        13,
        "a signal handler waits for the code that it interrupts",
        "decision_lock",
        replace("threading.RLock", "threading.Semaphore"),
        tests=(
            "guarantees/test_lifecycle.py::test_a_signal_handler_may_use_it_anywhere[requests-_in_window-get_token]",
        ),
    ),
    Mutant(
        13,
        "a deep copy shares nothing",
        "TokenAuth.__deepcopy__",
        remove(),
        tests=("guarantees/test_lifecycle.py::test_copies_for_each_request_cost_no_login[deepcopy-requests]",),
    ),
    Mutant(
        13,
        "a cancelled task's steps aren't told",
        "run_async",
        replace("except BaseException as error: ...", "except Exception as error: ..."),
        tests=("units/test_flight.py::test_cancellation_reaches_the_steps",),
    ),
    Mutant(
        13,
        "close() doesn't wait for a flight",
        "TokenSource.wait_idle",
        replace("yield Landing(flight, None if has_flushed else LOGIN_CHECK, is_quiet=True)", "return"),
        tests=("guarantees/test_lifecycle.py::test_close_lets_a_flight_end[requests-close]",),
    ),
    Mutant(
        13,
        "httpx: calls that share an event loop share cookies",
        "SharedClient.of_this_loop",
        drop("client.cookies.extract_cookies = _take_none"),
        tests=("guarantees/test_many_objects.py::test_cookies_are_not_shared_by_calls_under_way",),
    ),
    # -- 14: Wrong pairings fail loudly -------------------------------------------------------------------------------
    Mutant(
        14,
        "requests and niquests take any request",
        "RequestsHooks._hook_for",
        drop("if not isinstance(request, self._library.PreparedRequest): ..."),
        tests=("guarantees/test_pairings.py::test_auth_of_another_library_raises",),
    ),
    Mutant(
        14,
        "requests: a request of niquests is taken where the origin is known",
        "RequestsAuth.__call__",
        drop("request.__class__ is not PreparedRequest"),
        tests=("plugins/test_niquests.py::test_objects_of_requests_raise_though_they_know_the_origin[niquests-warm]",),
    ),
    Mutant(
        14,
        "niquests: a request of requests is taken where the origin is known",
        "NiquestsAuth.__call__",
        drop("request.__class__ is not PreparedRequest"),
        tests=("plugins/test_niquests.py::test_objects_of_niquests_raise_though_they_know_the_origin",),
    ),
    Mutant(
        14,
        "an auth object of httpx lets a request of requests go without its token",
        "HttpxFlow.__call__",
        replace("raise self._wrong_library(request)", "return request"),
        tests=("guarantees/test_pairings.py::test_auth_of_another_library_raises",),
    ),
    Mutant(
        14,
        "niquests: a sync session's rejections are nobody's",
        "NiquestsAuth._on_response",
        always("response is None"),
        tests=(
            "guarantees/test_pairings.py::test_one_object_serves_sync_and_async_clients_at_once[rejected-niquests]",
        ),
    ),
    Mutant(
        14,
        "niquests: an async session can be a token client",
        "_TokenTransport._is_session",
        drop("not isinstance(token_client, niquests.AsyncSession)"),
        tests=("plugins/test_niquests.py::test_an_async_session_takes_no_token_calls",),
    ),
    # -- 15: It says what it does -------------------------------------------------------------------------------------
    Mutant(
        15,
        "a new token is told without its lifetime",
        "Landings._land",
        drop("expires_in=result.token.expires_in"),
        tests=("guarantees/test_events.py::test_a_record_carries_its_event[requests-acquired]",),
    ),
    Mutant(
        15,
        "a sibling's token is told as one's own",
        "Landings._land",
        replace(
            '"adopted" if not result.is_own else "acquired" if held is None else "renewed"',
            '"acquired" if held is None else "renewed"',
        ),
        tests=("guarantees/test_logging.py::test_it_says_that_a_token_was_adopted[requests]",),
    ),
    Mutant(
        15,
        "a failure isn't told as a warning",
        "Landings._land_failed",
        replace("logging.WARNING", "logging.DEBUG"),
        tests=("guarantees/test_logging.py::test_it_says_that_a_token_call_failed[requests]",),
    ),
    Mutant(
        15,
        "a rejection isn't told",
        "_replacement",
        drop("rejection.emit_rejection(can_replay=is_repeatable)"),
        tests=(
            "guarantees/test_logging.py::test_it_says_that_a_token_was_rejected_and_the_request_replayed[requests]",
        ),
    ),
    Mutant(
        15,
        "waiting isn't told",
        "Landing._emit",
        never("not self.is_quiet"),
        tests=("guarantees/test_logging.py::test_it_says_that_a_caller_waited[requests]",),
    ),
    Mutant(
        15,
        "a token call is told with the status of its first attempt",
<<<<<<< HEAD
        "_server/operations.py",
        "status=statuses[-1] if statuses else None,",
        "status=statuses[0] if statuses else None,",
        ("guarantees/test_events.py::test_a_token_call_is_told_as_it_went",),
=======
        "_emit_call",
        replace("statuses[-1]", "statuses[0]"),
        tests=("guarantees/test_events.py::test_a_token_call_is_told_as_it_went",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        15,
        "it's said of each request that the token is withheld",
        "Origins.is_news",
        always("told.setdefault(what, mark) is mark"),
        tests=("guarantees/test_warnings.py::test_an_origin_that_is_not_allowed[requests]",),
    ),
    Mutant(
        15,
        "an origin that rejects a new token is told of once for all",
        "OriginBreaker.accepted",
        drop("is_told=False"),
        tests=("units/test_backoff.py::test_what_was_told_counts_for_nothing_and_ends_with_an_acceptance[None]",),
    ),
    Mutant(
        15,
        "a listener that raises breaks the request",
        "_tell",
        replace(
            "with suppress(Exception): listener(event.name, event.fields)",
            "listener(event.name, event.fields)",
        ),
        tests=("guarantees/test_events.py::test_a_listener_that_raises_harms_no_request",),
    ),
    Mutant(
        15,
        "a log handler that raises breaks the request",
        "_tell",
        replace(
            "with suppress(Exception):\n    if event.record is not None: ...",
            "with suppress(KeyError): ...",
        ),
        tests=("guarantees/test_events.py::test_a_log_handler_that_raises_harms_no_request",),
    ),
    Mutant(
        15,
        "events are told before those who wait have the outcome",
        "Flight._take_up",
        never("self._holds_events"),
        tests=("units/test_held_events.py::test_it_is_over_when_its_events_are_told",),
    ),
    Mutant(
        15,
        "who listens is still part of the flight",
        "Flight.is_reentrant",
        drop("self.is_under_way"),
        tests=("units/test_held_events.py::test_it_is_over_when_its_events_are_told",),
    ),
    Mutant(
        15,
        "threads wait for what listens",
        "Flight.wait",
        drop("self.patience"),
        tests=("units/test_held_events.py::test_callers_wait_for_listeners_no_longer",),
    ),
    Mutant(
        15,
        "tasks wait for what listens",
        "Flight.wait_async",
        replace("self.patience", "None"),
        tests=("units/test_held_events.py::test_tasks_wait_for_listeners_no_longer",),
    ),
    Mutant(
        15,
        "callers leave those who listen no time",
        "Flight.wait",
        never("self._told is not None and not _events.is_telling()"),
        tests=("units/test_held_events.py::test_callers_leave_listeners_a_moment",),
    ),
    Mutant(
        15,
        "where the caller does the work nothing is told",
        "Flight.start",
        replace("if is_done_here: ...", "if False: ..."),
        tests=("units/test_held_events.py::test_it_is_over_when_its_events_are_told",),
    ),
    Mutant(
        15,
        "what's emitted after all was told is held for ever",
        "_pass_on",
        drop("held.is_released"),
        tests=("units/test_held_events.py::test_an_attempt_belongs_to_its_flight",),
    ),
    Mutant(
        15,
        "work in a thread that others wait for tells too soon",
        "HeldEvents.release",
        replace("_pass_on(event)", "_tell(event)"),
        tests=("units/test_held_events.py::test_a_flight_in_another_is_told_with_it_if_it_has_no_thread",),
    ),
    Mutant(
        15,
        "a child of a fork tells nothing",
        "_events:",
        never('hasattr(os, "register_at_fork")'),
        tests=("units/test_held_events.py::test_a_child_holds_nothing",),
    ),
    Mutant(
        15,
        "events come of events on and on",
        "_DEEPEST",
        replace("2", "4"),
        tests=("units/test_held_events.py::test_events_that_come_of_events_come_to_an_end",),
    ),
    Mutant(
        15,
        "a span ends when it's told",
        "_Telemetry._record_call",
        replace("_events.happened_at", '__import__("time").time_ns'),
        tests=("guarantees/test_otel.py::test_a_span_ends_with_its_call_whenever_it_is_told[requests]",),
    ),
    Mutant(
        15,
        "a saver's events are told at its end",
        "Renewer._conclude",
        drop("holds_events=False"),
        tests=("guarantees/test_log_handlers.py::test_what_a_saver_does_is_told_as_it_happens",),
    ),
    Mutant(
        15,
        "flights that share a loop are told by what carries them on",
        "_Loop._wait_for_advanced",
        always("not self._teller.tell(carried)"),
        tests=("guarantees/test_many_objects.py::test_a_listener_that_blocks_holds_up_no_flight",),
    ),
    Mutant(
        12,
        "an operation tells what has happened with secrets at hand",
<<<<<<< HEAD
        "_server/operations.py",
        "        with _events.holding():\n",
        "        if True:\n",
        ("guarantees/test_secrets.py::test_an_unexpected_error_of_an_operation_is_logged_from_frames_without_secrets",),
=======
        "_operation.operation",
        replace("with _events.holding(): ...", "if True: ..."),
        tests=(
            "guarantees/test_secrets.py::test_an_unexpected_error_of_an_operation_is_logged_from_frames_without_secrets",
        ),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        15,
        "a span of a failed call has no error",
        "_Telemetry._record_call",
        drop("span.set_status(trace.Status(trace.StatusCode.ERROR, result))"),
        tests=("guarantees/test_otel.py::test_a_span_says_how_the_call_went",),
    ),
    Mutant(
        15,
        "each error of a server makes a time series",
        "_Telemetry._record_call",
        replace('result if result in _ERROR_TYPES else "_OTHER"', "result"),
        tests=("guarantees/test_otel.py",),
    ),
    # -- 16: A store gives back what was saved ------------------------------------------------------------------------
    Mutant(
        16,
        "a token that was stored under another key is taken",
<<<<<<< HEAD
        "stores/_serialized.py",
        '        if fields.get("key") != key:',
        "        if False:",
        ("stores/test_store_input.py::test_a_file_that_was_copied",),
=======
        "Entries._parse",
        never('fields.get("key") != key'),
        tests=("stores/test_store_input.py::test_a_file_that_was_copied",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "an unencrypted entry is taken where encrypted ones are wanted",
<<<<<<< HEAD
        "stores/_serialized.py",
        'if self._fernet is not None and (entry := self._decrypted(entry) or b"") == b"":',
        'if self._fernet is not None and (entry := self._decrypted(entry) or entry) == b"":',
        ("guarantees/test_broken_stores.py::test_a_plain_entry_where_encrypted_ones_are_wanted",),
=======
        "Entries._parse",
        replace('self._decrypted(entry) or b""', "self._decrypted(entry) or entry"),
        tests=("guarantees/test_broken_stores.py::test_a_plain_entry_where_encrypted_ones_are_wanted",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "a folder that a group may write to is used",
        "_file:_OTHERS_WRITE",
        replace("stat.S_IWGRP | stat.S_IWOTH", "stat.S_IWOTH"),
        tests=("stores/test_store_input.py::test_a_folder_that_others_may_write_to",),
    ),
    Mutant(
        16,
        "a token of another user's file is sent",
        "FileTokenStore._check_entry",
        drop("status.st_uid != os.geteuid()"),
        tests=("stores/test_store_input.py::test_a_token_that_another_user_may_have_planted",),
    ),
    Mutant(
        16,
        "a keyring that keeps nothing counts as saved to",
        "KeyringTokenStore._put",
        never("before is None and self._keyring.get_password(self._service, key) is None"),
        tests=("stores/test_keyring_store.py::test_a_keyring_that_keeps_nothing[requests-null]",),
    ),
    Mutant(
        16,
        "a file is readable to others, by the umask",
<<<<<<< HEAD
        "stores/_file.py",
        "os.fchmod(file.fileno(), 0o600)  # whatever the umask",
        "os.fchmod(file.fileno(), 0o644)",
        ("stores/test_file_store.py::test_files_are_their_owners_alone",),
=======
        "replace_file",
        replace("os.fchmod(file.fileno(), 0o600)", "os.fchmod(file.fileno(), 0o644)"),
        tests=("stores/test_file_store.py::test_files_are_their_owners_alone",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "a file is written in place",
<<<<<<< HEAD
        "stores/_file.py",
        "            file.write(content)\n",
        "            path.write_bytes(content[:20])\n            file.write(content)\n",
        ("stores/test_stores.py::TestSharedTokenStores::test_readers_never_see_half_a_token",),
=======
        "replace_file",
        insert("path.write_bytes(content[:20])", before="file.write(content)"),
        tests=("stores/test_stores.py::TestSharedTokenStores::test_readers_never_see_half_a_token",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "a file that a sibling reads isn't replaced, as on Windows",
<<<<<<< HEAD
        "stores/_file.py",
        "        except PermissionError:\n",
        "        except TimeoutError:\n",
        ("stores/test_file_store.py::test_a_file_in_use_is_replaced_when_it_is_free[3]",),
=======
        "_replace",
        replace("except PermissionError: ...", "except TimeoutError: ..."),
        tests=("stores/test_file_store.py::test_a_file_in_use_is_replaced_when_it_is_free[3]",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "a lock may be a file's existence, which outlives its holder",
<<<<<<< HEAD
        "stores/_file.py",
        '"fallback_to_soft": False}',
        '"fallback_to_soft": True}',
        ("stores/test_store_input.py::test_a_file_system_without_locks",),
=======
        "file_lock",
        replace(
            '{"thread_local": False, "poll_interval": 0.02, "fallback_to_soft": False}',
            '{"thread_local": False, "poll_interval": 0.02, "fallback_to_soft": True}',
        ),
        tests=("stores/test_store_input.py::test_a_file_system_without_locks",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        16,
        "a Redis lock's lease isn't renewed",
        "_Lease._keep_extending",
        drop("self._lock.extend(self._seconds, replace_ttl=True)"),
        tests=("stores/test_redis_store.py::test_a_lease_is_renewed",),
    ),
    Mutant(
        16,
        "a lease that was lost counts as held",
        "_Lease.is_held",
        always("bool(self._lock.owned())"),
        tests=("stores/test_redis_store.py::test_a_lost_lease",),
    ),
    Mutant(
        16,
        "Redis forgets a refresh token with its access token",
        "_time_to_live",
        drop("token.refresh_token is not None"),
        tests=("stores/test_redis_store.py::test_how_long_entries_live",),
    ),
    Mutant(
        16,
        "a keyring's token is replaced before all its pieces are there",
        "KeyringTokenStore._put_pieces",
        insert(
            "self._keyring.set_password(self._service, key, listing)",
            before="""
            try: ...
            except BaseException: ...
            """,
        ),
        tests=("stores/test_keyring_store.py::test_a_process_that_dies_in_the_middle",),
    ),
    Mutant(
        16,
        "each failure of a store is told",
        "StoreEntry.failed",
        always("not self._failed_actions"),
        tests=("guarantees/test_broken_stores.py::test_a_broken_store[open folder]",),
    ),
    Mutant(
        16,
        "a store that hangs delays each request",
        "StoreSession._call",
        drop("if entry.is_resting: ..."),
        tests=("guarantees/test_broken_stores.py::test_how_long_a_hanging_redis_delays[URL]",),
    ),
    Mutant(
        16,
        "who has a good token waits for a store that hangs",
        "StoreWorker.submit",
        drop("mark_retrying()"),
        tests=("stores/test_store_worker.py::test_who_waits_is_shown_that_a_call_is_slow",),
    ),
    # -- 17: A login is one, and only the right answer ends it --------------------------------------------------------
    Mutant(
        17,
        "any state will do",
        "AuthorizationRequest.code_from",
        never('not _same(answer.get("state", ""), self.state)'),
        tests=("units/test_authorization_request.py::test_what_is_no_answer_has_no_code",),
    ),
    Mutant(
        17,
        "any issuer will do",
        "AuthorizationRequest._check_issuer",
        never("expected is not None and not _same(iss, expected)"),
        tests=("units/test_authorization_request.py::test_the_issuer_is_compared",),
    ),
    Mutant(
        17,
        "an answer without its issuer will do where the server always says",
        "AuthorizationRequest._check_issuer",
        never('self._fields["issuer_required"]'),
        tests=("units/test_authorization_request.py::test_the_issuer_is_compared",),
    ),
    Mutant(
        17,
        "a parameter may come twice",
        "AuthorizationRequest._read_answer",
        replace(
            "(repeated := sorted({redact(name, ()) or '' for name in names if names.count(name) > 1}))",
            'False and sorted({redact(name, ()) or "" for name in names if names.count(name) > 1})',
        ),
        tests=("units/test_authorization_request.py::test_what_is_no_answer_has_no_code",),
    ),
    Mutant(
        17,
        "PKCE's challenge is the verifier",
        "AuthorizationRequest.parameters",
        replace('base64.urlsafe_b64encode(digest).rstrip(b"=").decode()', "self.code_verifier"),
        tests=("units/test_authorization_request.py::test_the_challenge_is_that_of_the_rfc_s_own_example",),
    ),
    Mutant(
        17,
        "the verifier isn't sent with the code",
<<<<<<< HEAD
        "_server/code_grant.py",
        'verifier = {} if self._code_verifier is None else {"code_verifier": self._code_verifier}',
        "verifier: dict[str, str] = {}",
        ("units/test_grants.py::test_a_code_is_redeemed_with_its_verifier",),
=======
        "AuthorizationCodeGrant.request_token",
        replace(
            'verifier = {} if self._code_verifier is None else {"code_verifier": self._code_verifier}',
            "verifier: dict[str, str] = {}",
        ),
        tests=("units/test_grants.py::test_a_code_is_redeemed_with_its_verifier",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        17,
        "the listener takes any request for the answer",
        "_Listener._offer",
        drop("not request.is_answered_by(url)"),
        tests=("logins/test_login_listener.py::test_stray_requests_neither_end_nor_spoil_a_login",),
    ),
    Mutant(
        17,
        "a later answer counts, too",
        "_Listener._offer",
        drop("if self._answer: ..."),
        tests=("logins/test_login_listener.py::test_the_first_answer_counts",),
    ),
    Mutant(
        17,
        "a server that is down makes a browser open",
        "TokenMaking._make",
        replace(
            "if (again := self._live_refresh_token()) is not None and again.refresh_token == live.refresh_token: ...",
            """
            if (again := self._live_refresh_token()) is not None and again.refresh_token == live.refresh_token:
                break
            """,
        ),
        tests=("units/test_acquisition.py::test_a_refusal_for_now_ends_no_refresh_token",),
    ),
    Mutant(
        17,
        "a device is polled on at the same pace though the server asks for less",
<<<<<<< HEAD
        "_server/device_grant.py",
        "                    interval += _SLOWER",
        "                    pass",
        ("logins/test_device.py::test_it_asks_until_the_person_is_done",),
=======
        "DeviceCodeGrant._poll",
        drop("interval += _SLOWER"),
        tests=("logins/test_device.py::test_it_asks_until_the_person_is_done",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    # -- 18: What a server says of itself is checked ------------------------------------------------------------------
    Mutant(
        18,
        "another issuer's metadata is used",
        "read_metadata_response",
        never('not is_same(metadata.get("issuer"), issuer)'),
        tests=("units/test_metadata.py::test_the_issuer_must_be_equal",),
    ),
    Mutant(
        18,
        "metadata may be of any length",
        "_read_document",
        never("len(response.body) > longest"),
        tests=("units/test_messages.py::test_metadata_is_bounded",),
    ),
    Mutant(
        18,
        "an issuer in trouble counts as one without metadata",
        "_read_document",
        never("status == 429 or status >= 500"),
        tests=("units/test_metadata.py::test_trouble_is_tried_again_and_ends_the_search",),
    ),
    Mutant(
        18,
        "an endpoint of the metadata may be on plain http",
<<<<<<< HEAD
        "_server/endpoints.py",
        'return check_endpoint(f"{_FIELDS[name]} of {self.issuer}", url, allow_insecure=self.allow_insecure)',
        'return check_endpoint(f"{_FIELDS[name]} of {self.issuer}", url, allow_insecure=True)',
        ("units/test_metadata.py::test_an_endpoint_that_is_no_url_is_told",),
=======
        "Endpoints.find",
        replace("allow_insecure=self.allow_insecure", "allow_insecure=True"),
        tests=("units/test_metadata.py::test_an_endpoint_that_is_no_url_is_told",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        18,
        "an endpoint of the metadata overrides the one that is given",
<<<<<<< HEAD
        "_server/endpoints.py",
        "if name in self.given or self.issuer is None:",
        "if self.issuer is None:",
        ("units/test_metadata.py::test_a_url_that_is_given_wins",),
=======
        "Endpoints.find",
        drop("name in self.given"),
        tests=("units/test_metadata.py::test_a_url_that_is_given_wins",),
>>>>>>> dee937fc923f6c0721258f907472582b114d0014
    ),
    Mutant(
        18,
        "a token that the server refuses to end isn't forgotten",
        "Logins.revoke",
        replace(
            "except OAuthError as error: ...",
            "except OAuthError: raise",
        ),
        tests=("units/test_acquisition.py::test_a_logout_that_the_server_refuses_is_one_all_the_same",),
    ),
    Mutant(
        18,
        "a refresh token isn't ended",
        "TokenEndpointGrant.revoke",
        drop('("refresh_token", refresh_token)'),
        tests=("units/test_grants.py::test_tokens_are_ended",),
    ),
    Mutant(
        18,
        "a refused revocation counts as one",
        "read_revocation_response",
        never("not 200 <= response.status_code < 300"),
        tests=("units/test_messages.py::test_all_else_does_not",),
    ),
    Mutant(
        18,
        "a logout leaves no mark for siblings",
        "Logins._forget",
        replace(
            "ended and (yield Save(Entry(None, self._grant.dump_state(), logged_out=ended)))",
            "False and (yield Save(Entry(None, self._grant.dump_state(), logged_out=ended)))",
        ),
        tests=("units/test_acquisition.py::test_a_logout_leaves_a_mark",),
    ),
    Mutant(
        18,
        "of a variable and its file the variable wins silently",
        "Environment.get",
        never("value is not None"),
        tests=("guarantees/test_environment.py::test_both_is_an_error",),
    ),
)
