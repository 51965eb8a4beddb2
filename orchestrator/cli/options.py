"""The settings as options of the command line."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from orchestrator.settings import SETTINGS, Settings, resolve

F = TypeVar("F", bound=Callable[..., Any])

TENANT = (
    "env", "base_url", "client_id", "client_secret_file", "token_file", "entity_id", "org_ids", "zuora_version",
    "track_prefix",
)  # fmt: skip
MANY = ("tenants", "tenant", "tenant_column", "engine", "scheduler", "shared_dir")
INPUT = ("column", "strict")
ORDER = ("order", "plan")
GUARDS = ("expect_action_type", "expect_uploaded_by")
PACE = ("concurrency", "headroom", "rate", "max_attempts", "timeout", "deadline")
ENDS = ("settle", "max_failures", "max_failures_total", "no_results", "save_responses")
OUTPUT = ("out", "report", "log_format", "log_level", "quiet", "no_progress")


def settings_options(*names: str) -> Callable[[F], F]:
    """Adds an option for each of the settings ``names``, and ``--config``, in that order."""

    def add(function: F) -> F:
        config = click.option(
            "--config",
            metavar="FILE",
            envvar="MASS_STOP_CONFIG",
            help="Settings from a TOML file (default: mass-stop.toml here, if there).",
        )
        function = config(function)
        for name in reversed(names):
            function = _option(name)(function)
        return function

    return add


def read_settings(options: dict[str, Any], earlier: dict[str, Any] | None = None) -> Settings:
    """The settings that the command's ``options`` and everything behind them come to. Raises UsageError."""
    config = options.pop("config", None)
    known = {name: value for name, value in options.items() if name in SETTINGS}
    kept = earlier or {}
    defaults = Settings()
    return resolve(
        known,
        config=config,
        earlier={name: value for name, value in kept.items() if value != getattr(defaults, name)},
    )


def _option(name: str) -> Callable[[F], F]:
    setting = SETTINGS[name]
    text = setting.about.help[0].upper() + setting.about.help[1:]
    if setting.default not in (None, (), False):
        text += f" [default: {setting.form.show(setting.default)}]"
    text += f" [env: {setting.variable}]"
    if setting.about.flag:
        return click.option(setting.option, name, is_flag=True, flag_value="true", default=None, help=text)
    return click.option(
        setting.option, name, metavar=setting.form.metavar, multiple=setting.about.repeatable, help=text
    )
