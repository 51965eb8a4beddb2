"""A signal while the command starts, in process 1 as well: nothing is sent, and the exit status says which signal."""

import signal
import subprocess
from functools import cache

import pytest

from tests.acceptance.support import MassStop, Tenant

SEND_ON_IMPORT = """
import os, signal, sys

class Sender:
    def find_spec(self, name, *_):
        if name == {name!r}:
            os.kill(os.getpid(), {number})

sys.meta_path.insert(0, Sender())
"""

FIRST, MIDDLE, LAST = "orchestrator.cli", "aiohttp", "orchestrator.cli.session"


@cache
def in_a_namespace() -> str:
    """The words that start a command as process 1; empty if this machine does not permit it."""
    for prefix in ("unshare --pid --fork --mount-proc", "unshare --map-root-user --pid --fork --mount-proc"):
        tried = subprocess.run([*prefix.split(), "sh", "-c", "test $$ = 1"], capture_output=True, check=False)
        if tried.returncode == 0:
            return prefix
    return ""


@pytest.fixture(params=["", "as process 1"], ids=["usual", "process 1"])
def prefix(request: pytest.FixtureRequest) -> str:
    if request.param and not in_a_namespace():
        pytest.skip("this machine permits no process namespace")
    return in_a_namespace() if request.param else ""


@pytest.mark.parametrize("moment", [FIRST, MIDDLE, LAST])
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_signal_during_the_start_sends_nothing(
    mass_stop: MassStop, tenant: Tenant, prefix: str, moment: str, number: int, status: int
) -> None:
    script = mass_stop.after(SEND_ON_IMPORT.format(name=moment, number=int(number)), prefix)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=script)
    assert (ended.status, ended.sentences) == (status, ["mass-stop: interrupted; nothing was sent."])
    assert tenant.log == []
    assert not (mass_stop.home / "run").exists()


def test_a_signal_that_was_blocked_before_the_start_arrives(
    mass_stop: MassStop, tenant: Tenant, prefix: str
) -> None:
    """As the container image starts it: a signal during the start of Python must not be lost."""
    code = "import os, signal; os.kill(os.getpid(), signal.SIGTERM)"
    script = mass_stop.after(code, f"{prefix} env --block-signal=INT,TERM,HUP")
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=script)
    assert (ended.status, ended.sentences) == (143, ["mass-stop: interrupted; nothing was sent."])
    assert tenant.log == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_signal_that_was_ignored_before_the_start_stays_ignored(
    mass_stop: MassStop, tenant: Tenant, number: int
) -> None:
    code = f"import signal; signal.signal({int(number)}, signal.SIG_IGN)\n"
    script = mass_stop.after(code + SEND_ON_IMPORT.format(name=MIDDLE, number=int(number)))
    assert mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=script).status == 0
