"""Bodies and headers of the tenant's responses, correct and faulty ones."""

import gzip
import json
import math
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Literal
from uuid import UUID

from orchestrator.simulator.actions import Action
from orchestrator.simulator.config import TenantConfig
from orchestrator.simulator.dice import between, roll
from orchestrator.simulator.faults import Fault

JSON = "application/json;charset=UTF-8"
HTML = "text/html"
_GZIP_ABOVE = 1000  # bytes

_FAILURES = {
    "lock": (53900050, "Failed to acquire the lock of the mass action. Try again later."),
    "internal": (50000060, "An internal error occurred."),
    "temporary": (50000061, "A temporary error occurred. Try again later."),
    "limit": (50000070, "The limit of concurrent mass action requests is exceeded."),
}
"""Code and message of each fault that the API itself reports, with ``success: false``."""

Delivery = Literal["whole", "cut", "lost", "reset", "hang"]


@dataclass(slots=True)
class Answer:
    """One response of the tenant. A callable ``body`` is called when needed, because a response file takes time."""

    status: int
    body: bytes | Callable[[], bytes] = b""
    content_type: str | None = JSON
    headers: dict[str, str] = field(default_factory=dict)
    delivery: Delivery = "whole"
    heavy: bool = False
    bare: bool = False


def compressed(answer: Answer, accept_encoding: str) -> bytes:
    """Return the body as sent, gzipped if accepted and long enough. Sets the header for it."""
    body = answer.body() if callable(answer.body) else answer.body
    text = answer.content_type is not None and not answer.content_type.startswith("application/zip")
    if text and len(body) > _GZIP_ABOVE and "gzip" in accept_encoding:
        answer.headers["Content-Encoding"] = "gzip"
        return gzip.compress(body, 1)
    return body


class Writer:
    """Builds the responses of one tenant. ``wall_offset`` converts the tenant's clock to seconds since 1970."""

    def __init__(self, config: TenantConfig, wall_offset: float) -> None:
        self._config = config
        self._wall_offset = wall_offset
        self._dice = random.Random(f"answers {config.seed}")

    def request_id(self) -> str:
        """Return a new request id, which identifies a call for Zuora's support."""
        return str(UUID(int=self._dice.getrandbits(128)))

    def json(self, body: Mapping[str, object], status: int = 200) -> Answer:
        """Return a JSON response."""
        return Answer(status, json.dumps(body).encode())

    def failure(self, code: int, message: str, status: int = 200) -> Answer:
        """Return ``success: false`` with one reason."""
        reason = {"code": self._number(code, self._dice.random()), "message": message}
        process_id = f"{self._dice.getrandbits(64):016X}"
        return self.json({"success": False, "processId": process_id, "reasons": [reason]}, status)

    def file_address(self, key: str, base_url: str, file_id: str) -> str:
        """Return the ``outputURL`` of an action. The server builds it, and its host may differ from the called host."""
        forms = {
            "own": base_url,
            "other": "https://rest.zuora.com",
            "relative": "",
            "old": "https://apisandbox-api.zuora.com/rest",
        }
        how: str = self._config.file_address
        if how == "mixed":
            how = list(forms)[int(4 * roll(self._config.seed, key, "file address")[0])]
        return f"{forms[how]}/v1/files/{file_id}"

    def action(self, action: Action, now: float, base_url: str, file_id: str) -> Answer:
        """Return the response with the status of an action at ``now``."""
        status = action.status(now)
        counts = action.counts(now)
        has_file = action.has_file(now)
        waiting = now < action.starts
        ended = action.ended(now)
        delay = between(self._config.file_delay, roll(self._config.seed, action.key, "file delay")[0])
        named = has_file and ended is not None and now >= ended + delay
        asks = roll(self._config.seed, action.key, "fields", action.status_reads)
        total, processed, succeeded, failed = (
            None if waiting else self._number(count, ask) for count, ask in zip(counts, asks, strict=False)
        )
        body: dict[str, object] = {
            "actionType": action.action_type,
            "status": status.value,
            "uploadedBy": action.uploaded_by,
            "uploadedOn": self._date(min(action.starts, action.born) - 5),
            "startedOn": None if waiting else self._date(action.starts),
            "endedOn": None if ended is None else self._date(ended),
            "inputSize": self._number(38 * action.total, asks[4]),
            "outputSize": self._number(9 * action.total, asks[4]) if has_file else None,
            "outputType": "(url:.csv.zip)",
            "outputURL": self.file_address(action.key, base_url, file_id) if named else None,
            "totalCount": total,
            "processedCount": processed,
            "errorCount": failed,
            "successCount": succeeded,
            "success": True,
        }
        if action.key[0] == "0":
            # Unknown fields, and a response that is long enough for gzip.
            body["validationNotes"] = [
                f"Column {n} of the uploaded file is empty in every row." for n in range(20)
            ]
        return self.json(self._without_nothing(body, action))

    def _without_nothing(self, body: Mapping[str, object], action: Action) -> Mapping[str, object]:
        """Return ``body`` with unknown values in the form of this tenant. ``mixed`` draws a form for each response."""
        how = self._config.nothing_as
        if how == "mixed":
            ask, *_ = roll(self._config.seed, action.key, "nothing", action.status_reads)
            how = "null" if ask < 0.5 else "empty" if ask < 0.75 else "absent"
        if how == "null":
            return body
        known = {name: value for name, value in body.items() if value is not None}
        return known if how == "absent" else dict.fromkeys(body, "") | known

    def _number(self, number: int, ask: float) -> int | str:
        """Return a count as text or number. The schema has text, and the samples have numbers."""
        return str(number) if ask < 0.5 else number

    def _date(self, moment: float) -> str:
        return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(moment + self._wall_offset))

    def throttled(self, wait: float) -> Answer:
        """Return a 429 that asks for a wait of ``wait`` seconds, or has no Retry-After."""
        answer = self.failure(50000070, "Request exceeded limit. Please try again later.", 429)
        how = self._config.retry_after
        if how == "mixed":
            how = self._dice.choice(("seconds", "fraction", "date", "missing"))
        seconds = max(1, math.ceil(wait))
        if how == "seconds":
            answer.headers["Retry-After"] = str(seconds)
        elif how == "fraction":
            answer.headers["Retry-After"] = f"{math.ceil(max(wait, 0.1) * 10) / 10:.1f}"  # never rounded down
        elif how == "date":
            # The header has whole seconds only. Rounded down, it would ask for too short a wait.
            answer.headers["Retry-After"] = formatdate(math.ceil(time.time() + wait), usegmt=True)
        return answer

    def unauthorized(self) -> Answer:
        """Return a 401: the token is missing, unknown or expired."""
        return self.failure(90000011, "Failed to authenticate: the token is invalid or has expired.", 401)

    def faulted(self, fault: Fault, real: Answer | None) -> Answer:
        """Return the response to a call with ``fault``. ``real`` is the faultless response if the call took effect."""
        match fault.kind:
            case "reset" | "hang" as delivery:
                return Answer(0, delivery=delivery)
            case "answer_lost":
                return Answer(0, delivery="lost")
            case "truncated":
                answer = real or self.json({"success": True})
                answer.delivery = "cut"
                return answer
            case "html":
                return Answer(200, _page("Service temporarily unavailable", fault.spare), HTML)
            case "empty":
                return Answer(200, b"", None)
            case "expired_token":
                return self.unauthorized()
            case kind if kind in _FAILURES:
                return self.failure(*_FAILURES[kind])
        answer = self._broken(int(fault.kind), fault.spare)
        answer.bare = fault.spare < 0.5
        return answer

    def _broken(self, status: int, spare: float) -> Answer:
        if status == 500 and spare < 0.7:
            return self.failure(50000060, "Internal server error", 500)
        if spare > 0.9:
            return Answer(status, b"", None)
        answer = Answer(status, _page(f"{status} from the gateway", spare), HTML)
        if status == 503 and spare < 0.3:
            answer.headers["Retry-After"] = "1"
        return answer


def _page(title: str, spare: float) -> bytes:
    filler = "<!-- padding to keep a browser from showing a page of its own -->\n" * int(spare * 40)
    head = f"<!DOCTYPE html>\n<html><head><title>{title}</title></head>"
    return f"{head}<body><h1>{title}</h1>\n{filler}</body></html>\n".encode()
