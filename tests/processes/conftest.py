from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from oauth_auth.testing import LocalProvider


@pytest.fixture
def settings(provider: LocalProvider, tmp_path: Path) -> dict[str, Any]:
    """What the programs need to know of a `LocalProvider`, and a folder for a store."""
    return {
        "client": [provider.token_url, provider.client_id, provider.client_secret],
        "api_url": provider.api_url,
        "store": str(tmp_path / "store"),
        "is_used_first": False,
    }
