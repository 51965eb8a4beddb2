"""The counts of a run as metrics in the text format of Prometheus, for the textfile collector of its node exporter."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from msgspec import structs

from orchestrator.clock import epoch
from orchestrator.journal.reader import JournalReader
from orchestrator.report.building import read_head
from orchestrator.report.schema import RunEntry, Summary
from orchestrator.report.writing import Write

Samples = list[tuple[dict[str, str], float | None]]
"""The values of one metric, each with its labels."""


def write_metrics(reader: JournalReader, write: Write) -> None:
    """Write the metrics of the run to ``write``. A value that is not known has no sample."""
    run, summary = read_head(reader)
    for name, text, samples in (*_of_run(run, summary), *_of_tenants(summary)):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines = [f"# HELP mass_stop_{name} {text}", f"# TYPE mass_stop_{name} gauge"]
            lines += [f"mass_stop_{name}{_labels(labels)} {value!r}" for labels, value in known]
            write(("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _of_run(run: RunEntry, summary: Summary) -> Iterator[tuple[str, str, Samples]]:
    who = {"run": run.id, "command": run.command, "version": run.version, "state": run.state}
    yield "run_info", "The run that the other metrics describe.", [(who, 1)]
    ended, timing = None if run.ended_at is None else epoch(run.ended_at), summary.timing
    for name, text, value in (
        ("run_exit_status", "Exit status of the run.", run.exit_status),
        ("run_start_time_seconds", "Start of the run, since the epoch.", epoch(run.started_at)),
        ("run_end_time_seconds", "End of the run, since the epoch.", ended),
        ("run_duration_seconds", "Duration of the run.", run.duration_seconds),
        ("first_stop_seconds", f"{_SINCE} the first stop.", timing.first_stop_seconds),
        ("last_stop_seconds", f"{_SINCE} the last accepted stop.", timing.last_stop_seconds),
        ("settled_seconds", f"{_SINCE} the last completed key.", timing.settled_seconds),
    ):
        yield name, text, [({}, value)]


_SINCE = "Seconds from the start of the process to"


def _of_tenants(total: Summary) -> Iterator[tuple[str, str, Samples]]:
    """The counts of each tenant; those of a run of one have no label for it."""

    def samples(label: str, counts: Callable[[Summary], Mapping[Any, float | None]]) -> Samples:
        return [
            ({name: text for name, text in (("tenant", tenant), (label, value)) if text}, count)
            for tenant, summary in total.summaries_by_name.items()
            for value, count in counts(summary).items()
        ]

    yield "keys", "Distinct, well-formed keys.", samples("", lambda one: {"": one.keys})
    yield "duplicates", "Rows that repeat a key.", samples("", lambda one: {"": one.duplicates})
    yield "malformed", "Malformed rows.", samples("", lambda one: {"": one.malformed})
    yield "actions", "Actions by outcome.", samples("outcome", lambda one: one.outcomes)
    yield (
        "records",
        "Records of all actions with known counts.",
        samples("kind", lambda one: structs.asdict(one.records)),
    )
    yield (
        "calls",
        "Calls to the tenant.",
        samples("call", lambda one: {name: getattr(one.calls, name) for name in _CALLS}),
    )
    yield (
        "special_calls",
        "Calls that were retried, throttled or hedged.",
        samples("kind", lambda one: {name: getattr(one.calls, name) for name in _SPECIAL_CALLS}),
    )


_CALLS = ("stop", "status", "file", "token")
_SPECIAL_CALLS = ("retried", "throttled", "hedged")


def _labels(labels: dict[str, str]) -> str:
    pairs = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items())
    return f"{{{pairs}}}" if pairs else ""


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
