"""Settings out of their layers: options, environment, configuration file, an earlier run, defaults; and secrets."""

import difflib
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from orchestrator.errors import UsageError
from orchestrator.settings.declared import SETTINGS, Setting, Settings
from orchestrator.settings.forms import ENVIRONMENTS, Secret

# Where a name and an address disagree, the nearer to the operator wins; what it overrides must then not linger.
_SECRETS = {"token", "token_file", "client_secret", "client_secret_file"}
_RIVALS = {"env": {"base_url"}, "base_url": {"env"}, **{name: _SECRETS - {name} for name in _SECRETS}}

OF_ONE_TENANT = (
    "env", "base_url", "client_id", "client_secret_file", "token_file", "entity_id", "org_ids",
)  # fmt: skip


def resolve(
    options: Mapping[str, object],
    environment: Mapping[str, str] = os.environ,
    config: str | None = None,
    earlier: Mapping[str, object] | None = None,
) -> Settings:
    """Settings out of options, then environment, then the file ``config``, then ``earlier`` (a run being resumed).

    Raises:
        SettingError: a value cannot be used; the message names it, its origin and what would be right.
        UsageError: the file cannot be read, a secret is missing, or two settings contradict each other.
    """
    layers = [
        _from_options(options),
        _from_environment(environment),
        _from_file(config),
        dict(earlier or {}),
    ]
    values: dict[str, Any] = {}
    for layer in layers:
        fresh = {name: value for name, value in layer.items() if name not in values}
        values |= {
            name: value for name, value in fresh.items() if values.keys().isdisjoint(_RIVALS.get(name, ()))
        }
    _one_or_many(layers[0], values)
    if values.get("token_file"):
        values.pop("token", None)
    return completed(values)


def completed(values: dict[str, Any]) -> Settings:
    """Settings of what was told: with the address that a name stands for, and the secrets that are in files.

    Raises UsageError where two of them contradict each other, or a secret cannot be read.
    """
    if "env" in values:
        named = ENVIRONMENTS[values["env"]]
        if values.get("base_url", named) != named:
            raise UsageError(
                f"--env {values['env']} and the base URL {values['base_url']} name different tenants."
            )
        values["base_url"] = named
    if values.get("engine") == "dask" and values.get("scheduler") and not values.get("shared_dir"):
        raise UsageError(
            "--scheduler needs --shared-dir: a folder that this machine and every worker see under one path."
        )
    if values.get("no_results") and values.get("save_responses"):
        raise UsageError(
            "--no-results fetches no response files and --save-responses keeps them: leave one out."
        )
    for name in ("client_secret", "token"):
        if (path := values.get(f"{name}_file")) and name not in values:
            values[name] = secret_in(path, SETTINGS[f"{name}_file"].option)
    return Settings(**values)


def _one_or_many(options: Mapping[str, Any], values: dict[str, Any]) -> None:
    """With a file of tenants, all that concerns one tenant comes from there and from nowhere else."""
    if values.get("tenants") is None:
        if total := values.get("max_failures_total"):
            values.setdefault("max_failures", total)
        if values.get("tenant"):
            raise UsageError(
                "--tenant names one of several tenants: give the file that has them with --tenants."
            )
    else:
        if given := next((name for name in OF_ONE_TENANT if name in options), None):
            raise UsageError(
                f"{SETTINGS[given].option} is of one tenant: with --tenants it belongs into {values['tenants']}."
            )
        for name in (*OF_ONE_TENANT, "client_secret", "token"):
            values.pop(name, None)
    if values.get("engine") != "dask" and "scheduler" in options:
        raise UsageError("--scheduler is for the workers of a dask cluster: give --engine dask as well.")


def _from_options(options: Mapping[str, object]) -> dict[str, Any]:
    return {
        name: _known(name, f"An option is named {name}").read(value, SETTINGS[name].option)
        for name, value in options.items()
        if value is not None and value != ()
    }


def _known(name: str, told: str) -> Setting:
    """The setting ``name``. Raises UsageError where there is none; ``told`` begins its sentence."""
    if name in SETTINGS:
        return SETTINGS[name]
    near = difflib.get_close_matches(name, SETTINGS, 1)
    hint = f"; did you mean {near[0]}?" if near else "; mass-stop run --help lists the settings."
    raise UsageError(f"{told}, which is no setting{hint}")


def _from_environment(environment: Mapping[str, str]) -> dict[str, Any]:
    values = {
        name: setting.read(environment[setting.variable], setting.variable)
        for name, setting in SETTINGS.items()
        if environment.get(setting.variable)
    }
    for name, variable in (("client_secret", "ZUORA_CLIENT_SECRET"), ("token", "ZUORA_TOKEN")):
        if text := environment.get(variable, "").strip():
            values[name] = checked_secret(text, variable)
    return values


def _from_file(config: str | None) -> dict[str, Any]:
    path = Path(config or "mass-stop.toml")
    if config is None and not path.is_file():
        return {}
    from orchestrator.settings.tables import read_table

    values = {}
    for key, value in read_table(path, "The configuration file").items():
        name = key.replace("-", "_")
        if name in ("client_secret", "token"):
            raise UsageError(
                f"{path} holds {key}: a secret belongs in the environment or in a file of mode 0600."
            )
        values[name] = _known(name, f"{path} sets {key}").read(value, f"{key} in {path}")
    return values


def checked_secret(text: str, origin: str) -> Secret:
    """``text`` as a secret; raises UsageError, without it, where no header could carry it."""
    if not re.fullmatch(r"[!-~]+", text, re.ASCII):
        raise UsageError(f"{origin} holds characters that no header can carry (white space or beyond ASCII).")
    return Secret(text)


def secret_in(path: str, origin: str) -> Secret:
    """The secret that the file ``path`` holds. Raises UsageError where others can read it or nobody can."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        with os.fdopen(descriptor, encoding="utf-8") as file:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) and mode & 0o077:
                raise UsageError(f"{origin}: {path} can be read by others; run: chmod 600 {path}")
            text = file.read(65_536).strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise UsageError(f"{origin}: {path} cannot be read: {reason}.") from None
    if not text:
        raise UsageError(f"{origin}: {path} is empty.")
    return checked_secret(text, f"{origin}: {path}")
