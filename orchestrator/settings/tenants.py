"""Several tenants in one run: addresses, sources of credentials, and limits."""

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from msgspec import Struct, structs

from orchestrator.errors import UsageError
from orchestrator.settings.addresses import ENVIRONMENTS
from orchestrator.settings.declared import CREDENTIALS, SETTINGS, Settings
from orchestrator.settings.forms import Rate, Secret, Threshold
from orchestrator.settings.layers import given_values
from orchestrator.settings.network import check_ca_file, route_to
from orchestrator.settings.secrets import secret_in, secret_of_variable
from orchestrator.settings.tables import read_table
from orchestrator.settings.text import from_variable

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
"""Valid names of tenants. They become file names."""

NAME_RULE = "a name has letters, digits, '.', '_' and '-', and starts with one of the first two."

_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SPEAKING = re.compile(r"[A-Z]+(_[A-Z0-9]+)*", re.ASCII)


class Tenant(Struct, frozen=True, kw_only=True):
    """One of several tenants, as described by its table in the file of tenants.

    The fields contain the sources of the credentials, so that a tenant can be sent to another machine. The first form
    is ``client_id`` (or the variable ``client_id_env``) with ``client_secret_env`` or ``client_secret_file``. The
    second form is a bearer token in ``token_env`` or ``token_file``. Programs may give ``client_secret`` and ``token``
    themselves. If a value is None, the run's own setting applies.
    """

    env: str | None = None
    base_url: str | None = None
    entity_id: str | None = None
    org_ids: tuple[str, ...] = ()
    client_id: str | None = None
    client_id_env: str | None = None
    client_secret_env: str | None = None
    client_secret_file: str | None = None
    token_env: str | None = None
    token_file: str | None = None
    concurrency: int | None = None
    headroom: float | None = None
    rate: Rate | None = None
    max_failures: Threshold | None = None
    client_secret: Secret | None = None
    token: Secret | None = None

    @property
    def address(self) -> str:
        """The base URL. Raises UsageError if there is none, or two different ones."""
        named = ENVIRONMENTS.get(self.env) if self.env else None
        if named and self.base_url and named != self.base_url:
            raise UsageError(f"env {self.env} and base_url {self.base_url} name different tenants.")
        address = self.base_url or named
        if address is None:
            raise UsageError("it needs env or base_url.")
        return address


_KEYS = tuple(name for name in Tenant.__struct_fields__ if name not in CREDENTIALS)
"""The valid keys in a tenant's table."""


def read_tenants(path: str) -> dict[str, Tenant]:
    """Return the tenants in the file ``path`` by name, in the file's order. Credentials are not read.

    Relative paths in the file start at the file's own folder.

    Raises:
        UsageError: the file cannot be read, or a value is invalid. The sentence has the tenant and the key.
    """
    table = read_table(Path(path), "The file of tenants")
    named = table.pop("tenants", None)
    if table or not isinstance(named, dict) or not named:
        stray = f" and not {next(iter(table))!r}" if table else ""
        raise UsageError(f"{path} must hold one table [tenants.NAME] for each tenant{stray}.")
    tenants: dict[str, Tenant] = {}
    for name, values in named.items():
        if not NAME.fullmatch(name):
            raise UsageError(f"{path} names a tenant {name!r}: {NAME_RULE}")
        if twin := next((other for other in tenants if other.casefold() == name.casefold()), None):
            raise UsageError(f"{path} names the tenants {twin} and {name}, which differ in capitals only.")
        if not isinstance(values, dict):
            raise UsageError(f"{path} must hold a table [tenants.{name}], not a value.")
        tenants[name] = _tenant(values, f"of tenant {name} in {path}", Path(path).parent)
    return tenants


def _tenant(table: Mapping[str, object], where: str, folder: Path) -> Tenant:
    values: dict[str, Any] = {}
    for key, value in table.items():
        name = key.replace("-", "_")
        if name in CREDENTIALS:
            raise UsageError(
                f"{key} {where}: a secret belongs in the environment or in a file of mode 0600; name the place with "
                f"{name}_env or {name}_file."
            )
        if name not in _KEYS:
            near = difflib.get_close_matches(name, _KEYS, 1)
            hint = f"; did you mean {near[0]}?" if near else f"; there are {', '.join(_KEYS)}."
            raise UsageError(f"{key} {where} is nothing that a tenant has{hint}")
        values[name] = _value(name, value, f"{key} {where}")
        if name.endswith("_file"):
            values[name] = str((folder / Path(values[name]).expanduser()).absolute())
    return usable(Tenant(**values), f"The table {where}")


def usable(tenant: Tenant, called: str) -> Tenant:
    """Return ``tenant``. Raises UsageError, which calls it ``called``, if its address or credentials are invalid."""
    try:
        tenant.address  # noqa: B018 - raises UsageError for an invalid address
        _check_credentials(tenant)
    except UsageError as error:
        raise UsageError(f"{called} cannot be used: {error}") from None
    return tenant


def checked_tenants(tenants: Mapping[str, Tenant]) -> dict[str, Tenant]:
    """Check the tenants of a program and return them like :func:`read_tenants`. Raises SettingError or UsageError."""
    good = {}
    for name, tenant in tenants.items():
        if not NAME.fullmatch(name):
            raise UsageError(f"A tenant is named {name!r}: {NAME_RULE}")
        values = given_values(tenant, Tenant(), f"tenant {name}")
        for key in values.keys() - SETTINGS.keys() - set(CREDENTIALS):
            values[key] = _value(key, values[key], f"tenant {name}: {key}")
        good[name] = usable(Tenant(**values), f"The tenant {name}")
    return good


def _value(name: str, value: object, origin: str) -> Any:
    if name in SETTINGS:
        return SETTINGS[name].read(value, origin)
    text = str(value)
    if not _VARIABLE.fullmatch(text):
        # The text may be the secret itself instead of its variable's name, so it is not shown.
        raise UsageError(f"{origin}: expected the name of an environment variable, such as NORTH_SECRET.")
    return text


_PAIRS = (
    ("client_id", "client_id_env"),
    ("client_secret_env", "client_secret_file"),
    ("token_env", "token_file"),
)


def _check_credentials(tenant: Tenant) -> None:
    """Raise UsageError if the tenant's credentials are missing or given twice."""
    given = {name for name in Tenant.__struct_fields__ if getattr(tenant, name) is not None}
    for one, other in _PAIRS:
        if {one, other} <= given:
            raise UsageError(f"it has both {one} and {other}: leave one out.")
    client = bool(given & {"client_id", "client_id_env"})
    secret = bool(given & {"client_secret_env", "client_secret_file", "client_secret"})
    token = bool(given & {"token_env", "token_file", "token"})
    if token and (client or secret):
        raise UsageError("it has both a token and a client: leave one out.")
    if not token and not (client and secret):
        raise UsageError(
            "it needs client_id (or client_id_env) with client_secret_env or client_secret_file; or token_env or "
            "token_file."
        )


def settings_of(name: str, tenant: Tenant, base: Settings) -> Settings:
    """Return the settings for one of several tenants: ``base`` with the tenant's own values and credentials.

    Raises UsageError for a missing credential, and for an invalid proxy or CA file.
    """
    own = {
        name: getattr(tenant, name)
        for name in ("concurrency", "headroom", "rate", "max_failures")
        if getattr(tenant, name) is not None
    }
    settings = structs.replace(
        base,
        env=None,
        base_url=tenant.address,
        entity_id=tenant.entity_id,
        org_ids=tenant.org_ids,
        client_id=tenant.client_id or _variable_of(name, tenant, "client_id_env"),
        client_secret=tenant.client_secret or _secret_of(name, tenant, "client_secret"),
        token=tenant.token or _secret_of(name, tenant, "token"),
        **own,
    )
    route_to(settings)  # reports an invalid proxy before the first call
    if settings.ca_file is not None:
        check_ca_file(settings.ca_file)
    return settings


def _secret_of(name: str, tenant: Tenant, what: str) -> Secret | None:
    if path := getattr(tenant, f"{what}_file"):
        return secret_in(path, f"{what}_file of tenant {name}")
    key = f"{what}_env"
    text = _variable_of(name, tenant, key)
    return None if text is None else secret_of_variable(text, f"{key} of tenant {name}")


def _variable_of(name: str, tenant: Tenant, key: str) -> str | None:
    variable: str | None = getattr(tenant, key)
    if variable is None:
        return None
    text = from_variable(os.environ.get(variable, ""))
    if not text:
        # A text that does not look like a variable may be the secret itself, so it is not shown.
        shown = f"{variable}, which {key} of tenant {name} names," if _SPEAKING.fullmatch(variable) else (
            f"which {key} of tenant {name} names"
        )  # fmt: skip
        raise UsageError(f"The environment variable {shown} is not set.")
    return text
