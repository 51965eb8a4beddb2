"""The consolidated report: made from the journal alone.

``schema`` is its form, ``reading`` makes it of the journal, ``writing`` makes files of it.
"""

from orchestrator.report.building import (
    count_missing_files,
    payments_since,
    read_actions,
    read_head,
    read_report,
    read_run_entry,
)
from orchestrator.report.schema import (
    ActionEntry,
    CallTotals,
    DuplicateEntry,
    PlanEntry,
    RecordTotals,
    Report,
    RunEntry,
    SourceEntry,
    StopEntry,
    Summary,
    TenantEntry,
    Timing,
    json_schema,
)
from orchestrator.report.writing import Write, write_csv, write_json

__all__ = [
    "ActionEntry",
    "CallTotals",
    "DuplicateEntry",
    "PlanEntry",
    "RecordTotals",
    "Report",
    "RunEntry",
    "SourceEntry",
    "StopEntry",
    "Summary",
    "TenantEntry",
    "Timing",
    "Write",
    "count_missing_files",
    "json_schema",
    "payments_since",
    "read_actions",
    "read_head",
    "read_report",
    "read_run_entry",
    "write_csv",
    "write_json",
]
