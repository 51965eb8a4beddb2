"""Stops Zuora mass actions in bulk, and reports truthfully what was stopped.

The public names; everything else may change without notice. They are imported when first used, so that importing the
package costs nothing.
"""

from typing import TYPE_CHECKING

from orchestrator.version import VERSION as __version__

if TYPE_CHECKING:
    from orchestrator.embedding import (
        plan_all,
        read_report,
        resume_all,
        resume_all_blocking,
        stop_all,
        stop_all_blocking,
        stop_each,
        verify_all,
    )
    from orchestrator.errors import (
        ActionsNotOver,
        CredentialsRefused,
        InputError,
        MassStopError,
        RunCutShort,
        RunDirectoryError,
        RunError,
        RunInterrupted,
        SettingError,
        StorageError,
        TenantError,
        TenantUnreachable,
        UsageError,
    )
    from orchestrator.journal.entries import Finding, Verification
    from orchestrator.model import Outcome
    from orchestrator.progress import RunProgress
    from orchestrator.report import ActionEntry, Report
    from orchestrator.settings import Rate, Secret, Threshold
    from orchestrator.settings.programs import Settings, resolve
    from orchestrator.settings.tenants import Tenant, read_tenants

_HOMES = {
    "embedding": (
        "plan_all", "read_report", "resume_all", "resume_all_blocking", "stop_all", "stop_all_blocking", "stop_each",
        "verify_all",
    ),
    "errors": (
        "ActionsNotOver", "CredentialsRefused", "InputError", "MassStopError", "RunCutShort", "RunDirectoryError",
        "RunError", "RunInterrupted", "SettingError", "StorageError", "TenantError", "TenantUnreachable", "UsageError",
    ),
    "journal.entries": ("Finding", "Verification"),
    "model": ("Outcome",),
    "progress": ("RunProgress",),
    "settings": ("Rate", "Secret", "Threshold"),
    "settings.programs": ("Settings", "resolve"),
    "settings.tenants": ("Tenant", "read_tenants"),
    "report": ("ActionEntry", "Report"),
}  # fmt: skip

__all__ = [
    "ActionEntry",
    "ActionsNotOver",
    "CredentialsRefused",
    "Finding",
    "InputError",
    "MassStopError",
    "Outcome",
    "Rate",
    "Report",
    "RunCutShort",
    "RunDirectoryError",
    "RunError",
    "RunInterrupted",
    "RunProgress",
    "Secret",
    "SettingError",
    "Settings",
    "StorageError",
    "Tenant",
    "TenantError",
    "TenantUnreachable",
    "Threshold",
    "UsageError",
    "Verification",
    "__version__",
    "plan_all",
    "read_report",
    "read_tenants",
    "resolve",
    "resume_all",
    "resume_all_blocking",
    "stop_all",
    "stop_all_blocking",
    "stop_each",
    "verify_all",
]


def __dir__() -> list[str]:
    return sorted(__all__)


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"orchestrator.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
