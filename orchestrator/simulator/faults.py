"""The faults, their shares, and the random choice for one call."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple, Self

from orchestrator.simulator.dice import roll


class Effect(Enum):
    """Whether the call takes effect although its response is faulty."""

    NONE = "none"
    DONE = "done"
    EITHER = "either"


EFFECTS = {
    "500": Effect.EITHER,
    "502": Effect.EITHER,
    "503": Effect.NONE,
    "504": Effect.DONE,
    "reset": Effect.NONE,
    "hang": Effect.EITHER,
    "lock": Effect.NONE,
    "temporary": Effect.NONE,
    "internal": Effect.NONE,
    "limit": Effect.NONE,
    "html": Effect.EITHER,
    "empty": Effect.EITHER,
    "truncated": Effect.DONE,
    "answer_lost": Effect.DONE,
    "expired_token": Effect.NONE,
}
"""Every fault by its name.

A number is that HTTP status, with the body of a gateway. ``reset``: the connection is reset before any effect.
``hang``: no response for ``hang_seconds``. ``lock``, ``internal``, ``temporary``, ``limit``: ``success: false`` of
category 50, 60, 61, 70. ``html`` and ``empty``: HTTP 200 without JSON. ``truncated``: a response that is cut short.
``answer_lost``: a closed connection. ``expired_token``: a 401, although the token remains valid.
"""

_OF_TOKEN_CALLS = frozenset({"500", "502", "503", "504", "reset", "hang"})

# A hang costs the client a whole timeout, and an expired token two round trips, so both are rarer.
_WEIGHTS = dict.fromkeys(EFFECTS, 1.0) | {"hang": 0.15, "expired_token": 0.3}

_LEVELS = {"none": 0.0, "some": 0.02, "many": 0.12, "hell": 0.40}


@dataclass(frozen=True)
class FaultPlan:
    """The share (0 to 1) of calls with each fault of :data:`EFFECTS`.

    ``max_consecutive`` limits consecutive faults of one call (stop, status or file of one key), so that a run ends.
    ``hang_seconds`` is the duration of a ``hang``.
    """

    shares: Mapping[str, float] = field(default_factory=dict)
    max_consecutive: int = 3
    hang_seconds: float = 60.0

    def __post_init__(self) -> None:
        if unknown := self.shares.keys() - EFFECTS.keys():
            raise ValueError(f"no fault is called {unknown.pop()!r}; there are {', '.join(EFFECTS)}")

    @classmethod
    def level(cls, name: str | float) -> Self:
        """Return a plan of all faults: ``none``, ``some`` (2 %), ``many`` (12 %), ``hell`` (40 %), or a share up to 1.

        Raises ValueError for any other name or share.
        """
        share = float(_LEVELS.get(str(name), name))
        if not 0 <= share <= 1:
            raise ValueError(f"a share of faults lies between 0 and 1, not {name!r}")
        whole = sum(_WEIGHTS.values())
        return cls({kind: share * weight / whole for kind, weight in _WEIGHTS.items()} if share else {})


class Fault(NamedTuple):
    """One chosen fault: its kind, whether the call takes effect, and another random number in [0, 1)."""

    kind: str
    effective: bool
    spare: float


class _History(NamedTuple):
    """The number of times that a call was made, its latest consecutive faults, and whether the last one was a 401."""

    made: int = 0
    streak: int = 0
    refused: bool = False


class FaultDraw:
    """Chooses faults by (seed, call, key, number of the call), so that the order of the calls does not matter.

    ``plan`` may change while the tenant serves.
    """

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self.plan = plan
        self._seed = seed
        self._history: defaultdict[str, dict[str, _History]] = defaultdict(dict)

    def draw(self, call: str, key: str) -> Fault | None:
        """Return the fault of this call, or None."""
        if not self.plan.shares:
            return None
        made, streak, refused = self._history[call].get(key, _History())
        fault = self._fault(call, key, made) if streak < self.plan.max_consecutive else None
        if fault is not None and refused and fault.kind == "expired_token":
            # Clients repeat a call once with a fresh token. They would have to believe a second consecutive 401.
            fault = None
        refused = fault is not None and fault.kind == "expired_token"
        self._history[call][key] = _History(made + 1, streak + 1 if fault else 0, refused)
        return fault

    def note_refused_token(self, call: str, key: str) -> None:
        """Record a 401 that was no fault, so that no fault adds a second consecutive one."""
        if self.plan.shares:
            history = self._history[call].get(key, _History())
            self._history[call][key] = history._replace(refused=True)

    def _fault(self, call: str, key: str, made: int) -> Fault | None:
        which, effective, spare, *_ = roll(self._seed, "fault", call, key, made)
        for kind, effect in EFFECTS.items():
            which -= self.plan.shares.get(kind, 0.0)
            if which < 0:
                if call == "token" and kind not in _OF_TOKEN_CALLS:
                    return None
                return Fault(
                    kind, effect is Effect.DONE or (effect is Effect.EITHER and effective < 0.5), spare
                )
        return None
