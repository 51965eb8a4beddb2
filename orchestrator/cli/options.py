"""The settings as options of the command line."""

import re
import shlex
import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from click.core import ParameterSource

from orchestrator.cli import complete, targets
from orchestrator.cli.output import say
from orchestrator.settings import SETTINGS, Settings, implicit, resolve
from orchestrator.settings.forms import NUMBER, PERCENT, SLOTS
from orchestrator.settings.network import split_proxy

F = TypeVar("F", bound=Callable[..., Any])

TENANT = (
    "env", "base_url", "client_id", "client_secret_file", "token_file", "entity_id", "org_ids", "proxy", "ca_file",
    "zuora_version", "track_prefix",
)  # fmt: skip
INPUT = ("column", "any_key", "strict")
ORDER = ("order", "plan")
GUARDS = ("expect_action_type", "expect_uploaded_by")
LIMITS = ("max_failures", "max_failures_total")
PACE = (
    "concurrency", "headroom", "rate", "max_attempts", "timeout", "hedge", "wait_for_tenant", "deadline",
)  # fmt: skip
RESULTS = ("settle", "no_results", "save_responses")
EVIDENCE = ("reason", "ticket", "require_reason", "require_ticket", "on_end")
FILES = ("report", "metrics")
SCREEN = ("log_format", "log_level", "quiet", "no_progress")
MANY = ("tenants", "tenant", "tenant_column", "engine", "scheduler", "insecure_scheduler", "shared_dir")

COMMON = ("env", "base_url", "plan", "yes", "out", "deadline", "max_failures")
"""The options that the help of a command begins with."""

SECTIONS = {
    "Tenant": TENANT,
    "Input": INPUT + ORDER,
    "Guards": GUARDS + LIMITS,
    "Pace": PACE,
    "Results": RESULTS,
    "Evidence": EVIDENCE,
    "Output": FILES + SCREEN,
    "Several tenants": MANY,
}
"""The headings for the other options, in their order."""

MOST_WORDS = 100
"""Words of the command line that are kept. The others are keys or files, which the report has."""

_USERINFO = re.compile(r"(?<=://)\S*@")


def settings_options(*names: str, unused: tuple[str, ...] = ()) -> Callable[[F], F]:
    """Adds an option for each of the settings ``names``, and ``--config``, in that order.

    The ``unused`` ones are accepted without effect and hidden in the help, so that a command line of ``run`` works for
    related commands as well.
    """

    def add(function: F) -> F:
        config = click.option(
            "--config",
            metavar="FILE",
            envvar="MASS_STOP_CONFIG",
            shell_complete=complete.files,
            help="Settings from a TOML file (default: mass-stop.toml in this folder, if it exists).",
        )
        function = config(function)
        for name in reversed((*names, *unused)):
            function = _option(name, hidden=name in unused)(function)
        return function

    return add


def read_settings(options: dict[str, Any], earlier: dict[str, Any] | None = None) -> Settings:
    """The settings from the command's ``options``, the environment, the configuration file and ``earlier``.

    Warnings go to standard error. Raises UsageError.
    """
    config = options.pop("config", None)
    known = {name: value for name, value in options.items() if name in SETTINGS}
    warnings: list[str] = []
    settings = resolve(known, config=config, earlier=earlier, warn=warnings.append)
    targets.refuse_report_target(settings.report)
    targets.refuse_report_target(settings.metrics, "--metrics")
    if "out" in known:
        targets.refuse_run_directory(settings.out, warnings.append)
    if known.get("proxy") and settings.proxy_credentials is not None:
        warnings.append(
            "Other users of this machine can see the password in --proxy; set MASS_STOP_PROXY instead."
        )
    if not settings.quiet:
        for sentence in warnings:
            say(sentence)
    return settings


def implicit_settings(settings: Settings) -> str:
    """The risky settings of a configuration file that was found, not named, with their values; "" if there is none."""
    return ", ".join(
        f"{name} = {SETTINGS[name].shown(getattr(settings, name))}" for name in settings.implicit
    )


def say_implicit(settings: Settings) -> None:
    """Names the risky settings of a found file on standard error, for a command that does not ask."""
    if settings.implicit and not settings.quiet:
        say(f"{implicit.NAME} in this folder sets {implicit_settings(settings)}.")


def command_line() -> tuple[str, ...]:
    """This command line without its secrets: the credentials in addresses, and the command of ``--on-end``."""
    words = ["mass-stop"]
    for word in sys.argv[1 : MOST_WORDS + 1]:
        if words[-1] == "--on-end":
            words.append("…")
        elif word.startswith("--on-end="):
            words.append("--on-end=…")
        elif words[-1] == "--proxy":
            words.append(split_proxy(word)[0] if "://" in word else word.rpartition("@")[2])
        elif word.startswith("--proxy=") and "://" not in word:
            words.append(f"--proxy={word.rpartition('@')[2]}" if "@" in word else word)
        else:
            words.append(_USERINFO.sub("…@", word))
    if len(sys.argv) > MOST_WORDS + 1:
        words.append(f"… and {len(sys.argv) - MOST_WORDS - 1:,} more")
    return tuple(words)


def need_tenant(settings: Settings) -> None:
    """Raises UsageError if neither a tenant nor a file of tenants is named, before anything is imported or made."""
    if settings.tenants is None:
        _ = settings.address


def given_again(*names: str) -> str:
    """The options ``names`` and ``--config`` as typed on this command line, to be suggested for another command."""
    context = click.get_current_context(silent=True)
    if context is None:
        return ""
    words = []
    for name in (*names, "config"):
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            words += _spelled(name, context.params[name])
    return "".join(f" {word}" for word in words)


def _spelled(name: str, value: object) -> list[str]:
    option = SETTINGS[name].option if name in SETTINGS else f"--{name}"
    if name in SETTINGS and SETTINGS[name].flag:
        return [option]
    if name == "proxy":  # without its credentials: what is printed can be copied anywhere
        value, _ = split_proxy(SETTINGS[name].read(value, option))
    values = value if isinstance(value, tuple) else (value,)
    return [word for one in values for word in (option, shlex.quote(str(one)))]


def _option(name: str, *, hidden: bool) -> Callable[[F], F]:
    setting = SETTINGS[name]
    text = setting.help[0].upper() + setting.help[1:]
    if setting.form in (NUMBER, SLOTS, PERCENT):
        text += f": {setting.form.expected}"
    if setting.repeatable:
        text += "; may be given several times"
    if setting.default not in (None, (), False):
        text += f" [default: {setting.form.show(setting.default)}]"
    if setting.flag:
        return click.option(
            setting.option, name, is_flag=True, flag_value="true", default=None, help=text, hidden=hidden
        )
    return click.option(
        setting.option,
        name,
        metavar=setting.form.metavar,
        multiple=setting.repeatable,
        help=text,
        hidden=hidden,
        shell_complete=complete.of_setting(name),
    )
