"""A file of another user in the folder gets neither credentials nor report, and removes no question."""

import os
from pathlib import Path

import pytest

from tests.acceptance.support import MassStop, Tenant

SOMEONE = 65534

only_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


def refused(mass_stop: MassStop, tenant: Tenant, *arguments: str) -> str:
    """The sentence with which a run is refused; nothing has reached the tenant, and nothing was made."""
    before = set(mass_stop.home.iterdir())
    ended = mass_stop("run", mass_stop.keys(tenant.keys[:2]), "--yes", *arguments, tenant=tenant)
    assert (ended.status, tenant.log) == (2, []), ended
    assert set(mass_stop.home.iterdir()) - before <= {mass_stop.home / "keys.txt"}
    (sentence,) = ended.sentences
    return sentence


@only_root
def test_a_configuration_file_of_another_user_receives_no_credentials(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    file = mass_stop.home / "mass-stop.toml"
    file.write_text('base_url = "https://attacker.example"\nyes = true\n')
    os.chown(file, SOMEONE, SOMEONE)
    assert "mass-stop.toml in this folder is not read: it belongs to" in refused(mass_stop, tenant)


def test_a_configuration_file_that_every_user_can_change_is_not_read(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    file = mass_stop.home / "mass-stop.toml"
    file.write_text("headroom = 20\n")
    file.chmod(0o666)
    assert "chmod o-w mass-stop.toml" in refused(mass_stop, tenant)


@only_root
def test_a_pipe_of_another_user_receives_no_report(mass_stop: MassStop, tenant: Tenant) -> None:
    pipe = mass_stop.home / "report.json"
    os.mkfifo(pipe)
    os.chown(pipe, SOMEONE, SOMEONE)
    assert "report.json is a pipe of" in refused(mass_stop, tenant, "--report", "report.json")


def test_a_folder_that_every_user_can_change_holds_no_run(mass_stop: MassStop, tenant: Tenant) -> None:
    shared = mass_stop.home / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert "every user of this machine can replace" in refused(mass_stop, tenant, "--out", "shared/run")


def test_a_run_in_a_folder_of_its_group_continues_with_a_warning(mass_stop: MassStop, tenant: Tenant) -> None:
    shared = mass_stop.home / "shared"
    shared.mkdir()
    shared.chmod(0o775)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys[:2]), "--no-results", out="shared/run")
    assert ended.status == 0, ended
    assert "can replace the run directory" in ended.sentences[0]


def test_without_a_terminal_a_found_file_may_confirm_and_is_named(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "mass-stop.toml").write_text("yes = true\nno-results = true\n")
    ended = mass_stop("run", mass_stop.keys(tenant.keys[:2]), "--out", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert ended.sentences[0] == "mass-stop: mass-stop.toml in this folder sets yes = true."


@pytest.mark.parametrize("target", ["/dev/null", "/dev/stdout", "/dev/fd/1"])
def test_standard_output_and_the_null_device_still_accept_the_report(
    mass_stop: MassStop, tenant: Tenant, target: str
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys[:2]), "--no-results", "--report", target)
    assert ended.status == 0, ended
    assert target == "/dev/null" or ended.out == Path(ended.directory / "report.json").read_bytes()


def test_a_process_substitution_still_accepts_the_report(mass_stop: MassStop, tenant: Tenant) -> None:
    keys = mass_stop.keys(tenant.keys[:2])
    script = """exec bash -c '"$@" --report >(cat > copy.json); status=$?; wait; exit $status' bash "$@\""""
    ended = mass_stop.start(
        "run", "--yes", "--out", "run", "--no-results", keys, tenant=tenant, shell=script
    ).end()
    assert ended.status == 0, ended
    assert (mass_stop.home / "copy.json").read_bytes() == (ended.directory / "report.json").read_bytes()
