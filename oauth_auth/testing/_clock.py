"""The server's clocks, in seconds. freezegun doesn't move them: a test that moves its client's moves no server's."""

from __future__ import annotations

import sys
import time

__all__ = ["monotonic", "unix_time"]

if sys.platform == "win32":
    monotonic = time.monotonic
    unix_time = time.time
else:
    # freezegun replaces `time.monotonic` and `time.time`, wherever they are.
    def monotonic() -> float:
        """Return the time that is never set."""
        return time.clock_gettime(time.CLOCK_MONOTONIC)

    def unix_time() -> float:
        """Return the Unix time."""
        return time.clock_gettime(time.CLOCK_REALTIME)
