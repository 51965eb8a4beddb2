"""Spans and metrics of a run in a process with an OpenTelemetry SDK."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.embedding.served import ACTIONS, Served
from tests.unit.embedding.test_loop import printed_by


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    tenant = Served()
    tenant.start()
    yield json.loads(printed_by("traced.py", tenant, tmp_path_factory.mktemp("traced") / "run"))
    tenant.end()


@pytest.fixture(scope="module")
def run_span(traced: dict[str, Any]) -> dict[str, Any]:
    (found,) = [span for span in traced["spans"] if span["name"] == "mass_stop run"]
    return dict(found)


def test_the_span_of_a_run_says_which_run_it_is_and_how_it_ended(
    traced: dict[str, Any], run_span: dict[str, Any]
):
    assert run_span["attributes"] == {
        "mass_stop.run": traced["run"],
        "mass_stop.command": "run",
        "mass_stop.state": "finished",
        "mass_stop.exit_status": 1,
    }


def test_each_call_has_a_span_below_that_of_the_run(traced: dict[str, Any], run_span: dict[str, Any]):
    calls = [span for span in traced["spans"] if span is not run_span and span["id"] != run_span["id"]]
    assert {span["parent"] for span in calls} == {run_span["id"]}


@pytest.mark.parametrize("call", ["stop", "status", "file", "token"])
def test_there_are_as_many_spans_as_calls_in_the_report(traced: dict[str, Any], call: str):
    names = Counter(span["name"] for span in traced["spans"])
    assert names[f"mass_stop {call}"] == traced["calls"][call]


def test_the_span_of_a_failed_call_has_the_kind_and_the_code(traced: dict[str, Any]):
    (failed,) = [span for span in traced["spans"] if span["status"] == "ERROR"]
    attributes = failed["attributes"]
    assert (failed["name"], attributes["error.type"]) == ("mass_stop stop", "not_found")
    assert attributes["mass_stop.bulk_key"] == "0" * 32
    assert attributes["mass_stop.code"] % 100 == 40


@pytest.mark.parametrize("metric", ["mass_stop.calls", "mass_stop.call.duration"])
def test_calls_are_counted_by_call_and_result(traced: dict[str, Any], metric: str):
    counts = {(labels["call"], labels["result"]): count for labels, count in traced["points"][metric]}
    assert counts["stop", "ok"] == ACTIONS
    assert counts["stop", "not_found"] == 1
    assert counts["token", "ok"] == traced["calls"]["token"]


def test_without_opentelemetry_in_the_process_it_is_not_imported():
    code = (
        "import sys, orchestrator.telemetry as t; print(t.find_telemetry(), 'opentelemetry' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "None False\n"


def test_the_extra_names_the_api_only():
    import tomllib

    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text("utf-8"))["project"]
    (needed,) = project["optional-dependencies"]["otel"]
    assert needed.startswith("opentelemetry-api")
