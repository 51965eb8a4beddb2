"""The tenant on a real socket. Only this module uses aiohttp, and only this module waits."""

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

_LINGER_NOT = struct.pack("ii", 1, 0)  # closing sends RST instead of FIN


class SimulatedTenant:
    """A Zuora tenant for rehearsals: ``async with SimulatedTenant(actions=500) as tenant: ...``.

    ``changes`` replace fields of ``config``. ``clock`` (seconds) drives the actions, rate windows and tokens. Latency
    always passes in real time. ``tls`` is the server's TLS context. With it, the address is https, with the name
    ``localhost`` on this machine, otherwise with the ``host`` of :meth:`start`.

    Attributes:
        log: every call in order of arrival; empty without ``keep_log``.
        calls: the number of calls of each kind.
        fault_counts: the number of faults of each kind.
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
        """Serve on ``host``, with port 0 on any free port. Return the base URL. May be called again after ``stop``."""
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
        """Stop serving, and end calls that hang. The counts remain readable."""
        self._closing.set()
        runner, self._runner = self._runner, None
        if runner is not None and runner.server is not None:
            # A connection that is accepted now must be closed like the others. A server that is closed during a
            # connection attempt leaks the socket (CPython before 3.12, gh-109564).
            asyncio.get_running_loop().remove_reader(self._listening)
            await _turns()
            transports = [handler.transport for handler in runner.server.connections]
            await runner.cleanup()
            for transport in transports:  # unsent data is discarded: its reader may be gone
                if transport is not None:
                    transport.abort()
        for task in self._handling:  # aiohttp does not cancel a handler whose client disconnected
            task.cancel()
        if self._handling:
            await asyncio.wait(self._handling, timeout=1.0)
        await _turns()  # closed transports release their sockets in these callbacks

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def environment(self) -> dict[str, str]:
        """Return the environment variables that connect a client to this tenant."""
        return {
            "ZUORA_BASE_URL": self.base_url,
            "ZUORA_CLIENT_ID": self.config.client_id,
            "ZUORA_CLIENT_SECRET": self.config.client_secret,
        }

    @property
    def keys(self) -> list[str]:
        """All bulk keys, in order."""
        return self._tenant.actions.keys

    def truth(self, key: str) -> ActionTruth:
        """Return the current true state of one action. Raises KeyError for an unknown key."""
        return self._tenant.actions.peek(key).truth(self._tenant.clock())

    def upload(self, action_type: str, data: bytes) -> str:
        """Start a mass action of an uploaded CSV, which completes at once. Return the new bulk key.

        Raises ValueError for a file that the API would refuse.
        """
        action = self._tenant.accept_upload(action_type, data)
        action.completes = action.starts
        return action.key

    def processed(self, key: str) -> list[tuple[str, ...]]:
        """Return the uploaded cells of every successful record of an action, without ``#`` columns."""
        action, now = self._tenant.actions.peek(key), self._tenant.clock()
        if not action.has_file(now):
            return []
        return processed_records(self.config.seed, key, action.counts(now), action.action_type, action.upload)

    @property
    def throttled(self) -> int:
        """The number of calls with response 429."""
        return self._tenant.ledger.throttled

    @property
    def in_flight(self) -> int:
        """The number of API calls that occupy a slot now."""
        return self._tenant.limits.in_flight

    @property
    def peak_in_flight(self) -> int:
        """The largest number of API calls that occupied a slot at once."""
        return self._tenant.limits.peak

    def set_concurrency(self, limit: int) -> None:
        """Change the limit of calls in flight. Calls above the new limit are completed."""
        self._tenant.limits.change(limit)

    def set_faults(self, plan: FaultPlan) -> None:
        """Change the faults of all later calls."""
        self._tenant.faults.plan = plan

    def revoke_tokens(self) -> None:
        """Revoke all tokens issued so far."""
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
            await self._wait(call, 0.25)  # a gateway refuses faster than the application responds
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
            # A hanging call occupies no slot: its response is lost on the network, and the tenant has finished it.
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
        """Return the latency factor of the n-th call of a kind and key. It is the same in every run with this seed."""
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
    """Return the parts of a multipart form by name; empty if the request is no form."""
    if request.content_type != "multipart/form-data":
        return {}
    parts = MultipartReader(request.headers, request.content)  # the request's own reader is limited to 1 MiB
    return {part.name or "": await part.read() async for part in parts if isinstance(part, BodyPartReader)}


async def _turns() -> None:
    """Let the event loop run the callbacks that are due."""
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
    """Write the keys as CSV, with the speed (records per second) as a column for ``--order``."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("bulk_key", "job", "records_a_second"))
        for n, key in enumerate(tenant.keys, 1):
            writer.writerow((key, f"job-{n:06d}", f"{tenant.truth(key).speed:.3f}"))


async def serve(
    config: TenantConfig, port: int, keys_file: Path | None, announce: Callable[[dict[str, str]], None]
) -> None:
    """Write ``keys_file``, pass the environment to ``announce``, and serve until cancelled."""
    tenant = SimulatedTenant(config)
    await tenant.start(port=port)
    try:
        if keys_file is not None:
            write_keys(tenant, keys_file)
        announce(tenant.environment())
        await asyncio.Event().wait()
    finally:
        await tenant.stop()
