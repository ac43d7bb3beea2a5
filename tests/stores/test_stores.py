"""Our own stores pass the tests that anybody's must pass."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest

from oauth_auth.stores import MemoryTokenStore, TokenStore
from oauth_auth.testing.store_contract import StoreContract
from tests.support.stores import SHARED_STORES, store_maker


class TestMemoryTokenStore(StoreContract):
    shared_between_processes: ClassVar[bool] = False

    @pytest.fixture
    def make_store(self) -> Callable[[], TokenStore]:
        store = MemoryTokenStore()
        return lambda: store


class TestSharedTokenStores(StoreContract):
    @pytest.fixture(params=SHARED_STORES)
    def make_store(self, request: pytest.FixtureRequest) -> Callable[[], TokenStore]:
        return store_maker(request, request.param)
