from __future__ import annotations

from collections.abc import Iterator

import pytest
import requests

from oauth_auth.testing import LocalProvider

from .bare_client import BareClient


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests.Session() as session:
        session.trust_env = False
        yield session


@pytest.fixture
def client(provider: LocalProvider, session: requests.Session) -> BareClient:
    return BareClient(provider, session)
