"""The runbooks that embed the library: their own part is run with substitutes for Airflow and Prefect."""

import asyncio
import importlib
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from orchestrator import Secret, Settings, UsageError, resolve
from tests.contract.examples import ROOT

RUNBOOKS = ROOT / "config" / "runbooks"


@pytest.fixture(autouse=True)
def beside_the_runbooks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In the folder with the keys; the runbooks' folder is importable, as a scheduler makes it."""
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(str(RUNBOOKS))
    yield
    for name in ("stopping", "airflow_dag", "prefect_flow"):
        sys.modules.pop(name, None)


@pytest.fixture
def settings(tenant: Mapping[str, str]) -> Settings:
    return resolve({"out": "night"}, environment=tenant)


def test_a_list_is_stopped_and_counted_by_outcome(settings: Settings):
    stopping = importlib.import_module("stopping")
    outcomes = stopping.stop_list(stopping.keys_in("keys.txt"), settings)
    assert sum(outcomes.values()) == 12
    assert Path("night/report.json").is_file()


def test_a_failure_that_needs_a_person_is_not_retried(settings: Settings):
    stopping = importlib.import_module("stopping")
    with pytest.raises(stopping.NeedsAPerson, match=r"some are malformed\. .*night/report\.json"):
        stopping.stop_list([*stopping.keys_in("keys.txt"), "no-key"], settings)


def test_a_passing_failure_is_retried(settings: Settings):
    stopping = importlib.import_module("stopping")
    wrong = Settings(
        base_url=settings.base_url, client_id=settings.client_id, client_secret=Secret("wrong"), out="night"
    )
    with pytest.raises(stopping.NotOver) as raised:
        stopping.stop_list(stopping.keys_in("keys.txt"), wrong)
    assert not isinstance(raised.value, stopping.NeedsAPerson)


def test_each_key_that_is_not_over_is_logged_as_it_ends(settings: Settings):
    stopping = importlib.import_module("stopping")
    said: list[str] = []
    keys = [*stopping.keys_in("keys.txt"), "no-key"]
    left = asyncio.run(stopping.stop_list_watched(keys, settings, said.append))
    assert [action.bulk_key for action in left] == ["no-key"]
    assert len(said) == 1
    assert said[0].startswith("no-key: malformed. Character 3 of the key is '-' (U+002D)")


# ---------------------------------------------------------------------------------------------- Airflow


class FailTask(Exception):
    """A substitute for Airflow's AirflowFailException: no further attempt."""


@pytest.fixture
def dag(monkeypatch: pytest.MonkeyPatch, tenant: Mapping[str, str]) -> dict[str, Any]:
    """The declarations of the DAG file, and its task as Airflow would call it."""
    declared: dict[str, Any] = {}

    def dag(**about: Any) -> Callable[[Callable[[], None]], Callable[[], None]]:
        declared["dag"] = about
        return lambda function: function

    def task(**about: Any) -> Callable[[Callable[[], object]], Callable[[], None]]:
        def decorate(function: Callable[[], object]) -> Callable[[], None]:
            return lambda: declared.update(task=about, call=function)

        return decorate

    connection = SimpleNamespace(
        host=tenant["ZUORA_BASE_URL"], login=tenant["ZUORA_CLIENT_ID"], password=tenant["ZUORA_CLIENT_SECRET"]
    )
    declared["context"] = {
        "run_id": "manual__2026-11-24T03:00:00+00:00",
        "ti": SimpleNamespace(try_number=1),
        "params": {"keys": "keys.txt"},
    }
    sdk = ModuleType("airflow.sdk")
    vars(sdk).update(
        dag=dag,
        task=task,
        Param=lambda default, **_: default,
        get_current_context=lambda: declared["context"],
        BaseHook=SimpleNamespace(get_connection=lambda name: {"zuora": connection}[name]),
    )
    exceptions = ModuleType("airflow.sdk.exceptions")
    vars(exceptions).update(AirflowFailException=FailTask)
    for module in (ModuleType("airflow"), sdk, exceptions):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    declared["module"] = importlib.import_module("airflow_dag")
    monkeypatch.setattr(declared["module"], "RUNS", "airflow-runs")
    return declared


def test_the_airflow_task_stops_the_list_and_is_retried(dag: dict[str, Any]):
    assert dag["dag"]["schedule"] is None
    assert dag["task"]["retries"] > 0
    assert sum(dag["call"]().values()) == 12
    assert Path("airflow-runs/manual__2026-11-24T030000+0000-1/report.json").is_file()


def test_another_attempt_of_the_airflow_task_has_a_report_of_its_own(dag: dict[str, Any]):
    dag["call"]()
    dag["context"]["ti"].try_number = 2
    dag["call"]()
    assert len(list(Path("airflow-runs").iterdir())) == 2


def test_the_airflow_task_is_not_retried_where_a_person_is_needed(dag: dict[str, Any]):
    Path("keys.txt").write_text(Path("keys.txt").read_text() + "no-key\n")
    with pytest.raises(FailTask, match="malformed"):
        dag["call"]()


# ---------------------------------------------------------------------------------------------- Prefect


class FailedState:
    """A substitute for the state that Prefect passes on after a failed attempt."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def aresult(self, raise_on_failure: bool) -> Exception:
        assert not raise_on_failure
        return self._error


@pytest.fixture
def flow(monkeypatch: pytest.MonkeyPatch, tenant: Mapping[str, str]) -> ModuleType:
    """The file of the flow, with decorators that leave functions as they are."""
    prefect = ModuleType("prefect")
    vars(prefect).update(
        flow=lambda **_: lambda function: function,
        task=lambda **_: lambda function: function,
        get_run_logger=lambda: logging.getLogger("flow"),
    )
    monkeypatch.setitem(sys.modules, "prefect", prefect)
    for name in ("ZUORA_BASE_URL", "ZUORA_CLIENT_ID", "ZUORA_CLIENT_SECRET"):
        monkeypatch.setenv(name, tenant[name])
    return importlib.import_module("prefect_flow")


def test_the_prefect_flow_stops_the_list(flow: ModuleType):
    assert asyncio.run(flow.mass_stop()) == 12


def test_the_prefect_flow_logs_what_is_not_over_and_fails(flow: ModuleType, caplog: pytest.LogCaptureFixture):
    Path("keys.txt").write_text(Path("keys.txt").read_text() + "no-key\n")
    with pytest.raises(Exception, match=r"some are malformed\. 1 of 13 mass actions"):
        asyncio.run(flow.mass_stop("keys.txt"))
    assert [record.message.partition(".")[0] for record in caplog.records] == ["no-key: malformed"]


def test_prefect_retries_only_passing_failures(flow: ModuleType):
    def again(error: Exception) -> bool:
        return asyncio.run(flow.worth_another_attempt(None, None, FailedState(error)))

    assert again(flow.NotOver("some are unreachable"))
    assert not again(flow.NeedsAPerson("some are malformed"))
    assert not again(UsageError("no keys"))


def test_the_airflow_task_is_not_retried_where_nothing_was_sent(dag: dict[str, Any]):
    Path("keys.txt").write_text("")
    with pytest.raises(FailTask, match="key"):
        dag["call"]()
