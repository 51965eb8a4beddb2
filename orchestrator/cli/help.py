"""The text of ``--help``: common options first, the rest under headings, then examples and the environment."""

import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

import click

from orchestrator.cli.output import echo

FIRST_STEPS = """\
mass-stop stops many Zuora mass actions at once. Start with one of these:

  mass-stop drill           Rehearse a run. Needs no credentials and stops nothing real.
  mass-stop check           Check address, credentials and limits. Stops nothing.
  mass-stop run keys.csv    Stop every mass action in keys.csv. It asks before the first stop.

All commands: mass-stop --help
"""

EXAMPLES: Mapping[str, Sequence[tuple[str, str]]] = {
    "mass-stop": (
        ("mass-stop drill", "rehearse a run; needs no credentials"),
        ("mass-stop check", "check address, credentials and limits; stops nothing"),
        ("mass-stop run keys.csv", "stop every mass action in keys.csv, after a question"),
    ),
    "run": (
        ("mass-stop run keys.csv", "stop every mass action in the file"),
        ("mass-stop run --plan plan-tonight --out tonight", "the keys of a plan, the fastest first"),
        ("mass-stop run keys.csv --expect-action-type MPU", "skip actions of any other type"),
        ("cut -d, -f1 keys.csv | mass-stop run --yes", "keys from a pipe, without a question"),
        ("mass-stop run all-keys.csv --tenants tenants.toml", "keys of several tenants"),
    ),
    "plan": (
        ("mass-stop plan keys.csv --out plan-tonight", "what would run do?"),
        ("mass-stop run --plan plan-tonight", "then stop them, the fastest first"),
    ),
    "resume": (
        ("mass-stop resume runs/RUN_ID", "continue the run and finish its report"),
        ("mass-stop resume --latest --settle 1h", "the newest run, with a longer wait"),
        ("mass-stop resume tonight --retry-rejected", "also the keys that were refused"),
    ),
    "report": (
        ("mass-stop report tonight --format markdown --report -", "a text for the incident's channel"),
        ("mass-stop report tonight --format csv --report tonight.csv", "a table for a spreadsheet"),
        ("mass-stop report --latest --only needs-person --report open.json", "the keys that need a person"),
        ("mass-stop report --schema", "every field, as JSON Schema"),
    ),
    "drill": (
        ("mass-stop drill", "200 mass actions and some faults"),
        ("mass-stop drill --actions 50 --faults many --seed 7", "a harder rehearsal, the same each time"),
    ),
    "simulate": (
        (
            "mass-stop simulate --port 8480 --keys keys.csv > tenant.env",
            "serve a tenant, and write its keys and address",
        ),
    ),
    "check": (
        ("mass-stop check", "the tenant of ZUORA_BASE_URL"),
        ("mass-stop check --env eu-prod", "a data centre by its name"),
        ("mass-stop check 402892f04c97b89a014c97bb30a50003", "also read this mass action"),
        ("mass-stop check --tenants tenants.toml", "every tenant of the file"),
    ),
    "verify": (("mass-stop verify tonight", "read every status again and compare it with the report"),),
    "keys": (
        ("mass-stop keys app.log app.log.1.gz > keys.csv", "the keys that the logs name"),
        ("mass-stop keys --loose trace.har > keys.csv", "also keys without a label"),
    ),
    "completion": (
        ('eval "$(mass-stop completion bash)"', "in ~/.bashrc"),
        ('eval "$(mass-stop completion zsh)"', "in ~/.zshrc, after compinit"),
        ("mass-stop completion fish > ~/.config/fish/completions/mass-stop.fish", "for fish, once"),
    ),
}
"""Command lines of each command, with what each does."""

EXIT_STATUSES: Mapping[str, tuple[str, str]] = {
    "0": ("every key is over (for the other commands: done)", "nothing"),
    "1": (
        "the run finished, and some keys are not known to be over, were skipped by a guard, or are malformed",
        "read 'Needs a person:' and 'Next:' in the summary",
    ),
    "2": ("wrong usage, configuration or input; nothing was sent", "correct what the message names"),
    "3": (
        "credentials refused or tenant unreachable; nothing was stopped (of several tenants: in none)",
        "mass-stop check until it ends in 0, then mass-stop resume",
    ),
    "4": (
        "cut short by --max-failures, --deadline, or a tenant that went away",
        "read the reason, then mass-stop resume",
    ),
    "5": ("this machine failed; known results were kept", "free some space, then mass-stop resume"),
    "129, 130, 143": (
        "interrupted by a lost terminal, Ctrl-C or SIGTERM; the report was written",
        "mass-stop resume",
    ),
}
"""Exit statuses of a run, each with its meaning and what to do."""


class Helpful(click.Command):
    """A command whose ``--help`` reports that it cannot be written, as every other output does."""

    def get_help_option(self, ctx: click.Context) -> click.Option | None:
        """As click's, but a full disk is a StorageError, and a reader that closes early is no failure."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.callback = _print_help
        return option


def _print_help(ctx: click.Context, _: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        echo(ctx.get_help())
        ctx.exit()


class Command(Helpful):
    """A command whose help has headings, examples and the environment."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """As click's, but every error names this command, for its ``--help``."""
        try:
            return super().parse_args(ctx, args)
        except click.UsageError as error:
            error.ctx = error.ctx or ctx
            raise

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the common options, and then each section that has another option."""
        from orchestrator.cli.options import COMMON, SECTIONS

        shown = [option for option in self.get_params(ctx) if isinstance(option, click.Option)]
        left = {option.name: option for option in shown if not option.hidden}
        general = [name for name, option in left.items() if name == "config" or option.is_eager]
        placed = {name for names in SECTIONS.values() for name in names}
        first = "Common options" if any(name in left for name in placed) else "Options"
        own = [name for name in left if name not in {*placed, *general, *COMMON}]
        rest = {title: [name for name in names if name not in COMMON] for title, names in SECTIONS.items()}
        for title, names in ({first: [*own, *COMMON]} | rest | {"General": general}).items():
            if options := [left[name] for name in names if name in left]:
                with formatter.section(title):
                    formatter.write_dl(
                        [record for option in options if (record := option.get_help_record(ctx))]
                    )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the values, the environment, the exit statuses and the examples, as far as they apply."""
        names = {str(param.name) for param in self.get_params(ctx)}
        if values := _values(names):
            with formatter.section("Values"):
                formatter.write_dl(values)
        write_environment(formatter, _environment() if "client_id" in names else [_NO_SECRETS])
        if "settle" in names:
            with formatter.section("Exit status"):
                formatter.write_dl([(code, meaning) for code, (meaning, _) in EXIT_STATUSES.items()])
        write_examples(formatter, self.name)


_NO_SECRETS = ("ZUORA_CLIENT_SECRET, ZUORA_TOKEN", "the secrets of other commands; not used by this one")


def write_environment(formatter: click.HelpFormatter, variables: Sequence[tuple[str, str]]) -> None:
    """Write the section on environment variables, each with its meaning."""
    with formatter.section("Environment"):
        formatter.write_dl(variables)


def write_examples(formatter: click.HelpFormatter, name: str | None) -> None:
    """Write the examples of the command ``name``, if there are any."""
    if examples := EXAMPLES.get(name or ""):
        with formatter.section("Examples"):
            for line, meaning in examples:
                formatter.write(f"  {line}\n      {meaning}\n")


class Whole(click.ParamType[int]):
    """A whole number from ``least`` to ``most``, with a refusal in words."""

    name = "N"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number. Raises click.BadParameter."""
        text = str(value).strip()
        if re.fullmatch(r"\d{1,10}", text, re.ASCII) and self._least <= int(text) <= self._most:
            return int(text)
        limits = f"from {self._least:,} to {self._most:,}"
        raise click.BadParameter(f"{value!r} is not usable; give a whole number {limits}.", ctx, param)


def _values(names: set[str]) -> list[tuple[str, str]]:
    """How the values of the options ``names`` are written, by metavar."""
    from orchestrator.settings import SETTINGS

    forms = {SETTINGS[name].form for name in SETTINGS if name in names}
    return sorted(
        (form.metavar, form.expected) for form in forms if form.metavar in ("DURATION", "N/min", "N|PERCENT")
    )


CREDENTIALS = (
    ("ZUORA_CLIENT_ID", "OAuth client: its id,"),
    ("ZUORA_CLIENT_SECRET", "and its secret (or --client-secret-file)"),
    ("ZUORA_TOKEN", "a bearer token instead of the client (or --token-file)"),
)
"""The environment variables for credentials, each with its meaning."""


def _environment() -> list[tuple[str, str]]:
    from orchestrator.settings import ENVIRONMENTS

    return [
        *CREDENTIALS,
        ("ZUORA_BASE_URL", "the tenant's address, as --base-url"),
        ("MASS_STOP_...", "every other option: --max-attempts is MASS_STOP_MAX_ATTEMPTS"),
        ("names for --env", ", ".join(ENVIRONMENTS)),
    ]


def suggestion(wrong: str, right: Sequence[str]) -> str:
    """A sentence with the one word of ``right`` that ``wrong`` probably means; "" if there is none."""
    close = get_close_matches(wrong, right, n=1, cutoff=0.7 if wrong.startswith("--") else 0.6)
    return f" Did you mean {close[0]}?" if close else ""


def sentence_of(error: click.ClickException) -> str:
    """The message about a wrong command line."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption):
        options = [name for param in context.command.params for name in param.opts] if context else []
        return f"There is no option {error.option_name}.{suggestion(error.option_name, options)}"
    return error.format_message()
