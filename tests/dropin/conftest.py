from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.support.clock import WallClock
from tests.support.scripted import ScriptedServer

from .service import Service


@pytest.fixture
def service(monkeypatch: pytest.MonkeyPatch) -> Service:
    """A service that only mocks can reach."""
    return Service(WallClock(monkeypatch))


@pytest.fixture
def served(service: Service, serve: Callable[..., ScriptedServer]) -> Service:
    """The service at an address of loopback."""
    service.origin = serve(service).url
    return service
