"""Settings and tenants that a program wrote out, held to the rules of those that an operator writes."""

from collections.abc import Mapping
from typing import Any

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings.declared import SETTINGS, Setting, Settings
from orchestrator.settings.forms import RATE, THRESHOLD, Rate, Secret, Threshold
from orchestrator.settings.layers import checked_secret, completed
from orchestrator.settings.tenants import NAME, NAME_RULE, VARIABLE, Tenant, usable


def checked(settings: Settings, *, several: bool) -> Settings:
    """``settings`` as :func:`orchestrator.resolve` would give them; ``several``, where they are for several tenants.

    Raises:
        SettingError: a value cannot be used; the message names it and what would be right.
        UsageError: a secret is none or cannot be read, or two settings contradict each other.
    """
    values = _told(settings, Settings(), "Settings")
    if not several and (total := values.get("max_failures_total")):
        values.setdefault("max_failures", total)
    return completed(values)


def checked_tenants(tenants: Mapping[str, Tenant]) -> dict[str, Tenant]:
    """``tenants`` as :func:`orchestrator.read_tenants` would give them. Raises SettingError or UsageError."""
    unset, good = Tenant(), {}
    for name, tenant in tenants.items():
        if not NAME.fullmatch(name):
            raise UsageError(f"A tenant is named {name!r}: {NAME_RULE}")
        good[name] = usable(Tenant(**_told(tenant, unset, f"tenant {name}")), f"The tenant {name}")
    return good


def _told(written: Settings | Tenant, unset: Settings | Tenant, origin: str) -> dict[str, Any]:
    told = {name: getattr(written, name) for name in written.__struct_fields__}
    return {name: _read(name, value, origin) for name, value in told.items() if value != getattr(unset, name)}


def _read(name: str, value: object, origin: str) -> Any:
    if name in ("client_secret", "token"):
        if not isinstance(value, Secret):
            raise UsageError(f"{origin}: {name} must be a Secret, so that nothing shows it: Secret(…).")
        return checked_secret(value.reveal(), f"{origin}: {name}")
    if name in SETTINGS:
        return _setting(SETTINGS[name], value, origin)
    try:
        return VARIABLE.read(str(value))
    except ValueError:
        # What stands where a name should be may be the secret itself.
        raise UsageError(f"{origin}: {name} must be {VARIABLE.expected}.") from None


def _setting(setting: Setting, value: object, origin: str) -> Any:
    match value:
        case str() | list() | tuple():
            return setting.read(value, origin)
        case Rate(calls=int(calls), seconds=int(seconds)) if setting.form is RATE and min(calls, seconds) > 0:
            return value
        case Threshold(count=int(count), share=None) if setting.form is THRESHOLD and count > 0:
            return value
        case Threshold(count=None, share=float(share)) if setting.form is THRESHOLD and 0 < share <= 1:
            return value
    try:
        text = "" if value is None else setting.form.show(value)
    except (TypeError, ValueError, AttributeError):
        raise SettingError(setting.name, value, origin, setting.form.expected) from None
    read = setting.read(text, origin)
    return value if isinstance(value, float) else read  # what is shown of a number may be rounded
