"""The run's counts as they stand, for whoever shows them."""

from collections import Counter
from dataclasses import dataclass, field

from orchestrator.model import Outcome


@dataclass(slots=True)
class Tally:
    """Counts of one session, kept by the engine and read by the screen. ``settled_unsent`` are keys that came to
    their end without an accepted stop; ``slots`` and ``in_flight`` are of this moment."""

    keys: int = 0
    read_to_end: bool = False
    stops_sent: int = 0
    accepted: int = 0
    settled: int = 0
    settled_unsent: int = 0
    outcomes: Counter[Outcome] = field(default_factory=Counter)
    retries: int = 0
    throttled: int = 0
    records_succeeded: int = 0
    slots: int = 0
    in_flight: int = 0
