"""A disk that is full or fails at each call of a run: every stop is sent, and nothing false is reported."""

from collections import Counter
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes, valid
from tests.hunts.crash.laws import received
from tests.hunts.crash.strace import PATIENCE, Point, needs_strace, run_failing_at

MakeTenant = Callable[..., Tenant]

pytestmark = needs_strace

ERRORS = {
    "pwrite64": ("ENOSPC", "EIO"), "fdatasync": ("ENOSPC", "EIO"), "fsync": ("EIO",), "rename": ("ENOSPC", "EIO"),
    "unlink": ("EIO",), "ftruncate": ("EIO",), "fchmod": ("EIO",), "mkdir": ("ENOSPC",), "unlinkat": ("EIO",),
}  # fmt: skip
EVERYDAY = (
    Point("journal", "pwrite64", 12, "ENOSPC"),
    Point("journal", "fsync", 1, "EIO"),
)
"""No room after the intent, and a failed sync of the report."""


def prepared(mass_stop: MassStop, make_tenant: MakeTenant) -> Tenant:
    tenant = make_tenant(**PROCESSING | {"records": (400, 800), "speed": (0.2, 0.4)}, actions=4)
    mass_stop.keys(tenant.keys)
    return tenant


def hold(mass_stop: MassStop, tenant: Tenant, ended: Ended) -> str:
    """Checks the laws for a run on a failing disk, then resumes it on a good one. Returns how it ended."""
    assert "Traceback" not in ended.err, ended
    assert "defect" not in ended.err, ended
    if ended.status == 2:
        assert tenant.nothing_sent(), ended
        return "refused, and nothing sent"
    assert all(tenant.truth(key).stop_effective_at for key in tenant.keys), ended
    assert ended.status in (0, 5), ended
    saved = ended.directory / "report.json"
    if saved.exists():
        assert lies(valid(saved.read_bytes()), tenant) == []
        assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    else:
        assert ended.status == 5, ended
        assert f"report         {ended.directory.name}" not in ended.err, "said to be saved, and is not there"
        assert all(key in ended.err for key in tenant.keys), "neither saved nor reported"
    if ended.status == 5:
        assert _says_what_failed(ended), ended
    _resumed(mass_stop, tenant)
    return f"exit {ended.status}"


def _says_what_failed(ended: Ended) -> bool:
    """Whether a sentence names a file of the run and the failed operation."""
    files = ("journal", "report", "remediation", "needs-person.csv", "response file", "log run.log")
    failed = ("cannot", "can no longer", "could not", "lack", "No journal can")
    return any(
        any(file in line for file in files) and any(word in line for word in failed)
        for line in ended.sentences
    )


def _resumed(mass_stop: MassStop, tenant: Tenant) -> None:
    reported = mass_stop("report", "run", "--report", "-", longest=PATIENCE)
    assert "Traceback" not in reported.err, reported
    if reported.out:
        assert lies(valid(reported.out), tenant) == []
    ended = mass_stop("resume", "run", mass_stop.home / "keys.txt", tenant=tenant, longest=PATIENCE)
    assert "Traceback" not in ended.err, ended
    if "holds no run" in ended.err or "already contains a run" in ended.err:  # the disk never had a journal
        assert ended.status in (2, 5), ended
        return
    if "went on in memory" in ended.err:  # the disk refused to remove its partial journal
        assert ended.status == 5, ended
        return
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped"), ended
    assert lies(ended.report, tenant) == []


@pytest.mark.parametrize("point", EVERYDAY, ids=str)
def test_a_disk_that_fails_from_a_call_on_prevents_no_stop(
    mass_stop: MassStop, make_tenant: MakeTenant, point: Point
) -> None:
    tenant = prepared(mass_stop, make_tenant)
    ended, reached = run_failing_at(mass_stop, tenant, point, ever_after=True)
    assert reached, f"the run never came to {point}"
    assert hold(mass_stop, tenant, ended) == "exit 5"
    assert set(received(tenant)) == set(tenant.keys)


@pytest.mark.hunt
@pytest.mark.parametrize("ever_after", [False, True], ids=["once", "ever after"])
@pytest.mark.parametrize("thread", ["first", "journal", "main"])
@pytest.mark.parametrize("call", ERRORS)
def test_a_disk_that_fails_at_each_call_in_turn_prevents_no_stop(
    mass_stop: MassStop,
    make_tenant: MakeTenant,
    call: str,
    thread: str,
    ever_after: bool,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ends: Counter[str] = Counter()
    error = ERRORS[call][0 if ever_after else -1]
    for nth in range(1, 1000):
        place = mass_stop.home / str(nth)
        place.mkdir()
        here = MassStop(mass_stop.command, place)
        try:
            tenant = prepared(here, make_tenant)
            ended, reached = run_failing_at(
                here, tenant, Point(thread, call, nth, error), ever_after=ever_after
            )
            if not reached:
                break
            ends[hold(here, tenant, ended)] += 1
        finally:
            here.close()
            tenant.cut()
    with capsys.disabled():
        how = "and ever after" if ever_after else "once"
        print(
            f"\n{error} at {call} of {thread}, {how}: {ends.total()} tried; ends: {dict(ends)}; losses: none"
        )
