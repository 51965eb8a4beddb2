"""The command ``mass-stop``: one file a subcommand, loaded when it is called."""

import importlib
import io
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from orchestrator import collector
from orchestrator.background import BackgroundStream
from orchestrator.cli import memory
from orchestrator.cli.help import (
    CREDENTIALS,
    FIRST_STEPS,
    Helpful,
    sentence_of,
    suggestion,
    write_environment,
    write_examples,
)
from orchestrator.cli.output import echo, say
from orchestrator.errors import NO_MEMORY, MassStopError, SettingError, StorageError
from orchestrator.version import VERSION

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

COMMANDS = {
    "run": "Stop every mass action whose bulk key is given, and report.",
    "plan": "Report what run would do; send no stop.",
    "resume": "Continue a run that was interrupted.",
    "verify": "Read every status again and compare it with the report.",
    "report": "Write the report of a run again.",
    "keys": "Find bulk keys in logs, traces and exports.",
    "drill": "Rehearse a run against a simulated tenant.",
    "simulate": "Serve the simulated tenant for other clients.",
    "check": "Check credentials, reachability, clock and limits.",
    "completion": "Print the script for your shell's completion.",
}


class _Lazy(Helpful, click.Group):
    """Imports a subcommand's module when it is called: help must not wait for an HTTP client."""

    def list_commands(self, _: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, _: click.Context, name: str) -> click.Command | None:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"orchestrator.cli.{name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS:
            hint = suggestion(args[0], list(COMMANDS))
            if not hint and (Path(args[0]).exists() or re.fullmatch("[0-9A-Za-z]{32}", args[0])):
                hint = f" Did you mean mass-stop run {args[0]}?"
            ctx.fail(f"There is no command {args[0]}.{hint}")
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        from click.shell_completion import CompletionItem

        commands = [
            CompletionItem(name, help=text) for name, text in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*commands, *super(click.Group, self).shell_complete(ctx, incomplete)]

    def format_commands(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        write_environment(formatter, CREDENTIALS)
        write_examples(formatter, "mass-stop")


def _print_version(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        echo(f"mass-stop, version {VERSION}")
        ctx.exit()


@click.group(cls=_Lazy, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option(
    "--version",
    is_flag=True,
    expose_value=False,
    is_eager=True,
    callback=_print_version,
    help="Show the version and exit.",
)
def group() -> None:
    """Stop many Zuora mass actions at once, and report what was stopped and what went through before.

    A stop cannot be undone. Records that were processed before it stay processed.

    mass-stop COMMAND --help shows examples and every option.
    """


def main() -> NoReturn:
    """Runs the command line; the one place where an error becomes an exit status."""
    os.umask(0o077)
    collector.collect_rarely()
    memory.end_without_memory()
    _no_core_dumps()
    _standard_streams()
    _clean_environment()
    sys.stderr = errors = BackgroundStream(sys.stderr)
    try:
        status = group.main(prog_name="mass-stop", standalone_mode=False) or 0
    except click.exceptions.NoArgsIsHelpError:
        errors.write(FIRST_STEPS)
        status = 2
    except (Exception, KeyboardInterrupt, BaseExceptionGroup) as error:  # noqa: BLE001 - the log has the traceback
        sentence, status = ending(error)
        say(sentence)
    with suppress(KeyboardInterrupt):
        _finish(errors)
    # A normal exit would wait for the thread of a source whose writer is silent.
    os._exit(status)


def _finish(errors: BackgroundStream) -> None:
    """Waits until the messages are read: a paused terminal gets more time than a pipe without a reader."""
    stalled = 60.0 if errors.isatty() else 5.0
    if errors.drain(stalled) and errors.dropped:
        say(
            f"{errors.dropped:,} messages were dropped here, because the terminal or pipe was not read. "
            "run.log in the run directory has every event."
        )
        errors.drain(stalled)


def ending(error: BaseException) -> tuple[str, int]:
    """The message for the operator about ``error``, and the exit status."""
    if isinstance(error, click.ClickException):
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "mass-stop"
        return f"{sentence_of(error)} (see {where} --help)", 2
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        return "interrupted; nothing was sent.", 130
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, SettingError):
        likely = suggestion(str(error.value), re.findall(r"[a-z][\w-]+", error.expected))
        return f"{error}{likely}", error.exit_status
    if isinstance(error, MassStopError):
        return str(error), error.exit_status
    if isinstance(error, MemoryError):
        return NO_MEMORY, 5
    if isinstance(error, OSError) and error.strerror:
        where = f": {error.filename}" if error.filename else ""
        return (
            f"This machine refused an operation ({error.strerror}{where}). If a run directory was made, it has all "
            "known results. Correct the cause, then finish the run with: mass-stop resume RUN_DIR"
        ), StorageError.exit_status
    sentence = (
        f"a defect of mass-stop ended the run ({type(error).__name__}: {error}). Stopped actions stay stopped. If a "
        "run directory was made, it holds what is known, and run.log the details. Finish the run with: mass-stop "
        "resume RUN_DIR"
    )
    return sentence, 5


def _clean_environment() -> None:
    """Removes line endings and quotes around the variables that click reads by itself (``MASS_STOP_ACTIONS``)."""
    names = [name for name in os.environ if name.startswith("MASS_STOP_")]
    if not names:
        return
    from orchestrator.settings.text import from_variable, is_unset

    for name in names:
        clean = from_variable(os.environ[name])
        if clean or is_unset(os.environ[name]):
            os.environ[name] = clean


def _standard_streams() -> None:
    """A closed standard stream gives its number to the next file that is opened, which might be the journal.

    Its replacement cannot be written to, so that a report sent there does not count as delivered.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            setattr(sys, name, os.fdopen(number, mode))
    # A terminal that is not UTF-8 shows an escape for a character that it lacks. Standard error does so already.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _no_core_dumps() -> None:
    """A core dump would hold the token."""
    with suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
