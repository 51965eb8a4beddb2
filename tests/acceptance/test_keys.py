"""``mass-stop keys``: the keys in logs, traces and exports, through the installed command."""

import csv
import gzip
import io
import json
import subprocess
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant

KEY = "402892f04c97b89a014c97bb30a50003"
OTHER = "402892f04c97b89a014c97bb30b60007"

FORMS = {
    "JSON": '{"bulkKey": "KEY", "success": true}',
    "JSON without blanks": '{"bulkKey":"KEY"}',
    "JSON in a JSON string": r'{"text": "{\"bulkKey\":\"KEY\"}"}',
    "JSON in a string of a string": r"{\\\"bulkKey\\\":\\\"KEY\\\"}",
    "JSON with escapes": r"\u0022bulkKey\u0022:\u0022KEY\u0022",
    "JSON in a CSV cell": '1,"{""bulkKey"":""KEY""}"',
    "JSON in a URL": "body=%7B%22bulkKey%22%3A%22KEY%22%7D",
    "JSON in HTML": "{&quot;bulkKey&quot;:&quot;KEY&quot;}",
    "Python": "{'bulkKey': 'KEY'}",
    "logfmt": "msg=started bulk_key=KEY next=1",
    "logfmt with quotes": 'bulk-key="KEY"',
    "colours": "\x1b[36mbulk_key\x1b[0m=\x1b[35mKEY\x1b[0m",
    "prose": "The bulk key is KEY.",
    "XML": "<bulkKey>KEY</bulkKey>",
    "address": "PUT /v1/bulk/KEY/stop HTTP/1.1",
    "full address": "GET https://rest.zuora.com/v1/bulk/KEY",
    "address in JSON": r"https:\/\/rest.zuora.com\/v1\/bulk\/KEY",
    "address in an address": "next=%2Fv1%2Fbulk%2FKEY%2Fstop",
}


@pytest.fixture
def started() -> bool:
    return True


def found(ended: Ended) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(ended.out.decode())))


def keys_in(ended: Ended) -> list[str]:
    return [row["bulk_key"] for row in found(ended)]


def write(path: Path, text: str) -> Path:
    path.write_text(text, "utf-8")
    return path


def test_every_labelled_form_of_a_key_is_found(mass_stop: MassStop, tmp_path: Path):
    numbered = {f"{KEY[:-3]}{number:03d}": form for number, form in enumerate(FORMS.values(), 100)}
    log = write(
        tmp_path / "app.log", "".join(f"{form.replace('KEY', key)}\n" for key, form in numbered.items())
    )
    ended = mass_stop("keys", log)
    assert (ended.status, keys_in(ended)) == (0, list(numbered))


def test_a_list_of_keys_on_one_line_is_found(mass_stop: MassStop, tmp_path: Path):
    ended = mass_stop("keys", write(tmp_path / "app.log", f'{{"bulkKeys": [null, "{KEY}", "{OTHER}"]}}\n'))
    assert keys_in(ended) == [KEY, OTHER]


def test_a_key_is_printed_once_with_its_first_place_and_count(mass_stop: MassStop, tmp_path: Path):
    first = write(
        tmp_path / "first.log",
        f"nothing\n2026-11-23T22:50:13.123Z started bulk_key={OTHER}\n[23/Nov/2026:22:50:15 +0000] /v1/bulk/{KEY}\n",
    )
    second = write(tmp_path / "second.log", f"bulkKey={KEY}\nbulkKey={OTHER} /v1/bulk/{OTHER}\n")
    ended = mass_stop("keys", first, second)
    assert found(ended) == [
        {"bulk_key": OTHER, "source": str(first), "row": "2", "time": "2026-11-23T22:50:13.123Z", "occurrences": "3"},
        {"bulk_key": KEY, "source": str(first), "row": "3", "time": "23/Nov/2026:22:50:15 +0000", "occurrences": "2"},
    ]  # fmt: skip


def test_a_time_is_left_out_if_it_may_belong_to_another_key(mass_stop: MassStop, tmp_path: Path):
    line = f'[{{"bulkKey":"{KEY}","at":"2026-01-01 10:00:00"}},{{"bulkKey":"{OTHER}","at":"2026-01-01 11:00:00"}}]'
    assert [row["time"] for row in found(mass_stop("keys", write(tmp_path / "a.json", line)))] == ["", ""]


def test_text_that_only_resembles_a_key_needs_loose(mass_stop: MassStop, tmp_path: Path):
    log = write(tmp_path / "app.log", f"trace={KEY} and {OTHER}00\n")
    assert (mass_stop("keys", log).status, keys_in(mass_stop("keys", "--loose", log))) == (2, [KEY])


def test_a_log_without_keys_ends_in_status_2_and_names_loose(mass_stop: MassStop, tmp_path: Path):
    ended = mass_stop("keys", write(tmp_path / "app.log", "nothing\n"))
    assert ended.status == 2
    assert ended.out == b""
    assert "No bulk key was found in 1 source. If the keys have no label there, add --loose." in ended.err


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_column_of_an_export_is_found_by_its_title(mass_stop: MassStop, tmp_path: Path, delimiter: str):
    rows = [["Exported"], ["id", "Bulk Key", "note"], [OTHER, f'="{KEY}"', "two\nlines"], ["1", "", "x"]]
    path = tmp_path / "export.csv"
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows(rows)
    assert [(row["bulk_key"], row["row"]) for row in found(mass_stop("keys", path))] == [(KEY, "3")]


def test_a_browser_trace_is_searched(mass_stop: MassStop, tmp_path: Path):
    answer = {
        "content": {"mimeType": "application/json", "text": json.dumps({"bulkKey": KEY, "success": True})}
    }
    entry = {"startedDateTime": "2026-11-23T22:50:13Z", "response": answer}
    har = write(tmp_path / "trace.har", json.dumps({"log": {"entries": [entry]}}, indent=2))
    assert keys_in(mass_stop("keys", har)) == [KEY]


def test_gzip_and_standard_input_are_searched(mass_stop: MassStop, tmp_path: Path):
    zipped = tmp_path / "app.log.1.gz"
    zipped.write_bytes(gzip.compress(f"bulkKey={KEY}\n".encode()))
    ended = mass_stop("keys", zipped, "-", stdin=f"bulkKey={OTHER}\n".encode())
    assert [(row["bulk_key"], row["source"]) for row in found(ended)] == [
        (KEY, str(zipped)),
        (OTHER, "<stdin>"),
    ]


def test_utf_16_and_nul_bytes_do_not_hide_keys(mass_stop: MassStop, tmp_path: Path):
    (tmp_path / "utf16.log").write_bytes(f"one\nbulkKey={KEY}\n".encode("utf-16"))
    (tmp_path / "rotated.log").write_bytes(b"\0" * 3_000_000 + f"bulkKey={OTHER}\n".encode())
    ended = mass_stop("keys", "utf16.log", "rotated.log")
    assert [(row["bulk_key"], row["row"]) for row in found(ended)] == [(KEY, "2"), (OTHER, "1")]
    assert "rotated.log: 3,000,000 x NUL byte, skipped" in ended.err


def test_a_line_of_many_megabytes_is_searched_in_pieces(mass_stop: MassStop, tmp_path: Path):
    keys = [f"{KEY[:-4]}{number:04d}" for number in range(40)]
    with (tmp_path / "one-line.json").open("w") as file:
        for number, key in enumerate(keys):
            file.write(f'{{"a": "{"x" * (262_144 + number)}", "bulkKey": "{key}"}},')
        file.write(f"\nbulkKey={OTHER}\n")
    ended = mass_stop("keys", "one-line.json")
    assert [(row["bulk_key"], row["row"], row["occurrences"]) for row in found(ended)] == [
        *((key, "1", "1") for key in keys), (OTHER, "2", "1"),
    ]  # fmt: skip
    assert "1 x line longer than 1,048,576 bytes, searched in pieces" in ended.err


def test_no_key_is_cut_out_of_longer_text_at_the_edge_of_a_piece(mass_stop: MassStop, tmp_path: Path):
    write(tmp_path / "long.txt", f"bulkKey={KEY} " + "a0" * 3_000_000)
    assert keys_in(mass_stop("keys", "--loose", "long.txt")) == [KEY]


def test_a_labelled_value_that_is_not_a_key_is_counted(mass_stop: MassStop, tmp_path: Path):
    log = write(tmp_path / "app.log", f"bulkKey={KEY}\nbulkKey=null\nbulkKey={KEY[1:]}\nbulkKey: 12-34\n")
    ended = mass_stop("keys", log)
    assert "2 x value labelled as a bulk key that is no key, skipped; the first is in line 3" in ended.err


@pytest.mark.parametrize(
    ("name", "content", "remark"),
    [
        ("logs.zip", b"PK\x03\x04rest", "logs.zip is a zip archive or an Excel workbook (xlsx): it was not searched."),
        ("cut.gz", gzip.compress(b"nothing" * 1000, mtime=0)[:-9], "cut.gz is cut short"),
    ],
)  # fmt: skip
def test_a_source_that_cannot_be_searched_to_its_end_makes_status_1(
    mass_stop: MassStop, tmp_path: Path, name: str, content: bytes, remark: str
):
    (tmp_path / name).write_bytes(content)
    write(tmp_path / "app.log", f"bulkKey={KEY}\n")
    ended = mass_stop("keys", name, "app.log")
    assert (ended.status, keys_in(ended)) == (1, [KEY])
    assert remark in ended.err


@pytest.mark.parametrize("name", ["missing.log", "."])
def test_a_file_that_cannot_be_opened_ends_in_status_2(mass_stop: MassStop, name: str):
    ended = mass_stop("keys", name)
    assert ended.status == 2
    assert ended.out == b""


def test_the_result_is_a_source_of_a_run(mass_stop: MassStop, tenants: list[Tenant], tmp_path: Path):
    with Tenant(seed=7, actions=3, **PROCESSING) as tenant:
        tenants.append(tenant)
        log = write(tmp_path / "app.log", "".join(f'{{"bulkKey": "{key}"}}\n' for key in tenant.keys))
        keys = tmp_path / "keys.csv"
        keys.write_bytes(mass_stop("keys", log).out)
        ended = mass_stop.run(tenant, keys)
        assert ended.status == 0
        assert {action["bulk_key"] for action in ended.report["actions"]} == set(tenant.keys)


def test_a_reader_that_closes_standard_output_is_no_failure(mass_stop: MassStop, tmp_path: Path):
    log = write(
        tmp_path / "app.log", "".join(f"bulkKey={KEY[:-5]}{number:05d}\n" for number in range(20_000))
    )
    ended = mass_stop.start("keys", log, shell='"$@" | head -1', stdout=subprocess.PIPE).end()
    assert ended.out == b"bulk_key,source,row,time,occurrences\n"
    assert "Traceback" not in ended.err
