"""The composition root: what a run is made of (``run``), how one is opened (``opening``), where its keys come from."""

from orchestrator.engine.cutoff import Interrupted
from orchestrator.engine.ports import Intake
from orchestrator.runs.keys import (
    Unread,
    file_intake,
    first_actions,
    new_sources,
    notifier,
    read_ahead,
    rest_of_input,
    tenancy,
    unread_sources,
)
from orchestrator.runs.opening import begin, earlier, kept, opened, reopen, tenants_of
from orchestrator.runs.operator import Origin
from orchestrator.runs.run import OnCompleted, Run

__all__ = [
    "Intake",
    "Interrupted",
    "OnCompleted",
    "Origin",
    "Run",
    "Unread",
    "begin",
    "earlier",
    "file_intake",
    "first_actions",
    "kept",
    "new_sources",
    "notifier",
    "opened",
    "read_ahead",
    "reopen",
    "rest_of_input",
    "tenancy",
    "tenants_of",
    "unread_sources",
]
