"""A shared folder that fails, with real workers that are killed as well."""

import shutil
import signal

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import until
from tests.acceptance.tenants import all_stopped, is_true, report_of
from tests.hunts.crash.strace import needs_strace
from tests.hunts.shards.runs import resumed, small_disk, some_stops, start, stops_of_each_key

pytestmark = pytest.mark.hunt

SMALL_FILES = ("sh", "-c", 'ulimit -f 215; exec "$@"', "sh")
"""In front of a command whose files cannot grow beyond 110,000 bytes: a journal can be begun, and no more."""

WITHOUT_LOCKS = (
    "strace",
    "-f",
    "-qq",
    "-o",
    "/dev/null",
    "-e",
    "trace=flock",
    "-e",
    "inject=flock:error=ENOLCK",
)
"""In front of a command whose file systems have no locks."""


def replaced(cluster: Cluster) -> None:
    """Kills the one worker, and starts another."""
    cluster.kill(cluster.workers[0].pid)
    cluster.complete(1)


def test_a_second_worker_that_is_refused_keeps_the_results_of_the_first(here, one, start_cluster):
    """The second worker sent nothing, but the first did."""
    cluster = start_cluster(1)
    going = start(here, one, cluster)
    until(lambda: some_stops(one), "some stops")
    secret = here.home / "north.secret"
    kept = secret.read_text()
    secret.unlink()
    replaced(cluster)
    ended = going.end()
    assert ended.status == 5, ended
    assert "client_secret_file of tenant north" in ended.err
    is_true(one, ended)
    secret.touch(0o600)
    secret.write_text(kept)
    resumed(here, one)


def test_a_journal_that_the_second_worker_cannot_read_stays_for_resume(here, one, start_cluster):
    cluster = start_cluster(1)
    going = start(here, one, cluster)
    until(lambda: some_stops(one), "some stops")
    cluster.kill(cluster.workers[0].pid)
    (journal,) = cluster.shared.glob("mass-stop-*/*/north/journal.db")
    whole = here.home / "whole"
    whole.mkdir()
    for path in journal.parent.glob("journal.db*"):
        path.rename(whole / path.name)
    journal.write_bytes(b"\xff" * 8192)
    cluster.complete(1)
    ended = going.end()
    assert ended.status == 5, ended
    assert f"The journal {journal} is damaged" in ended.err
    assert one.outcomes(report_of(ended)) == {"north": {"unconfirmed"}}
    is_true(one, ended)
    refused = here("resume", "run", "--engine", "local")
    assert refused.status == 5, refused
    assert f"remove {journal.parent}:" in refused.err
    for path in whole.iterdir():
        path.rename(journal.parent / path.name)
    resumed(here, one)
    assert list(cluster.shared.iterdir()) == []


def test_keys_of_an_unreadable_journal_that_was_removed_are_stopped_again(here, one, start_cluster):
    cluster = start_cluster(1)
    going = start(here, one, cluster)
    until(lambda: some_stops(one), "some stops")
    going.signal(signal.SIGKILL)
    going.process.wait()
    cluster.kill(cluster.workers[0].pid)
    (folder,) = cluster.shared.glob("mass-stop-*/*/north")
    shutil.rmtree(folder)
    resumed(here, one)


def test_workers_with_a_full_disk_stop_every_key_and_report_it(here, two, start_cluster):
    cluster = start_cluster(2, SMALL_FILES)
    ended = start(here, two, cluster).end()
    assert ended.status == 5, ended
    assert "The journal can no longer be written" in ended.err
    is_true(two, ended)
    assert all_stopped(two, ended)


def test_a_killed_worker_with_a_full_disk_is_replaced(here, one, start_cluster):
    cluster = start_cluster(1, SMALL_FILES)
    going = start(here, one, cluster)
    until(lambda: one.named["north"].answered("stop") >= 15, "some stops")
    replaced(cluster)
    ended = going.end()
    assert ended.status == 5, ended
    is_true(one, ended)
    assert all_stopped(one, ended)


@pytest.mark.parametrize("size", ["4k", "64k", "160k", "300k"])
def test_a_shared_folder_on_a_small_disk_delays_no_stop(here, two, start_cluster, size):
    cluster = start_cluster(2)
    with small_disk(cluster.shared, size):
        ended = start(here, two, cluster).end()
    if ended.status == 2:
        assert "cannot be filled: No space left" in ended.err
        assert all(tenant.nothing_sent() for tenant in two.named.values())
        return
    assert ended.status == 5, ended
    is_true(two, ended)
    assert all_stopped(two, ended)


@needs_strace
def test_a_folder_without_locks_is_reported_before_anything_is_sent(here, one, start_cluster):
    cluster = start_cluster(1, WITHOUT_LOCKS)
    ended = start(here, one, cluster).end()
    assert ended.status == 2, ended
    assert "cannot be locked (No locks available)" in ended.err
    assert "NFS that takes version 4" in ended.err
    assert one.named["north"].nothing_sent()


def test_a_shared_folder_that_returns_during_the_run_loses_nothing(here, two, start_cluster):
    cluster = start_cluster(2)
    going = start(here, two, cluster)
    until(lambda: some_stops(two), "some stops")
    away = cluster.shared.rename(here.home / "away")
    until(lambda: all(tenant.answered("stop") >= 12 for tenant in two.named.values()), "more stops")
    away.rename(cluster.shared)
    ended = going.end()
    assert ended.status == 0, ended
    is_true(two, ended)
    assert all_stopped(two, ended)


def test_a_shared_folder_that_returns_after_the_run_is_merged_by_resume(here, two, start_cluster):
    cluster = start_cluster(2)
    going = start(here, two, cluster)
    until(lambda: some_stops(two), "some stops")
    away = cluster.shared.rename(here.home / "away")
    ended = going.end()
    assert ended.status == 5, ended
    assert "The results of its shard are missing: There is no run directory" in ended.err
    assert two.outcomes(report_of(ended)) == {"north": {"unconfirmed"}, "south": {"unconfirmed"}}
    away.rename(cluster.shared)
    resumed(here, two)
    assert stops_of_each_key(two) == {1}


def test_a_shared_folder_that_returns_after_resume_changes_nothing(here, two, start_cluster):
    cluster = start_cluster(2)
    going = start(here, two, cluster)
    until(lambda: some_stops(two), "some stops")
    going.signal(signal.SIGKILL)
    going.process.wait()
    for worker in list(cluster.workers):
        cluster.kill(worker.pid)
    away = cluster.shared.rename(here.home / "away")
    resumed(here, two)
    away.rename(cluster.shared)
    resumed(here, two)
    assert list(cluster.shared.iterdir()) == []


def test_results_of_shards_survive_a_caller_with_a_full_disk(here, two, start_cluster):
    cluster = start_cluster(2)
    (here.home / "small").mkdir()
    with small_disk(here.home / "small", "160k") as grow:
        ended = start(here, two, cluster, out="small/run").end()
        assert ended.status == 5, ended
        grow("20m")
        again = here("resume", "small/run", "--engine", "local")
        assert again.status == 0, again
        report = report_of(again)
    assert two.lies(report) == []
    assert {action["outcome"] for action in report["actions"]} == {"stopped"}
    assert stops_of_each_key(two) == {1}
    assert list(cluster.shared.iterdir()) == []


WRITES_FAIL = (
    "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64", "-e", "inject=pwrite64:error=EIO:when=60+",
)  # fmt: skip
"""In front of a command whose disk fails once a journal is begun."""

NOTHING_WORKS = (
    "strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=pwrite64,pread64",
    "-e", "inject=pwrite64,pread64:error=EIO:when=60+",
)  # fmt: skip
"""In front of a command whose disk then also fails to read."""


@needs_strace
def test_a_worker_whose_disk_fails_stops_every_key_and_reports_it(here, one, start_cluster):
    ended = start(here, one, start_cluster(1, WRITES_FAIL)).end()
    assert ended.status == 5, ended
    assert "The journal can no longer be written" in ended.err
    is_true(one, ended)
    assert all_stopped(one, ended)


@needs_strace
def test_a_worker_whose_disk_is_gone_is_reported_in_a_sentence(here, one, start_cluster):
    ended = start(here, one, start_cluster(1, NOTHING_WORKS)).end()
    assert ended.status == 5, ended
    assert "ExceptionGroup" not in ended.err
    is_true(one, ended)
    resumed(here, one)
