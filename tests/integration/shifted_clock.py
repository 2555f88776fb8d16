"""`ote` with a clock that is wrong by so many seconds: `python shifted_clock.py SECONDS WORD...`."""

from __future__ import annotations

import datetime as module
import sys
from datetime import datetime, timedelta, tzinfo

OFF = timedelta(seconds=float(sys.argv.pop(1)))


class Shifted(datetime):
    """What a wrong clock tells."""

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Shifted:
        return super().now(tz) + OFF


# Whoever imports it from here on gets the wrong one.
module.datetime = Shifted  # type: ignore[misc]

from services.cli.main import main  # noqa: E402

main()
