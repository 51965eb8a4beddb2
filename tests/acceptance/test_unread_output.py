"""Output that is not read: a full pipe or a paused terminal delays no stop and blocks no signal."""

import os
import pty
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, lies, outcomes, until

MakeTenant = Callable[..., Tenant]

pytestmark = pytest.mark.terminal


def _filled(descriptor: int) -> None:
    """Fills a pipe or terminal until it is full."""
    os.set_blocking(descriptor, False)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x" * 4096)
    with suppress(BlockingIOError):
        while True:
            os.write(descriptor, b"x")
    os.set_blocking(descriptor, True)


@pytest.fixture(params=["pipe", "terminal"])
def unread(request: pytest.FixtureRequest) -> Iterator[int]:
    """The writing end of a full pipe or terminal without a reader."""
    reading, writing = os.pipe() if request.param == "pipe" else pty.openpty()
    _filled(writing)
    yield writing
    os.close(writing)
    os.close(reading)


def _ended(mass_stop: MassStop, tenant: Tenant, unread: int, number: int | None = None) -> Ended:
    """A run whose standard error is never read; after five stops it gets the signal ``number``, if any."""
    environment = {"TERM": "xterm"}
    keys = mass_stop.keys(tenant.keys)
    words = ("run", "--yes", "--out", "run", "--concurrency", "4", "--log-level", "debug", keys)
    going = mass_stop.start(*words, tenant=tenant, env=environment, stderr=unread)
    if number is not None:
        until(lambda: tenant.answered("stop") >= 5, "five stops")
        going.signal(number)
    report = going.directory / "report.json"
    until(report.exists, "a report")
    with suppress(ProcessLookupError):
        going.process.kill()  # at its end it waits for its reader for a while
    return going.end()


def test_an_unread_output_delays_no_stop(mass_stop: MassStop, make_tenant: MakeTenant, unread: int) -> None:
    tenant = make_tenant(**PROCESSING, actions=40)
    ended = _ended(mass_stop, tenant, unread)
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_a_signal_ends_a_run_whose_output_is_not_read(
    mass_stop: MassStop, make_tenant: MakeTenant, unread: int
) -> None:
    tenant = make_tenant(**PROCESSING | {"latency": 0.04, "latency_jitter": 0}, actions=40)
    ended = _ended(mass_stop, tenant, unread, signal.SIGTERM)
    assert (ended.report["run"]["state"], lies(ended.report, tenant)) == ("interrupted", [])


def test_an_unread_pipe_changes_no_exit_status(mass_stop: MassStop, make_tenant: MakeTenant) -> None:
    tenant = make_tenant(**PROCESSING, actions=4)
    reading, writing = os.pipe()
    _filled(writing)
    going = mass_stop.start(
        "run", "--yes", "--out", "run", mass_stop.keys(tenant.keys), tenant=tenant, stderr=writing
    )
    assert going.end().status == 0
    os.close(writing)
    os.close(reading)
