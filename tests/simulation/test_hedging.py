"""Hedged calls, in virtual time: the cost of a hanging call, and the cost of a second call."""

import asyncio
from collections.abc import Callable
from random import Random
from statistics import mean

import pytest

from orchestrator.engine.cutoff import Interrupted
from orchestrator.errors import Kind
from orchestrator.model import Outcome
from orchestrator.pacing.hedge import FREE
from tests.simulation.tenant import (
    Fault,
    VirtualTenant,
    actions_of,
    bulk_key,
    fault,
    lost,
    scripted,
    throttled,
)
from tests.simulation.virtual import virtually
from tests.simulation.watched import stops, watched
from tests.simulation.world import World, rows_of, settings

KEYS, SLOTS, LATENCY = 1_000, 40, 0.08


def hang(*, works: bool, seconds: float = 25.0) -> Fault:
    """The tenant carries the call out at once, or never, and does not respond."""
    return Fault(lost().error, works, seconds, acts_after=LATENCY / 2)


def hanging(seed: int, share: float, seconds: float = 60.0) -> Callable[[str, str, int], Fault | None]:
    """The shares of hanging calls: of the first calls of each kind, and of all others. Half of them take effect."""
    random = Random(f"hanging {seed}")
    first = {name: random.randrange(round(1 / share)) for name in ("stop", "status", "file", "file status")}

    def script(name: str, key: str, n: int) -> Fault | None:
        hangs = random.random() < share if n > 1 else int(key, 16) % round(1 / share) == first[name]
        return hang(works=random.random() < 0.5, seconds=seconds) if hangs else None

    return script


def steady(seed: int) -> Callable[[], float]:
    random = Random(f"steady {seed}")
    return lambda: LATENCY * random.uniform(0.9, 1.1)


class LogNormalTenant(VirtualTenant):
    """The n-th call of a kind for a key takes as long in every run of a seed, so that two runs compare."""

    def __init__(self, seed: int) -> None:
        super().__init__(actions_of(KEYS))
        self._seed = seed

    def _seconds(self, name: str, key: str) -> float:
        random = Random(f"log-normal {self._seed} {name} {key} {self.counts[name, key]}")
        return LATENCY * random.lognormvariate(0.0, 1.0)


def run_of(tenant: VirtualTenant, hedge: float | None = None, **options: object) -> World:
    world = World(tenant, settings(concurrency=SLOTS, hedge=hedge, **options))
    watched(world, len(tenant.actions))
    return world


def last_accepted(world: World) -> float:
    return max(call.ended_at or 0.0 for call in stops(world) if call.answer == "ok")


def over_at(world: World) -> float:
    """When no stop is needed any more: the last stop that was accepted or took effect."""
    return max(call.ended_at or call.at for call in stops(world))


def processed(world: World) -> int:
    return sum(action.processed(1e9) for action in world.tenant.actions.values())


@pytest.mark.parametrize(("share", "most"), [(0.01, 2.0), (0.05, 3.0)])
def test_hanging_calls_hardly_delay_the_last_stop(run_seed, share, most):
    plain = run_of(VirtualTenant(actions_of(KEYS), latency=steady(run_seed)))
    script = hanging(run_seed, share)
    hung = run_of(VirtualTenant(actions_of(KEYS), latency=steady(run_seed), script=script))
    assert over_at(hung) <= most * over_at(plain)


def test_hanging_calls_hardly_add_processed_records(run_seed):
    def actions():
        return actions_of(KEYS, speed=100.0, total=1_000_000)

    plain = run_of(VirtualTenant(actions(), latency=steady(run_seed)))
    hung = run_of(VirtualTenant(actions(), latency=steady(run_seed), script=hanging(run_seed, 0.01)))
    assert processed(hung) <= 1.1 * processed(plain)


@pytest.mark.parametrize("share", [0.01, 0.05])
def test_a_run_with_hanging_calls_stops_every_action(run_seed, share):
    tenant = VirtualTenant(actions_of(300), latency=steady(run_seed), script=hanging(run_seed, share))
    assert run_of(tenant).report().summary.outcomes == {Outcome.STOPPED: 300}


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_a_hanging_call_does_not_hold_up_a_run_with_few_slots(slots):
    script = scripted(
        stop={5: [hang(works=False, seconds=60.0)]}, status={7: [hang(works=False, seconds=60.0)]}
    )
    world = World(VirtualTenant(actions_of(30), script=script), settings(concurrency=slots, hedge=None))
    watched(world, 30)
    assert world.report().summary.outcomes == {Outcome.STOPPED: 30}
    assert max(call.ended_at or 0 for call in world.tenant.calls) < 20


def test_log_normal_latency_costs_few_additional_calls(run_seed):
    calls = run_of(LogNormalTenant(run_seed)).report().summary.calls
    assert calls.hedged <= 0.05 * (calls.stop + calls.status + calls.file - calls.hedged)


def test_log_normal_latency_makes_the_stops_no_later():
    """The mean of 100 seeds is 0.88, with a standard deviation of 0.12; that of five seeds lies near it."""

    def last(seed: int, hedge: float | None) -> float:
        return last_accepted(run_of(LogNormalTenant(seed), hedge, no_results=True))

    assert mean(last(seed, None) / last(seed, 0.0) for seed in range(5)) <= 1.0


def test_no_call_is_hedged_if_the_tenant_becomes_slow_for_all():
    latency = iter([LATENCY] * 400)
    world = run_of(VirtualTenant(actions_of(KEYS), latency=lambda: next(latency, 1.5)))
    assert world.report().summary.calls.hedged == 0


def test_no_call_is_hedged_while_the_tenant_throttles():
    script = scripted(stop={90: [throttled(1.0)], 80: [hang(works=False)]})
    world = run_of(VirtualTenant(actions_of(100), script=script))
    (refused,) = [call.ended_at or 0.0 for call in stops(world) if call.answer == Kind.THROTTLED]
    first, hedge = [call.at for call in stops(world) if call.bulk_key == bulk_key(80)]
    assert first < refused < refused + 5.0 <= hedge < first + 25.0


def test_no_call_is_hedged_with_hedge_off():
    tenant = VirtualTenant(actions_of(100), script=scripted(stop={7: [hang(works=False)]}))
    assert run_of(tenant, hedge=0.0).report().summary.calls.hedged == 0


def test_a_delay_of_the_operators_own_is_kept():
    tenant = VirtualTenant(actions_of(100), script=scripted(stop={7: [hang(works=False)]}))
    world = run_of(tenant, hedge=3.0)
    first, second = [call.at for call in stops(world) if call.bulk_key == bulk_key(7)]
    assert second - first == pytest.approx(3.0, abs=0.3)


def test_a_delay_shorter_than_the_usual_latency_costs_few_additional_calls():
    random = Random("usual")
    tenant = VirtualTenant(actions_of(KEYS), latency=lambda: random.uniform(0.1, 0.3))
    calls = run_of(tenant, hedge=0.1).report().summary.calls
    assert 0 < calls.hedged <= 0.05 * (calls.stop + calls.status + calls.file - calls.hedged) + FREE


def hedged_stop(*faults: Fault) -> World:
    """A run in which the sends of the stop of key 7 meet ``faults``."""
    return run_of(VirtualTenant(actions_of(100), script=scripted(stop={7: faults})))


def entry_of(world: World, number: int = 7):
    (found,) = (one for one in world.report().actions if one.bulk_key == bulk_key(number))
    return found


def test_both_sends_of_a_stop_are_counted_as_attempts():
    world = hedged_stop(hang(works=False))
    found = entry_of(world)
    assert (found.outcome, found.stop.attempts, found.error) == (Outcome.STOPPED, 2, None)


def test_both_sends_of_a_call_have_track_ids_of_their_own():
    world = hedged_stop(hang(works=False))
    assert len({call.track_id for call in world.tenant.calls}) == len(world.tenant.calls)


def test_the_report_counts_hedged_calls_of_every_kind():
    once = [hang(works=False)]
    tenant = VirtualTenant(
        actions_of(100, speed=1.0), script=scripted(stop={7: once}, status={8: once}, file={9: once})
    )
    calls = run_of(tenant).report().summary.calls
    assert (calls.hedged, calls.retried, calls.stop, calls.file) == (3, 0, 101, 101)


def test_a_refusal_because_of_the_state_beside_an_open_stop_is_possibly_stopped():
    """The first stop takes effect and its response hangs, so that the second one is refused."""
    found = entry_of(hedged_stop(hang(works=True)))
    assert (found.outcome, found.stop.answer, found.stop.attempts) == (Outcome.STOPPED, "lost", 2)


def test_a_hedge_that_fails_in_passing_waits_for_the_first_stop():
    found = entry_of(hedged_stop(Fault(lost().error, seconds=2.0), fault(Kind.LOCKED)))
    assert found.outcome is Outcome.STOPPED


def test_the_first_stop_cancels_its_hedge():
    """A stop that takes a second is accepted before its hedge, which hangs."""
    slow = iter([LATENCY] * 6 + [1.0])
    tenant = VirtualTenant(
        actions_of(100),
        latency=lambda: next(slow, LATENCY),
        script=scripted(stop={7: [Fault(lost().error, seconds=1.0, works=True)]}),
    )
    world = run_of(tenant)
    assert entry_of(world).outcome is Outcome.STOPPED
    assert max(call.at for call in stops(world)) < 10


def test_no_hedge_leaves_after_the_end_of_sending():
    async def main() -> None:
        session = world.session(rows_of(100))
        enough = Interrupted("Enough.", 130)
        asyncio.get_running_loop().call_later(0.2, session.cutoff.stop_sending, enough)
        await session.run()

    script = scripted(stop={7: [hang(works=False)]})
    world = World(VirtualTenant(actions_of(100), script=script), settings(concurrency=SLOTS, hedge=None))
    virtually(main())
    assert len([call for call in stops(world) if call.bulk_key == bulk_key(7)]) == 1


def test_a_hedge_has_an_intent_of_its_own_before_it_leaves():
    intents: list[int] = []

    def script(name: str, key: str, n: int) -> Fault | None:
        if name == "stop" and key == bulk_key(7):
            query = "SELECT attempts FROM action WHERE bulk_key = ?"
            intents.append(world.connection.execute(query, (key,)).fetchone()[0])
            return hang(works=False) if n == 1 else None
        return None

    world = World(VirtualTenant(actions_of(100), script=script), settings(concurrency=SLOTS, hedge=None))
    watched(world, 100)
    assert intents == [1, 2]


def test_the_hedges_of_hanging_calls_keep_to_the_slots(run_seed):
    tenant = VirtualTenant(actions_of(300), latency=steady(run_seed), script=hanging(run_seed, 0.1))
    run_of(tenant)
    assert tenant.most_in_flight <= SLOTS
