"""Stops Zuora mass actions in bulk, and says truthfully what was stopped.

The public names; everything else may change without notice. They are imported when first used, so that importing the
package costs nothing.
"""

from typing import TYPE_CHECKING

from orchestrator.version import VERSION as __version__

if TYPE_CHECKING:
    from orchestrator.embedding import resume_all, resume_all_blocking, stop_all, stop_all_blocking, stop_each
    from orchestrator.errors import (
        CredentialsRefused,
        InputError,
        MassStopError,
        RunDirectoryError,
        SettingError,
        StorageError,
        TenantError,
        TenantUnreachable,
        UsageError,
    )
    from orchestrator.model import Outcome
    from orchestrator.report import ActionEntry, Report
    from orchestrator.settings import Rate, Secret, Settings, Threshold, resolve
    from orchestrator.settings.tenants import Tenant, read_tenants

_HOMES = {
    "orchestrator.embedding": (
        "resume_all",
        "resume_all_blocking",
        "stop_all",
        "stop_all_blocking",
        "stop_each",
    ),
    "orchestrator.errors": (
        "CredentialsRefused",
        "InputError",
        "MassStopError",
        "RunDirectoryError",
        "SettingError",
        "StorageError",
        "TenantError",
        "TenantUnreachable",
        "UsageError",
    ),
    "orchestrator.model": ("Outcome",),
    "orchestrator.settings": ("Rate", "Secret", "Settings", "Threshold", "resolve"),
    "orchestrator.settings.tenants": ("Tenant", "read_tenants"),
    "orchestrator.report": ("ActionEntry", "Report"),
}

__all__ = [
    "ActionEntry",
    "CredentialsRefused",
    "InputError",
    "MassStopError",
    "Outcome",
    "Rate",
    "Report",
    "RunDirectoryError",
    "Secret",
    "SettingError",
    "Settings",
    "StorageError",
    "Tenant",
    "TenantError",
    "TenantUnreachable",
    "Threshold",
    "UsageError",
    "__version__",
    "read_tenants",
    "resolve",
    "resume_all",
    "resume_all_blocking",
    "stop_all",
    "stop_all_blocking",
    "stop_each",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(home), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
