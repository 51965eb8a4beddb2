"""Response files: CPU per record compared with a pyarrow script, time to the exit, memory, stops meanwhile.

``MASS_STOP=.venv/bin/mass-stop`` measures the memory of the installed product. Arrow imports numpy if it is installed,
and only the development environment contains it.
"""

import csv
import io
import os
import random
import resource
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from tests.benchmarks import common
from tests.benchmarks.table import Table
from tests.benchmarks.tenants import Job

FILES, RECORDS = 60, 15_000
ACTIONS, EACH = 300, 3_000
SIZES = {15_000: 20, 100_000: 4}
"""Number of records of larger files, and the number of such files."""
LONG_SIZES = {1_000_000: 1}
PRODUCT_PYTHON = str(Path(common.MASS_STOP).parent / "python")
HEADER = [
    "Group ID", "Object Key", "Object Type", "Deferred Revenue Accounting Code", "Recognized Revenue Accounting Code",
    "Note", "Success", "Error Message",
]  # fmt: skip


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Process the same zips with the product and with the script in turn, each in a process of its own."""
    _cpu(table, rounds or 5)
    _to_the_exit(table, rounds or 2, 1_000 if long else ACTIONS)
    _memory(table, SIZES | LONG_SIZES if long else SIZES)
    _stops_meanwhile(table, rounds or 2)


def _cpu(table: Table, rounds: int) -> None:
    table.head(f"records: {FILES} response files of {RECORDS} records, all files written, one core")
    with tempfile.TemporaryDirectory(prefix="mass-stop-bench-") as place:
        folder = Path(place)
        _make_zips(folder)
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(_cpu_of("product", folder))
            theirs.append(_cpu_of("script", folder))
    table.row("mass-stop: general, resend, retry, held, reverse", ours, "us a record")
    table.row("pyarrow script: three files by Success", theirs, "us a record")
    table.ratio("mass-stop : script", ours, theirs, "<= 2")


def _to_the_exit(table: Table, rounds: int, actions: int) -> None:
    table.head(f"records: {actions} actions of {EACH} records, as they arrive")
    waits, extra = [], []
    for _ in range(rounds):
        wait, more = _run(actions, EACH)
        waits.append(wait)
        extra.append(more)
    table.row("from the last file's arrival to the exit", waits, "s", wanted="<= 1.5")
    table.row("memory above a run without results", extra, "MiB", 0, wanted="<= 64")


def _memory(table: Table, sizes: dict[int, int]) -> None:
    table.head("records: memory for larger files and for other ones")
    for each, files in sizes.items():
        _, more = _run(files, each)
        table.row(f"memory above no results, {files} x {each:,}", [more], "MiB", 0, wanted="<= 64")
    for name, make in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="mass-stop-bench-") as place:
            make(Path(place))
            more = _printed("memory", Path(place), PRODUCT_PYTHON)
        table.row(f"memory above before sorting: {name}", [more], "MiB", 0, wanted="<= 64")


def _run(actions: int, each: int) -> tuple[float, float]:
    """Return the seconds from the last file's arrival to the exit, and the MiB above the same run without results."""
    changes = {"actions": actions, **_completed(each)}
    with common.tenant(**changes) as at:
        ended = common.run(common.mass_stop(at, "--quiet"), at)
        wait = ended.launched + ended.wall - at.facts()["last_file"]
    with common.tenant(**changes) as at:
        without = common.run(common.mass_stop(at, "--quiet", "--no-results"), at)
    return wait, ended.peak_mb - without.peak_mb


def _stops_meanwhile(table: Table, rounds: int) -> None:
    table.head(
        f"records: {ACTIONS} stops of one tenant, 4 at once, while {ACTIONS} files of another are sorted"
    )
    beside, alone = [], []
    for _ in range(rounds):
        beside.append(_stops())
        alone.append(_stops("--no-results"))
    table.row("from the first stop to the last", beside, "s")
    table.row("the same without results", alone, "s")
    table.ratio("with : without", beside, alone, "<= 1.05")


def _stops(*options: str) -> float:
    """Return the seconds from the first stop of the running tenant to its last."""
    with (
        common.tenant(actions=ACTIONS, latency=0.08, **common.PATIENT) as running,
        common.tenant(actions=ACTIONS, **_completed(EACH)) as over,
    ):
        job = Job({"running": running, "over": over}, {"running": "concurrency = 4"})
        job.run(*options)
        timing = job.report["summary"]["by_tenant"]["running"]["timing"]
        return float(timing["last_stop_seconds"] - timing["first_stop_seconds"])


def _completed(each: int) -> dict[str, Any]:
    return {"latency": 0.08, "records": (each, each), "mix": {"Completed": 1.0}}


def _cpu_of(which: str, folder: Path) -> float:
    return _printed(which, folder, sys.executable)


def _printed(which: str, folder: Path, python: str) -> float:
    with tempfile.TemporaryDirectory(prefix="mass-stop-bench-") as out:
        command = [python, "-m", "tests.benchmarks.records", which, str(folder), out]
        done = subprocess.run(command, cwd=common.ROOT, capture_output=True, text=True, check=True)
    return float(done.stdout)


def _make_zips(folder: Path) -> None:
    for number in range(FILES):
        dice = random.Random(number)
        text = io.StringIO(newline="")
        writer = csv.writer(text, quoting=csv.QUOTE_ALL if number % 3 == 0 else csv.QUOTE_MINIMAL)
        writer.writerow(HEADER)
        for n in range(RECORDS):
            mark = "Y" if n < 5_000 and dice.random() < 0.9 else "N" if n < 5_500 else ""
            group = f"{number}-{n // 7}" if n % 3 else ""
            note = "plain" if dice.random() < 0.9 else "Doe, Jane"
            error = "The period is closed." if mark == "N" else ""
            writer.writerow(
                [group, f"A-S{number:06d}{n:06d}", "Charge", "Deferred", "Revenue", note, mark, error]
            )
        with zipfile.ZipFile(folder / f"{number:032x}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("response.csv", text.getvalue())


def _actions(folder: Path, files: int, records: int, note: str = "plain", more: int = 0) -> None:
    header = [*HEADER, *(f"#{number}" for number in range(more))]
    for number in range(files):
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(header)
        for n in range(records):
            cells = [
                f"{number}-{n // 7}",
                f"A-{number}-{n}",
                "Charge",
                "D",
                "R",
                note,
                "YN "[n % 3].strip(),
                "",
            ]
            writer.writerow([*cells, *["cell"] * more])
        with zipfile.ZipFile(folder / f"{number:032x}.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("response.csv", text.getvalue())


SHAPES: dict[str, Callable[[Path], None]] = {
    "1,800 x 100": partial(_actions, files=1_800, records=100),
    "cells of 100 KB": partial(_actions, files=1, records=100, note="".join(map(str, range(20_000)))),
    "400 columns": partial(_actions, files=1, records=3_000, more=392),
}
"""Files of other forms. The titles of the additional columns start with #."""


def _memory_of(paths: list[Path], out: Path) -> float:
    """Return the MiB that 300 tenants and six action types add to the process."""
    from orchestrator.cli import session  # noqa: F401 - imported by a run before its first file

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    from orchestrator.results.action_types import ACTION_TYPES
    from orchestrator.results.remediation import Remediation

    kinds = list(ACTION_TYPES)
    remediation = Remediation(out, tenants=True)
    for number, path in enumerate(paths):
        name = f"tenant-{number % 300}/{path.stem}"
        remediation.add(name, path, kinds[number // 300 % len(kinds)])
    remediation.finish()
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def _product(paths: list[Path], out: Path) -> None:
    from orchestrator.results.remediation import Remediation

    remediation = Remediation(out)
    for path in paths:
        remediation.add(path.stem, path, "UpdateAccountingCode")
    remediation.finish()


def _script(paths: list[Path], out: Path) -> None:
    """Split the records by their mark, as a user of pyarrow would."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.csv as pacsv

    pa.set_cpu_count(1)
    files = {mark: (out / f"{mark or 'blank'}.csv").open("wb") for mark in ("Y", "N", "")}
    for path in paths:
        with zipfile.ZipFile(path) as archive:
            data = archive.read("response.csv")
        names = next(csv.reader([data[: data.index(b"\n")].decode()]))
        table = pacsv.read_csv(
            pa.BufferReader(data),
            parse_options=pacsv.ParseOptions(newlines_in_values=True),
            convert_options=pacsv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
        )
        for mark, file in files.items():
            found = table.filter(pc.equal(table["Success"], mark))
            pacsv.write_csv(found, file, pacsv.WriteOptions(include_header=False))
    for file in files.values():
        file.close()


def main() -> None:
    """Run one program in its own process on one core, and print its CPU in microseconds per record."""
    which, folder, out = sys.argv[1:]
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    paths = sorted(Path(folder).glob("*.zip"))
    if which == "memory":
        print(_memory_of(paths, Path(out)))
        return
    {"product": _product, "script": _script}[which](paths, Path(out))
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print((usage.ru_utime + usage.ru_stime) / (FILES * RECORDS) * 1e6)


if __name__ == "__main__":
    main()
