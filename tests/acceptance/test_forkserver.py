"""A forked command behaves like a started one. The other acceptance tests rely on this."""

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.forkserver import Forked
from tests.acceptance.support import MassStop, Tenant, until

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or "COVERAGE_PROCESS_CONFIG" in os.environ,
    reason="nothing is forked where the system cannot, or each process is measured from its start",
)


@pytest.mark.parametrize(
    "arguments",
    [
        ("--version",),
        ("run", "--help"),
        ("run", "nowhere.csv"),
        ("run", "--no-such-option"),
        ("report", "nowhere"),
        ("report", "--schema"),
        ("resume", "nowhere"),
    ],
    ids=" ".join,
)
def test_a_forked_command_prints_what_a_started_one_prints(
    mass_stop: MassStop, tenant: Tenant, arguments: tuple[str, ...]
) -> None:
    forked, started = mass_stop, MassStop(mass_stop.command, mass_stop.home, started=True)
    running = [command.start(*arguments, tenant=tenant) for command in (forked, started)]
    assert [type(going.process) for going in running] == [Forked, subprocess.Popen]
    this, other = (going.end() for going in running)
    assert (this.status, this.out, this.err) == (other.status, other.out, other.err)


def test_a_forked_command_uses_its_own_settings_and_none_of_an_earlier_one(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    first = mass_stop("run", "k", env={"MASS_STOP_HEADROOM": "no number"})
    second = mass_stop("run", "k", env={"MASS_STOP_RATE": "no rate"})
    assert ("MASS_STOP_HEADROOM" in first.err, "MASS_STOP_HEADROOM" in second.err) == (True, False)
    assert "MASS_STOP_RATE" in second.err


def test_a_forked_command_that_is_killed_reports_the_signal(mass_stop: MassStop, tenant: Tenant) -> None:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    until((mass_stop.home / "run" / "journal.db").exists, "the journal")
    assert going.process.poll() is None
    going.signal(signal.SIGKILL)
    assert going.end().status == -signal.SIGKILL
    assert not Path(f"/proc/{going.process.pid}").exists()


@pytest.mark.parametrize(
    "start",
    [
        {"env": {"PYTHONUTF8": "1"}},
        {"env": {"SSL_CERT_FILE": "/etc/ssl/other.pem"}},
        {"shell": 'exec "$@"'},
        {"preexec_fn": int},
    ],
    ids=str,
)
def test_a_command_with_another_environment_is_started_instead_of_forked(
    mass_stop: MassStop, start: Mapping[str, Any]
) -> None:
    assert type(mass_stop.start("--version", **start).process) is subprocess.Popen
