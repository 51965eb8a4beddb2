"""All settings. Each is declared once, with its form, help and default."""

import re
from collections.abc import Iterator
from os import PathLike
from typing import Annotated, Any, get_type_hints

from msgspec import Struct

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings.forms import (
    ADDRESS,
    DURATION,
    ENGINE,
    ENVIRONMENT,
    FLAG,
    FOLDER,
    HEADER,
    HEDGE,
    LOG_FORMAT,
    LOG_LEVEL,
    NUMBER,
    ORGANISATIONS,
    PATH,
    PERCENT,
    PREFIX,
    PROXY,
    RATE,
    SLOTS,
    TEXT,
    THRESHOLD,
    Form,
    Rate,
    Secret,
    Threshold,
)


class Settings(Struct, frozen=True, kw_only=True):
    """All settings of a run. Durations are in seconds, ``headroom`` is a percentage from 0 to 95."""

    env: Annotated[str | None, ENVIRONMENT, "the tenant, by the name of its data centre"] = None
    base_url: Annotated[str | None, ADDRESS, "the tenant, by its address"] = None
    client_id: Annotated[str | None, TEXT, "OAuth client id"] = None
    client_secret_file: Annotated[str | None, PATH, "file (mode 0600) that holds the OAuth client secret"] = (
        None
    )
    token_file: Annotated[str | None, PATH, "file (mode 0600) that holds a bearer token"] = None
    entity_id: Annotated[str | None, HEADER, "entity, where Multi-entity is on (Zuora-Entity-Ids)"] = None
    org_ids: Annotated[
        tuple[str, ...], ORGANISATIONS, "organisations, where Multi-Org is on (Zuora-Org-Ids)"
    ] = ()
    tenants: Annotated[str | None, PATH, "TOML file of several tenants, for one run over all of them"] = None
    tenant: Annotated[str | None, TEXT, "the tenant in --tenants that all rows belong to"] = None
    tenant_column: Annotated[
        str, TEXT, "with --tenants, the column that names each row's tenant: its name or number"
    ] = "tenant"
    engine: Annotated[
        str, ENGINE, "where the tenants run: in this process, or on the workers of a dask cluster"
    ] = "local"
    scheduler: Annotated[
        str | None, TEXT, "address of the dask scheduler, tls://... (default: a cluster on this machine)"
    ] = None
    insecure_scheduler: Annotated[bool, FLAG, "accept a scheduler on the network without TLS"] = False
    shared_dir: Annotated[
        str | None, PATH, "folder that this machine and every dask worker see under the same path"
    ] = None
    zuora_version: Annotated[str | None, HEADER, "minor version of the API (Zuora-Version)"] = None
    track_prefix: Annotated[str, PREFIX, "start of the Zuora-Track-Id of each call"] = "mass-stop"
    proxy: Annotated[
        str | None, PROXY, "HTTP proxy to the tenant (default: HTTPS_PROXY, unless NO_PROXY matches)"
    ] = None
    ca_file: Annotated[str | None, PATH, "PEM file of the certificates to trust (default: the system's)"] = (
        None
    )
    column: Annotated[str | None, TEXT, "the key's column: its name, or its number from 1"] = None
    order: Annotated[
        str | None, TEXT, "numeric column: larger values are stopped first (default: input order)"
    ] = None
    plan: Annotated[str | None, FOLDER, "run directory of an earlier plan: its keys, the fastest first"] = (
        None
    )
    any_key: Annotated[bool, FLAG, "accept any text that is safe in a URL path as a key"] = False
    strict: Annotated[bool, FLAG, "refuse the whole input for one malformed row"] = False
    expect_action_type: Annotated[tuple[str, ...], TEXT, "skip actions of any other type"] = ()
    expect_uploaded_by: Annotated[tuple[str, ...], TEXT, "skip actions that another user uploaded"] = ()
    concurrency: Annotated[
        int | None, SLOTS, "maximum calls in flight (default: the tenant's limit, less headroom)"
    ] = None
    headroom: Annotated[
        float, PERCENT, "share of the tenant's concurrency and rate left to other traffic"
    ] = 10.0
    rate: Annotated[
        Rate | None, RATE, "maximum rate of calls (default: the tenant's limit, less headroom)"
    ] = None
    max_attempts: Annotated[int, NUMBER, "attempts for one call, not counting those during an outage"] = 8
    timeout: Annotated[float, DURATION, "timeout of one call"] = 30.0
    hedge: Annotated[
        float | None,
        HEDGE,
        "delay after which a slow call is sent a second time, or off (default: automatic)",
    ] = None
    wait_for_tenant: Annotated[
        float, DURATION, "how long one outage of the tenant may last before the run ends"
    ] = 900.0
    deadline: Annotated[
        float | None, DURATION, "deadline of the run: no call starts after it (default: none)"
    ] = None
    settle: Annotated[float, DURATION, "how long an accepted stop is polled before it is unconfirmed"] = 600.0
    max_failures: Annotated[
        Threshold | None, THRESHOLD, "stop sending once this many keys were refused or unreachable"
    ] = None
    max_failures_total: Annotated[
        Threshold | None, THRESHOLD, "as --max-failures, over all tenants together"
    ] = None
    no_results: Annotated[bool, FLAG, "stop and confirm only: no response files"] = False
    save_responses: Annotated[bool, FLAG, "keep each response file in responses/"] = False
    out: Annotated[str | None, FOLDER, "the run directory (default: runs/RUN_ID)"] = None
    report: Annotated[str | None, PATH, "additional copy of the report; - is standard output"] = None
    reason: Annotated[str | None, TEXT, "why the run is made, for journal and report"] = None
    ticket: Annotated[str | None, TEXT, "the change or incident of the run, for journal and report"] = None
    require_reason: Annotated[bool, FLAG, "refuse to run without --reason"] = False
    require_ticket: Annotated[bool, FLAG, "refuse to run without --ticket"] = False
    on_end: Annotated[
        str | None, TEXT, "command to run once the report is written, with the Markdown report as its input"
    ] = None
    metrics: Annotated[
        str | None, PATH, "file for the counts of the run, in the text format of Prometheus"
    ] = None
    yes: Annotated[bool, FLAG, "stop without confirmation"] = False
    log_format: Annotated[str, LOG_FORMAT, "form of the log on standard error"] = "auto"
    log_level: Annotated[str, LOG_LEVEL, "lowest level of the log on standard error"] = "info"
    quiet: Annotated[bool, FLAG, "errors only on standard error"] = False
    no_progress: Annotated[bool, FLAG, "no progress display"] = False
    client_secret: Secret | None = None
    token: Secret | None = None
    implicit: tuple[str, ...] = ()
    """Names of security-relevant settings from a configuration file that was read without being named."""
    proxy_credentials: Secret | None = None

    @property
    def address(self) -> str:
        """The tenant's base URL. Raises UsageError if no tenant is named."""
        if self.base_url is None:
            raise UsageError(
                "No tenant is named: give --env NAME or --base-url URL, or set ZUORA_BASE_URL "
                "(mass-stop drill needs none of them)."
            )
        return self.base_url


CREDENTIALS = ("client_secret", "token")
"""Secrets that a tenant accepts. A configuration file contains the path of a secret, never the secret."""

SECRETS = (*CREDENTIALS, "proxy_credentials")
"""Settings that are never stored or sent to another process."""

_VARIABLES = {"base_url": "ZUORA_BASE_URL", "client_id": "ZUORA_CLIENT_ID"}

_CREDENTIALS = re.compile(r"^(\w+://)?.*@", re.DOTALL)  # user and password in an address


class Setting(Struct, frozen=True):
    """One setting as declared in :class:`Settings`."""

    name: str
    form: Form[Any]
    help: str
    default: Any

    @property
    def option(self) -> str:
        return "--" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return _VARIABLES.get(self.name, "MASS_STOP_" + self.name.upper())

    @property
    def flag(self) -> bool:
        return self.form is FLAG

    @property
    def repeatable(self) -> bool:
        """Whether the option may be given several times. ``org_ids`` has all its values in one text."""
        return self.default == () and self.form is TEXT

    def shown(self, value: Any) -> str:
        """Return ``value`` as text for people. A password in an address is left out."""
        return _CREDENTIALS.sub(
            r"\1…@", ",".join(value) if isinstance(value, tuple) else self.form.show(value)
        )

    def read(self, value: object, origin: str) -> Any:
        """Return the setting's value for ``value``: text, a TOML value, or a value from a program.

        Raises SettingError, which names ``origin``, if the value is invalid.
        """
        if self.repeatable:
            items = value if isinstance(value, (list, tuple)) else re.split(r"\s*,\s*", str(value).strip())
            return tuple(self._read_one(item, origin) for item in items)
        return self._read_one(value, origin)

    def _read_one(self, value: object, origin: str) -> Any:
        try:
            return value if self.form.is_value(value) else self.form.read(self._text_of(value))
        except (ValueError, KeyError, OverflowError):
            shown = _CREDENTIALS.sub(r"\1…@", value) if isinstance(value, str) else value
            raise SettingError(self.name.replace("_", "-"), shown, origin, self.form.expected) from None

    def _text_of(self, value: object) -> str:
        if isinstance(value, (list, tuple)) and self.default == ():
            return ",".join(map(str, value))
        if isinstance(value, bool) and not self.flag:
            raise ValueError(value)
        if not isinstance(value, (str, int, float, PathLike)):
            raise ValueError(value)
        return str(value)


def _declared() -> Iterator[Setting]:
    defaults = dict(zip(Settings.__struct_fields__, Settings.__struct_defaults__, strict=True))
    for name, hint in get_type_hints(Settings, include_extras=True).items():
        match getattr(hint, "__metadata__", ()):
            case (Form() as form, str() as help_text):
                yield Setting(name, form, help_text, defaults[name])


SETTINGS: dict[str, Setting] = {setting.name: setting for setting in _declared()}
