"""The content of the run directory after a run."""

import asyncio
import csv
import io
import json
import shutil
import stat
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from orchestrator.model import Status
from orchestrator.simulator import FaultPlan
from tests.acceptance.support import (
    PROCESSING,
    Ended,
    MassStop,
    Tenant,
    publish_schema,
    table,
)

VERDICTS = ("succeeded", "failed", "unprocessed")


@pytest.fixture(scope="module")
def done(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tenant, Ended]]:
    """A finished run with its response files, used by several tests."""
    publish_schema(mass_stop_command)
    mass_stop = MassStop(mass_stop_command, tmp_path_factory.mktemp("done"))
    with Tenant(**PROCESSING | {"records": (80, 160), "failing": (0.2, 0.4)}, actions=20) as tenant:
        keys = mass_stop.keys(tenant.keys)
        yield tenant, mass_stop.run(tenant, keys, "--save-responses", shell='umask 000; exec "$@"')
    mass_stop.close()


def test_remediation_adds_up_to_the_truth(done: tuple[Tenant, Ended]) -> None:
    tenant, ended = done
    counted = {name: len(table(ended.directory / "remediation" / f"{name}.csv")) for name in VERDICTS}
    truths = [tenant.truth(key) for key in tenant.keys]
    assert counted == {
        "succeeded": sum(truth.succeeded for truth in truths),
        "failed": sum(truth.failed for truth in truths),
        "unprocessed": sum(truth.total - truth.processed for truth in truths),
    }
    assert min(counted.values()) > 0


def test_remediation_names_the_action_and_the_row_of_each_record(done: tuple[Tenant, Ended]) -> None:
    tenant, ended = done
    rows: dict[str, list[int]] = {key: [] for key in tenant.keys}
    for name in VERDICTS:
        lines = table(ended.directory / "remediation" / f"{name}.csv")
        assert list(lines[0])[:2] == ["bulk_key", "row"]
        for line in lines:
            rows[line["bulk_key"]].append(int(line["row"]))
    assert {key: sorted(numbers) for key, numbers in rows.items()} == {
        key: list(range(1, tenant.truth(key).total + 1)) for key in tenant.keys
    }


def test_the_counts_of_each_action_equal_those_of_its_response_file(done: tuple[Tenant, Ended]) -> None:
    tenant, ended = done
    for action in ended.report["actions"]:
        truth = tenant.truth(action["bulk_key"])
        held = _held(ended.directory / "responses" / f"{action['bulk_key']}.csv")
        assert action["records"] == {
            "total": truth.total,
            "processed": truth.processed,
            "succeeded": truth.succeeded,
            "failed": truth.failed,
            "unprocessed": truth.total - truth.processed,
            "source": "response_file",
            "held_by_group": held,
        }


def _held(path: Path) -> int:
    """Unprocessed records behind a failed record of their group, in a response file."""
    failed: set[str] = set()
    held = 0
    with path.open(newline="", encoding="utf-8-sig") as file:
        for record in csv.DictReader(file):
            mark = next(value for name, value in record.items() if name.lower() == "success")
            group = record.get("Group ID", "")
            held += mark == "" and group in failed
            if mark == "N" and group:
                failed.add(group)
    return held


def _identity(record: dict[str, str]) -> tuple[str, ...]:
    """The uploaded cells that identify a record."""
    names = (
        "Object Key",
        "Subscription Charge Key",
        "Revenue Schedule Number",
        "Currency Pair",
        "Payment Invoice",
    )
    return tuple(record[name] for name in names if record.get(name))


class _Clock:
    """A tenant's clock, which only a test sets forward: its actions work no faster than the test wants."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


async def _upload(tenant: Tenant, clock: _Clock, files: list[Path]) -> dict[str, list[dict[str, str]]]:
    """Uploads ``files`` and lets them complete; the records of each new action, as its response file has them."""
    environment = tenant.environment
    form = {
        "client_id": environment["ZUORA_CLIENT_ID"],
        "client_secret": environment["ZUORA_CLIENT_SECRET"],
        "grant_type": "client_credentials",
    }
    found = {}
    async with aiohttp.ClientSession(environment["ZUORA_BASE_URL"]) as session:
        async with session.post("/oauth/token", data=form) as answer:
            headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
        for path in files:
            upload = aiohttp.FormData()
            upload.add_field("file", io.BytesIO(path.read_bytes()), filename=path.name)
            upload.add_field("params", json.dumps({"actionType": path.name.partition("-")[0]}))
            async with session.post("/v1/bulk", data=upload, headers=headers) as answer:
                key = (await answer.json())["bulkKey"]
            clock.now += 60
            assert tenant.truth(key).status is Status.COMPLETED
            status = await _get(session, f"/v1/bulk/{key}", headers)
            address = f"/v1/files/{status['outputURL'].rpartition('/')[2]}"  # whatever host it names
            async with session.get(address, headers=headers) as answer:
                archive = zipfile.ZipFile(io.BytesIO(await answer.read()))
            text = io.TextIOWrapper(archive.open(archive.namelist()[0]), "utf-8-sig", newline="")
            found[key] = list(csv.DictReader(text))
    return found


async def _get(session: aiohttp.ClientSession, address: str, headers: dict[str, str]) -> dict[str, Any]:
    async with session.get(address, headers=headers) as answer:
        body: dict[str, Any] = await answer.json()
    return body


def test_spared_records_are_uploaded_again_and_each_is_processed_once(
    mass_stop: MassStop, make_tenant: Callable[..., Tenant]
) -> None:
    types = ("MPU", "ImportFXRate", "CreateRevenueSchedule", "UpdateAccountingCode")
    changes = {
        "records": (40, 80),
        "speed": (20.0, 400.0),
        "failing": (0.0, 0.2),
        "stopping_time": (0.0, 0.0),
    }
    clock = _Clock()
    tenant = make_tenant(**PROCESSING | changes, actions=16, action_types=types, clock=clock)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    remediation = ended.directory / "remediation"
    resend = sorted((remediation / "resend").glob("*.csv"))
    completed = asyncio.run(_upload(tenant, clock, resend))
    first = [_identity(record) for record in table(remediation / "succeeded.csv")]
    second = [_identity(record) for records in completed.values() for record in records]
    marks = {
        value for records in completed.values() for record in records
        for name, value in record.items() if name.lower() == "success"
    }  # fmt: skip
    spared = sum(truth.total - truth.processed for truth in map(tenant.truth, _distinct(ended)))
    held = ended.report["summary"]["records"]["held_by_group"]
    assert len(second) == spared - held
    assert marks <= {"Y"}  # on a slow machine, no record may be spared
    assert max(Counter(first + second).values()) == 1


def _distinct(ended: Ended) -> list[str]:
    return [action["bulk_key"] for action in ended.report["actions"]]


def test_every_record_of_a_known_type_is_in_exactly_one_place(done: tuple[Tenant, Ended]) -> None:
    _, ended = done
    remediation = ended.directory / "remediation"
    places = Counter(
        (record["#bulk_key"], record["#row"])
        for folder in ("resend", "retry", "held")
        for path in (remediation / folder).glob("*.csv")
        for record in table(path)
    )
    places.update((record["bulk_key"], record["row"]) for record in table(remediation / "succeeded.csv"))
    everything = sum(action["records"]["total"] for action in ended.report["actions"])
    assert (len(places), set(places.values())) == (everything, {1})


def test_one_response_file_is_kept_for_each_key(done: tuple[Tenant, Ended]) -> None:
    tenant, ended = done
    files = {path.name: path for path in (ended.directory / "responses").iterdir()}
    assert set(files) == {f"{key}.csv" for key in tenant.keys}
    for key in tenant.keys:
        with files[f"{key}.csv"].open(newline="", encoding="utf-8-sig") as file:
            assert len(list(csv.reader(file))) == tenant.truth(key).total + 1


def test_only_the_owner_can_read_the_files_whatever_the_umask(done: tuple[Tenant, Ended]) -> None:
    _, ended = done
    paths = [ended.directory, *ended.directory.rglob("*")]
    modes = {str(path): stat.S_IMODE(path.stat().st_mode) for path in paths}
    assert modes == {str(path): 0o700 if path.is_dir() else 0o600 for path in paths}


def test_the_run_directory_contains_only_the_files_of_the_contract(done: tuple[Tenant, Ended]) -> None:
    _, ended = done
    left = {path.name for path in ended.directory.iterdir()}
    assert left <= {
        "journal.db", "journal.db-wal", "journal.db-shm",
        "report.json", "report.html", "run.log", "remediation", "responses", "needs-person.csv",
    }  # fmt: skip


def test_the_log_is_json_lines_of_this_run(done: tuple[Tenant, Ended]) -> None:
    _, ended = done
    events = [json.loads(line) for line in (ended.directory / "run.log").read_text().splitlines()]
    assert events[0]["event"] == "run.started"
    assert events[-1]["event"] == "run.ended"
    assert "reason" not in events[-1]
    assert {event["run"] for event in events} == {ended.report["run"]["id"]}


def test_the_track_ids_of_accepted_stops_are_those_that_the_tenant_received(
    done: tuple[Tenant, Ended],
) -> None:
    tenant, ended = done
    seen = {call.key: call.track_id for call in tenant.log if call.kind == "stop"}
    assert {a["bulk_key"]: a["stop"]["track_id"] for a in ended.report["actions"]} == seen


def test_a_run_and_its_copy_that_are_both_resumed_share_no_track_id(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    first = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results", "--deadline", "1ms")
    shutil.copytree(first.directory, mass_stop.home / "copy")
    assert [mass_stop("resume", name, tenant=tenant).status for name in ("run", "copy")] == [0, 0]
    track_ids = [call.track_id for call in tenant.log if call.kind != "token"]
    assert len(set(track_ids)) == len(track_ids) >= 48


def test_without_save_responses_none_is_kept(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert {path.name for path in ended.directory.iterdir() if path.is_dir()} == {"remediation"}


def test_a_resume_downloads_missing_response_files(
    mass_stop: MassStop, make_tenant: Callable[..., Tenant]
) -> None:
    tenant = make_tenant(**PROCESSING, actions=20, faults=FaultPlan({"lock": 0.3}))
    first = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--max-attempts", "1")
    sources = [
        action["records"]["source"] for action in first.report["actions"] if action["status"] == "Stopped"
    ]
    assert {"status", "response_file"} <= set(sources), first
    tenant.simulated.set_faults(FaultPlan())
    resumed = mass_stop("resume", "run", "--max-attempts", "8", tenant=tenant)
    assert resumed.status == 0, resumed
    assert {action["records"]["source"] for action in resumed.report["actions"]} == {"response_file"}
    lines = sum(len(table(resumed.directory / "remediation" / f"{name}.csv")) for name in VERDICTS)
    assert lines == sum(tenant.truth(key).total for key in tenant.keys)
    assert mass_stop("resume", "run", tenant=tenant).status == 0
    assert tenant.sent("file") == len(sources) + len(tenant.keys) - sources.count("response_file")


def test_no_results_downloads_no_file(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert ended.status == 0, ended
    assert tenant.sent("file") == 0
    assert [path for path in ended.directory.iterdir() if path.is_dir()] == []
    assert {action["records"]["source"] for action in ended.report["actions"]} == {"status"}


def test_formulas_in_labels_get_an_apostrophe_in_the_csv_report(mass_stop: MassStop, tenant: Tenant) -> None:
    path = mass_stop.home / "keys.csv"
    path.write_text(f"key,note\n=cmd|' /C calc'!A0,x\n{tenant.keys[0]},=1+1\n")
    mass_stop.run(tenant, path, "--no-results")
    ended = mass_stop("report", "run", "--format", "csv", "--report", "-", tenant=tenant)
    for row in csv.reader(ended.out.decode().splitlines()):
        assert not any(cell.startswith(("=", "+", "@")) for cell in row)


def test_a_log_level_and_a_quiet_run_change_nothing_but_standard_error(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--quiet", "--no-results")
    assert (ended.status, ended.err, ended.out) == (0, "", b"")


def test_a_quiet_run_that_cannot_continue_says_why(mass_stop: MassStop, tenant: Tenant) -> None:
    wrong = {"ZUORA_CLIENT_SECRET": "wrong"}
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--quiet", env=wrong)
    assert ended.status == 3, ended
    (sentence,) = ended.sentences
    assert sentence.startswith("mass-stop: ")
    assert "credentials" in sentence


def test_the_directory_of_a_run_that_exists_is_closed_to_others(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "run").mkdir(mode=0o755)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert stat.S_IMODE(ended.directory.stat().st_mode) == 0o700


def test_the_report_names_the_other_host_of_response_files(
    mass_stop: MassStop,
) -> None:
    with Tenant(**PROCESSING | {"file_address": "other"}, actions=3) as tenant:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0
    assert ended.report["run"]["tenant"]["file_host"] == "rest.zuora.com"
    assert {action["records"]["source"] for action in ended.report["actions"]} == {"response_file"}


def test_archived_response_files_are_reported_and_do_not_change_the_exit_status(
    mass_stop: MassStop,
) -> None:
    with Tenant(**PROCESSING | {"archived": 1.0}, actions=2) as tenant:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    errors = [action["error"] for action in ended.report["actions"]]
    assert ended.status == 0
    assert {error["kind"] for error in errors} == {"archived"}
    assert all(
        f"PUT {tenant.environment['ZUORA_BASE_URL']}/v1/files/" in error["message"] for error in errors
    )
    assert tenant.sent("file") == ended.report["summary"]["calls"]["file"]


def test_response_files_that_are_named_late_are_read(mass_stop: MassStop) -> None:
    with Tenant(**PROCESSING | {"file_delay": (0.3, 1.5)}, actions=6) as tenant:
        ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 0
    assert {action["records"]["source"] for action in ended.report["actions"]} == {"response_file"}
