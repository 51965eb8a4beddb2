"""The rules for a run that was killed at any time."""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.acceptance.support import Ended, MassStop, Tenant, lies, outcomes, valid
from tests.hunts.crash.strace import PATIENCE


class Found:
    """The journal of a killed run, read from a copy: intended and accepted stops by key."""

    def __init__(self, directory: Path) -> None:
        self.intended: dict[str, int] = {}
        self.accepted: set[str] = set()
        copy = directory.with_name(f"{directory.name}-as-found")
        shutil.rmtree(copy, ignore_errors=True)
        if not (directory / "journal.db").exists():
            return
        shutil.copytree(directory, copy)
        with closing(sqlite3.connect(copy / "journal.db")) as connection:
            if connection.execute("PRAGMA user_version").fetchone()[0]:
                for key, attempts, at in connection.execute(
                    "SELECT bulk_key, attempts, accepted_at FROM action WHERE outcome IS NOT 'malformed'"
                ):
                    self.intended[key] = attempts
                    if at is not None:
                        self.accepted.add(key)


def received(tenant: Tenant) -> Counter[str]:
    """Return the number of stops of each key that reached the tenant."""
    return Counter(call.key or "" for call in tenant.log if call.kind == "stop")


def calls(tenant: Tenant) -> dict[str, int]:
    return {kind: tenant.sent(kind) for kind in ("stop", "status", "file")}


def rows(report: dict[str, Any]) -> list[int]:
    """Return the number of every row in the report, with duplicates, in ascending order."""
    return sorted(
        row for action in report["actions"] for row in (action["row"], *action["duplicate_rows"])
    )  # fmt: skip


def hold_after_a_kill(
    mass_stop: MassStop, tenant: Tenant, lines: Sequence[str], *, sent: Sequence[str] = (), again: bool = True
) -> str:
    """Resume the run in ``run`` and check the rules. With ``again``, resume it once more.

    ``lines`` are the rows of ``keys.txt``, with the keys of the tenant. ``sent`` are keys whose stops reached the
    tenant without a call. Return ``nothing`` or ``journal``: the state that the kill left.
    """
    directory = mass_stop.home / "run"
    found = Found(directory)
    before = received(tenant) + Counter(sent)
    written = {key: (count, found.intended.get(key, 0)) for key, count in before.items()}
    assert all(count <= intended for count, intended in written.values()), f"sent and not written: {written}"

    reported = mass_stop("report", "run", "--report", "-", longest=PATIENCE)
    assert "Traceback" not in reported.err
    if reported.status == 0:
        assert lies(valid(reported.out), tenant) == []

    ended = mass_stop("resume", "run", mass_stop.home / "keys.txt", tenant=tenant, longest=PATIENCE)
    assert "Traceback" not in ended.err, ended
    assert "defect" not in ended.err, ended
    if ended.status in (2, 5):
        assert not before, f"stops were sent, and there is no run: {ended}"
        _nothing_was_sent(mass_stop, tenant, ended)
        return "nothing"
    _whole_and_true(ended, tenant, lines)
    now = received(tenant) + Counter(sent)
    sent_again = {key for key in found.accepted if now[key] > before[key]}
    assert not sent_again, f"stops that were known to be accepted were sent again: {sent_again}"
    if again:
        once = calls(tenant)
        twice = mass_stop("resume", "run", tenant=tenant, longest=PATIENCE)
        _whole_and_true(twice, tenant, lines)
        assert twice.report["actions"] == ended.report["actions"]
        assert calls(tenant) == once, "a second resume sent something"
    return "journal"


def _nothing_was_sent(mass_stop: MassStop, tenant: Tenant, ended: Ended) -> None:
    """Check a kill before the run existed: nothing was sent, a sentence says so, and a new run works."""
    assert tenant.nothing_sent(), ended
    assert "holds no run" in ended.err or "before it began" in ended.err or "no run directory" in ended.err, (
        ended
    )
    fresh = mass_stop.run(tenant, mass_stop.home / "keys.txt", out="fresh", longest=PATIENCE)
    assert outcomes(fresh.report).items() >= dict.fromkeys(tenant.keys, "stopped").items(), fresh


def _whole_and_true(ended: Ended, tenant: Tenant, lines: Sequence[str]) -> None:
    report = ended.report
    assert ended.status == (
        0 if len(tenant.keys) == report["summary"]["keys"] == len(report["actions"]) else 1
    ), ended
    assert report["run"]["state"] == "finished"
    assert rows(report) == list(range(1, len(lines) + 1))
    outcome_of = outcomes(report)
    assert {key: outcome_of.get(key) for key in tenant.keys} == dict.fromkeys(tenant.keys, "stopped")
    assert lies(report, tenant) == []
    kept = {
        "journal.db",
        "report.json",
        "report.html",
        "run.log",
        "remediation",
        "keys.csv",
        "needs-person.csv",
    }
    assert {path.name for path in ended.directory.iterdir()} <= kept, "something half done was left"
