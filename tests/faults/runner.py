"""`python -m tests.faults.runner tier ...` is `ote tier ...` with traps, on a clock and a disk that fail."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.faults import clocks
from tests.faults.orphans import end_with_the_test

if __name__ == "__main__":
    end_with_the_test()
    state = Path(sys.argv[sys.argv.index("--state") + 1])
    clocks.install(state)
    # All else takes the time from the clock that is there now.
    from services.cli.main import main
    from store.sql.ledger import Ledger
    from tests.faults.disks import slowed
    from tests.faults.steps import wrap_all
    from tests.faults.traps import Trapper

    wrap_all(Trapper(state))
    Ledger.commit = slowed(state, Ledger.commit)  # type: ignore[method-assign]
    main()
