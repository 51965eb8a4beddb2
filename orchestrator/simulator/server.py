"""The tenant on a real socket. The only file here that knows aiohttp, and the only one that waits."""

import asyncio
import contextlib
import csv
import random
import socket
import ssl
import struct
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aiohttp import BodyPartReader, MultipartReader, web

from orchestrator.simulator.actions import ActionTruth
from orchestrator.simulator.answers import Answer, compressed
from orchestrator.simulator.config import TenantConfig
from orchestrator.simulator.faults import FaultPlan
from orchestrator.simulator.files import processed_records
from orchestrator.simulator.ledger import API_CALLS, Call
from orchestrator.simulator.tenant import Tenant

_LINGER_NOT = struct.pack("ii", 1, 0)  # a close that says RST instead of FIN


class SimulatedTenant:
    """A Zuora tenant for rehearsals: ``async with SimulatedTenant(actions=500) as tenant: ...``.

    ``changes`` replace fields of ``config``; ``clock`` (seconds) drives the actions, the rate windows and the
    tokens, while latency is always waited for in real time. With ``tls``, the server's side of it, it is reached over
    https: on this machine under the name ``localhost``, elsewhere under the address it serves on.

    Attributes:
        log: every call in order of arrival; empty with ``keep_log`` off.
        calls: how many calls of each kind arrived.
        fault_counts: how many faults of each kind happened.
        problems: the first thousand breaches of the protocol.
    """

    def __init__(
        self,
        config: TenantConfig | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        tls: ssl.SSLContext | None = None,
        **changes: Any,
    ) -> None:
        self.config = replace(config or TenantConfig(), **changes)
        self.base_url = ""
        self._tenant = Tenant(self.config, clock)
        ledger = self._tenant.ledger
        self.log, self.calls = ledger.log, ledger.calls
        self.fault_counts, self.problems = ledger.faults, ledger.problems
        self._dice = random.Random(f"latency {self.config.seed}")
        self._made: Counter[tuple[str, str | None]] = Counter()
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self._handling: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> str:
        """Serves on ``host``; port 0 takes a free one. Returns the base URL. May follow a ``stop``."""
        self._closing.clear()
        server = web.Server(self._handle, access_log=None)
        self._runner = web.ServerRunner(server, shutdown_timeout=1.0)
        await self._runner.setup()
        self._listening = socket.create_server((host, port), backlog=1024)
        await web.SockSite(self._runner, self._listening, backlog=1024, ssl_context=self._tls).start()
        bound = self._runner.addresses[0][1]
        name = "localhost" if self._tls and host == "127.0.0.1" else host
        self.base_url = self._tenant.base_url = f"{'https' if self._tls else 'http'}://{name}:{bound}"
        return self.base_url

    async def stop(self) -> None:
        """Stops serving; hanging calls are released. The counts stay readable."""
        self._closing.set()
        runner, self._runner = self._runner, None
        if runner is not None and runner.server is not None:
            # A client that connected at the last moment is closed like the others. A server that is closed during a
            # connection attempt loses the socket (CPython before 3.12, gh-109564).
            asyncio.get_running_loop().remove_reader(self._listening)
            await _turns()
            transports = [handler.transport for handler in runner.server.connections]
            await runner.cleanup()
            for transport in transports:  # what its caller will never read is not waited for
                if transport is not None:
                    transport.abort()
        for task in self._handling:  # aiohttp lets go of a call whose caller hung up, and the call goes on
            task.cancel()
        if self._handling:
            await asyncio.wait(self._handling, timeout=1.0)
        await _turns()  # a transport that was closed lets go of its socket then

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def environment(self) -> dict[str, str]:
        """The environment variables with which a client reaches this tenant."""
        return {
            "ZUORA_BASE_URL": self.base_url,
            "ZUORA_CLIENT_ID": self.config.client_id,
            "ZUORA_CLIENT_SECRET": self.config.client_secret,
        }

    @property
    def keys(self) -> list[str]:
        """Every bulk key, in order."""
        return self._tenant.actions.keys

    def truth(self, key: str) -> ActionTruth:
        """The true state of one action, now. KeyError for a key the tenant does not have."""
        return self._tenant.actions.peek(key).truth(self._tenant.clock())

    def upload(self, action_type: str, data: bytes) -> str:
        """Starts a mass action of an uploaded CSV and lets it run to its end. The new bulk key.

        Raises ValueError for a file that the API would refuse.
        """
        action = self._tenant.accept_upload(action_type, data)
        action.completes = action.starts
        return action.key

    def processed(self, key: str) -> list[tuple[str, ...]]:
        """The uploaded cells of every record of an action that was processed with success, without ``#`` columns."""
        action, now = self._tenant.actions.peek(key), self._tenant.clock()
        if not action.has_file(now):
            return []
        return processed_records(self.config.seed, key, action.counts(now), action.action_type, action.upload)

    @property
    def throttled(self) -> int:
        """How many calls were answered with 429."""
        return self._tenant.ledger.throttled

    @property
    def in_flight(self) -> int:
        """How many API calls hold a slot now."""
        return self._tenant.limits.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The most API calls that held a slot at once."""
        return self._tenant.limits.peak

    def set_concurrency(self, limit: int) -> None:
        """Change the limit of calls in flight. Calls above the new limit are completed."""
        self._tenant.limits.change(limit)

    def set_faults(self, plan: FaultPlan) -> None:
        """Change the faults of calls from now on."""
        self._tenant.faults.plan = plan

    def revoke_tokens(self) -> None:
        """Makes every token issued so far invalid."""
        self._tenant.revoke_tokens()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        if task := asyncio.current_task():
            self._handling.add(task)
            task.add_done_callback(self._handling.discard)
        if request.path == "/_truth":
            return web.json_response({"actions": {key: self.truth(key)._asdict() for key in self.keys}})
        tenant = self._tenant
        call = tenant.receive(request.method, request.path, request.headers, request.body_exists)
        if call.kind in API_CALLS:
            refused = tenant.admit(call, request.headers)
            if refused is None:
                return await self._admitted(request, call)
            await self._wait(call, 0.25)  # a gateway refuses sooner than the application answers
            return await self._deliver(request, call, refused, b"")
        if call.kind == "token":
            form = (await request.read()).decode("utf-8", "replace")
            answer = tenant.grant(call, form)
            await self._wait(call, 1.0)
        elif call.kind == "upload":
            parts = await _parts(request)
            parameters = parts.get("params", b"").decode("utf-8", "replace")
            authorization = request.headers.get("Authorization")
            answer = tenant.start(call, authorization, parameters, parts.get("file", b""))
        else:
            answer = tenant.other(call)
        return await self._deliver(request, call, answer, b"")

    async def _admitted(self, request: web.BaseRequest, call: Call) -> web.StreamResponse:
        try:
            await self._wait(call, 2.0 if call.kind == "file" else 1.0)
            answer = self._tenant.act(call)
            body = await asyncio.to_thread(answer.body) if answer.heavy and callable(answer.body) else b""
        finally:
            # A call that hangs holds no slot: it is the way back that was lost, not the tenant that is busy.
            self._tenant.limits.leave()
        return await self._deliver(request, call, answer, body)

    async def _wait(self, call: Call, share: float) -> None:
        config, mean = self.config, self.config.latency * share
        if mean > 0:
            if config.latency_sigma > 0:
                seconds = mean * self._log_normal(call)
            else:
                seconds = self._dice.gauss(mean, mean * config.latency_jitter)
            await asyncio.sleep(max(0.0, seconds))

    def _log_normal(self, call: Call) -> float:
        """The n-th call of a kind for a key takes as long in every run, so that two runs of a seed compare."""
        made = call.kind, call.key
        self._made[made] += 1
        dice = random.Random(f"latency {self.config.seed} {made} {self._made[made]}")
        return dice.lognormvariate(0.0, self.config.latency_sigma)

    async def _deliver(
        self, request: web.BaseRequest, call: Call, answer: Answer, body: bytes
    ) -> web.StreamResponse:
        if answer.delivery == "hang":
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), self._tenant.faults.plan.hang_seconds)
        call.ended = self._tenant.clock()
        if answer.delivery in ("reset", "lost", "hang"):
            _cut(request, reset=answer.delivery == "reset")
            return web.Response()
        if not body:
            body = compressed(answer, request.headers.get("Accept-Encoding", ""))
        headers = self._tenant.headers(call, answer)
        if answer.content_type is not None:
            headers["Content-Type"] = answer.content_type
        slow = call.kind == "file" and self.config.download_seconds > 0
        if answer.delivery == "whole" and not slow:
            call.http = answer.status
            return web.Response(status=answer.status, body=body, headers=headers)
        response = web.StreamResponse(status=answer.status, headers=headers)
        response.content_length = len(body)
        await response.prepare(request)
        if answer.delivery == "cut":
            await response.write(body[: len(body) // 2])
            _cut(request)
        else:
            call.http = answer.status
            await asyncio.sleep(self.config.download_seconds)
            with contextlib.suppress(ConnectionResetError):  # the client has cancelled its download
                await response.write(body)
        return response


async def _parts(request: web.BaseRequest) -> dict[str, bytes]:
    """The parts of a multipart form by their names; none if the request is no form."""
    if request.content_type != "multipart/form-data":
        return {}
    parts = MultipartReader(request.headers, request.content)  # the request's own reader stops at 1 MiB
    return {part.name or "": await part.read() async for part in parts if isinstance(part, BodyPartReader)}


async def _turns() -> None:
    """Let the loop run the callbacks that are due."""
    for _ in range(3):
        await asyncio.sleep(0)


def _cut(request: web.BaseRequest, *, reset: bool = False) -> None:
    transport = request.transport
    if transport is None:
        return
    if reset:
        connection = transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
        transport.abort()
    else:
        transport.close()


def write_keys(tenant: SimulatedTenant, path: Path) -> None:
    """Writes the keys as a CSV to stop by, with the speed (records a second) to order them by."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("bulk_key", "job", "records_a_second"))
        for n, key in enumerate(tenant.keys, 1):
            writer.writerow((key, f"job-{n:06d}", f"{tenant.truth(key).speed:.3f}"))


async def serve(
    config: TenantConfig, port: int, keys_file: Path | None, announce: Callable[[dict[str, str]], None]
) -> None:
    """Serves until cancelled, after it has written ``keys_file`` and given ``announce`` the environment."""
    tenant = SimulatedTenant(config)
    await tenant.start(port=port)
    try:
        if keys_file is not None:
            write_keys(tenant, keys_file)
        announce(tenant.environment())
        await asyncio.Event().wait()
    finally:
        await tenant.stop()
