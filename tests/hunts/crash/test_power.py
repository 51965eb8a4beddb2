"""A power cut after each sync of a run: unsynced writes are lost, or a part of them."""

import math
import random
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from tests.acceptance.support import MassStop, Tenant, publish_schema
from tests.hunts.crash.laws import Found, hold_after_a_kill
from tests.hunts.crash.power import OPTIONS, Event, events, moments
from tests.hunts.crash.strace import needs_strace, under_strace
from tests.hunts.crash.test_sweep import SMALL

pytestmark = needs_strace

SYNCS = ("fsync", "fdatasync")


class Traced(NamedTuple):
    """A run that came to its end below ``root``: its tenant, its rows, and every call that changed something."""

    root: Path
    tenant: Tenant
    lines: list[str]
    events: list[Event]

    @property
    def syncs(self) -> int:
        return sum(event.call in SYNCS and event.path.startswith(str(self.root)) for event in self.events)


@pytest.fixture(scope="module")
def traced(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    publish_schema(mass_stop_command)
    mass_stop = MassStop(mass_stop_command, tmp_path_factory.mktemp("traced"))
    with Tenant(**SMALL, actions=4) as tenant:
        lines = [*tenant.keys, tenant.keys[1]]
        keys = mass_stop.keys(lines)
        trace = mass_stop.home / "trace.txt"
        ended = under_strace(mass_stop, tenant, OPTIONS, keys, trace=trace)
        assert ended.status == 0, ended
        yield Traced(mass_stop.home, tenant, lines, list(events(trace)))
    mass_stop.close()


_first_stops: dict[str, tuple[float | None, float, list[float] | None]] = {}
"""The calls of the traced run, which match the counts of its journal."""


def turn_back(tenant: Tenant, sent: Sequence[str]) -> None:
    """Lets the tenant forget every call, and every stop but the first of each of ``sent``."""
    for calls in (tenant.simulated.log, tenant.simulated.calls, tenant.simulated.fault_counts):
        calls.clear()
    known = tenant.simulated._tenant
    for key in tenant.keys:
        action = known.actions.find(key)
        assert action is not None
        stopped = _first_stops.setdefault(key, (action.stop_at, action.halts, action.stops_received))
        never = (None, math.inf, None)
        action.stop_at, action.halts, action.stops_received = stopped if key in sent else never


def test_every_intent_is_on_the_disk_before_its_stop_is_sent(traced: Traced, tmp_path: Path) -> None:
    place = tmp_path / "as-held"
    sent: Counter[str] = Counter()
    for disk, _, keys in moments(traced.events, traced.root):
        if len(keys) > sent.total():
            sent[keys[-1]] += 1
            shutil.rmtree(place, ignore_errors=True)
            place.mkdir()
            disk.bring_back(place)
            assert Found(place / "run").intended.get(keys[-1], 0) >= sent[keys[-1]]
    assert sent.total() == 4


def cut(here: MassStop, traced: Traced, after: int, dice: random.Random | None) -> str:
    """The power is cut after so many syncs; the run is resumed with a tenant that got the stops sent by then."""
    disk, sent = next(
        (disk, sent) for disk, _, sent in moments(traced.events, traced.root) if disk.syncs == after
    )
    disk.bring_back(here.home, dice)
    here.keys(traced.lines)
    turn_back(traced.tenant, sent)
    return hold_after_a_kill(here, traced.tenant, traced.lines, sent=sent)


def test_a_run_whose_power_was_cut_is_resumed_to_a_whole_and_true_report(
    traced: Traced, mass_stop_command: Path, tmp_path: Path
) -> None:
    here = MassStop(mass_stop_command, tmp_path / "after")
    here.home.mkdir()
    assert cut(here, traced, traced.syncs // 2, None) == "journal"
    here.close()


@pytest.mark.hunt
@pytest.mark.parametrize("dice", [None, 1, 2], ids=["nothing unsynced", "a part of it", "another part"])
def test_a_run_whose_power_was_cut_after_any_sync_is_resumed_to_a_whole_and_true_report(
    traced: Traced,
    mass_stop_command: Path,
    tmp_path: Path,
    dice: int | None,
    capsys: pytest.CaptureFixture[str],
) -> None:
    left: Counter[str] = Counter()
    for after in range(1, traced.syncs + 1):
        here = MassStop(mass_stop_command, tmp_path / f"after-{after}")
        here.home.mkdir()
        chosen = None if dice is None else random.Random(f"{dice} {after}")
        left[cut(here, traced, after, chosen)] += 1
        here.close()
    with capsys.disabled():
        print(f"\npower cut after each of {left.total()} syncs; left: {dict(left)}; losses: none")
