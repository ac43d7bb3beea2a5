"""The pytest plug-in: a running authorization server and API for each test that names the fixture.

pytest imports this module at every start, so it imports neither Authlib nor Flask.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ._provider import LocalProvider

pytest.register_assert_rewrite("oauth_auth.testing.store_contract")


@pytest.fixture
def oauth_provider() -> Iterator[LocalProvider]:
    """Run a `LocalProvider` for this test."""
    from . import LocalProvider

    with LocalProvider() as provider:
        yield provider
