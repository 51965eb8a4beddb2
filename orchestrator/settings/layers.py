"""Combine settings from options, environment, configuration file, an earlier session and defaults."""

import difflib
import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings import implicit
from orchestrator.settings.addresses import ENVIRONMENTS
from orchestrator.settings.declared import CREDENTIALS, SETTINGS, Setting, Settings
from orchestrator.settings.forms import Secret
from orchestrator.settings.network import check_ca_file, split_proxy
from orchestrator.settings.scheduler import refuse_open
from orchestrator.settings.secrets import checked_secret, secret_in, secret_of_variable
from orchestrator.settings.text import from_variable, is_unset

# If a name and an address disagree, the earlier layer decides, and the other value is dropped.
_SECRETS = {"token", "token_file", "client_secret", "client_secret_file"}
_RIVALS = {"env": {"base_url"}, "base_url": {"env"}, **{name: _SECRETS - {name} for name in _SECRETS}}

_SECRET_VARIABLES = {"client_secret": "ZUORA_CLIENT_SECRET", "token": "ZUORA_TOKEN"}
_PREFIX = "MASS_STOP_"
_LIKE = (
    0.82  # similarity of a mistyped name. A variable of this name may also be for a script of the operator.
)

OF_ONE_TENANT = (
    "env", "base_url", "client_id", "client_secret_file", "token_file", "entity_id", "org_ids",
)  # fmt: skip


def resolve(
    options: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    earlier: Mapping[str, object] | None = None,
    *,
    warn: implicit.Warn = warnings.warn,
) -> Settings:
    """Return the settings from ``options``, ``environment``, the file ``config`` and ``earlier``, in this precedence.

    ``earlier`` has the settings of a resumed run. Without ``config``, ``mass-stop.toml`` in the working directory is
    read if it exists. ``warn`` receives a sentence about a file that is read although its mode is not strict enough.
    It also receives one about each environment variable whose name is probably mistyped.

    Raises:
        SettingError: a value is invalid. The message has the setting, its origin and valid values.
        UsageError: a file cannot be read or is not trusted, a secret is missing, or two settings contradict each other.
    """
    file = Path(config) if config is not None else implicit.find()
    given = _from_options(options)
    nearer = combined(given, _from_environment(environment, warn))
    from_file = _from_file(file, warn, named=config is not None) if file is not None else {}
    values = combined(nearer, from_file, earlier or {})
    _one_or_many(given, values)
    if values.get("token_file"):
        values.pop("token", None)
    if config is None:
        found = values.keys() & from_file.keys() - nearer.keys()
        values["implicit"] = tuple(name for name in implicit.SHOWN if name in found)
    return completed(values)


def combined(*layers: Mapping[str, object]) -> dict[str, Any]:
    """Return the values of all ``layers``. A value hides the same setting and its rivals in later layers."""
    values: dict[str, Any] = {}
    for layer in layers:
        values |= {
            name: value
            for name, value in layer.items()
            if values.keys().isdisjoint({name} | _RIVALS.get(name, set()))
        }
    return values


def given_values(given: Any, unset: Any, origin: str) -> dict[str, Any]:
    """Return the checked values of a Settings or Tenant that differ from ``unset``.

    Raises SettingError or UsageError.
    """
    values = {name: getattr(given, name) for name in given.__struct_fields__}
    return {
        name: _given_value(name, value, origin)
        for name, value in values.items()
        if value != getattr(unset, name)
    }


def _given_value(name: str, value: object, origin: str) -> Any:
    if name in SETTINGS:
        return SETTINGS[name].read(value, origin)
    if name not in CREDENTIALS:
        return value
    if not isinstance(value, Secret):
        raise UsageError(f"{origin}: {name} must be a Secret, so that nothing shows it: Secret(…).")
    return checked_secret(value.reveal(), f"{origin}: {name}")


def completed(values: dict[str, Any]) -> Settings:
    """Return the Settings for ``values``, with the address of ``env`` and the secrets from files.

    Raises UsageError if two values contradict each other, or if a secret cannot be read.
    """
    if values.get("base_url"):
        # Earlier versions stored the address in the journal without normalizing it.
        values["base_url"] = SETTINGS["base_url"].read(values["base_url"], "The address of the run")
    if "env" in values:
        named = ENVIRONMENTS[values["env"]]
        if values.get("base_url", named) != named:
            raise UsageError(
                f"--env {values['env']} and the base URL {values['base_url']} name different tenants."
            )
        values["base_url"] = named
    _refuse_contradictions(values)
    for name in CREDENTIALS:
        if (path := values.get(f"{name}_file")) and name not in values:
            values[name] = secret_in(path, SETTINGS[f"{name}_file"].option)
    if "proxy" in values:
        values["proxy"], credentials = split_proxy(values["proxy"])
        values.setdefault("proxy_credentials", credentials)
    if "ca_file" in values:
        check_ca_file(values["ca_file"])
        values["ca_file"] = str(Path(values["ca_file"]).absolute())
    return Settings(**values)


def _refuse_contradictions(values: Mapping[str, Any]) -> None:
    if values.get("engine") == "dask" and (scheduler := values.get("scheduler")):
        if not values.get("shared_dir"):
            raise UsageError(
                "--scheduler needs --shared-dir: a folder that this machine and every worker see under one path."
            )
        if not values.get("insecure_scheduler"):
            refuse_open("--scheduler", scheduler)
    if values.get("no_results") and values.get("save_responses"):
        raise UsageError(
            "--no-results fetches no response files and --save-responses keeps them: leave one out."
        )


def _one_or_many(options: Mapping[str, Any], values: dict[str, Any]) -> None:
    """Apply the rules for one or several tenants. With a file of tenants, settings of one tenant come only from it."""
    if values.get("tenants") is None:
        if total := values.get("max_failures_total"):
            values.setdefault("max_failures", total)
        if values.get("tenant"):
            raise UsageError("--tenant names one of several tenants: name their file with --tenants.")
    else:
        if given := next((name for name in OF_ONE_TENANT if name in options), None):
            raise UsageError(
                f"{SETTINGS[given].option} applies to one tenant: with --tenants, write it into {values['tenants']}."
            )
        for name in (*OF_ONE_TENANT, *CREDENTIALS):
            values.pop(name, None)
    if values.get("engine") != "dask" and "scheduler" in options:
        raise UsageError("--scheduler is for the workers of a dask cluster: give --engine dask as well.")


def _from_options(options: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: _known(name, f"An option is named {name}").read(value, SETTINGS[name].option)
        for name, value in options.items()
        if value is not None and value != ()
    }


def _known(name: str, begin: str) -> Setting:
    """Return the setting ``name``. Raises UsageError, whose sentence starts with ``begin``, if there is none."""
    if name in SETTINGS:
        return SETTINGS[name]
    near = difflib.get_close_matches(name, SETTINGS, 1)
    hint = f"; did you mean {near[0]}?" if near else "; mass-stop run --help lists the settings."
    raise UsageError(f"{begin}, which is no setting{hint}")


def _from_environment(environment: Mapping[str, str], warn: implicit.Warn) -> dict[str, Any]:
    for name in environment:
        if name.startswith(_PREFIX) and (meant := _meant(name)):
            warn(f"{name} is no setting; did you mean {meant}?")
    values = {
        name: setting.read(from_variable(environment[setting.variable]), setting.variable)
        for name, setting in SETTINGS.items()
        if not is_unset(environment.get(setting.variable, ""))
    }
    for name, variable in _SECRET_VARIABLES.items():
        if secret := secret_of_variable(environment.get(variable, ""), variable):
            values[name] = secret
    return values


def _meant(variable: str) -> str | None:
    """Return the variable whose name is like ``variable``; None if there is none, or if it is one itself."""
    variables = {setting.variable for setting in SETTINGS.values()}
    name = variable.removeprefix(_PREFIX)
    if variable in variables:
        return None
    if f"ZUORA_{name}" in {*variables, *_SECRET_VARIABLES.values()}:
        return f"ZUORA_{name}"
    near = difflib.get_close_matches(name, [one.removeprefix(_PREFIX) for one in variables], 1, _LIKE)
    return f"{_PREFIX}{near[0]}" if near else None


def _from_file(path: Path, warn: implicit.Warn, *, named: bool) -> dict[str, Any]:
    from orchestrator.settings.tables import read_table

    check = None if named else lambda file: implicit.check(file, warn)
    values = {}
    for key, value in read_table(path, "The configuration file", check).items():
        name = key.replace("-", "_")
        if name in CREDENTIALS:
            raise UsageError(
                f"{path} holds {key}: a secret belongs in the environment or in a file of mode 0600."
            )
        values[name] = _known(name, f"{path} sets {key}").read(value, f"{key} in {path}")
    return values
