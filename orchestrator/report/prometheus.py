"""The counts of a run as metrics in the text format of Prometheus, for the textfile collector of its node exporter."""

from collections.abc import Iterable, Iterator

from msgspec import structs

from orchestrator.clock import epoch
from orchestrator.journal.reader import JournalReader
from orchestrator.report.building import read_head
from orchestrator.report.schema import RunEntry, Summary
from orchestrator.report.writing import Write

Sample = tuple[dict[str, str], float | None]


def write_metrics(reader: JournalReader, write: Write) -> None:
    """Write the metrics of the run to ``write``. A value that is not known has no sample."""
    run, summary = read_head(reader)
    for name, text, samples in (*_of_run(run), *_of_summary(run, summary)):
        known = [(labels, value) for labels, value in samples if value is not None]
        if known:
            lines = [f"# HELP mass_stop_{name} {text}", f"# TYPE mass_stop_{name} gauge"]
            lines += [f"mass_stop_{name}{_labels(labels)} {value!r}" for labels, value in known]
            write(("\n".join(lines) + "\n").encode("utf-8", "replace"))


def _of_run(run: RunEntry) -> Iterator[tuple[str, str, list[Sample]]]:
    who = {"run": run.id, "command": run.command, "version": run.version, "state": run.state}
    ended = None if run.ended_at is None else epoch(run.ended_at)
    yield "run_info", "The run that the other metrics describe.", [(who, 1)]
    yield "run_exit_status", "Exit status of the run.", [({}, run.exit_status)]
    yield "run_start_time_seconds", "Start of the run, since the epoch.", [({}, epoch(run.started_at))]
    yield "run_end_time_seconds", "End of the run, since the epoch.", [({}, ended)]
    yield "run_duration_seconds", "Duration of the run.", [({}, run.duration_seconds)]


def _of_summary(run: RunEntry, total: Summary) -> Iterator[tuple[str, str, Iterable[Sample]]]:
    timing = structs.asdict(total.timing)
    for name, text in _TIMES.items():
        yield name, text, [({}, timing[name])]
    parts: dict[str, Summary] = {"": total} if run.tenants is None else total.by_tenant or {}

    def samples(label: str, field: str, names: Iterable[str]) -> list[Sample]:
        return [
            ({**_of_tenant(tenant), label: name}, getattr(getattr(part, field), name))
            for tenant, part in parts.items()
            for name in names
        ]

    for name, text in _KEYS.items():
        yield name, text, [(_of_tenant(tenant), getattr(part, name)) for tenant, part in parts.items()]
    yield (
        "actions", "Actions by outcome.",
        [
            ({**_of_tenant(tenant), "outcome": outcome.value}, count)
            for tenant, part in parts.items()
            for outcome, count in part.outcomes.items()
        ],
    )  # fmt: skip
    yield "records", "Records of all actions with known counts.", samples("kind", "records", _RECORDS)
    yield "calls", "Calls to the tenant.", samples("call", "calls", ("stop", "status", "file", "token"))
    yield (
        "special_calls",
        "Calls that were retried, throttled or hedged.",
        samples("kind", "calls", ("retried", "throttled", "hedged")),
    )


_TIMES = {
    "first_stop_seconds": "Seconds from the start of the process to the first stop.",
    "last_stop_seconds": "Seconds from the start of the process to the last accepted stop.",
    "settled_seconds": "Seconds from the start of the process to the last completed key.",
}
_KEYS = {
    "keys": "Distinct, well-formed keys.",
    "duplicates": "Rows that repeat a key.",
    "malformed": "Rows without a bulk key.",
}
_RECORDS = ("total", "processed", "succeeded", "failed", "unprocessed", "held_by_group")


def _of_tenant(name: str) -> dict[str, str]:
    return {"tenant": name} if name else {}


def _labels(labels: dict[str, str]) -> str:
    return (
        "{" + ",".join(f'{name}="{_escaped(value)}"' for name, value in labels.items()) + "}"
        if labels
        else ""
    )


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
