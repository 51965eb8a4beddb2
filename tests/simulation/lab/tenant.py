"""A tenant as arithmetic: slots, a rate window, and headers with a delay. It records its refusals."""

from random import Random

from orchestrator.model import Answered, Limits, Window
from tests.simulation.lab.scenario import Trace

SOONEST = 0.001
"""The least seconds that a refusal takes."""


class LabTenant:
    """Accepts or refuses calls at given times, which never decrease."""

    def __init__(self, trace: Trace, seed: int) -> None:
        self.scenario = scenario = trace.scenario
        self.limit = scenario.limit[0][1]
        self.ours = 0
        self.others = scenario.held
        self.others_called = self.others_refused = 0
        self.ours_refused = 0
        self._steps = list(scenario.limit[1:])
        self._shown: tuple[int, int] | None = None
        self._next_look = trace.phase - scenario.refresh
        self._left = scenario.quota
        self._window_ends = scenario.window
        self._dice = Random(seed)

    def at(self, now: float) -> None:
        """Set limit, header and window to the time ``now``. Must precede any other event at that time."""
        scenario = self.scenario
        while self._steps and self._steps[0][0] <= now:
            self.limit = self._steps.pop(0)[1]
        while self._next_look <= now:
            self._shown = (self.limit, self.limit - self.ours - self.others)
            self._next_look += scenario.refresh
        if now >= self._window_ends:
            self._left = scenario.quota
            self._window_ends += scenario.window * ((now - self._window_ends) // scenario.window + 1)

    def other_arrives(self) -> bool:
        """Return whether a call of the others finds a slot."""
        self.others_called += 1
        if self.ours + self.others >= self.limit:
            self.others_refused += 1
            return False
        self.others += 1
        return True

    def arrives(self, now: float) -> Answered | None:
        """Accept a call of ours and return None, or return the response that refuses it."""
        scenario, wait = self.scenario, None
        if self._left is not None:
            self._left -= 1
        if scenario.refuses and scenario.refuses[0] <= now < scenario.refuses[1]:
            wait = 2.0
        elif self._left is not None and self._left < 0:
            wait = self._window_ends - now if scenario.quota_in_headers else scenario.retry_after
        elif self.ours + self.others < self.limit:
            self.ours += 1
            return None
        else:
            wait = scenario.retry_after
        self.ours_refused += 1
        return Answered(self._headers(now), 429, True, wait, max(scenario.wire, SOONEST))

    def throws_out(self, now: float, seconds: float) -> Answered:
        """Return the response to a call that is cancelled ``seconds`` after it was sent."""
        self.ours -= 1
        self.ours_refused += 1
        return Answered(self._headers(now), 429, True, 2.0, seconds)

    def leaves(self, now: float, seconds: float) -> Answered:
        """Return the response to a call that was sent ``seconds`` ago, and release its slot."""
        self.ours -= 1
        return Answered(self._headers(now), 200, False, None, seconds)

    def strained(self, seconds: float) -> float:
        """Return the duration of a call that takes ``seconds`` in an idle tenant."""
        return seconds * (1 + self.scenario.strain * (self.ours + self.others) / self.limit)

    def _headers(self, now: float) -> Limits:
        scenario = self.scenario
        limit, free = self._shown if self._shown is not None and scenario.headers != "none" else (None, None)
        if scenario.headers == "wrong" and self._dice.random() < 0.2:
            limit, free = self._dice.choice([(0, 0), (1, 0), (10**9, 10**9), (40, 4_000), (None, 7), (2, 39)])
        if scenario.quota is None or not scenario.quota_in_headers:
            return Limits(concurrency=limit, concurrency_remaining=None if free is None else max(free, 0))
        window = Window(scenario.quota, int(scenario.window))
        return Limits(
            (window,), scenario.quota, max(0, self._left or 0), self._window_ends - now, limit,
            None if free is None else max(free, 0),
        )  # fmt: skip
