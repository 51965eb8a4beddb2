"""Where secrets and records may go, and where they may not: other origins, other people's directories, core dumps."""

import asyncio
import json
import socket
import stat
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

import pytest
from _pytest.mark import ParameterSet

from tests.acceptance.support import PROCESSING, MassStop, Tenant, lies, outcomes, until
from tests.hunts.tampering import Request, TamperingProxy, forward, respond

MakeTenant = Callable[..., Tenant]


def hunted(case: str) -> ParameterSet:
    """A case only for ``make hunt``: ``make test`` tries another of its kind."""
    return pytest.param(case, marks=pytest.mark.hunt)


ENCODINGS: tuple[Callable[[str], str], ...] = (
    lambda text: b64encode(f"Authorization: Bearer {text}".encode()).decode()[20:],
    lambda text: "".join(f"%{ord(char):02x}" for char in text),
    lambda text: "".join(f"&#{ord(char)};" for char in text),
    lambda text: text.encode().hex(),
    lambda text: " ".join(text.swapcase()),
)
"""Some encodings in which a tenant may repeat a value; the unit tests have them all."""


class Stranger:
    """Another origin. It need not answer: a connection is a failure."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.setblocking(False)
        self.address = f"http://localhost:{self._listener.getsockname()[1]}/v1/files/{'0' * 32}"

    def called(self) -> bool:
        """Whether a client has connected; stops listening."""
        with self._listener:
            try:
                caller, _ = self._listener.accept()
            except BlockingIOError:
                return False
            caller.close()
            return True


@pytest.mark.parametrize("kind", [*map(hunted, ["token", "stop", "status"]), "file", "address"])
def test_no_byte_goes_to_another_origin(mass_stop: MassStop, make_tenant: MakeTenant, kind: str) -> None:
    """Neither by a redirect of any call, nor by the address of a response file."""
    tenant = make_tenant(**PROCESSING | {"latency": 0.0}, actions=5)
    stranger = Stranger()
    redirect = respond(b"", 307, ("Location", stranger.address))
    stopped = respond(
        b'{"success": true, "status": "Stopped", "outputURL": "%s"}' % stranger.address.encode()
    )

    async def tamper(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        elsewhere = kind == "address" and request.kind == "status" and b'"Stopped"' in answer
        return await forward(
            request, redirect if request.kind == kind else stopped if elsewhere else answer, writer
        )

    with TamperingProxy(tenant, tamper) as proxy:
        keys = mass_stop.keys(tenant.keys)
        ended = mass_stop.run(
            tenant, keys, "--max-attempts", "2", "--wait-for-tenant", "5s", env=proxy.environment
        )
    assert not stranger.called(), ended
    assert lies(ended.report, tenant) == []
    if kind == "address":
        host = stranger.address.split("/")[2]
        assert ended.report["run"]["tenant"]["file_host"] == host
        assert {action["error"]["kind"] for action in ended.report["actions"]} == {"not_found"}
    if kind in ("file", "address"):
        assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    if kind == "file":
        assert {action["error"]["kind"] for action in ended.report["actions"]} == {"redirected"}


@pytest.mark.parametrize("name", [".responses", hunted("responses")])
def test_a_link_in_the_run_directory_is_not_followed(
    mass_stop: MassStop, make_tenant: MakeTenant, name: str
) -> None:
    """A user who could plant a link would choose where records are written or modes change."""
    tenant = make_tenant(**PROCESSING, actions=3)
    elsewhere = mass_stop.home / "elsewhere"
    elsewhere.mkdir()
    elsewhere.chmod(0o755)  # whatever the umask
    (mass_stop.home / "run").mkdir()
    (mass_stop.home / "run" / name).symlink_to(elsewhere)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--save-responses")
    assert (list(elsewhere.iterdir()), stat.S_IMODE(elsewhere.stat().st_mode)) == ([], 0o755)
    assert (ended.status, outcomes(ended.report)) == (5, dict.fromkeys(tenant.keys, "stopped")), ended
    assert "symbolic link" in ended.err


@pytest.mark.hunt
def test_a_link_in_place_of_the_remediation_files_is_replaced(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**PROCESSING, actions=3)
    elsewhere = mass_stop.home / "elsewhere"
    elsewhere.mkdir(mode=0o755)
    link = mass_stop.home / "run" / "remediation"
    link.parent.mkdir()
    link.symlink_to(elsewhere)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert (ended.status, outcomes(ended.report)) == (0, dict.fromkeys(tenant.keys, "stopped")), ended
    assert list(elsewhere.iterdir()) == []
    assert not link.is_symlink()


@pytest.mark.parametrize(
    "name", ["journal.db-wal", *map(hunted, ["journal.db", "journal.db-shm", "run.log", "report.json"])]
)
def test_a_link_in_the_place_of_a_file_is_not_followed(
    mass_stop: MassStop, make_tenant: MakeTenant, name: str
) -> None:
    tenant = make_tenant(**PROCESSING, actions=3)
    elsewhere = mass_stop.home / "elsewhere"
    (mass_stop.home / "run").mkdir()
    (mass_stop.home / "run" / name).symlink_to(elsewhere)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert not elsewhere.exists()
    assert ended.status in (0, 2, 5), ended
    assert "Traceback" not in ended.err


def test_a_run_leaves_no_core_dump(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.2}, actions=40)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", "--concurrency", "1", mass_stop.keys(tenant.keys), tenant=tenant,
        shell='ulimit -c unlimited 2>/dev/null; exec "$@"',
    )  # fmt: skip
    until(lambda: tenant.answered() >= 1, "a stop")
    limits = Path(f"/proc/{going.process.pid}/limits").read_text()
    assert [line.split()[4:6] for line in limits.splitlines() if "core" in line] == [["0", "0"]]
    going.signal(6)  # SIGABRT, which would dump
    assert going.end().status == -6


@pytest.mark.parametrize("kind", [*map(hunted, ["status", "file"]), "stop"])
def test_an_error_that_repeats_a_call_is_shown_without_its_credentials(
    mass_stop: MassStop, make_tenant: MakeTenant, kind: str
) -> None:
    """In any text of any answer: the secret, the token, both as HTTP encodes them, and a truncated part."""
    tenant = make_tenant(**PROCESSING | {"latency": 0.0}, actions=3)
    environment = tenant.environment
    basic = b64encode(
        f"{environment['ZUORA_CLIENT_ID']}:{environment['ZUORA_CLIENT_SECRET']}".encode()
    ).decode()
    sought = [environment["ZUORA_CLIENT_SECRET"], basic]
    encoded: list[str] = []

    async def tamper(request: Request, answer: bytes, writer: asyncio.StreamWriter) -> bool:
        if request.kind != kind or request.nth > 2:
            return await forward(request, answer, writer)
        sought.extend(tenant.tokens())
        encoded[:] = [encode(secret) for secret in sought for encode in ENCODINGS]
        text = " ".join([*sought, *(secret[:20] for secret in sought), *encoded])
        said = {
            "success": request.kind == "status" and request.nth == 1,
            "processId": text, "reasons": [{"code": 50000061, "message": text}],
            "status": text, "actionType": text, "uploadedBy": text, "scope": text,
        }  # fmt: skip
        return await forward(
            request, respond(json.dumps(said).encode(), 200, ("Zuora-Request-Id", sought[-1])), writer
        )

    with TamperingProxy(tenant, tamper) as proxy:
        ended = mass_stop.run(
            tenant, mass_stop.keys(tenant.keys), "--log-level", "debug", "--report", "-",
            env=proxy.environment, longest=40,
        )  # fmt: skip
    assert len(sought) > 2
    kept = [ended.out, ended.err.encode(), *(path.read_bytes() for path in ended.directory.rglob("*.*"))]
    assert not any(secret[:15].encode() in data for secret in sought for data in kept)
    assert not any(text[20:60].encode() in data for text in encoded for data in kept)
    assert "…" in ended.err
