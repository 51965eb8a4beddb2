"""The settings for programs: typed, without the settings of the screen and of input files."""

import os
import re
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from os import PathLike
from typing import Literal
from urllib.parse import quote

from orchestrator.errors import MassStopError, SettingError, UsageError
from orchestrator.settings import declared, layers
from orchestrator.settings.declared import SETTINGS
from orchestrator.settings.forms import Rate, Secret, Threshold

Duration = float | str
"""Seconds, or text such as ``"30s"``, ``"1h30m"`` or ``"500ms"``."""

Location = str | PathLike[str]


@dataclass(frozen=True, kw_only=True)
class Settings:
    """The settings of a run that a program starts.

    A duration is a number of seconds, or text such as ``"30s"``. ``rate`` also accepts ``"600/min"``. ``max_failures``
    accepts a number of keys or a share such as ``"5%"``. ``headroom`` is a percentage. ``hedge`` is a duration or
    ``"off"``. Paths may be text or ``Path``. An invalid value raises SettingError when a run starts with it.
    """

    env: str | None = None
    base_url: str | None = None
    client_id: str | None = None
    client_secret: Secret | None = None
    client_secret_file: Location | None = None
    token: Secret | None = None
    token_file: Location | None = None
    entity_id: str | None = None
    org_ids: tuple[str, ...] | list[str] = ()
    zuora_version: str | None = None
    track_prefix: str = "mass-stop"
    tenants: Location | None = None
    engine: Literal["local", "dask"] = "local"
    scheduler: str | None = None
    insecure_scheduler: bool = False
    shared_dir: Location | None = None
    proxy: str | Secret | None = None
    ca_file: Location | None = None
    any_key: bool = False
    expect_action_type: tuple[str, ...] | list[str] = ()
    expect_uploaded_by: tuple[str, ...] | list[str] = ()
    concurrency: int | None = None
    headroom: float | str = 10.0
    rate: Rate | str | None = None
    max_attempts: int = 8
    timeout: Duration = 30.0
    hedge: Duration | None = None
    wait_for_tenant: Duration = 900.0
    deadline: Duration | None = None
    settle: Duration = 600.0
    max_failures: Threshold | int | str | None = None
    max_failures_total: Threshold | int | str | None = None
    reason: str | None = None
    ticket: str | None = None
    require_reason: bool = False
    require_ticket: bool = False
    no_results: bool = False
    save_responses: bool = False
    out: Location | None = None
    metrics: Location | None = None


FIELDS = frozenset(field.name for field in fields(Settings))


def resolve(
    options: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    config: Location | None = None,
    *,
    warn: Callable[[str], None] = warnings.warn,
) -> Settings:
    """Return the settings from ``options``, ``environment`` and the file ``config``, in the command's precedence.

    Args:
        options: values by the name of their field in :class:`Settings`.
        environment: variables such as ``ZUORA_BASE_URL`` and ``MASS_STOP_HEADROOM``.
        config: a TOML file. Without it, ``mass-stop.toml`` in the working directory is read if it exists.
        warn: receives a sentence about a file that is read although its mode is not strict enough.

    Raises:
        SettingError: a value is invalid. The message has the setting, its origin and valid values.
        UsageError: a file cannot be read or is not trusted, a secret is missing, or two settings contradict each other.
    """
    for name in options.keys() & SETTINGS.keys() - FIELDS:
        raise UsageError(f"{name} is a setting of the command only: leave it out of options.")
    with naming_arguments(variables=False):
        found = layers.resolve(options, environment, None if config is None else os.fspath(config), warn=warn)
    values = {name: getattr(found, name) for name in FIELDS}
    if found.proxy is not None and found.proxy_credentials is not None:
        scheme, _, place = found.proxy.partition("://")
        userinfo = ":".join(quote(part, safe="") for part in found.proxy_credentials.reveal().split(":", 1))
        values["proxy"] = Secret(f"{scheme}://{userinfo}@{place}")
    return Settings(**values)


def checked(
    settings: Settings, *, several: bool, earlier: Mapping[str, object] | None = None
) -> declared.Settings:
    """Return ``settings`` in the form of a run. ``several``: the program passes several tenants.

    ``earlier`` has the settings of the run's first session. They apply if ``settings`` has the default.

    Raises:
        SettingError: a value is invalid. The message has the setting and valid values.
        UsageError: a secret is missing or cannot be read, or two settings contradict each other.
    """
    if not isinstance(settings, Settings):
        raise UsageError(f"settings must be a Settings, not {type(settings).__name__}.")
    given = {name: getattr(settings, name) for name in FIELDS}
    if isinstance(settings.proxy, Secret):
        given["proxy"] = settings.proxy.reveal()
    values = layers.given_values(declared.Settings(**given), declared.Settings(), "Settings")
    values = layers.combined(values, earlier or {})
    if not several and settings.tenants is None and (total := values.get("max_failures_total")):
        values.setdefault("max_failures", total)
    return layers.completed(values)


@contextmanager
def naming_arguments(*, variables: bool = True) -> Iterator[None]:
    """Use argument names in the errors of the block: ``max_attempts`` instead of ``--max-attempts``.

    With ``variables``, argument names replace environment variables as well.
    """
    try:
        yield
    except MassStopError as error:
        if isinstance(error, SettingError):
            error.name = error.name.replace("-", "_")
            error.origin = argument_names(error.origin, variables=variables)
        error.args = (argument_names(str(error), variables=variables),)
        raise


_COMMAND = re.compile(r" \(mass-stop [^)]*\)")
_OPTIONS = {setting.option: setting.name for setting in SETTINGS.values()}
_OPTION = re.compile(r"(--[a-z][a-z-]*[a-z])(?: [A-Z]{2,}\b(?!_))?")
_HYPHENS = re.compile(r"(?<=cannot be used for )[a-z]+(?:-[a-z]+)+")
_VARIABLES = {
    **{setting.variable: setting.name for setting in SETTINGS.values()},
    "ZUORA_CLIENT_SECRET": "client_secret",
    "ZUORA_TOKEN": "token",
}
_OR_SET = re.compile(r", or set [A-Z]+(?:_[A-Z]+)+\b")
_VARIABLE = re.compile(r"(?<!environment variable )\b[A-Z]+(?:_[A-Z]+)+\b")


def argument_names(sentence: str, *, variables: bool = True) -> str:
    """Replace options in ``sentence`` by argument names. With ``variables``, replace environment variables as well."""
    text = _COMMAND.sub("", sentence)
    text = _HYPHENS.sub(lambda found: found[0].replace("-", "_"), text)
    text = _OPTION.sub(lambda found: _OPTIONS.get(found[1], found[0]), text)
    if not variables:
        return text
    return _VARIABLE.sub(lambda found: _VARIABLES.get(found[0], found[0]), _OR_SET.sub("", text))
