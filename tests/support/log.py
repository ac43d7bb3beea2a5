"""What the library has logged."""

from __future__ import annotations

import logging

import pytest


class Log:
    """The records of the logger `oauth_auth`."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self._caplog = caplog

    def with_word(self, word: str) -> list[logging.LogRecord]:
        """Return the records with a word in them."""
        return [
            record for record in self._caplog.records if record.name == "oauth_auth" and word in record.getMessage()
        ]

    def of_event(self, event: str) -> list[str]:
        """Return the texts of an event."""
        return [record.getMessage() for record in self._caplog.records if getattr(record, "oauth_event", "") == event]
