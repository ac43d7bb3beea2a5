"""Where dynamically registered clients are kept: in the store beside the tokens, under keys of their own."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from .._wire.registration import Registration
from ..stores import TokenStore
from .entry import Entry
from .store_entry import Locked, StoreEntry, StoreSession

__all__ = ["StoredRegistrations"]


class StoredRegistrations:
    """The registrations of an auth object, which others on the same store share. Without a store they're its own.

    One is kept for each issuer, redirect URI and metadata of the client. Since a listener's port differs from login to
    login, the last one is also kept under the redirect URI that was configured.
    """

    def __init__(self, store: TokenStore | None, redirect_uri: str | None, metadata: Mapping[str, Any]) -> None:
        self._store = store
        self._configured = redirect_uri
        self._metadata = dict(metadata)
        self._own: dict[str, Registration] = {}

    def find_latest(self, issuer: str) -> Registration | None:
        """Return the last registration for a login that redirects; block meanwhile."""
        return self._find(self._latest_key(issuer), issuer)

    def find(self, issuer: str, redirect_uri: str | None) -> Registration | None:
        """Return the registration for a redirect URI, or with None that of devices; block meanwhile."""
        return self._find(self._key(issuer, redirect_uri), issuer)

    def _find(self, key: str, issuer: str) -> Registration | None:
        with self._session(key) as session:
            return self._load(session, key, issuer)

    def obtain(
        self,
        issuer: str,
        redirect_uri: str | None,
        is_usable: Callable[[Registration], bool],
        make: Callable[[], Registration],
    ) -> Registration:
        """Return one that's kept and usable, else make it and keep it, one program at a time; block meanwhile.

        A lock that another holds for longer than a registration takes is gone without.
        """
        key = self._key(issuer, redirect_uri)
        with self._session(key) as session:
            deadline = time.monotonic() + StoreEntry.lock_wait
            while (kept := self._load(session, key, issuer)) is None or not is_usable(kept):
                if session.lock(_LOOK_INTERVAL) is Locked.TAKEN and time.monotonic() < deadline:
                    continue
                kept = self._load(session, key, issuer)
                if kept is not None and is_usable(kept):
                    break
                kept = make()
                self._save(session, key, kept)
                break
        if redirect_uri is not None:
            latest = self._latest_key(issuer)
            with self._session(latest) as session:
                if self._load(session, latest, issuer) != kept:
                    self._save(session, latest, kept)
        return kept

    def forget(self, registration: Registration) -> None:
        """Forget a registration, unless there's another one by now; block meanwhile."""
        issuer = registration.issuer
        for key in (self._key(issuer, registration.redirect_uri), self._latest_key(issuer)):
            with self._session(key) as session:
                kept = self._load(session, key, issuer)
                if kept is not None and kept.client_id == registration.client_id:
                    self._own.pop(key, None)
                    session.delete()

    def _latest_key(self, issuer: str) -> str:
        return self._key(issuer, self._configured, "latest")

    def _key(self, issuer: str, *kind: str | None) -> str:
        parts = json.dumps(["client_registration", issuer, *kind, self._metadata], sort_keys=True, default=str)
        return hashlib.sha256(parts.encode()).hexdigest()

    def _session(self, key: str) -> StoreSession:
        return StoreEntry(self._store, key).session()

    def _load(self, session: StoreSession, key: str, issuer: str) -> Registration | None:
        entry, is_ok = session.load()
        kept = Registration.from_token(entry.token) if is_ok else self._own.get(key)
        return kept if kept is not None and kept.issuer == issuer else None

    def _save(self, session: StoreSession, key: str, registration: Registration) -> None:
        self._own[key] = registration  # for the time until the store works again
        session.save(Entry(registration.to_token()))


_LOOK_INTERVAL = 0.5
"""Seconds between two looks into the store while another program registers."""
