"""Runs in virtual time that record every event, and the faults of their calls."""

from collections.abc import Callable
from random import Random

from orchestrator.engine import backlog
from orchestrator.errors import Kind
from tests.simulation.tenant import Call, Fault, fault
from tests.simulation.virtual import virtually
from tests.simulation.world import Session, World, rows_of


def watched(world: World, keys: int) -> Session:
    """Run ``world`` to its end and return the session with its recorded events."""

    async def main() -> Session:
        session = world.session(rows_of(keys))
        await session.run()
        return session

    return virtually(main())


def stops(world: World) -> list[Call]:
    return world.tenant.of("stop")


def jittery(seed: int) -> Callable[[], float]:
    random = Random(seed)
    return lambda: random.uniform(0.01, 0.4)


def sometimes(seed: int, share: float, *kinds: Kind) -> Callable[[str, str, int], Fault | None]:
    random = Random(seed)
    return lambda name, key, n: fault(random.choice(kinds)) if random.random() < share else None


def little_room(monkeypatch, room: int) -> None:
    monkeypatch.setattr(backlog, "ROOM", room)
