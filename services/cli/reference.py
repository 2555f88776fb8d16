"""`docs/cli.md`, made from the commands themselves: `python -m services.cli.reference`."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from services.cli.exits import MEANINGS
from services.cli.whole import whole

PAGE = Path(__file__).parents[2] / "docs" / "cli.md"

_HEAD = """# The command line

Made from the commands themselves (`make docs`): what `ote COMMAND --help` says. Every command that prints an answer
takes `-o json`, `-o yaml` and `-o name`; errors say what is wrong and what to do, on standard error.

| exit code | means |
| --- | --- |
{codes}

"""


def render() -> str:
    """The text of the page."""
    app = whole()
    codes = "\n".join(f"| {code.value} | {text} |" for code, text in MEANINGS.items())
    app.help_epilogue = None
    # How this very program was called has crept in: `python -m` and a module.
    text = re.sub(r"(?m)^(ote [a-z ]+) -m [\w.]+", r"\1", app.generate_docs(usage_name="ote"))
    return _HEAD.format(codes=codes) + text[text.index("## ote ") :].rstrip() + "\n"


if __name__ == "__main__":
    (Path(sys.argv[1]) if len(sys.argv) > 1 else PAGE).write_text(render(), encoding="utf-8")
