"""Clocks that users move: tokens expire by them, and moved back they harm no request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import time_machine
from freezegun import freeze_time

from tests.support.modes import Mode
from tests.support.scripted import ScriptedServer

from .service import Service, sender

CLOCKS: dict[str, Callable[[], Any]] = {
    "freezegun": lambda: freeze_time("2012-01-14"),
    "freezegun, ticking": lambda: freeze_time("2040-07-01", tick=True),
    "time-machine": lambda: time_machine.travel("2012-01-14T00:00Z", tick=False),
    "time-machine, ticking": lambda: time_machine.travel("2040-07-01T00:00Z"),
}


@pytest.mark.parametrize("travel", CLOCKS.values(), ids=CLOCKS)
def test_moved_clocks(mode: Mode, travel: Callable[[], Any], serve: Callable[..., ScriptedServer]) -> None:
    """Past its expiry a token is renewed, a revoked one is replaced in any year, and moved back none is renewed."""
    service = Service()
    service.origin = serve(service).url
    with travel() as clock, mode.client(service.auth(mode.plugin)) as client:
        move, send = getattr(clock, "shift", None) or clock.tick, sender(service, client)
        statuses = [send()]
        move(4000)  # what ticked before doesn't count in freezegun
        statuses.append(send())
        service.revoke()
        statuses.append(send())
        clock.move_to("2001-01-01")
        statuses.append(send())
    assert [200] * 4 == statuses
    assert ["token-1", "token-2", "token-2", "token-3", "token-3"] == service.seen
    assert 3 == service.token_calls
