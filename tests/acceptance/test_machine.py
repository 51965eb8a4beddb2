"""Machines as they are: volumes of other owners, archives, read-only media, limits on threads."""

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
