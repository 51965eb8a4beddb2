"""The other commands: help, report, check, drill, simulate; and the module as a command."""

import csv
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from urllib.request import urlopen

import jsonschema
import pytest

from tests.acceptance.support import Ended, MassStop, Tenant, table, until, valid

COMMANDS = ("run", "plan", "resume", "report", "drill", "simulate", "check")


@pytest.fixture
def started() -> bool:
    """Each command is started, not forked: this file tests the start."""
    return True


def test_help_answers_without_importing_the_http_client(mass_stop: MassStop) -> None:
    ended = mass_stop("--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.status == 0
    imported = {line.rpartition("|")[2].strip() for line in ended.err.splitlines()}
    assert "click" in imported
    assert not imported & {"aiohttp", "uvloop", "sqlite3", "rich", "structlog", "anyio", "asyncio"}


def test_help_names_every_command(mass_stop: MassStop) -> None:
    text = mass_stop("--help").out.decode()
    assert all(f"\n  {command}" in text for command in COMMANDS)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_help_that_imports_no_http_client(mass_stop: MassStop, command: str) -> None:
    ended = mass_stop(command, "--help", env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.status == 0
    assert f"Usage: mass-stop {command}" in ended.out.decode()
    assert not any(line.endswith(" aiohttp") for line in ended.err.splitlines())


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C"},
        {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"PYTHONIOENCODING": "ascii"},
        {"PYTHONIOENCODING": "ascii:strict"},
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "iso8859-15:strict"},
    ],
    ids=lambda env: " ".join(f"{name}={value}" for name, value in env.items()),
)
def test_help_is_complete_on_a_terminal_without_utf_8(mass_stop: MassStop, env: dict[str, str]) -> None:
    for words in ((), *((command,) for command in COMMANDS)):
        ended = mass_stop(*words, "--help", env=env)
        assert (ended.status, ended.err) == (0, ""), (words, ended)
        assert ended.out.decode("ascii").rstrip().count("\n") > 10


def test_the_version_equals_the_one_in_the_report(mass_stop: MassStop, over: Ended) -> None:
    version = mass_stop("--version").out.decode().split()[-1]
    assert over.report["run"]["version"] == version


def test_the_module_is_the_same_command(mass_stop: MassStop) -> None:
    # The Python of the installed command, which its first line names.
    with mass_stop.command.open("rb") as script:
        python = script.readline().decode().removeprefix("#!").strip()
    module = subprocess.run(
        [python if Path(python).exists() else sys.executable, "-m", "orchestrator", "--help"],
        capture_output=True, cwd=mass_stop.home, env=mass_stop.environment(None), check=False,
    )  # fmt: skip
    assert (module.returncode, module.stdout) == (0, mass_stop("--help").out)


@pytest.mark.parametrize("words", [(), ("frobnicate",), ("run", "--frobnicate"), ("resume",), ("report",)])
def test_an_unknown_command_is_refused(mass_stop: MassStop, words: tuple[str, ...]) -> None:
    ended = mass_stop(*words)
    assert ended.status == 2, ended
    assert ended.err
    assert "Traceback" not in ended.err


def test_report_writes_the_same_report_again(mass_stop: MassStop, over: Ended, tenant: Tenant) -> None:
    before = over.report
    (mass_stop.home / "run" / "report.json").unlink()
    ended = mass_stop("report", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert ended.report == before


def test_report_names_a_damaged_journal_although_its_reader_closed_early(
    mass_stop: MassStop, over: Ended
) -> None:
    with (mass_stop.home / "run" / "journal.db").open("ab") as journal:
        journal.write(b"torn")
    read, write = os.pipe()
    os.close(read)
    going = mass_stop.start("report", "run", "--report", "-", stdout=write)
    os.close(write)
    ended = going.end()
    assert (ended.status, len(ended.sentences)) == (5, 1), ended


def test_report_needs_no_tenant_and_no_credentials(mass_stop: MassStop, over: Ended) -> None:
    ended = mass_stop("report", "run", "--report", "-")
    assert ended.status == 0, ended
    assert valid(ended.out) == over.report


def test_a_path_below_a_file_is_refused_as_a_place_for_the_report(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    ended = mass_stop("report", "run", "--report", "keys.txt/report.json")
    assert ended.status == 2, ended
    assert ended.sentences == ["mass-stop: --report: keys.txt is a file, not a directory; name another path."]


def test_report_as_csv_has_one_line_for_each_action(mass_stop: MassStop, over: Ended) -> None:
    ended = mass_stop("report", "run", "--format", "csv")
    assert ended.status == 0, ended
    rows = table(mass_stop.home / "run" / "report.csv")
    assert [(row["bulk_key"], row["outcome"], int(row["row"])) for row in rows] == [
        (action["bulk_key"], action["outcome"], action["row"]) for action in over.report["actions"]
    ]


def test_report_works_while_the_run_is_under_way(mass_stop: MassStop, tenant: Tenant) -> None:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys)
    until(lambda: tenant.answered("file") >= 12, "all results")
    report = valid(mass_stop("report", "run", "--report", "-").out)
    assert (report["run"]["state"], len(report["actions"])) == ("running", 12)
    assert going.process.stdin is not None
    going.process.stdin.close()
    assert going.end().status == 0


def test_check_finds_a_tenant_in_order_and_stops_nothing(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("check", tenant=tenant)
    assert ended.status == 0, ended
    assert tenant.sent("stop") == 0
    for word in ("credentials", "reachable", "clock", "concurrency", "rate"):
        assert word in ended.err


def test_no_call_of_check_has_the_track_id_of_an_earlier_one(mass_stop: MassStop, tenant: Tenant) -> None:
    assert [mass_stop("check", tenant=tenant).status for _ in range(2)] == [0, 0]
    assert len({call.track_id for call in tenant.log if call.kind == "status"}) == 2


@pytest.mark.parametrize(
    ("env", "status"),
    [
        ({"ZUORA_CLIENT_SECRET": "wrong"}, 3),
        ({"ZUORA_BASE_URL": "http://127.0.0.1:9"}, 3),
        ({"ZUORA_BASE_URL": ""}, 2),
        ({"ZUORA_CLIENT_SECRET": ""}, 2),
        ({"ZUORA_TOKEN": "expired", "ZUORA_CLIENT_SECRET": ""}, 3),
    ],
)
def test_check_says_what_is_wrong(
    mass_stop: MassStop, tenant: Tenant, env: dict[str, str], status: int
) -> None:
    ended = mass_stop("check", tenant=tenant, env=env)
    assert ended.status == status, ended
    assert "Traceback" not in ended.err


def test_a_drill_ends_with_a_summary_and_the_path_of_the_report(mass_stop: MassStop) -> None:
    ended = mass_stop("drill", "--actions", "20", "--faults", "none")
    assert ended.status == 0, ended
    (made,) = (mass_stop.home / "runs").iterdir()
    assert "All over: none of the 20 mass actions" in ended.err
    assert f"report         runs/{made.name}/report.json" in ended.err
    report = valid((made / "report.json").read_bytes())
    assert (report["run"]["command"], report["summary"]["keys"]) == ("drill", 20)


def test_a_drill_ignores_the_credentials_of_a_real_tenant(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("drill", "--actions", "5", "--out", "run", tenant=tenant)
    assert ended.status == 0, ended
    assert (tenant.sent("token"), tenant.nothing_sent()) == (0, True)


def test_simulate_prints_its_address_and_writes_its_keys(mass_stop: MassStop) -> None:
    going = mass_stop.start("simulate", "--actions", "7", "--latency", "0", "--keys", "keys.csv")
    assert going.process.stdout is not None
    environment = dict(going.process.stdout.readline().decode().strip().split("=", 1) for _ in range(3))
    assert list(environment) == ["ZUORA_BASE_URL", "ZUORA_CLIENT_ID", "ZUORA_CLIENT_SECRET"]
    with urlopen(environment["ZUORA_BASE_URL"] + "/_truth") as answer:
        truth = json.load(answer)
    assert [row["bulk_key"] for row in table(mass_stop.home / "keys.csv")] == list(truth["actions"])
    going.signal(signal.SIGTERM)
    assert (going.end().status, len(truth["actions"])) == (0, 7)


def test_a_run_against_simulate_in_another_process_is_true(mass_stop: MassStop) -> None:
    going = mass_stop.start(
        "simulate", "--actions", "30", "--latency", "0.01", "--keys", "k.csv", "--faults", "0.05"
    )
    assert going.process.stdout is not None
    environment = dict(going.process.stdout.readline().decode().strip().split("=", 1) for _ in range(3))
    ended = mass_stop("run", "--yes", "--out", "run", "k.csv", env=environment)
    with urlopen(environment["ZUORA_BASE_URL"] + "/_truth") as answer:
        truth = json.load(answer)["actions"]
    assert ended.status == 0, ended
    for action in ended.report["actions"]:
        assert truth[action["bulk_key"]]["status"] == action["status"]


def test_simulate_on_a_port_that_is_taken_ends_in_a_sentence(mass_stop: MassStop, tenant: Tenant) -> None:
    port = tenant.environment["ZUORA_BASE_URL"].rpartition(":")[2]
    ended = mass_stop("simulate", "--port", port)
    assert ended.status == 2, ended
    assert len(ended.sentences) == 1


def test_simulate_that_cannot_write_its_keys_names_the_file(mass_stop: MassStop) -> None:
    ended = mass_stop("simulate", "--keys", "nowhere/keys.csv")
    assert ended.sentences == [
        "mass-stop: The simulated tenant cannot serve: nowhere/keys.csv: No such file or directory."
    ]


def test_the_schema_refuses_another_shape(over: Ended) -> None:
    report = over.report
    del report["summary"]["timing"]
    with pytest.raises(jsonschema.ValidationError):
        valid(json.dumps(report).encode())


def test_csv_readers_read_a_csv_report_with_labels(mass_stop: MassStop, tenant: Tenant) -> None:
    path = mass_stop.home / "keys.csv"
    path.write_text(f'key,note\n{tenant.keys[0]},"two\nlines, ""quoted"""\n')
    mass_stop.run(tenant, path, "--no-results")
    ended = mass_stop("report", "run", "--format", "csv", "--report", "-")
    (row,) = list(csv.DictReader(ended.out.decode().splitlines(keepends=True)))
    assert json.loads(row["labels"]) == {"note": 'two\nlines, "quoted"'}
