"""Downloads that take half a minute, and stops that become ready meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from orchestrator.errors import Kind
from orchestrator.model import Outcome
from tests.simulation.tenant import VirtualTenant, actions_of, bulk_key, fault, scripted
from tests.simulation.virtual import now, virtually
from tests.simulation.watched import stops
from tests.simulation.world import World, rows_of, settings

DOWNLOAD, LATENCY = 30.0, 0.08


class SlowFiles(VirtualTenant):
    """Each response file takes half a minute. ``most_downloads`` were in flight together, ``cancelled`` did not end."""

    downloads = most_downloads = cancelled = 0

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object],
    ) -> None:
        self.downloads += 1
        self.most_downloads = max(self.most_downloads, self.downloads)
        try:
            on_headers()
            await asyncio.sleep(DOWNLOAD)
            await super().download(address, track_id, write, on_headers)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.downloads -= 1


def late_keys(slots: int, first: int, at: float = 20.0) -> tuple[World, SlowFiles]:
    """Downloads take all slots that they may. Then one more key is read."""
    tenant = SlowFiles(actions_of(first + 1, speed=1.0))
    world = World(tenant, settings(concurrency=slots, hedge=None))
    virtually(world.run([(0.0, rows_of(first)), (at, rows_of(1, first + 1))]))
    return world, tenant


def stop_of(world: World, number: int) -> float:
    return next(call.at for call in stops(world) if call.bulk_key == bulk_key(number))


@pytest.mark.parametrize("slots", [1, 2, 9, 40])
def test_a_stop_that_becomes_ready_gets_a_slot_within_one_call(slots):
    first = 2 * slots
    world, _ = late_keys(slots, first)
    assert 20.0 <= stop_of(world, first + 1) <= 20.0 + 2 * LATENCY


@pytest.mark.parametrize(("slots", "most"), [(1, 1), (2, 1), (10, 9), (40, 36)])
def test_while_the_input_is_open_downloads_leave_a_tenth_of_the_slots(slots, most):
    _, tenant = late_keys(slots, 2 * slots, at=DOWNLOAD * 10)
    assert tenant.most_downloads == most


def test_when_no_stop_may_come_downloads_use_every_slot():
    tenant = SlowFiles(actions_of(80, speed=1.0))
    virtually(World(tenant, settings(concurrency=40)).run(rows_of(80)))
    assert tenant.most_downloads == 40


def test_with_one_slot_a_download_is_cancelled_for_a_stop_and_repeated():
    world, tenant = late_keys(1, 2)
    report = world.report()
    assert tenant.cancelled == 1
    assert [action.records.source for action in report.actions] == ["response_file"] * 3
    assert (report.summary.calls.retried, report.summary.outcomes) == (0, {Outcome.STOPPED: 3})


def test_with_more_slots_no_download_is_cancelled():
    _, tenant = late_keys(10, 40)
    assert tenant.cancelled == 0


def test_a_retried_stop_gets_a_slot_when_it_is_due():
    """The stop of key 5 fails again and again while every other slot downloads."""
    tenant = SlowFiles(
        actions_of(10, speed=1.0), script=scripted(stop={5: [fault(Kind.LOCKED, code=50000050)] * 6})
    )
    world = World(tenant, settings(concurrency=1))
    virtually(world.run(rows_of(10)))
    tries = [call for call in stops(world) if call.bulk_key == bulk_key(5)]
    waits = [later.at - (earlier.ended_at or 0.0) for earlier, later in pairwise(tries)]
    assert len(tries) == 7
    assert all(wait <= 0.5 * 2**n + 10 * LATENCY for n, wait in enumerate(waits))


def test_a_slot_limit_that_falls_does_not_lock_out_a_stop():
    """Nine downloads are in flight when the tenant begins to allow three calls."""
    tenant = SlowFiles(actions_of(31, speed=1.0))
    world = World(tenant, settings(concurrency=10))

    async def main() -> None:
        session = world.session([(0.0, rows_of(30)), (20.0, rows_of(1, 31))])

        def fall() -> None:
            session.pacer._slots.limit = 3  # type: ignore[misc]

        asyncio.get_running_loop().call_later(10.0, fall)
        await session.run()
        assert now() > 0

    virtually(main())
    assert stop_of(world, 31) <= 22.0
