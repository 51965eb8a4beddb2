"""The composition root: what a run is made of (``run``), and how one is opened (``opening``)."""

from orchestrator.app.opening import (
    begin,
    earlier,
    file_intake,
    first_actions,
    interrupted,
    kept,
    new_sources,
    read_ahead,
    reopen,
    tenancy,
    tenants_of,
    unread_sources,
)
from orchestrator.app.run import Run, RunIntake
from orchestrator.engine.run import Interrupted

__all__ = [
    "Interrupted",
    "Run",
    "RunIntake",
    "begin",
    "earlier",
    "file_intake",
    "first_actions",
    "interrupted",
    "kept",
    "new_sources",
    "read_ahead",
    "reopen",
    "tenancy",
    "tenants_of",
    "unread_sources",
]
