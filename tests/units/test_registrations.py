"""Where registered clients are kept: what is found again, and what takes the place of what."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from oauth_auth import MemoryTokenStore
from oauth_auth._renewal.registrations import StoredRegistrations
from oauth_auth._wire.registration import Registration

ISSUER = "https://auth.example"
URI = "http://127.0.0.1:4000/callback"


def client(name: str, secret: str | None = "secret") -> Registration:
    return Registration(ISSUER, name, secret, "none" if secret is None else "client_secret_basic", URI, "read")


@pytest.fixture(params=[False, True], ids=["no store", "store"])
def registrations(request: pytest.FixtureRequest) -> StoredRegistrations:
    return StoredRegistrations(MemoryTokenStore() if request.param else None, None, {})


def replace(registrations: StoredRegistrations, new: Registration) -> list[Registration | None]:
    """Have another client take the place of what is kept; return what it was told that it replaces."""
    replaced: list[Registration | None] = []

    def make(before: Registration | None) -> Registration:
        replaced.append(before)
        return new

    never: Callable[[Registration], bool] = lambda kept: False
    assert new == registrations.obtain(ISSUER, URI, never, make)
    return replaced


def test_what_is_made_knows_what_it_replaces(registrations: StoredRegistrations) -> None:
    """Its scope stays in the ceiling, since others use the client."""
    assert [None] == replace(registrations, client("one"))
    assert [client("one")] == replace(registrations, client("two"))
    assert client("two") == registrations.find(ISSUER, URI) == registrations.find_latest(ISSUER)


def test_a_replaced_clients_secret_stays_known(registrations: StoredRegistrations) -> None:
    """What was issued to it can still be renewed; a public client needs no more than its id."""
    replace(registrations, client("one"))
    replace(registrations, client("public", None))
    replace(registrations, client("two"))
    assert client("one") == registrations.find_client(ISSUER, "one", URI)
    assert client("two") == registrations.find_client(ISSUER, "two", URI)
    assert registrations.find_client(ISSUER, "public", URI) is None
    assert registrations.find_client("https://other.example", "one", URI) is None


def test_a_client_is_forgotten_wherever_it_is_kept(registrations: StoredRegistrations) -> None:
    """The one that has taken its place stays."""
    replace(registrations, client("one"))
    replace(registrations, client("two"))
    registrations.forget(client("one"))
    assert registrations.find_client(ISSUER, "one", URI) is None
    assert client("two") == registrations.find(ISSUER, URI) == registrations.find_latest(ISSUER)
    registrations.forget(client("two"))
    assert registrations.find(ISSUER, URI) is registrations.find_latest(ISSUER) is None
    assert registrations.find_client(ISSUER, "two", URI) is None
