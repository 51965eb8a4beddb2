"""The consolidated report: made from the journal alone.

``schema`` is its form, ``building`` makes it of the journal, ``writing`` makes files of it.
"""

from orchestrator.report.building import read_action, read_actions, read_first_to_stop, read_head, read_report
from orchestrator.report.loaded import Report
from orchestrator.report.schema import ActionEntry, RunEntry, Summary, json_schema
from orchestrator.report.writing import Write, write_csv, write_json

__all__ = [
    "ActionEntry",
    "Report",
    "RunEntry",
    "Summary",
    "Write",
    "json_schema",
    "read_action",
    "read_actions",
    "read_first_to_stop",
    "read_head",
    "read_report",
    "write_csv",
    "write_json",
]
