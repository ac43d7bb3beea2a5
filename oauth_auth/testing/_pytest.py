"""The pytest plug-in: a running authorization server and API for each test that asks for one.

pytest loads this module at every start, so it imports nothing that a test didn't ask for.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._provider import LocalProvider

pytest.register_assert_rewrite("oauth_auth.testing.store_contract")


@pytest.fixture
def oauth_provider() -> Iterator["LocalProvider"]:
    """Run a `LocalProvider` for this test."""
    from . import LocalProvider  # noqa: PLC0415 (lazy)

    with LocalProvider() as provider:
        yield provider
