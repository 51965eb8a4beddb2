"""The pace of a run in its journal."""

from datetime import datetime
from itertools import pairwise

import pytest

from orchestrator.model import Answered, Limits
from tests.simulation.tenant import VirtualTenant, actions_of, scripted, throttled
from tests.simulation.virtual import virtually
from tests.simulation.world import World, rows_of, settings

COLUMNS = "at, tenant, slots, in_flight, others, throttled, waiting"


def pace(world: World) -> list[dict[str, object]]:
    rows = world.connection.execute(f"SELECT {COLUMNS} FROM pace ORDER BY rowid")
    return [dict(zip(COLUMNS.split(", "), row, strict=True)) for row in rows]


def column(world: World, name: str) -> list[object]:
    return [row[name] for row in pace(world)]


def moments(world: World) -> list[float]:
    return [datetime.fromisoformat(str(at)).timestamp() for at in column(world, "at")]


@pytest.fixture(scope="module")
def long_run() -> World:
    """Some twenty seconds of stops, ten at a time."""
    world = World(VirtualTenant(actions_of(200), latency=lambda: 1.0))
    virtually(world.run(rows_of(200)))
    return world


def test_there_is_at_most_one_row_a_second(long_run):
    gaps = [later - earlier for earlier, later in pairwise(moments(long_run)[:-1])]
    assert min(gaps) >= 0.999


def test_there_is_a_row_a_second_while_calls_are_made(long_run):
    assert max(later - earlier for earlier, later in pairwise(moments(long_run))) < 3


def test_the_first_row_is_of_the_first_call(long_run):
    assert pace(long_run)[0] | {"at": ""} == {
        "at": "", "tenant": "", "slots": 10, "in_flight": 1, "others": None, "throttled": 0, "waiting": 200,
    }  # fmt: skip


def test_the_last_row_has_nothing_in_flight_and_nothing_waiting(long_run):
    last = pace(long_run)[-1]
    assert (last["in_flight"], last["waiting"]) == (0, 0)


def test_stops_that_wait_go_down_to_none(long_run):
    waiting = column(long_run, "waiting")
    assert waiting == sorted(waiting, reverse=True)  # type: ignore[type-var]


def test_each_refusal_is_counted_in_one_row():
    script = scripted(stop={n: [throttled()] for n in range(1, 31)})
    world = World(VirtualTenant(actions_of(60), script=script))
    virtually(world.run(rows_of(60)))
    assert sum(column(world, "throttled")) == 30  # type: ignore[arg-type]


def test_the_load_of_others_is_recorded_once_it_is_known():
    class WithConcurrency(VirtualTenant):
        def _report_answer(self, error, seconds):
            free = 40 - 8 - self.in_flight - 1
            limits = Limits(concurrency=40, concurrency_remaining=free)
            self.answered(Answered(limits, 200, False, None, seconds))

    world = World(WithConcurrency(actions_of(50), latency=lambda: 1.0), settings(concurrency=5))
    virtually(world.run(rows_of(50)))
    assert column(world, "others")[0] is None
    assert column(world, "others")[-1] == pytest.approx(8.0, abs=1)


def test_a_run_without_calls_has_no_pace():
    world = World(VirtualTenant([]))

    async def main() -> None:
        session = world.session([])
        await session.run()

    virtually(main())
    assert pace(world) == []


def test_every_session_ends_with_a_row():
    world = World(VirtualTenant(actions_of(40), latency=lambda: 1.0))

    async def main() -> None:
        await world.session(rows_of(40), deadline=1.5).run()
        assert pace(world)[-1]["in_flight"] == 0
        assert pace(world)[-1]["waiting"] == 20
        before = len(pace(world))
        ending = await world.session([], deadline=None).run()
        assert ending.state == "finished"
        assert len(pace(world)) > before

    virtually(main())
