"""Mass actions. Their state is computed from the time, so they need no task, no timer and little memory."""

import math
import random
from itertools import accumulate
from typing import NamedTuple

from orchestrator.model import Status
from orchestrator.simulator.config import UPLOADERS, TenantConfig
from orchestrator.simulator.dice import between, between_in_log, hexadecimal, roll
from orchestrator.simulator.files import Counts, Upload


class ActionTruth(NamedTuple):
    """The true state of one action. Times are on the tenant's clock, in seconds.

    ``started``: the action processed records. ``stops_received`` has the time of each stop, including refused and
    failed stops. ``stop_effective_at`` is the time at which a stop took effect. It is None if none did, or if the
    action was stopped before the tenant started to serve.
    """

    key: str
    status: Status
    total: int
    processed: int
    succeeded: int
    failed: int
    started: bool
    has_file: bool
    action_type: str
    uploaded_by: str
    speed: float
    stops_received: tuple[float, ...]
    stop_effective_at: float | None
    status_reads: int
    file_reads: int


class Action:
    """One mass action from its upload to its end. Everything except its stop is decided at creation."""

    __slots__ = (
        "action_type", "born", "completes", "denied", "fail_share", "fails", "file_reads", "halts", "key",
        "linger", "speed", "starts", "status_reads", "stop_at", "stops_received", "total", "upload", "uploaded_by",
    )  # fmt: skip

    def __init__(self, config: TenantConfig, key: str, born: float, *, state: Status) -> None:
        size, pace, flaw, wait, linger, direct, kind, owner = roll(config.seed, key, "action")
        self.key = key
        self.born = born
        self.upload: Upload | None = None
        self.total = round(between(config.records, size))
        self.speed = between_in_log(config.speed, pace)
        self.fail_share = between(config.failing, flaw)
        self.linger = between(config.stopping_time, linger)
        self.action_type = config.action_types[int(kind * len(config.action_types))]
        self.uploaded_by = UPLOADERS[int(owner * len(UPLOADERS))]
        self.fails = state is Status.FAILED
        self.denied = roll(config.seed, key, "mishaps")[1] < config.denied
        self.stop_at: float | None = None
        self.halts = math.inf
        self.stops_received: list[float] | None = None
        self.status_reads = 0
        self.file_reads = 0
        length = self.total / self.speed
        if state is Status.PENDING:
            self.starts = born + between(config.start_delay, wait)
        elif state in (Status.COMPLETED, Status.FAILED):
            self.starts = born - length - 60 * wait - 1
        else:
            self.starts = born - 0.7 * wait * length
        self.completes = self.starts + length
        if state is Status.STOPPING:
            self.stop_at, self.halts = born - self.linger * 0.1, born + self.linger * 0.9
        elif state is Status.STOPPED:
            if direct < 0.5:
                self.starts = self.completes = math.inf
            self.stop_at, self.halts = born - 1, born - 0.001 * length

    @property
    def never_starts(self) -> bool:
        """Whether the action was stopped while it was Pending."""
        return self.starts == math.inf

    def status(self, now: float) -> Status:
        """Return the status at ``now``."""
        if now < self.starts:
            if self.stop_at is None:
                return Status.PENDING
            return Status.STOPPING if now < self.halts else Status.STOPPED
        if self.fails:
            return Status.FAILED
        if self.completes <= min(now, self.halts):
            return Status.COMPLETED
        if self.stop_at is None:
            return Status.PROCESSING
        return Status.STOPPING if now < self.halts else Status.STOPPED

    def counts(self, now: float) -> Counts:
        """Return the record counts at ``now``. An action that is Stopping still processes records."""
        moment = min(now, self.halts)
        if self.fails or moment <= self.starts:
            done = 0
        elif moment >= self.completes:
            done = self.total
        else:
            done = min(self.total, int((moment - self.starts) * self.speed))
        failed = int(done * self.fail_share)
        return Counts(self.total, done, done - failed, failed)

    def ended(self, now: float) -> float | None:
        """Return the time at which the action ended, or None."""
        status = self.status(now)
        if not status.terminal:
            return None
        if status is Status.FAILED:
            return self.starts
        return self.completes if status is Status.COMPLETED else self.halts

    def has_file(self, now: float) -> bool:
        """Return whether there is a response file: Completed, or Stopped after it was Processing."""
        status = self.status(now)
        return status is Status.COMPLETED or (status is Status.STOPPED and not self.never_starts)

    def stop(self, now: float) -> bool:
        """Accept a stop. Return False if the action's status does not allow it."""
        status = self.status(now)
        if status is Status.PENDING:
            # No record is in process, so half of these actions stop at once.
            self.starts = self.completes = math.inf
            self.stop_at, self.halts = now, now + (self.linger if self.key[-1] < "8" else 0.0)
            return True
        if status is Status.PROCESSING:
            self.stop_at, self.halts = now, now + self.linger
            return True
        return False

    def truth(self, now: float) -> ActionTruth:
        """Return the true state of the action at ``now``."""
        ours = self.stop_at is not None and self.stop_at >= self.born
        return ActionTruth(
            self.key, self.status(now), *self.counts(now), now >= self.starts and not self.fails,
            self.has_file(now), self.action_type, self.uploaded_by, self.speed,
            tuple(self.stops_received or ()), self.stop_at if ours else None,
            self.status_reads, self.file_reads,
        )  # fmt: skip


class Actions:
    """All actions of a tenant. Each is created when it is first needed. Until then it is a key only."""

    def __init__(self, config: TenantConfig, born: float) -> None:
        self._config = config
        self._states = [Status(name) for name in config.mix]
        whole = sum(config.mix.values())
        self._edges = list(accumulate(weight / whole for weight in config.mix.values()))
        self._live: dict[str, Action] = {}
        self.born = born
        names = random.Random(f"keys {config.seed}").randbytes(16 * config.actions).hex()
        self.keys = [names[at : at + 32] for at in range(0, len(names), 32)]
        self._known = frozenset(self.keys)

    def start(self, upload: Upload, action_type: str, now: float) -> Action:
        """Create an action of ``upload``, which starts at once and has no failed record."""
        serial = len(self.keys)
        key = hexadecimal(32, self._config.seed, "started", serial)
        action = Action(self._config, key, now, state=Status.PENDING)
        action.upload, action.action_type, action.total = upload, action_type, len(upload.rows)
        action.fails, action.denied, action.fail_share, action.starts = False, False, 0.0, now
        action.completes = now + action.total / action.speed
        self._live[key] = action
        self.keys.append(key)
        self._known |= {key}
        return action

    def find(self, key: str) -> Action | None:
        """Return the action of ``key`` and store it, or None if the tenant has no such key."""
        action = self._live.get(key)
        if action is None and key in self._known:
            action = self._live[key] = self._make(key)
        return action

    def peek(self, key: str) -> Action:
        """Return the action of ``key`` without storing it. Raises KeyError for an unknown key."""
        if key not in self._known:
            raise KeyError(key)
        return self._live.get(key) or self._make(key)

    def _make(self, key: str) -> Action:
        share = roll(self._config.seed, key, "state")[0]
        at = next((n for n, edge in enumerate(self._edges) if share < edge), len(self._edges) - 1)
        return Action(self._config, key, self.born, state=self._states[at])
