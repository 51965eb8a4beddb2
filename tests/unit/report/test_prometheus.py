"""The metrics of a run, read with the parser of Prometheus' own client."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from orchestrator import Settings, plan_all, resume_all_blocking, stop_all, stop_all_blocking
from orchestrator.report.prometheus import _labels
from tests.unit.embedding.served import ACTIONS, Served
from tests.unit.embedding.test_stop_all import two_tenants


@pytest.fixture
def served() -> Iterator[Served]:
    tenant = Served()
    tenant.start()
    yield tenant
    tenant.end()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mass_stop.prom"


@pytest.fixture
def settings(served: Served, tmp_path: Path, path: Path) -> Settings:
    return served.settings(tmp_path / "run", metrics=path)


def families(path: Path) -> dict[str, Metric]:
    found = list(text_string_to_metric_families(path.read_text("utf-8")))
    assert len(found) == len({family.name for family in found})
    return {family.name: family for family in found}


def value(path: Path, name: str, **labels: str) -> float:
    return next(one.value for one in families(path)[name].samples if one.labels == labels)


@pytest.mark.asyncio
async def test_the_metrics_equal_the_counts_of_the_report(served: Served, settings: Settings, path: Path):
    report = await stop_all([*served.tenant.keys, "no key"], settings)
    assert value(path, "mass_stop_actions", outcome="stopped") == ACTIONS
    assert value(path, "mass_stop_actions", outcome="malformed") == 1
    assert value(path, "mass_stop_calls", call="stop") == report.summary.calls.stop
    assert value(path, "mass_stop_records", kind="total") == report.summary.records.total
    assert value(path, "mass_stop_run_exit_status") == 1


@pytest.mark.asyncio
async def test_the_metrics_name_the_run(served: Served, settings: Settings, path: Path):
    report = await stop_all(served.tenant.keys, settings)
    run = report.run
    who = {"run": run.id, "command": "run", "version": run.version, "state": "finished"}
    assert value(path, "mass_stop_run_info", **who) == 1


@pytest.mark.asyncio
async def test_a_value_that_is_not_known_has_no_metric(served: Served, settings: Settings, path: Path):
    await plan_all(served.tenant.keys, settings)
    assert "mass_stop_first_stop_seconds" not in families(path)


@pytest.mark.asyncio
async def test_each_of_several_tenants_has_its_own_samples(served: Served, settings: Settings, path: Path):
    pairs = [(name, served.tenant.keys[0]) for name in ("north", "south")]
    await stop_all(pairs, Settings(out=settings.out, metrics=path), two_tenants(served))
    keys = {one.labels["tenant"]: one.value for one in families(path)["mass_stop_keys"].samples}
    assert keys == {"north": 1, "south": 1}


def test_a_collector_of_another_user_can_read_the_metrics(served: Served, settings: Settings, path: Path):
    stop_all_blocking(served.tenant.keys, settings)
    assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.asyncio
async def test_metrics_that_cannot_be_written_do_not_change_how_the_run_ends(
    served: Served, settings: Settings, path: Path, tmp_path: Path
):
    nowhere = tmp_path / "missing" / "mass_stop.prom"
    report = await stop_all(served.tenant.keys, replace(settings, metrics=nowhere))
    assert report.run.exit_status == 0
    assert "metrics.failed" in (tmp_path / "run" / "run.log").read_text("utf-8")


def test_a_resumed_run_writes_metrics_only_if_a_file_is_named_again(
    served: Served, settings: Settings, path: Path, tmp_path: Path
):
    stop_all_blocking(served.tenant.keys, settings)
    path.unlink()
    resume_all_blocking(tmp_path / "run", replace(settings, metrics=None))
    assert not path.exists()


def test_a_label_of_any_text_can_be_read():
    text = 'a "quoted"\\back\nline'
    (family,) = text_string_to_metric_families(f"mass_stop_x{_labels({'tenant': text})} 1\n")
    assert family.samples[0].labels == {"tenant": text}
