"""Tenants spread over the workers of a dask cluster: real processes, some of which are killed."""

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from tests.acceptance.cluster import Cluster
from tests.acceptance.support import PROCESSING, MassStop, Tenant, until
from tests.acceptance.tenants import Tenants, all_stopped, is_true, report_of

MakeTenant = Callable[..., Tenant]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture
def cluster(running: Cluster) -> Cluster:
    """A scheduler with two workers."""
    running.complete()
    return running


@pytest.fixture
def own_cluster(tmp_path: Path) -> Iterator[Cluster]:
    """One whose scheduler may be killed."""
    with Cluster(tmp_path) as cluster:
        cluster.complete()
        yield cluster


class Certificates:
    """A certificate authority, and a certificate of it, in files."""

    def __init__(self, home: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        self.ca, self.certificate, self.key = (home / name for name in ("ca.pem", "own.pem", "own.key"))
        authority.cert_pem.write_to_path(str(self.ca))
        issued.cert_chain_pems[0].write_to_path(str(self.certificate))
        issued.private_key_pem.write_to_path(str(self.key))

    @property
    def options(self) -> list[str]:
        """For scheduler and workers."""
        return [
            "--protocol", "tls", "--tls-ca-file", str(self.ca), "--tls-cert", str(self.certificate), "--tls-key",
            str(self.key),
        ]  # fmt: skip

    @property
    def environment(self) -> dict[str, str]:
        """For the command, in the variables of dask's own configuration."""
        tls = "DASK_DISTRIBUTED__COMM__TLS__"
        return {
            f"{tls}CA_FILE": str(self.ca),
            f"{tls}CLIENT__CERT": str(self.certificate),
            f"{tls}CLIENT__KEY": str(self.key),
        }


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Cluster]:
    """A scheduler with one worker, which require a certificate of every client."""
    with Cluster(tmp_path_factory.mktemp("guarded"), *certificates.options) as cluster:
        cluster.complete(1)
        yield cluster


@pytest.fixture
def slow(here: MassStop, make_tenant: MakeTenant) -> Tenants:
    """Two tenants of one seed, whose stops take some seconds in all."""
    return two_tenants(here, make_tenant, 20)


@pytest.fixture
def long(here: MassStop, make_tenant: MakeTenant) -> Tenants:
    """The same with more keys than a test waits for."""
    return two_tenants(here, make_tenant, 120)


def two_tenants(here: MassStop, make_tenant: MakeTenant, actions: int) -> Tenants:
    slowly = PROCESSING | {"latency": 0.1, "stopping_time": (0.0, 0.0)}
    both = {name: make_tenant(**slowly, actions=actions) for name in ("north", "south")}
    limits = dict.fromkeys(both, "concurrency = 2")
    return Tenants(here.home, both, limits, in_files=True)


@pytest.fixture
def quick(here: MassStop, make_tenant: MakeTenant) -> Tenants:
    """One tenant with little to stop."""
    tenant = make_tenant(**PROCESSING | {"stopping_time": (0.0, 0.0)}, actions=4)
    return Tenants(here.home, {"north": tenant}, in_files=True)


def stops_of_all(tenants: Tenants, count: int) -> bool:
    return all(tenant.answered("stop") >= count for tenant in tenants.named.values())


def test_a_run_is_finished_and_true_although_a_worker_is_killed(here, slow, cluster):
    going = here.start(
        "run",
        slow.keys(),
        "--tenants",
        slow.file,
        "--yes",
        "--out",
        "run",
        "--save-responses",
        *cluster.options,
    )
    worker = cluster.worker_of("north")
    until(lambda: slow.named["north"].answered("stop") >= 4, "stops of north")
    cluster.kill(worker)
    ended = going.end()
    assert ended.status == 0, ended
    is_true(slow, ended)
    assert all_stopped(slow, ended)
    saved = {path.parent.name for path in (ended.directory / "responses").rglob("*.csv")}
    assert saved == {"north", "south"}
    assert all(action["records"]["held_by_group"] is not None for action in ended.report["actions"])
    assert list(cluster.shared.iterdir()) == []


def test_resume_merges_the_shards_of_a_killed_caller(here, slow, cluster):
    going = here.start("run", slow.keys(), "--tenants", slow.file, "--yes", "--out", "run", *cluster.options)
    until(lambda: stops_of_all(slow, 4), "stops of both")
    going.signal(signal.SIGKILL)
    going.process.wait()
    ended = here("resume", "run", "--engine", "local")
    assert ended.status == 0, ended
    is_true(slow, ended)
    assert all_stopped(slow, ended)
    assert list(cluster.shared.iterdir()) == []


def test_certificates_for_a_cluster_come_from_dasks_own_configuration(here, quick, guarded, certificates):
    ended = here.run(
        None,
        quick.keys(),
        "--tenants",
        quick.file,
        *guarded.options,
        env=certificates.environment,
    )
    assert ended.status == 0, ended
    is_true(quick, ended)


def test_a_cluster_that_requires_a_certificate_refuses_a_run_without_one(here, quick, guarded):
    ended = here.run(None, quick.keys(), "--tenants", quick.file, *guarded.options)
    assert ended.status == 2, ended
    assert "The dask scheduler tls://127.0.0.1" in ended.err
    assert "Traceback" not in ended.err
    assert quick.named["north"].nothing_sent()


def test_a_worker_without_mass_stop_is_reported_before_anything_is_sent(here, quick, tmp_path):
    """The first task would end it, and dask would give that task to the next worker."""
    hidden = tmp_path / "hidden" / "orchestrator"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('No module named orchestrator')")
    with Cluster(tmp_path, env={"PYTHONPATH": str(hidden.parent)}) as bare:
        bare.complete(1)
        ended = here.run(None, quick.keys(), "--tenants", quick.file, *bare.options)
    assert ended.status == 2, ended
    assert "has no mass-stop: install version" in ended.err
    assert quick.named["north"].nothing_sent()


def test_a_plan_starts_no_cluster_without_a_scheduler(here, quick, tmp_path):
    """A plan only reads statuses, which needs no other processes."""
    without_dask = tmp_path / "without-dask"
    without_dask.mkdir()
    (without_dask / "distributed.py").write_text("raise ImportError('a cluster was asked for')")
    options = ["--tenants", quick.file, "--engine", "dask"]
    env = {"PYTHONPATH": str(without_dask)}
    plan = here("plan", quick.keys(), *options, "--out", "plan", env=env)
    assert plan.status == 0, plan
    assert quick.outcomes(report_of(plan)) == {"north": {"would_stop"}}
    run = here.run(None, "--plan", "plan", *options, env=env)
    assert "--engine dask needs dask" in run.err  # so a cluster would have been noticed
    assert quick.named["north"].sent("stop") == 0


@pytest.mark.hunt
def test_a_run_whose_workers_are_all_lost_can_be_interrupted(here, slow, own_cluster):
    going = here.start(
        "run", slow.keys(), "--tenants", slow.file, "--yes", "--out", "run", *own_cluster.options
    )
    until(lambda: stops_of_all(slow, 4), "stops of both")
    for worker in own_cluster.workers:
        worker.kill()
        worker.wait()
    until(lambda: "cluster.without_workers" in (here.home / "run" / "run.log").read_text(), "the loss")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130, ended
    is_true(slow, ended)
    assert here("resume", "run", "--engine", "local").status == 0


@pytest.mark.hunt
def test_a_lost_scheduler_ends_the_run_and_resume_does_the_rest(here, slow, own_cluster):
    going = here.start(
        "run", slow.keys(), "--tenants", slow.file, "--yes", "--out", "run", *own_cluster.options
    )
    until(lambda: stops_of_all(slow, 4), "stops of both")
    own_cluster.scheduler.kill()
    ended = going.end()
    assert ended.status == 5, ended
    assert "See to the workers and the scheduler" in ended.err
    is_true(slow, ended)
    again = here("resume", "run", "--engine", "local")
    assert again.status == 0, again
    is_true(slow, again)


@pytest.mark.hunt
def test_a_killed_caller_is_resumed_on_the_same_cluster(here, slow, cluster):
    going = here.start("run", slow.keys(), "--tenants", slow.file, "--yes", "--out", "run", *cluster.options)
    until(lambda: stops_of_all(slow, 4), "stops of both")
    going.signal(signal.SIGKILL)
    going.process.wait()
    ended = here("resume", "run")
    assert ended.status == 0, ended
    is_true(slow, ended)


@pytest.mark.hunt
def test_an_interrupt_drains_every_shard(here, long, cluster):
    going = here.start("run", long.keys(), "--tenants", long.file, "--yes", "--out", "run", *cluster.options)
    until(lambda: stops_of_all(long, 4), "stops of both")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130, ended
    is_true(long, ended)
    assert all("not_attempted" in some for some in long.outcomes(report_of(ended)).values())


@pytest.mark.hunt
def test_a_cluster_is_started_on_this_machine_without_a_scheduler(here, slow):
    ended = here.run(None, slow.keys(), "--tenants", slow.file, "--engine", "dask")
    assert ended.status == 0, ended
    assert "Warning" not in ended.err
    is_true(slow, ended)
    assert not (ended.directory / "shards").exists()


@pytest.mark.hunt
def test_a_dead_tenant_delays_no_other_shard(here, slow, cluster):
    slow.named["south"].cut()
    ended = here.run(
        None,
        slow.keys(),
        "--tenants",
        slow.file,
        "--wait-for-tenant",
        "2s",
        *cluster.options,
    )
    assert ended.status == 4, ended
    assert slow.outcomes(report_of(ended))["north"] == {"stopped"}


@pytest.mark.hunt
def test_a_run_of_one_tenant_can_be_a_shard(here, make_tenant, cluster):
    tenant = make_tenant(**PROCESSING, actions=6)
    secret = here.home / "secret"
    secret.touch(0o600)
    secret.write_text(tenant.environment["ZUORA_CLIENT_SECRET"])
    ended = here.run(
        tenant, here.keys(tenant.keys), "--client-secret-file", secret, *cluster.options,
        env={"ZUORA_CLIENT_SECRET": ""},
    )  # fmt: skip
    assert ended.status == 0, ended
    assert {action["outcome"] for action in report_of(ended)["actions"]} == {"stopped"}


@pytest.mark.hunt
def test_a_scheduler_that_does_not_answer_is_reported_in_a_sentence(here, slow):
    ended = here.run(
        None, slow.keys(), "--tenants", slow.file, "--engine", "dask", "--scheduler", "tcp://127.0.0.1:9",
        "--shared-dir", "shared",
    )  # fmt: skip
    assert ended.status == 2, ended
    assert "The dask scheduler tcp://127.0.0.1:9 cannot be reached" in ended.err
    assert all(tenant.nothing_sent() for tenant in slow.named.values())
