"""Two callers with one shared folder and one cluster at the same time."""

import shutil
import signal

import pytest

from tests.acceptance.support import until
from tests.acceptance.tenants import is_true, report_of
from tests.hunts.shards.runs import some_stops, start

pytestmark = pytest.mark.hunt


def test_two_runs_at_once_each_report_their_own_rows_once(here, two, start_cluster):
    cluster = start_cluster(2)
    halves = {
        name: [(tenant, key) for tenant, one in two.named.items() for key in one.keys[part]]
        for name, part in (("first", slice(0, 15)), ("second", slice(15, 30)))
    }
    going = {
        name: start(
            here,
            two,
            cluster,
            keys=two.keys([(key, tenant) for tenant, key in rows], f"{name}.csv"),
            out=name,
        )
        for name, rows in halves.items()
    }
    for name, run in going.items():
        ended = run.end()
        assert ended.status == 0, ended
        report = report_of(ended)
        assert sorted((one["tenant"], one["bulk_key"]) for one in report["actions"]) == sorted(halves[name])
        assert two.lies(report) == []
        assert {one["outcome"] for one in report["actions"]} == {"stopped"}
    assert list(cluster.shared.iterdir()) == []


def killed_in_the_middle(here, tenants, cluster):
    going = start(here, tenants, cluster)
    until(lambda: some_stops(tenants), "some stops")
    going.signal(signal.SIGKILL)
    going.process.wait()


def test_one_of_two_resumes_at_once_is_refused_and_the_other_finishes(here, two, start_cluster):
    cluster = start_cluster(2)
    killed_in_the_middle(here, two, cluster)
    both = [here.start("resume", "run") for _ in range(2)]
    refused, ended = sorted((one.end() for one in both), key=lambda ended: -ended.status)
    assert refused.status == 2, refused
    assert refused.sentences[-1].startswith("mass-stop: Another mass-stop is at work in run.")
    assert ended.status == 0, ended
    is_true(two, ended)


def test_a_run_and_its_copy_resumed_at_once_are_both_reported_truly(here, two, start_cluster):
    """Each may find stops of the other."""
    cluster = start_cluster(2)
    killed_in_the_middle(here, two, cluster)
    shutil.copytree(here.home / "run", here.home / "copy")
    for going in [here.start("resume", name) for name in ("run", "copy")]:
        ended = going.end()
        assert ended.status in (0, 2, 5), ended
        assert ended.status != 2 or "A dask worker is still at work" in ended.err, ended
    outcomes_of_both = []
    for name in ("run", "copy"):
        ended = here("resume", name)
        assert ended.status == 0, ended
        outcomes_of_both.append(
            {(one["tenant"], one["bulk_key"]): one["outcome"] for one in report_of(ended)["actions"]}
        )
    for tenant, one in two.named.items():
        for key in one.keys:
            assert one.truth(key).status == "Stopped"
            ours = {outcome_of[tenant, key] for outcome_of in outcomes_of_both}
            assert ours <= {"stopped", "already_stopped"}
            assert "stopped" in ours, "stopped by one of them, and neither says so"
