"""Stops Zuora mass actions in bulk, and reports truthfully what was stopped.

The names in ``__all__`` are public. Everything else may change without notice. Each name is imported at its first use,
so that importing the package costs almost no time.
"""

from typing import TYPE_CHECKING

from orchestrator.version import VERSION

if TYPE_CHECKING:
    from orchestrator.embedding import plan_all as plan_all
    from orchestrator.embedding import read_report as read_report
    from orchestrator.embedding import resume_all as resume_all
    from orchestrator.embedding import resume_all_blocking as resume_all_blocking
    from orchestrator.embedding import stop_all as stop_all
    from orchestrator.embedding import stop_all_blocking as stop_all_blocking
    from orchestrator.embedding import stop_each as stop_each
    from orchestrator.embedding import verify_all as verify_all
    from orchestrator.errors import ActionsNotOver as ActionsNotOver
    from orchestrator.errors import CredentialsRefused as CredentialsRefused
    from orchestrator.errors import InputError as InputError
    from orchestrator.errors import MassStopError as MassStopError
    from orchestrator.errors import RunCutShort as RunCutShort
    from orchestrator.errors import RunDirectoryError as RunDirectoryError
    from orchestrator.errors import RunError as RunError
    from orchestrator.errors import RunInterrupted as RunInterrupted
    from orchestrator.errors import SettingError as SettingError
    from orchestrator.errors import StorageError as StorageError
    from orchestrator.errors import TenantError as TenantError
    from orchestrator.errors import TenantUnreachable as TenantUnreachable
    from orchestrator.errors import UsageError as UsageError
    from orchestrator.journal.entries import Finding as Finding
    from orchestrator.journal.entries import Verification as Verification
    from orchestrator.model import Outcome as Outcome
    from orchestrator.progress import RunProgress as RunProgress
    from orchestrator.report import ActionEntry as ActionEntry
    from orchestrator.report import Report as Report
    from orchestrator.settings import Rate as Rate
    from orchestrator.settings import Secret as Secret
    from orchestrator.settings import Threshold as Threshold
    from orchestrator.settings.programs import Settings as Settings
    from orchestrator.settings.programs import resolve as resolve
    from orchestrator.settings.tenants import Tenant as Tenant
    from orchestrator.settings.tenants import read_tenants as read_tenants

__version__ = VERSION

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

__all__ = sorted(["__version__", *(name for names in _HOMES.values() for name in names)])


def __dir__() -> list[str]:
    return __all__


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            import importlib

            return getattr(importlib.import_module(f"orchestrator.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
