"""`ote completion`: a script that makes a shell complete `ote`."""

from __future__ import annotations

import sys
from typing import Literal

from services.cli.whole import whole

Shell = Literal["bash", "zsh", "fish"]


def completion(shell: Shell, /) -> None:
    """Prints a script that makes a shell complete commands and options.

    For this shell only, or for each new one:

        source <(ote completion bash)
        ote completion bash > ~/.local/share/bash-completion/completions/ote
        ote completion zsh > ~/.zfunc/_ote
        ote completion fish > ~/.config/fish/completions/ote.fish

    Parameters
    ----------
    shell
        The shell that is to complete. For zsh, ~/.zfunc must be in fpath before compinit.
    """
    sys.stdout.write(script_for(shell))


def script_for(shell: Shell) -> str:
    """The script for this shell."""
    script = whole().generate_completion(prog_name="ote", shell=shell)
    # Where nothing of ours fits, a file is wanted: -f FILE.
    return script.replace("complete -F _ote ote", "complete -o default -F _ote ote")
