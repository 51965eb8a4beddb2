"""``mass-stop completion``."""

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.output import tell_out

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", epilog="docs/how-to/install.md says where each shell keeps its script.")
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Prints the script with which SHELL completes commands, options and their values.

    \b
      bash, in ~/.bashrc:  eval "$(mass-stop completion bash)"
      zsh, in ~/.zshrc:    eval "$(mass-stop completion zsh)"
      fish:                mass-stop completion fish | source
    """
    script = get_completion_class(shell)
    assert script is not None
    tell_out(script(context.find_root().command, {}, "mass-stop", "_MASS_STOP_COMPLETE").source())
    return 0
