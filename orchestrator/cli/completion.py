"""``mass-stop completion``."""

import click
from click.shell_completion import get_completion_class

from orchestrator.cli.help import Command
from orchestrator.cli.output import print_out

SHELLS = ("bash", "zsh", "fish")


@click.command("completion", cls=Command)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(context: click.Context, shell: str) -> int:
    """Print a script. With it, SHELL (bash, zsh or fish) completes commands, options and their values."""
    script = get_completion_class(shell)
    assert script is not None
    print_out(script(context.find_root().command, {}, "mass-stop", "_MASS_STOP_COMPLETE").source())
    return 0
