"""`ote` with a clock that is wrong by so many seconds: `python shifted_clock.py SECONDS WORD...`."""

from __future__ import annotations

import datetime as module
import sys
import time
from datetime import datetime, timedelta, tzinfo

OFF = timedelta(seconds=float(sys.argv.pop(1)))


class Shifted(datetime):
    """What a wrong clock tells."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Shifted:
        return super().now(tz) + OFF


_time_ns = time.time_ns


def _shifted_ns() -> int:
    return _time_ns() + int(OFF.total_seconds() * 1e9)


# Whoever imports them from here on gets the wrong ones.
module.datetime = Shifted  # type: ignore[misc]
time.time_ns = _shifted_ns

from services.cli.main import main  # noqa: E402

main()
