"""A machine without memory: a run ends in a true report, or leaves a journal that resume finishes."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress

import pytest

from orchestrator.errors import NO_MEMORY
from tests.acceptance.support import Ended, MassStop, Tenant, lies, outcomes
from tests.hunts.crash.laws import hold_after_a_kill
from tests.hunts.crash.test_sweep import SMALL

MakeTenant = Callable[..., Tenant]

LEAST, MOST = 70_000, 330_000
"""KiB of addresses: from too little for the imports to enough for the whole run."""

HUNG = 30.0
"""Seconds after which a run of one or two seconds counts as hanging."""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits on addresses hold on Linux")


def prepared(mass_stop: MassStop, make_tenant: MakeTenant, seed: int = 1) -> tuple[Tenant, list[str]]:
    tenant = make_tenant(**SMALL, actions=60, seed=seed)
    lines = [*tenant.keys, tenant.keys[1]]
    mass_stop.keys(lines)
    return tenant, lines


def run(mass_stop: MassStop, tenant: Tenant, shell: str) -> Ended:
    """A run that is killed if it hangs: without memory, the interpreter may lose the event that wakes a task."""
    going = mass_stop.start(
        "run", "--yes", "--out", "run", mass_stop.home / "keys.txt", tenant=tenant, shell=shell
    )
    with suppress(subprocess.TimeoutExpired):
        going.process.wait(HUNG)
    if going.process.poll() is None:
        going.signal(signal.SIGKILL)
    return going.end()


def hold(ended: Ended, mass_stop: MassStop, tenant: Tenant, lines: list[str]) -> str:
    """The run ended in a report that is true, or can be resumed to one. Returns which of them."""
    assert "Traceback" not in ended.err, ended
    if (ended.directory / "report.json").exists():
        report = ended.report
        assert lies(report, tenant) == []
        assert set(outcomes(report)) <= set(tenant.keys)
    if ended.status == 0:
        assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
        return "a true report"
    assert ended.status in (1, 2, 3, 4, 5) or ended.status < 0 or ended.status > 128, ended
    return f"exit {ended.status}, {hold_after_a_kill(mass_stop, tenant, lines, again=False)}"


@pytest.mark.parametrize("limit", [110_000, 190_000])
def test_a_run_with_little_memory_ends_in_a_true_report_or_can_be_resumed(
    mass_stop: MassStop, make_tenant: MakeTenant, limit: int
) -> None:
    tenant, lines = prepared(mass_stop, make_tenant)
    ended = run(mass_stop, tenant, f'ulimit -v {limit}; exec "$@"')
    hold(ended, mass_stop, tenant, lines)


@pytest.mark.hunt
def test_a_run_with_any_limit_on_memory_ends_in_a_true_report_or_can_be_resumed(
    mass_stop: MassStop, make_tenant: MakeTenant, run_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    limit = random.Random(run_seed).randrange(LEAST, MOST)
    tenant, lines = prepared(mass_stop, make_tenant, run_seed)
    ended = run(mass_stop, tenant, f'exec prlimit --as={limit * 1024} -- "$@"')
    end = hold(ended, mass_stop, tenant, lines)
    with capsys.disabled():
        print(f"\n{limit} KiB: {end}")


FAIL = """
import random, threading
import _testcapi
dice = random.Random({seed})
def fail():
    _testcapi.set_nomemory(dice.randrange(2000), dice.randrange(2000, 2003))
threading.Timer(dice.uniform({least}, {most}), fail).start()
"""


@pytest.mark.hunt
def test_a_run_whose_allocations_fail_ends_in_a_true_report_or_can_be_resumed(
    mass_stop: MassStop, make_tenant: MakeTenant, run_seed: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Python itself fails some allocations at a time chosen by dice. It may crash, which is as kill -9."""
    pytest.importorskip("_testcapi", reason="this Python cannot fail its own allocations")
    tenant, lines = prepared(mass_stop, make_tenant, run_seed)
    shell = mass_stop.after(FAIL.format(seed=run_seed, least=0.3, most=2.0))
    ended = run(mass_stop, tenant, shell)
    end = hold(ended, mass_stop, tenant, lines)
    with capsys.disabled():
        print(f"\nfailed allocations, seed {run_seed}: {end}")


def test_a_run_without_memory_says_so_instead_of_calling_it_a_defect(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant, _ = prepared(mass_stop, make_tenant)
    code = (
        "from orchestrator.journal.journal import Journal\n"
        "def claim(*_, **__): raise MemoryError\n"
        "Journal.claim = claim"
    )
    ended = mass_stop.run(tenant, mass_stop.home / "keys.txt", shell=mass_stop.after(code))
    assert ended.status == 5, ended
    assert ended.sentences[-1] == f"mass-stop: {NO_MEMORY}"


def test_a_callback_without_memory_ends_the_run_instead_of_letting_it_hang(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant, _ = prepared(mass_stop, make_tenant)
    code = (
        "import asyncio\n"
        "from orchestrator.journal.journal import Journal\n"
        "def fail(): raise MemoryError\n"
        "async def claim(*_, **__):\n"
        "    asyncio.get_running_loop().call_soon(fail)\n"
        "    await asyncio.sleep(3600)\n"
        "Journal.claim = claim"
    )
    ended = run(mass_stop, tenant, mass_stop.after(code))
    assert ended.status == 5, ended
    assert NO_MEMORY in ended.err
