"""`python -m tests.faults.runner tier ...` is `ote tier ...` with traps in its steps."""

from __future__ import annotations

import sys
from pathlib import Path

from services.cli.main import main
from tests.faults.orphans import end_with_the_test
from tests.faults.steps import wrap_all
from tests.faults.traps import Trapper

if __name__ == "__main__":
    end_with_the_test()
    wrap_all(Trapper(Path(sys.argv[sys.argv.index("--state") + 1])))
    main()
