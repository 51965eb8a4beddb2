"""Keys in any form give one true report."""

import gzip
import hashlib
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import (
    PROCESSING,
    QUICK,
    Ended,
    MassStop,
    Tenant,
    lies,
    outcomes,
    publish_schema,
    until,
    valid,
)

MakeTenant = Callable[..., Tenant]


@pytest.mark.parametrize("level", ["none", "some", "many"])
def test_the_report_is_true_whatever_fails_during_the_run(
    mass_stop: MassStop, make_tenant: MakeTenant, level: str
) -> None:
    tenant = make_tenant(**QUICK, actions=120, seed=7, repeat_stop="mixed", faults=FaultPlan.level(level))
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--timeout", "2s")
    assert ended.status == 0, ended
    assert lies(ended.report, tenant) == []
    assert [action["bulk_key"] for action in ended.report["actions"]] == tenant.keys


def test_the_summary_counts_what_the_tenant_counted(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    summary = ended.report["summary"]
    truths = [tenant.truth(key) for key in tenant.keys]
    assert summary["outcomes"] == {"stopped": 12}
    held = summary["records"].pop("held_by_group")  # a part of the unprocessed records
    assert 0 <= held <= summary["records"]["unprocessed"]
    assert summary["records"] == {
        "total": sum(truth.total for truth in truths),
        "processed": sum(truth.processed for truth in truths),
        "succeeded": sum(truth.succeeded for truth in truths),
        "failed": sum(truth.failed for truth in truths),
        "unprocessed": sum(truth.total - truth.processed for truth in truths),
    }
    calls = {kind: tenant.sent(kind) for kind in ("stop", "status", "file", "token")}
    assert {kind: summary["calls"][kind] for kind in calls} == calls


def _csv(keys: list[str]) -> str:
    return "job,Bulk Key,note\r\n" + "".join(f'{n},{key},"a, b"\r\n' for n, key in enumerate(keys))


FORMS: dict[str, Callable[[list[str]], bytes]] = {
    "plain": lambda keys: "\n".join(keys).encode(),
    "csv": lambda keys: _csv(keys).encode(),
    "csv with a BOM": lambda keys: _csv(keys).encode("utf-8-sig"),
    "semicolons": lambda keys: _csv(keys).replace('"a, b"', "a").replace(",", ";").encode(),
    "tabs": lambda keys: "".join(f"{key}\tx\n" for key in keys).encode(),
    "comments and blanks": lambda keys: (
        "# of Tuesday\n\n" + "\n\n".join(f"  {key} " for key in keys)
    ).encode(),
    "gz": lambda keys: gzip.compress(_csv(keys).encode()),
    "several in a row": lambda keys: "".join(
        f"{one},{other}\n" for one, other in zip(keys[::2], keys[1::2], strict=True)
    ).encode(),
    "beyond the header": lambda keys: f"bulk_key\n{','.join(keys)}\n".encode(),
    "unknown header": lambda keys: "\n".join(["BulkJobId", *keys]).encode(),
    "repeated header": lambda keys: "\n".join(["BulkJobId", *keys[:5], "BulkJobId", *keys[5:]]).encode(),
    "another column of keys": lambda keys: (
        "bulk_key,entity\n" + "".join(f"{key},{key[::-1]}\n" for key in keys)
    ).encode(),
    "sep line": lambda keys: (
        "sep=;\r\nnote;bulk_key\r\n" + "".join(f"a,b;{key}\r\n" for key in keys)
    ).encode(),
    "invisible characters": lambda keys: "".join(f"\u200b{key}\u00a0\n" for key in keys).encode(),
    "text form of Excel": lambda keys: (
        "bulk_key\n"
        + "".join(f"'{key}\n" for key in keys[:6])
        + "".join(f'"=""{key}"""\n' for key in keys[6:])
    ).encode(),
    "lone CR": lambda keys: "\r".join(keys).encode(),
    "JSON array": lambda keys: json.dumps(keys, indent=2).encode(),
    "JSON lines": lambda keys: "\n".join(json.dumps({"bulkKey": key, "job": 1}) for key in keys).encode(),
    "JSON objects in gz": lambda keys: gzip.compress(
        json.dumps([{"bulk_key": key} for key in keys]).encode()
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_key_of_every_form_of_input_is_stopped(mass_stop: MassStop, tenant: Tenant, form: str) -> None:
    path = mass_stop.home / ("keys.csv.gz" if form.endswith("gz") else "keys.csv")
    path.write_bytes(FORMS[form](tenant.keys))
    ended = mass_stop.run(tenant, path, "--no-results")
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_keys_as_arguments_are_stopped(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, *tenant.keys, "--no-results")
    assert ended.status == 0, ended
    assert [(a["source"], a["row"]) for a in ended.report["actions"]] == [
        ("<arguments>", n) for n in range(1, 13)
    ]


def test_keys_as_arguments_of_several_tenants_need_the_tenant(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "tenants.toml").write_text(
        f'[tenants.north]\nbase_url = "{tenant.environment["ZUORA_BASE_URL"]}"\n'
        'client_id_env = "ZUORA_CLIENT_ID"\nclient_secret_env = "ZUORA_CLIENT_SECRET"\n'
    )
    ended = mass_stop.run(tenant, tenant.keys[0], "--tenants", "tenants.toml")
    assert (ended.status, "--tenant NAME" in ended.sentences[-1]) == (2, True), ended
    assert tenant.nothing_sent()
    ended = mass_stop.run(
        tenant, tenant.keys[0], "--tenants", "tenants.toml", "--tenant", "north", "--no-results"
    )
    assert outcomes(ended.report) == {tenant.keys[0]: "stopped"}, ended


def test_keys_that_differ_only_in_case_are_sent_as_written_and_named(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "keys.txt").write_text(f"{'a' * 32}\n{'A' * 32}\n")
    ended = mass_stop.run(tenant, "keys.txt", "--no-results")
    assert outcomes(ended.report) == {"a" * 32: "rejected", "A" * 32: "rejected"}
    assert (
        f"Keys that differ only in case are different keys; all are sent: {'A' * 32} and {'a' * 32}."
        in ended.err
    )


def test_any_key_is_sent_as_written(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "keys.csv").write_text("key,note\nJob-1.a~b_c,x\n")
    ended = mass_stop.run(tenant, "keys.csv", "--any-key", "--no-results")
    assert outcomes(ended.report) == {"Job-1.a~b_c": "rejected"}, ended
    assert {call.key for call in tenant.log if call.kind == "stop"} == {"Job-1.a~b_c"}


def test_a_handover_is_a_source_whose_rows_without_a_key_are_skipped(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    header = "bulk_key,tenant,source,row,owner,outcome,error kind,message"
    rows = [f"{key},,keys.csv,{n},Ada,unconfirmed,timeout,x" for n, key in enumerate(tenant.keys, 2)]
    (mass_stop.home / "needs-person.csv").write_text(
        "\n".join([header, *rows, ",,keys.csv,20,Bob,malformed,,y"])
    )
    ended = mass_stop.run(tenant, "needs-person.csv", "--no-results")
    assert ended.status == 0, ended
    assert "skipped rows without a bulk key: 1" in ended.err


def test_a_number_beyond_the_columns_is_refused_with_their_number(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "keys.csv").write_text(f"a,{tenant.keys[0]},b\n")
    ended = mass_stop.run(tenant, "keys.csv", "--column", "9")
    assert ended.status == 2
    assert ended.sentences == ["mass-stop: keys.csv has no column 9: its first row has 3."]


@pytest.mark.parametrize("dash", [("-",), ()])
def test_keys_are_read_from_standard_input(
    mass_stop: MassStop, tenant: Tenant, dash: tuple[str, ...]
) -> None:
    ended = mass_stop.run(tenant, *dash, "--no-results", stdin="\n".join(tenant.keys).encode())
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


def test_several_sources_are_reported_in_the_order_they_were_given(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    first, rest = mass_stop.keys(tenant.keys[8:], "b.txt"), mass_stop.keys(tenant.keys[:4], "a.txt")
    ended = mass_stop.run(
        tenant, first.name, "-", rest.name, "--no-results", stdin="\n".join(tenant.keys[4:8]).encode()
    )
    piped = ended.report["run"]["sources"][1]["name"]
    assert [(action["source"], action["row"]) for action in ended.report["actions"]] == [
        *(("b.txt", n) for n in range(1, 5)),
        *((piped, n) for n in range(1, 5)),
        *(("a.txt", n) for n in range(1, 5)),
    ]


def test_a_source_is_named_with_its_digest_and_its_rows(mass_stop: MassStop, tenant: Tenant) -> None:
    path = mass_stop.keys(tenant.keys)
    ended = mass_stop.run(tenant, path.name, "--no-results")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert ended.report["run"]["sources"] == [{"name": "keys.txt", "sha256": digest, "rows": 12}]


def test_standard_output_carries_only_the_report(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--report", "-", "--log-level", "debug")
    assert valid(ended.out) == ended.report


def test_standard_output_stays_empty_without_report(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results", "--log-level", "debug")
    assert ended.out == b""


def test_a_copy_of_the_report_is_written_where_asked(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results", "--report", "new/copy.json")
    assert json.loads((mass_stop.home / "new" / "copy.json").read_bytes()) == ended.report


def test_without_out_the_run_is_in_runs_under_its_id(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop("run", "--yes", mass_stop.keys(tenant.keys), "--no-results", tenant=tenant)
    (made,) = (mass_stop.home / "runs").iterdir()
    assert valid((made / "report.json").read_bytes())["run"]["id"] == made.name, ended
    assert f"runs/{made.name}/report.json" in ended.err


def _mixed(home: Path, keys: list[str]) -> Path:
    """Rows good, repeated and unusable."""
    one, two, three = keys[:3]
    path = home / "mixed.csv"
    path.write_text(
        f'bulk_key,owner,"a,b"\n{one},Ann,1\nno key,Bob,2\n{two},,3\n{one},Cy,4\n,Di,5\n{three},É,6\n'
    )
    return path


@pytest.fixture(scope="module")
def mixed(
    mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Tenant, Ended]]:
    """A finished run of such rows, used by several tests."""
    publish_schema(mass_stop_command)
    mass_stop = MassStop(mass_stop_command, tmp_path_factory.mktemp("mixed"))
    with Tenant(**PROCESSING, actions=12) as tenant:
        yield tenant, mass_stop.run(tenant, _mixed(mass_stop.home, tenant.keys), "--no-results")
    mass_stop.close()


def test_good_repeated_and_malformed_rows_are_each_in_the_report_once(mixed: tuple[Tenant, Ended]) -> None:
    tenant, ended = mixed
    one, two, three = tenant.keys[:3]
    entries = [(a["row"], a["bulk_key"], a["outcome"], a["duplicate_rows"]) for a in ended.report["actions"]]
    assert entries == [
        (2, one, "stopped", [5]),
        (3, "no key", "malformed", []),
        (4, two, "stopped", []),
        (6, "", "malformed", []),
        (7, three, "stopped", []),
    ]


def test_a_malformed_row_makes_the_exit_status_one(mixed: tuple[Tenant, Ended]) -> None:
    _, ended = mixed
    assert ended.status == 1, ended


def test_duplicates_and_malformed_rows_are_counted(mixed: tuple[Tenant, Ended]) -> None:
    tenant, ended = mixed
    summary = ended.report["summary"]
    assert (summary["keys"], summary["duplicates"], summary["malformed"]) == (3, 1, 2)
    assert all(len(tenant.truth(key).stops_received) == 1 for key in tenant.keys[:3])


def test_other_columns_travel_as_labels(mixed: tuple[Tenant, Ended]) -> None:
    actions = mixed[1].report["actions"]
    assert actions[0]["labels"] == {"owner": "Ann", "a,b": "1"}
    assert actions[-1]["labels"] == {"owner": "É", "a,b": "6"}


def test_strict_refuses_the_whole_input_for_one_malformed_row(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, _mixed(mass_stop.home, tenant.keys), "--strict")
    assert ended.status == 2, ended
    assert tenant.nothing_sent()
    assert "line 3" in ended.sentences[-1]


def test_strict_accepts_an_input_without_a_malformed_row(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--strict", "--no-results")
    assert ended.status == 0, ended


@pytest.mark.parametrize("column", ["Action", "2"])
def test_the_key_column_is_taken_by_name_or_number(mass_stop: MassStop, tenant: Tenant, column: str) -> None:
    path = mass_stop.home / "keys.csv"
    decoy = "0" * 32
    path.write_text("bulk_key;Action\n" + "".join(f"{decoy};{key}\n" for key in tenant.keys))
    ended = mass_stop.run(tenant, path, "--column", column, "--no-results")
    assert set(outcomes(ended.report).values()) == {"stopped"}, ended
    assert [action["bulk_key"] for action in ended.report["actions"]] == tenant.keys


def _made(write: Callable[[Path], object]) -> Callable[[Path], str]:
    def make(home: Path) -> str:
        write(home / "bad")
        return "bad"

    return make


KEY = "402892f04c97b89a014c97bb30a50003"
GZ = gzip.compress((KEY + "\n").encode() * 3000)

BAD_INPUTS: dict[str, Callable[[Path], str]] = {
    "empty": _made(lambda path: path.write_bytes(b"")),
    "only a header": _made(lambda path: path.write_text("bulk_key,job\n")),
    "only comments": _made(lambda path: path.write_text("# nothing today\n\n")),
    "no usable key": _made(lambda path: path.write_text("bulk_key\nabc\nabd\n")),
    "a directory": _made(lambda path: path.mkdir()),
    "missing": lambda home: "missing.csv",
    "a loop of links": _made(lambda path: path.symlink_to(path)),
    "binary": _made(lambda path: path.write_bytes((KEY + "\n").encode() + bytes(range(256)) * 4)),
    "UTF-16": _made(lambda path: path.write_text(KEY + "\n", encoding="utf-16")),
    "Latin-1 at the end": _made(lambda path: path.write_bytes((KEY + "\n").encode() * 5000 + b"caf\xe9\n")),
    "gz cut short": _made(lambda path: path.write_bytes(GZ[:-20])),
    "gz with a flipped byte": _made(lambda path: path.write_bytes(GZ[:40] + bytes([GZ[40] ^ 255]) + GZ[41:])),
    "JSON cut short": _made(lambda path: path.write_text(f'["{KEY}", "{KEY[:9]}')),
    "a web page": _made(lambda path: path.write_text("<!DOCTYPE html><title>Sign in</title>")),
    "a workbook": _made(lambda path: path.write_bytes(b"PK\x03\x04" + bytes(20))),
    "two columns of keys": _made(lambda path: path.write_text(f"id,entity\n{KEY},{KEY[::-1]}\n")),
    "a missing column": _made(lambda path: path.write_text(f"bulk_key\n{KEY}\n")),
}


@pytest.mark.parametrize("bad", BAD_INPUTS)
def test_input_that_cannot_be_used_is_refused_with_a_sentence(
    mass_stop: MassStop, make_tenant: MakeTenant, bad: str
) -> None:
    tenant = make_tenant(**QUICK, actions=1)
    spec = BAD_INPUTS[bad](mass_stop.home)
    more = ("--column", "Schlüssel") if bad == "a missing column" else ()
    ended = mass_stop.run(tenant, spec, *more)
    assert ended.status == 2, ended
    assert tenant.nothing_sent()
    assert "Traceback" not in ended.err
    assert len(ended.sentences) == 1, ended
    assert ended.sentences[0].startswith("mass-stop: ")
    assert not ended.directory.exists(), "the run directory is not free again"


def test_keys_outside_the_titled_column_are_refused_and_the_option_is_named(
    mass_stop: MassStop, make_tenant: MakeTenant
) -> None:
    tenant = make_tenant(**QUICK, actions=1)
    (mass_stop.home / "keys.csv").write_text(f"key,job\nrow 1,{KEY}\n")
    ended = mass_stop.run(tenant, "keys.csv")
    assert ended.status == 2
    [sentence] = ended.sentences
    assert "keys.csv, row 2: Character 4 of the key is ' '" in sentence
    assert sentence.endswith("If another column contains the keys, name it with --column.")


def test_one_bad_source_among_good_ones_is_refused_before_anything_is_sent(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "missing.csv")
    assert ended.status == 2, ended
    assert tenant.nothing_sent()


def test_a_refused_input_leaves_an_existing_run_directory_unchanged(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "run").mkdir()
    mass_stop.run(tenant, mass_stop.keys([], "empty"))
    assert list((mass_stop.home / "run").iterdir()) == []


def test_a_named_pipe_is_read_as_data_arrives(mass_stop: MassStop, tenant: Tenant) -> None:
    os.mkfifo(mass_stop.home / "pipe")
    going = mass_stop.start("run", "--yes", "--out", "run", "--no-results", "pipe", tenant=tenant)
    with (mass_stop.home / "pipe").open("w") as pipe:
        pipe.write(tenant.keys[0] + "\n")
        pipe.flush()
        until(lambda: tenant.sent("stop"), "the first stop, with the pipe open")
        pipe.write(tenant.keys[1] + "\n")
    assert outcomes(going.end().report) == dict.fromkeys(tenant.keys[:2], "stopped")


def test_a_closed_standard_input_counts_as_no_input(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, shell='exec "$@" <&-')
    assert ended.status == 2, ended
    assert "Traceback" not in ended.err
    assert tenant.nothing_sent()


@pytest.mark.parametrize("more", [(), ("--strict",), ("-",)], ids=["no source", "read first", "named"])
def test_an_empty_standard_input_is_named_in_the_message(
    mass_stop: MassStop, make_tenant: MakeTenant, more: tuple[str, ...]
) -> None:
    """A job without a terminal and without SOURCE has no key in a wrong column."""
    ended = mass_stop.run(make_tenant(**QUICK, actions=1), *more, stdin=b"")
    assert ended.status == 2
    assert ended.sentences == [
        "mass-stop: Standard input is empty: name a file with bulk keys, or pipe them into mass-stop."
    ]


def test_a_slow_pipe_does_not_hold_back_the_keys_already_read(mass_stop: MassStop, tenant: Tenant) -> None:
    going = mass_stop.start("run", "--yes", "--out", "run", tenant=tenant, stdin=subprocess.PIPE)
    going.feed(tenant.keys[:1])
    until(lambda: tenant.sent("stop") == 1, "the first stop, with the pipe open")
    going.feed(tenant.keys[1:])
    until(lambda: tenant.sent("stop") == 12, "the other stops, with the pipe open")
    until(lambda: tenant.sent("file"), "the first result, with the pipe open")
    assert going.process.stdin is not None
    going.process.stdin.close()
    ended = going.end()
    assert ended.status == 0, ended
    assert outcomes(ended.report) == dict.fromkeys(tenant.keys, "stopped")


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_a_label_of_a_megabyte_is_shortened_and_its_key_is_stopped(
    mass_stop: MassStop, make_tenant: Callable[..., Tenant], form: str
) -> None:
    tenant = make_tenant(**PROCESSING, actions=2)
    note = "Ada, Söhne & Co. " * 65_000
    path = mass_stop.home / f"keys.{form}"
    if form == "csv":
        path.write_text("bulk_key,note\n" + "".join(f'{key},"{note}"\n' for key in tenant.keys))
    else:
        path.write_text("".join(json.dumps({"bulkKey": key, "note": note}) + "\n" for key in tenant.keys))
    ended = mass_stop.run(tenant, path)
    assert ended.status == 0, ended
    for action in ended.report["actions"]:
        assert action["labels"]["note"] == f"{note[:1_000]}… ({len(note):,} characters)"
