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
    login, the last one is also kept under the redirect URI that was configured. Clients of devices have no redirect
    URI, and are kept apart: they're registered for another grant.
    """

    def __init__(self, store: TokenStore | None, redirect_uri: str | None, metadata: Mapping[str, Any]) -> None:
        self._store = store
        self._configured = redirect_uri or _ANY_URI
        self._metadata = dict(metadata)
        self._own: dict[str, Registration] = {}
        self._entries: dict[str, StoreEntry] = {}
        """By key: each knows whether the store is to be left alone."""

    def find(self, issuer: str, redirect_uri: str | None) -> Registration | None:
        """Return the registration for a redirect URI, or for none; block meanwhile."""
        key = self._key(issuer, redirect_uri)
        with self._session(key) as session:
            return self._load(session, key, issuer)

    def find_client(self, issuer: str, client_id: str, redirect_uri: str | None) -> Registration | None:
        """Return a client's registration, also after another has taken its place; block meanwhile."""
        kept = self.find(issuer, redirect_uri)
        if kept is not None and kept.client_id == client_id:
            return kept
        key = self._key(issuer, None, client_id)
        with self._session(key) as session:
            return self._load(session, key, issuer)

    def find_latest(self, issuer: str) -> Registration | None:
        """Return the last one that has a redirect URI, whatever its port; block meanwhile."""
        return self.find(issuer, self._configured)

    def obtain(
        self,
        issuer: str,
        redirect_uri: str | None,
        is_usable: Callable[[Registration], bool],
        make: Callable[[Registration | None], Registration],
    ) -> Registration:
        """Return one that's kept and usable, else make it and keep it, one program at a time; block meanwhile.

        `make` takes the one that it replaces. A lock that another holds for longer than a registration takes is gone
        without.
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
                kept = make(kept)
                self._save(session, key, kept)
                break
        if kept.client_secret is not None:  # what was issued to it needs that, whatever takes its place
            self._keep_as(self._key(issuer, None, kept.client_id), kept)
        latest = self._key(issuer, self._configured)
        if redirect_uri is not None and latest != key:
            self._keep_as(latest, kept)
        return kept

    def _keep_as(self, key: str, registration: Registration) -> None:
        with self._session(key) as session:
            session.lock(_LOOK_INTERVAL)
            if self._load(session, key, registration.issuer) != registration:
                self._save(session, key, registration)

    def forget(self, registration: Registration) -> None:
        """Forget a registration, unless there's another one by now; block meanwhile."""
        issuer = registration.issuer
        for key in (
            self._key(issuer, registration.redirect_uri),
            self._key(issuer, self._configured),
            self._key(issuer, None, registration.client_id),
        ):
            with self._session(key) as session:
                session.lock(_LOOK_INTERVAL)  # else the next one, which another program saves now, could be deleted
                kept = self._load(session, key, issuer)
                if kept is not None and kept.client_id == registration.client_id:
                    self._own.pop(key, None)
                    session.delete()

    def _key(self, issuer: str, redirect_uri: str | None, client_id: str | None = None) -> str:
        names = ["client_registration", issuer, redirect_uri, client_id, self._metadata]
        parts = json.dumps(names, sort_keys=True, default=str)
        return hashlib.sha256(parts.encode()).hexdigest()

    def _session(self, key: str) -> StoreSession:
        return self._entries.setdefault(key, StoreEntry(self._store, key)).session()

    def _load(self, session: StoreSession, key: str, issuer: str) -> Registration | None:
        entry, is_ok = session.load()
        kept = Registration.from_token(entry.token) if is_ok else self._own.get(key)
        return kept if kept is not None and kept.issuer == issuer else None

    def _save(self, session: StoreSession, key: str, registration: Registration) -> None:
        self._own[key] = registration  # for the time until the store works again
        session.save(Entry(registration.to_token()))


_ANY_URI = "*"
"""Stands for the redirect URI of a login that is told none."""
_LOOK_INTERVAL = 0.5
"""Seconds between two looks into the store while another program registers."""
