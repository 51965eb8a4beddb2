"""Random runs from a seed, and the comparison of a report with the tenant's true state."""

from collections.abc import Mapping
from math import inf
from random import Random

from orchestrator.errors import Kind
from orchestrator.model import InputRow, Outcome, Status
from orchestrator.pacing.pacer import LONGEST_GATE
from orchestrator.report import ActionEntry, Report
from tests.simulation.tenant import (
    UNANSWERED,
    Action,
    Call,
    Fault,
    bulk_key,
    fault,
    lost,
    throttled,
)
from tests.simulation.trouble import ANSWERS, DOWN, ODD_HEADERS, TroubledTenant, answer, server_error, sink
from tests.simulation.virtual import now
from tests.simulation.world import World, settings

FOR_GOOD = (Kind.NOT_FOUND, Kind.NO_PERMISSION)

SOON = 120.0
"""Seconds for a call that hangs, the longest backoff after it, and an unconfirmed limit from a header."""


class Dice:
    """One random world per seed: keys with duplicates and malformed rows, actions, faults of calls."""

    def __init__(self, seed: int) -> None:
        self.random = random = Random(f"world {seed}")
        self.keys = random.randint(1, 150)
        self.share = random.choice([0.0, 0.05, 0.2, 0.5])
        self.slots = random.choice([1, 2, 5, 20, 40])
        self.slowest = random.choice([0.05, 0.5, 3.0])
        self.hedge = random.choice([None, None, 0.0, 0.3])
        self.outages = [
            (at, at + random.choice([0.5, 5.0, 60.0]), random.choice([*DOWN, "no token", "mixed"]))
            for at in random.choice([[], [], [2.0], [1.0, 90.0]])
        ]
        self.long_wait = random.choice([7.0, 7.0, 7.0, 86_400.0])
        self.odd_headers = random.choice([None, None, 0.0, 0.2])
        self.faults_end = inf
        self.rows = list(self._rows())

    @property
    def soon(self) -> float:
        """Seconds after the last fault within which every stop is sent: the waits caused by faults, and the work."""
        waits = SOON + (self.long_wait if self.long_wait < LONGEST_GATE else LONGEST_GATE)
        return waits + 2 * self.keys * self.slowest / self.slots

    def _rows(self):
        line = 2
        for number in range(1, self.keys + 1):
            yield InputRow(line, bulk_key(number))
            line += self.random.randint(1, 3)
            if self.random.random() < 0.1:
                yield InputRow(line, bulk_key(self.random.randint(1, number)))
                line += 1
            if self.random.random() < 0.05:
                yield InputRow(line, "no key", problem="That is no bulk key.")
                line += 1

    def batches(self) -> list[tuple[float, list[InputRow]]]:
        middle = self.random.randint(1, len(self.rows))
        batches = [(0.0, self.rows[:middle]), (self.random.uniform(0, 5), self.rows[middle:])]
        return [batch for batch in batches if batch[1]]

    def world(self, seed: int, *, lagging: bool = False) -> World:
        run_settings = settings(concurrency=self.slots, settle=120.0, hedge=self.hedge)
        tenant = TroubledTenant(
            [action for n in range(1, self.keys + 1) if (action := self._action(n)) is not None],
            latency=lambda: self.random.uniform(0.01, self.slowest),
            script=self._fault_of,
            no_token=self.no_token,
            odd=None if self.odd_headers is None else self._odd_headers,
        )
        return World(tenant, run_settings, lagging=lagging, seed=seed, sink=sink(self.random))

    def _action(self, number: int) -> Action | None:
        random = self.random
        if random.random() < 0.03:
            return None
        return Action(
            bulk_key(number),
            starts_at=random.choice([0.0, 0.0, 30.0]),
            speed=random.choice([0.0, 1.0, 20.0, 500.0]),
            stopping_for=random.choice([0.0, 1.0, 10.0, 300.0]),
            born=random.choice([Status.PROCESSING] * 12 + [Status.STOPPED, Status.COMPLETED, Status.FAILED]),
            refuses=random.choice([None] * 30 + [Kind.NO_PERMISSION]),
            has_file=random.random() < 0.8,
        )

    def _fault_of(self, name: str, key: str, n: int) -> Fault | None:
        random = self.random
        if now() >= self.faults_end:
            return None
        if (kind := self._outage()) is not None:
            return None if kind == "no token" else self._down(kind)
        if random.random() >= self.share:
            return None
        return random.choice(
            [
                answer(random.choice(ANSWERS), works=random.random() < 0.5),
                fault(Kind.LOCKED, code=50000050, http_status=200),
                fault(Kind.TEMPORARY, http_status=503, retry_after=random.choice([None, 2.0])),
                fault(Kind.INTERNAL, works=random.random() < 0.5, http_status=500, may_have_worked=True),
                fault(Kind.MALFORMED_ANSWER, works=True, http_status=200, may_have_worked=True),
                fault(Kind.CONNECTION_LOST, works=random.random() < 0.5, may_have_worked=True),
                fault(Kind.CONNECT_FAILED),
                throttled(random.choice([None, 1.0, self.long_wait])),
                lost(works=random.random() < 0.5),
            ]
        )

    def no_token(self) -> Fault | None:
        """Return the current fault of a token request, or None."""
        down = now() < self.faults_end and self._outage() == "no token"
        return server_error(503) if down else None

    def _outage(self) -> str | None:
        """Return the current kind of outage, or None."""
        at = now()
        return next((kind for start, end, kind in self.outages if start <= at < end), None)

    def _down(self, kind: str) -> Fault:
        """Return the fault of a call in an outage. In a mixed outage, each call has a random fault."""
        if kind != "mixed":
            return DOWN[kind]()
        refused = fault(Kind.UNAUTHENTICATED, http_status=401)
        return self.random.choice([*(fails() for fails in DOWN.values()), refused])

    def _odd_headers(self) -> Mapping[str, str] | None:
        """Return wrong headers, or None for the true ones."""
        odd = now() < self.faults_end and self.random.random() < (self.odd_headers or 0.0)
        return self.random.choice(ODD_HEADERS) if odd else None


def rows_reported(report: Report) -> list[int]:
    """Return the rows of the input in the report, each as often as it occurs there."""
    return sorted(row for action in report.actions for row in (action.row, *action.duplicate_rows))


def lies(world: World, at: float, *, crashed: bool, more: int = 1, late: bool = False) -> list[str]:
    """Return the false statements of the report.

    ``crashed``: the run crashed, ``more`` times. ``late``: stops may have worked after they were given up.
    """
    return [
        f"{action.outcome} {action.stop} {why}"
        for action in world.report().actions
        if action.outcome is not Outcome.MALFORMED
        and (why := _lie(world, action, at, crashed=crashed, more=more, late=late)) is not None
    ]


def _lie(world: World, entry: ActionEntry, at: float, *, crashed: bool, more: int, late: bool) -> str | None:
    stops = world.tenant.of("stop", entry.bulk_key)
    action = world.tenant.actions.get(entry.bulk_key)
    status = action and action.status(at)
    taken = any(stop.took_effect for stop in stops)
    accepted = any(stop.answer == "ok" for stop in stops)
    guarded = bool(world.settings.expect_action_type)
    refused = any(stop.answer == Kind.WRONG_STATE for stop in stops)
    doubtful = crashed or any(_doubtful(stop) for stop in stops)
    if not len(stops) <= entry.stop.attempts <= len(stops) + more * crashed:
        # After a crash, a stop with a recorded intent counts as sent.
        return f"the tenant received {len(stops)} stops"
    true = {
        Outcome.STOPPED: status is Status.STOPPED and (taken or doubtful),
        Outcome.ALREADY_STOPPED: status is Status.STOPPED and not taken,
        Outcome.ALREADY_COMPLETED: status is Status.COMPLETED and not accepted,
        Outcome.ALREADY_FAILED: status is Status.FAILED,
        Outcome.COMPLETED_BEFORE_STOP: status is Status.COMPLETED and accepted,
        # Every response was a temporary failure or a refusal because of the state, or the status was read.
        Outcome.UNCONFIRMED: accepted
        or doubtful
        or entry.status is not None
        or any(stop.answer not in UNANSWERED for stop in stops),
        # If the run ends before the status is read, a stop that was refused because of the state remains refused.
        Outcome.REJECTED: action is None or action.refuses in FOR_GOOD or (refused and not taken),
        Outcome.UNREACHABLE: bool(stops or guarded) and not accepted and (late or not taken),
        Outcome.NOT_ATTEMPTED: not taken
        and (not stops or any(stop.answer == Kind.UNAUTHENTICATED for stop in stops)),
    }
    return (
        None
        if true[entry.outcome]
        else f"the tenant holds {status}, our stop was {taken=} {accepted=} {doubtful=}"
    )


def _doubtful(stop: Call) -> bool:
    return stop.answer is None or stop.answer in (
        Kind.GATEWAY, Kind.REDIRECTED, Kind.SERVER, Kind.INTERNAL, Kind.MALFORMED_ANSWER, Kind.CONNECTION_LOST,
        Kind.TIMEOUT,
    )  # fmt: skip
