"""The faults, their shares, and the draw that decides about one call."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from enum import Enum
from types import MappingProxyType
from typing import Any, NamedTuple, Self

from orchestrator.simulator.dice import roll


class Effect(Enum):
    """Whether the call did its work although its answer went wrong."""

    NONE = "none"
    DONE = "done"
    EITHER = "either"


EFFECTS: Mapping[str, Effect] = MappingProxyType(
    {
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
)
"""Every fault by the name the log gives it."""

_OF_TOKEN_CALLS = frozenset({"500", "502", "503", "504", "reset", "hang"})

# A hang costs its caller a whole time-out and an expired token two round trips: rarer than the rest.
_WEIGHTS: Mapping[str, float] = MappingProxyType(
    dict.fromkeys(EFFECTS, 1.0) | {"hang": 0.15, "expired_token": 0.3}
)

_LEVELS: Mapping[str, float] = MappingProxyType({"none": 0.0, "some": 0.02, "many": 0.12, "hell": 0.40})


@dataclass(frozen=True)
class FaultPlan:
    """The share (0 to 1) of calls that meet each fault.

    ``http_500`` to ``http_504``: that status, with the body of a gateway. ``reset``: the connection is cut before any
    effect. ``hang``: no response for ``hang_seconds``, with or without the effect. ``lock``, ``internal``,
    ``temporary``, ``limit``: ``success: false`` of category 50, 60, 61, 70 and no effect. ``html`` and ``empty``: a
    status 200 without content. ``truncated``: the effect, and a response that is cut short. ``answer_lost``: the
    effect, and a closed connection. ``expired_token``: a 401, though the token stays good.

    ``max_consecutive`` bounds the faults in a row of one call (a stop, status or file of one key), so that a
    run ends.
    """

    http_500: float = 0.0
    http_502: float = 0.0
    http_503: float = 0.0
    http_504: float = 0.0
    reset: float = 0.0
    hang: float = 0.0
    lock: float = 0.0
    temporary: float = 0.0
    internal: float = 0.0
    limit: float = 0.0
    html: float = 0.0
    empty: float = 0.0
    truncated: float = 0.0
    answer_lost: float = 0.0
    expired_token: float = 0.0
    max_consecutive: int = 3
    hang_seconds: float = 60.0

    def __post_init__(self) -> None:
        rates = self.rates()
        if any(rate < 0 for rate in rates.values()) or sum(rates.values()) > 1 + 1e-9:
            raise ValueError(f"fault rates are shares from 0 to 1 and add up to at most 1, not {rates}")

    def rates(self) -> dict[str, float]:
        """The share of each fault, by the name the log gives it; faults that never happen are left out."""
        named = {field.name.removeprefix("http_"): getattr(self, field.name) for field in fields(self)}
        return {kind: float(named[kind]) for kind in EFFECTS if named[kind]}

    @classmethod
    def none(cls) -> Self:
        """Nothing goes wrong."""
        return cls()

    @classmethod
    def level(cls, name: str | float) -> Self:
        """Every fault: ``none``, ``some`` (2 %), ``many`` (12 %), ``hell`` (40 %), or a share up to 1."""
        try:
            share = _LEVELS[name] if isinstance(name, str) and name in _LEVELS else float(name)
        except ValueError:
            raise ValueError(
                f"a fault level is one of {', '.join(_LEVELS)} or a share like 0.05, not {name!r}"
            ) from None
        if not 0 <= share <= 1:
            raise ValueError(f"a share of faults lies between 0 and 1, not {name!r}")
        whole = sum(_WEIGHTS.values())
        return cls(**_fields({kind: share * weight / whole for kind, weight in _WEIGHTS.items()}))

    @classmethod
    def only(cls, kind: str, rate: float, **changes: Any) -> Self:
        """One fault alone, e.g. ``FaultPlan.only("answer_lost", 0.2)``; ``changes`` set other fields."""
        name = kind.removeprefix("http_")
        if name not in EFFECTS:
            raise ValueError(f"no fault is called {kind!r}; there are {', '.join(EFFECTS)}")
        return cls(**_fields({name: rate}), **changes)


def _fields(rates: Mapping[str, float]) -> dict[str, Any]:
    return {f"http_{kind}" if kind.isdigit() else kind: rate for kind, rate in rates.items()}


class Fault(NamedTuple):
    """One fault that was drawn: its kind, whether the call has its effect, and a spare draw in [0, 1)."""

    kind: str
    effective: bool
    spare: float


class FaultDraw:
    """Draws by (seed, call, key, times that call was made): the same in whatever order calls arrive."""

    def __init__(self, plan: FaultPlan, seed: int) -> None:
        self._seed = seed
        self._history: dict[str, dict[str, int]] = {}
        self.plan = plan

    @property
    def plan(self) -> FaultPlan:
        """The faults from now on; they may be changed while the tenant serves."""
        return self._plan

    @plan.setter
    def plan(self, plan: FaultPlan) -> None:
        self._plan = plan
        self._rates = plan.rates()

    def draw(self, call: str, key: str) -> Fault | None:
        """The fault this call meets, or None."""
        if not self._rates:
            return None
        history = self._history.setdefault(call, {})
        count, streak, refused = _unpacked(history.get(key, 0))
        fault = self._fault(call, key, count) if streak < self._plan.max_consecutive else None
        if fault is not None and refused and fault.kind == "expired_token":
            # The advice is "once, with a fresh token": a second 401 in a row would have to be believed.
            fault = None
        refused = fault is not None and fault.kind == "expired_token"
        history[key] = _packed(count + 1, streak + 1 if fault else 0, refused)
        return fault

    def note_refused_token(self, call: str, key: str) -> None:
        """Reports a 401 that was no fault, so that no fault adds a second one in a row."""
        if self._rates:
            history = self._history.setdefault(call, {})
            count, streak, _ = _unpacked(history.get(key, 0))
            history[key] = _packed(count, streak, True)

    def _fault(self, call: str, key: str, count: int) -> Fault | None:
        which, effective, spare, *_ = roll(self._seed, "fault", call, key, count)
        for kind, rate in self._rates.items():
            which -= rate
            if which < 0:
                if call == "token" and kind not in _OF_TOKEN_CALLS:
                    return None
                effect = EFFECTS[kind]
                return Fault(
                    kind, effect is Effect.DONE or (effect is Effect.EITHER and effective < 0.5), spare
                )
        return None


# One small int a call and key, not a tuple: at 200,000 keys the history would outweigh the actions.
def _packed(count: int, streak: int, refused: bool) -> int:
    return count << 9 | min(streak, 255) << 1 | refused


def _unpacked(history: int) -> tuple[int, int, bool]:
    return history >> 9, history >> 1 & 255, bool(history & 1)
