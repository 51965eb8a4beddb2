"""The tenant's record of all calls: each call, the number of each kind, every breach of the protocol."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

API_CALLS = frozenset({"stop", "status", "file"})

_BAD_TRACK_ID = re.compile(r"[^\x20-\x7e]|[:;\"']")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_MOST_PROBLEMS = 1000


@dataclass(slots=True)
class Call:
    """One request.

    ``t`` and ``ended`` are the times of arrival and response on the tenant's clock, in seconds. ``kind`` is ``token``,
    ``stop``, ``status``, ``file`` or ``other``. ``http`` is the HTTP status, or None without a complete response.
    ``fault`` is the injected fault. ``about_file`` marks a call for the status of a file.
    """

    t: float
    kind: str
    key: str | None = None
    track_id: str | None = None
    http: int | None = None
    fault: str | None = None
    ended: float | None = None
    about_file: bool = False


@dataclass
class Ledger:
    """Counts since the tenant started.

    ``problems`` has the first thousand breaches of the protocol. ``throttled`` is the number of 429s.
    """

    keep_log: bool = True
    log: list[Call] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    faults: Counter[str] = field(default_factory=Counter)
    throttled: int = 0
    problems: list[str] = field(default_factory=list)
    _tracks: set[int] = field(default_factory=set)

    def arrived(self, call: Call) -> None:
        """Record a call that has just arrived."""
        self.calls[call.kind] += 1
        if self.keep_log:
            self.log.append(call)

    def check(self, call: Call, headers: Mapping[str, str], has_body: bool) -> None:
        """Check one request against the rules on headers and bodies."""
        if call.kind == "token":
            if "Authorization" in headers:
                self.problem(call, "Authorization sent to /oauth/token")
            return
        if call.kind not in API_CALLS:
            return
        if "Authorization" not in headers:
            self.problem(call, "no Authorization")
        if "Idempotency-Key" in headers:
            self.problem(call, "Idempotency-Key on a GET or PUT")
        if "gzip" not in headers.get("Accept-Encoding", ""):
            self.problem(call, "Accept-Encoding does not offer gzip")
        if has_body:
            self.problem(call, "a request body")
        entity = headers.get("Zuora-Entity-Ids")
        if entity is not None and not _UUID.fullmatch(entity):
            self.problem(call, f"Zuora-Entity-Ids is no UUID: {entity!r}")
        self._check_track_id(call)

    def _check_track_id(self, call: Call) -> None:
        track_id = call.track_id
        if track_id is None:
            return
        if not track_id or len(track_id) > 64 or _BAD_TRACK_ID.search(track_id):
            self.problem(call, f"bad Zuora-Track-Id {track_id[:100]!r} ({len(track_id)} characters)")
        elif self.keep_log:
            # Hashes are enough to compare track ids, and need a third of the memory.
            mark = hash(track_id)
            if mark in self._tracks:
                self.problem(call, f"Zuora-Track-Id used before: {track_id!r}")
            self._tracks.add(mark)

    def problem(self, call: Call, text: str) -> None:
        """Record a breach of the protocol."""
        if len(self.problems) < _MOST_PROBLEMS:
            self.problems.append(f"{call.kind} {call.key or ''}: {text}")
