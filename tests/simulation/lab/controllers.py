"""The controllers to compare with: fixed slots, plain AIMD, and an oracle that reads the tenant's state."""

from random import Random

from orchestrator.model import Answered
from orchestrator.pacing.pacer import Pacer
from orchestrator.pacing.slots import TenantSlots
from tests.simulation.lab.tenant import LabTenant


class Fixed:
    """A fixed number of slots."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.others: float | None = None

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        """Ignore the response."""

    def paused(self) -> None:
        """Ignore the pause."""


class Aimd(Fixed):
    """One more slot per round trip, and a share of the slots after a refusal. It starts with ten."""

    def __init__(self, cut: float) -> None:
        super().__init__(10)
        self._cut = cut
        self._target = 10.0
        self._cut_at = float("-inf")

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        if not answer.throttled:
            self._target = min(256.0, self._target + 1 / max(1, in_flight))
        elif now - answer.seconds >= self._cut_at:
            self._cut_at = now
            self._target = max(1.0, self._target * self._cut)
        self.limit = int(self._target)


class Oracle:
    """Knows the tenant's current state, and leaves ``kept`` of the free slots to others."""

    def __init__(self, tenant: LabTenant, kept: int) -> None:
        self._tenant = tenant
        self._kept = kept

    @property
    def limit(self) -> int:
        return max(0, self._tenant.limit - self._tenant.others - self._kept)

    @property
    def others(self) -> float | None:
        return float(self._tenant.others)

    def answered(self, now: float, in_flight: int, answer: Answered) -> None:
        """Ignore the response."""

    def paused(self) -> None:
        """Ignore the pause."""


class NoGate(Pacer):
    """Each call waits on its own, as in most scripts."""

    def close(self, now: float, seconds: float) -> None:
        """Do nothing: there is no gate."""


def ours(tenant: LabTenant, dice: Random) -> Pacer:
    """Return the product's own pacer."""
    scenario = tenant.scenario
    headroom = scenario.headroom / 100
    return Pacer(TenantSlots(headroom, scenario.most), headroom, uniform=dice.uniform)


def fixed(tenant: LabTenant, dice: Random) -> Pacer:
    """Return a pacer with the number of slots that is permitted at the start."""
    return NoGate(Fixed(tenant.scenario.most or tenant.limit), 0.0, uniform=dice.uniform)


def aimd(tenant: LabTenant, dice: Random) -> Pacer:
    """Return a pacer with AIMD that drops three tenths of its slots after a refusal."""
    return NoGate(Aimd(0.7), 0.0, uniform=dice.uniform)


def oracle(tenant: LabTenant, dice: Random) -> Pacer:
    """Return a pacer that leaves three slots free while there is other traffic."""
    scenario = tenant.scenario
    alone = scenario.burst is None and not any(mean for _, mean in scenario.others)
    return Pacer(Oracle(tenant, kept=0 if alone else 3), 0.0, uniform=dice.uniform)


CONTROLLERS = {"ours": ours, "fixed": fixed, "AIMD": aimd, "oracle": oracle}
