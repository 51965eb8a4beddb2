"""The tenant without its socket: who may call, what a call does, and its response. It never waits."""

import json
import time
import zipfile
from collections.abc import Callable, Mapping
from urllib.parse import parse_qs

from orchestrator.model import is_bulk_key
from orchestrator.simulator.actions import Action, Actions
from orchestrator.simulator.answers import Answer, Writer
from orchestrator.simulator.config import TenantConfig
from orchestrator.simulator.dice import hexadecimal, roll
from orchestrator.simulator.faults import FaultDraw
from orchestrator.simulator.files import COLUMNS, file_name, key_of, read_upload, response_file
from orchestrator.simulator.ledger import API_CALLS, Call, Ledger
from orchestrator.simulator.limits import Limits, RateWindows

MOST_UPLOADED = 4_000_000
"""Most bytes of an uploaded file."""

_HEAVY_FILE = 3000  # records; a larger file is written in a thread, so that it does not block other calls


class Tenant:
    """All actions, limits and tokens of a tenant. ``clock`` returns seconds, with any origin."""

    def __init__(self, config: TenantConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self.config = config
        self.clock = clock
        self.base_url = ""
        self.ledger = Ledger(config.keep_log)
        self.faults = FaultDraw(config.faults, config.seed)
        self._mask = int(hexadecimal(32, config.seed, "files"), 16)
        self._tokens: dict[str, float] = {}
        self._issued = 0
        now = clock()
        self.actions = Actions(self.config, now)
        self.limits = Limits(self.config, now)
        self.writer = Writer(self.config, time.time() - now)
        self._token_window = RateWindows(((100, 60),), now)

    def receive(self, method: str, path: str, headers: Mapping[str, str], has_body: bool) -> Call:
        """Return the call of a request, and record it."""
        kind, key = self._route(method, path)
        about_file = kind == "file" and path.endswith("/status")
        call = Call(self.clock(), kind, key, headers.get("Zuora-Track-Id"), about_file=about_file)
        self.ledger.arrived(call)
        self.ledger.check(call, headers, has_body)
        if kind in API_CALLS:
            self._count(call)
        return call

    def _route(self, method: str, path: str) -> tuple[str, str | None]:
        match (method, path.strip("/").split("/")):
            case ("POST", ["oauth", "token"]):
                return "token", None
            case ("POST", ["v1", "bulk"]):
                return "upload", None
            case ("PUT", ["v1", "bulk", key, "stop"]):
                return "stop", key
            case ("GET", ["v1", "bulk", key]):
                return "status", key
            case ("GET", ["v1", "files", file_id] | ["v1", "files", file_id, "status"]):
                return "file", key_of(self._mask, file_id) or file_id
            case (_, ["v1", "bulk", _] | ["v1", "bulk", _, "stop"] | ["v1", "files", _]):
                return "other", "method"
        return "other", None

    def _count(self, call: Call) -> None:
        action = self.actions.find(call.key or "")
        if action is None:
            return
        call.key = action.key  # all calls of a key share one string, to save memory in a long log
        if call.kind == "stop":
            action.stops_received = [*(action.stops_received or ()), call.t]
        elif call.kind == "status":
            action.status_reads += 1
        elif not call.about_file:
            action.file_reads += 1

    def admit(self, call: Call, headers: Mapping[str, str]) -> Answer | None:
        """Admit a call, which then occupies a slot of ``limits``, and return None. Otherwise return the refusal."""
        wait = self.limits.windows.take(call.t)
        if not self._knows(headers.get("Authorization")):
            self.faults.note_refused_token(call.kind, call.key or "")
            return self.writer.unauthorized()
        if wait is None and self.limits.enter(call.t):
            return None
        self.ledger.throttled += 1
        return self.writer.throttled(1.0 if wait is None else wait)

    def _knows(self, authorization: str | None) -> bool:
        scheme, _, token = (authorization or "").partition(" ")
        return scheme.lower() == "bearer" and self._tokens.get(token, 0.0) > self.clock()

    def act(self, call: Call) -> Answer:
        """Perform an admitted call, with the fault that is chosen for it. Return the response."""
        fault = self.faults.draw(call.kind, call.key or "")
        if fault is None:
            return self._perform(call)
        call.fault = fault.kind
        self.ledger.faults[fault.kind] += 1
        return self.writer.faulted(fault, self._perform(call) if fault.effective else None)

    def _perform(self, call: Call) -> Answer:
        key = call.key or ""
        if not is_bulk_key(key):
            self.ledger.problem(call, f"not a key: {key[:80]!r}")
            return self.writer.failure(53900020, f"Invalid bulk key: {key[:80]}", 400)
        action = self.actions.find(key)
        under_200 = roll(self.config.seed, key, "refusal")[0] < 0.5
        if action is None:
            text = f"Cannot find the mass action or file of {key}."
            return self.writer.failure(53900040, text, 200 if under_200 else 404)
        if action.denied:
            text = "You do not have permission to do that."
            return self.writer.failure(53900010, text, 200 if under_200 else 403)
        now = self.clock()
        if call.kind == "stop":
            return self._stop(action, now)
        if call.kind == "status":
            return self.writer.action(action, now, self.base_url, file_name(self._mask, key))
        return self._file(call, action, now, 200 if under_200 else 404)

    def _stop(self, action: Action, now: float) -> Answer:
        how = self.config.repeat_stop
        if how == "mixed":
            how = "accept" if roll(self.config.seed, action.key, "repeat")[0] < 0.5 else "refuse"
        status = action.status(now)
        if action.stop(now) or how == "accept":
            return self.writer.json({"success": True})
        return self.writer.failure(
            53900030, f"The mass action is {status.value}. Only a Pending or Processing one can be stopped."
        )

    def _file(self, call: Call, action: Action, now: float, refused_at: int) -> Answer:
        if not action.has_file(now):
            return self.writer.failure(53900040, "There is no such file.", refused_at)
        archived = roll(self.config.seed, action.key, "archive")[0] < self.config.archived
        if call.about_file:
            status = "ARCHIVED" if archived else "RESTORED"
            return self.writer.json({"success": True, "accessible": not archived, "status": status})
        if archived:
            return self.writer.failure(53900030, "The file is archived.", refused_at)
        counts = action.counts(now)
        return Answer(
            200,
            lambda: response_file(self.config.seed, action.key, counts, action.action_type, action.upload),
            "application/zip;charset=UTF-8",
            {"Content-Disposition": f'attachment; filename="{action.key}.csv.zip"'},
            heavy=counts.total > _HEAVY_FILE,
        )

    def start(self, call: Call, authorization: str | None, parameters: str, file: bytes) -> Answer:
        """Start a mass action of an uploaded ``file``. ``parameters`` is a JSON object."""
        if not self._knows(authorization):
            return self.writer.unauthorized()
        try:
            action = self.accept_upload(json.loads(parameters)["actionType"], file)
        except (KeyError, TypeError, ValueError) as error:
            self.ledger.problem(call, f"unusable upload: {error!r}")
            return self.writer.failure(53900020, f"The upload cannot be used: {error}.", 400)
        return self.writer.json({"bulkKey": action.key, "success": True})

    def accept_upload(self, action_type: str, file: bytes) -> Action:
        """Return a new action of an uploaded ``file``. Raises ValueError for an invalid file."""
        if len(file) > MOST_UPLOADED:
            raise ValueError("the file is larger than 4 MB")
        if action_type not in COLUMNS:
            raise ValueError(f"{action_type} is no action type")
        try:
            upload = read_upload(file)
        except zipfile.BadZipFile as error:
            raise ValueError(str(error)) from error
        added = {name.lower() for name in ("Success", *COLUMNS[action_type].added)}
        if wrong := [name for name in upload.header if name.strip().lower() in added]:
            raise ValueError(f"no column of an upload is called {wrong[0]}")
        return self.actions.start(upload, action_type, self.clock())

    def grant(self, call: Call, form: str) -> Answer:
        """Return the response of the token endpoint."""
        wait = self._token_window.take(call.t)
        if wait is not None:
            self.ledger.throttled += 1
            return self.writer.throttled(wait)
        fault = self.faults.draw("token", "")
        if fault is not None:
            call.fault = fault.kind
            self.ledger.faults[fault.kind] += 1
            return self.writer.faulted(fault, None)
        fields = {name: values[-1] for name, values in parse_qs(form).items()}
        if fields.get("grant_type") != "client_credentials":
            self.ledger.problem(call, "grant_type is not client_credentials")
            return self.writer.json({"error": "unsupported_grant_type"}, 400)
        expected = (self.config.client_id, self.config.client_secret)
        if (fields.get("client_id"), fields.get("client_secret")) != expected:
            return self.writer.json({"error": "invalid_client", "message": "Invalid client credentials"}, 401)
        return self._issue()

    def _issue(self) -> Answer:
        now = self.clock()
        self._tokens = {token: end for token, end in self._tokens.items() if end > now}
        self._issued += 1
        token = hexadecimal(32, self.config.seed, self.config.client_secret, "token", self._issued)
        self._tokens[token] = now + self.config.token_lifetime
        return self.writer.json(
            {
                "access_token": token,
                "token_type": "bearer",
                "expires_in": int(self.config.token_lifetime),
                "scope": " ".join([*(f"entity.{one}" for one in self.config.entities), "platform.write"]),
                "jti": token,
            }
        )

    def revoke_tokens(self) -> None:
        """Revoke all tokens issued so far."""
        self._tokens.clear()

    def other(self, call: Call) -> Answer:
        """Return the response to a call that this tenant does not support."""
        if call.key == "method":
            return self.writer.failure(50000045, "The method is not supported.", 405)
        return self.writer.failure(50000040, "There is nothing of that name.", 404)

    def headers(self, call: Call, answer: Answer) -> dict[str, str]:
        """Return the headers of every response, except those that a faulty gateway leaves out."""
        if answer.bare:
            return answer.headers
        headers = {"Zuora-Request-Id": self.writer.request_id(), **answer.headers}
        if call.track_id is not None:
            headers["Zuora-Track-Id"] = call.track_id
        if call.kind in API_CALLS:
            headers |= self.limits.headers(self.clock())
        if self.config.seed % 2 == 0:
            # Zuora's guides spell these names in several ways. Half of the tenants use lower case.
            headers = {name.lower(): value for name, value in headers.items()}
        return headers
