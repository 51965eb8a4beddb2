"""Machines as they are: volumes of other owners, archives, read-only media, limits on threads."""

import pytest

from tests.acceptance.support import MassStop, Tenant, lies, outcomes

NO_CHMOD = """
import errno, os

def refuse(*_, **__):
    raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

os.chmod = os.fchmod = refuse
"""


def test_a_volume_whose_modes_cannot_change_holds_a_whole_run(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "run").mkdir(mode=0o777)
    (mass_stop.home / "run").chmod(0o777)
    ended = mass_stop.run(
        tenant, mass_stop.keys(tenant.keys), "--save-responses", shell=mass_stop.after(NO_CHMOD)
    )
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")
    assert lies(ended.report, tenant) == []
    assert ended.err.count("run is open to every user of this machine (mode 0777)") == 1


THREADS = """
import threading

left = [{most}]
start = threading.Thread.start

def limited(self):
    if not left[0]:
        raise RuntimeError("can't start new thread")
    left[0] -= 1
    start(self)

threading.Thread.start = limited
"""


@pytest.mark.parametrize("most", [0, 1, 2, 3, 4])
def test_a_machine_without_more_threads_is_named_in_one_sentence(
    mass_stop: MassStop, tenant: Tenant, most: int
) -> None:
    limited = mass_stop.after(THREADS.format(most=most))
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), shell=limited)
    assert ended.status == 5, ended
    told = "This machine gives mass-stop no more threads"
    assert sum(told in sentence for sentence in ended.sentences) == 1
    assert "Traceback" not in ended.err
    if (mass_stop.home / "run").exists():
        assert ended.report["run"]["exit_status"] == 5
        assert lies(ended.report, tenant) == []
    else:
        assert tenant.nothing_sent()
