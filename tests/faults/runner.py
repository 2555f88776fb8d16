"""`python -m tests.faults.runner tier ...` is `ote tier ...` with traps in its steps."""

from __future__ import annotations

import sys
from pathlib import Path

from services.cli.main import main
from services.controller import asker
from tests.faults.orphans import end_with_the_test
from tests.faults.steps import wrap_all
from tests.faults.traps import Trapper

if __name__ == "__main__":
    end_with_the_test()
    # An answer that never comes because its tier was killed over it: links here are quick, and so is patience.
    asker.TIMEOUT, asker.SHORT_TIMEOUT = 2.0, 1.0
    wrap_all(Trapper(Path(sys.argv[sys.argv.index("--state") + 1])))
    main()
