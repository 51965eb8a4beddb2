"""The files that are uploaded again: what is in them, how large they are, and that no group is split."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results import reader, tables, upload_files
from orchestrator.results.action_types import ACTION_TYPES
from tests.unit.results.response_zips import A, Actions, B, csv_text

GROUPED = ["Group ID", "Object Key", "Success", "Error Message"]
MPU = [
    "Billing Account ID", "Payment Amount", "Payment Type", "Success", "Error Message", "Payment ID",
    "Gateway Response Code", "Gateway Response Message", "Payment Status",
]  # fmt: skip


@pytest.fixture
def actions(tmp_path):
    return Actions(tmp_path)


def small_files(monkeypatch, size):
    monkeypatch.setattr(upload_files, "MOST_BYTES", size)


def small_pieces(monkeypatch, size):
    monkeypatch.setattr(tables, "PIECE", size)
    monkeypatch.setattr(tables, "LATER_PIECE", size)
    monkeypatch.setattr(reader, "CHUNK", size)


def sizes(actions):
    root = actions.directory / "remediation"
    return {name: (root / name).stat().st_size for name in actions.names()}


def groups_by_file(actions, folder="resend"):
    return [
        {row[0] for row in actions.read(name)[1:] if row[0]}
        for name in actions.names()
        if name.startswith(folder)
    ]


def test_spared_records_are_written_in_the_uploaded_columns(actions):
    actions.add(A, GROUPED, [["", "K1", "Y", ""], ["", "=K2", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.read("resend/UpdateAccountingCode-001.csv") == [
        ["Group ID", "Object Key", "#bulk_key", "#row"],
        ["", "=K2", A, "2"],
    ]


def test_a_bulk_key_with_a_comma_stays_in_its_column(actions):
    actions.add("any,key", GROUPED, [["", "K1", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.read("resend/UpdateAccountingCode-001.csv")[1] == ["", "K1", "any,key", "1"]


def test_failed_records_are_written_with_their_error(actions):
    actions.add(A, GROUPED, [["", "K1", "N", "Period is closed"]], "UpdateAccountingCode")
    actions.publish()
    assert actions.read("retry/UpdateAccountingCode-001.csv") == [
        ["Group ID", "Object Key", "#bulk_key", "#row", "#error"],
        ["", "K1", A, "1", "Period is closed"],
    ]


def test_records_behind_a_failed_record_of_their_group_are_held(actions):
    rows = [
        ["G", "K1", "", ""],
        ["G", "K2", "N", "No"],
        ["H", "K3", "", ""],
        ["G ", "K4", "", ""],
        ["", "K5", "", ""],
    ]
    records = actions.add(A, GROUPED, rows, "UpdateAccountingCode")
    actions.publish()
    resent = [row[1] for row in actions.read("resend/UpdateAccountingCode-001.csv")[1:]]
    held = [row[1] for row in actions.read("held/UpdateAccountingCode-001.csv")[1:]]
    assert (resent, held, records.held_by_group) == (["K1", "K3", "K5"], ["K4"], 1)


def test_a_failed_group_spans_the_tables_of_a_long_file(actions):
    rows = [["G", "K", "N", "No"], *[["", "x", "", ""]] * 30_000, ["G", "last", "", ""]]
    records = actions.add_data(A, csv_text(GROUPED, rows) + b"\r\nshort", "UpdateAccountingCode")
    actions.publish()
    held = [row[1] for row in actions.read("held/UpdateAccountingCode-001.csv")[1:]]
    assert (held, records.held_by_group, records.unprocessed) == (["last"], 1, 30_002)


@pytest.mark.parametrize("mark", ["N", ""])
def test_a_payment_record_with_a_payment_id_is_never_sent_again(actions, mark):
    actions.add(A, MPU, [["ACC", "10.00", "Electronic", mark, "No", "P-1", "", "", "Error"]], "MPU")
    actions.publish()
    assert [row[0] for row in actions.read("held/MPU-001.csv")[1:]] == ["ACC"]
    assert [name for name in actions.names() if name.startswith(("resend", "retry"))] == []


def test_created_payments_are_listed_with_the_electronic_ones_first(actions):
    rows = [
        ["A1", "10", "External", "Y", "", "P-1", "", "", "Processed"],
        ["A2", "20", "electronic ", "Y", "", "P-2", "", "", "Processed"],
        ["A3", "30", "", "Y", "", "P-3", "", "", "Processed"],
        ["A4", "40", "Electronic", "", "", "", "", "", ""],
    ]
    actions.add(A, MPU, rows, "MPU")
    actions.publish()
    assert [row[2] for row in actions.read("reverse/MPU-payments.csv")[1:]] == ["P-2", "P-1", "P-3"]


def test_created_schedules_are_an_upload_that_deletes_them(actions):
    header = ["Group ID", "Subscription Charge Key", "Success", "Revenue Schedule Number", "Error Message"]
    actions.add(A, header, [["", "C1", "Y", "RS-1", ""], ["", "C2", "", "", ""]], "CreateRevenueSchedule")
    actions.publish()
    assert actions.read("reverse/DeleteRevenueSchedule-001.csv") == [
        ["Revenue Schedule Number", "#bulk_key", "#row"],
        ["RS-1", A, "1"],
    ]
    assert actions.read("resend/CreateRevenueSchedule-001.csv")[0] == [
        "Group ID", "Subscription Charge Key", "#bulk_key", "#row",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", sorted(set(ACTION_TYPES) - {"MPU", "CreateRevenueSchedule"}))
def test_changed_objects_of_the_other_types_are_listed(actions, kind):
    actions.add(A, GROUPED, [["", "K1", "Y", ""]], kind)
    actions.publish()
    assert actions.read(f"reverse/{kind}-001.csv")[1:] == [["", "K1", A, "1"]]


def test_created_schedules_are_in_no_file_with_schedules_that_were_deleted(actions):
    deleted = ["Revenue Schedule Number", "Success", "Error Message"]
    created = ["Subscription Charge Key", "Success", "Revenue Schedule Number", "Error Message"]
    actions.add(A, deleted, [["RS-1", "Y", ""]], "DeleteRevenueSchedule")
    actions.add(B, created, [["C1", "Y", "RS-2", ""]], "CreateRevenueSchedule")
    actions.publish()
    assert actions.read("reverse/DeleteRevenueSchedule-001.csv")[1:] == [["RS-1", A, "1"]]
    assert actions.read("reverse/DeleteRevenueSchedule-002.csv")[1:] == [["RS-2", B, "1"]]
    page = (actions.directory / "remediation" / "README.md").read_text()
    sentence = next(line for line in page.splitlines() if "deletes the revenue schedules" in line)
    assert "DeleteRevenueSchedule-002.csv" in sentence
    assert "DeleteRevenueSchedule-001.csv" not in sentence


def test_a_schedule_number_that_the_user_uploaded_is_kept(actions):
    header = ["Revenue Schedule Number", "Success", "Error Message"]
    actions.add(A, header, [["RS-9", "", ""]], "UpdateRevenueSchedule")
    actions.publish()
    assert actions.read("resend/UpdateRevenueSchedule-001.csv")[1:] == [["RS-9", A, "1"]]


def test_own_informational_columns_are_replaced_and_others_kept(actions):
    header = ["Object Key", "#bulk_key", "#row", "#error", "#batch", "Success", "Error Message"]
    actions.add(B, header, [["K", A, "7", "old", "b1", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.read("resend/UpdateAccountingCode-001.csv") == [
        ["Object Key", "#batch", "#bulk_key", "#row"],
        ["K", "b1", B, "1"],
    ]


@pytest.mark.parametrize("kind", [None, "Unheard"])
def test_records_of_an_unknown_type_stay_in_the_general_files(actions, kind):
    actions.add(A, GROUPED, [["", "K", "", ""]], kind)
    actions.publish()
    guide = (actions.directory / "remediation" / "README.md").read_text()
    assert (actions.names(), len(actions.read("unprocessed.csv")), "not known" in guide) == ([], 2, True)


def test_a_header_with_a_deciding_column_twice_is_unknown(actions):
    header = ["Group ID", "Group ID", "Object Key", "Success", "Error Message"]
    actions.add(A, header, [["G", "G", "K", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.names() == []


def test_actions_share_a_file_if_no_group_is_in_both(actions):
    for key, group in ((A, "G1"), (B, "G2")):
        actions.add(key, GROUPED, [[group, "K", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.names() == ["resend/UpdateAccountingCode-001.csv"]


def test_actions_with_the_same_group_get_separate_files(actions):
    for key in (A, B):
        actions.add(key, GROUPED, [["G1", "K", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert len(actions.names()) == 2


def test_different_headers_get_separate_files(actions):
    actions.add(A, GROUPED, [["", "K", "", ""]], "UpdateAccountingCode")
    actions.add(B, ["Object Key", "Success", "Error Message"], [["K", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert len(actions.names()) == 2


def test_each_tenant_has_a_folder(tmp_path):
    actions = Actions(tmp_path, tenants=True)
    for name in (f"eu/{A}", f"us/{A}"):
        actions.add(name, GROUPED, [["", "K", "", ""]], "UpdateAccountingCode")
    actions.publish()
    assert actions.names() == [f"resend/{name}/UpdateAccountingCode-001.csv" for name in ("eu", "us")]


def test_a_group_that_does_not_fit_loses_the_informational_columns(actions, monkeypatch):
    small_files(monkeypatch, 400)
    rows = [["G", f"K{number:02}", "", ""] for number in range(40)]
    actions.add(A, GROUPED, rows, "UpdateAccountingCode")
    actions.publish()
    guide = (actions.directory / "remediation" / "README.md").read_text()
    assert actions.read("resend/UpdateAccountingCode-001.csv")[0] == ["Group ID", "Object Key"]
    assert "UpdateAccountingCode-001.csv` lacks the columns" in guide


ROWS = st.lists(
    st.tuples(st.sampled_from(["", "G1", "G2", "G3", "G4"]), st.text('abc,"\n', max_size=30)), max_size=40
)


@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from([tables.PIECE, 100]))
def test_no_file_is_too_large_and_no_group_is_split(tmp_path_factory, several, piece):
    actions = Actions(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_files(monkeypatch, 3_000)
        small_pieces(monkeypatch, piece)
        for number, rows in enumerate(several):
            body = [[group, cell, "", ""] for group, cell in rows]
            actions.add(f"{number:032}", GROUPED, body, "UpdateAccountingCode")
        actions.publish()
    assert max(sizes(actions).values(), default=0) <= 3_000
    found: dict[tuple[str, str], set[str]] = {}
    sent = []
    for name in actions.names():
        records = actions.read(name)[1:]
        assert [record[2:] for record in records] == sorted(
            (record[2:] for record in records), key=lambda place: (place[0], int(place[1]))
        )
        for group, cell, key, row in records:
            sent.append((key, int(row), group, cell))
            if group:
                found.setdefault((key, group), set()).add(name)
    expected = [
        (f"{number:032}", row, group, cell)
        for number, rows in enumerate(several)
        for row, (group, cell) in enumerate(rows, 1)
    ]
    assert sorted(sent) == sorted(expected)
    assert all(len(names) == 1 for names in found.values())


@given(st.lists(ROWS, min_size=1, max_size=4), st.sampled_from([tables.PIECE, 100]))
def test_no_file_has_a_group_of_two_actions(tmp_path_factory, several, piece):
    actions = Actions(tmp_path_factory.mktemp("run"))
    with pytest.MonkeyPatch.context() as monkeypatch:
        small_pieces(monkeypatch, piece)
        for number, rows in enumerate(several):
            body = [[group, cell, "", ""] for group, cell in rows]
            actions.add(f"{number:032}", GROUPED, body, "UpdateAccountingCode")
        actions.publish()
    for name in actions.names():
        users: dict[str, set[str]] = {}
        for group, _, key, _ in actions.read(name)[1:]:
            users.setdefault(group, set()).add(key)
        assert all(len(keys) == 1 for group, keys in users.items() if group)


MARKS = st.lists(
    st.tuples(
        st.sampled_from(["", "G1", "G2"]), st.sampled_from(["Y", "N", ""]), st.sampled_from(["", "P-1"])
    ),
    max_size=20,
)


@given(st.sampled_from([*ACTION_TYPES]), MARKS)
def test_every_record_of_a_known_type_is_in_one_place(tmp_path_factory, kind, rows):
    actions = Actions(tmp_path_factory.mktemp("run"))
    header = ["Group ID", "Object Key", "Success", "Error Message", "Payment ID"]
    actions.add(A, header, [[group, "K", mark, "", payment] for group, mark, payment in rows], kind)
    actions.publish()
    places = [
        int(row[header_of.index("#row")])
        for name in actions.names()
        if not name.startswith("reverse")
        for header_of, *body in [actions.read(name)]
        for row in body
    ]
    succeeded = [int(row[1]) for row in actions.read("succeeded.csv")[1:]]
    assert sorted(places + succeeded) == list(range(1, len(rows) + 1))


def test_values_are_written_unchanged(actions):
    cells = ["=1+1", " padded ", 'said "stop"', "two\nlines", "a,b", "-12.50", "", "ü\udcff"]
    actions.add(
        A, ["Object Key", "Success", "Error Message"], [[cell, "", ""] for cell in cells], "ImportFXRate"
    )
    actions.publish()
    assert [row[0] for row in actions.read("resend/ImportFXRate-001.csv")[1:]] == cells


def test_quoted_files_are_read_as_unquoted_ones(actions):
    text = io.StringIO()
    csv.writer(text)
    actions.add(A, GROUPED, [["", "K,1", "", ""]], "UpdateAccountingCode", quoting=csv.QUOTE_ALL)
    actions.publish()
    assert actions.read("resend/UpdateAccountingCode-001.csv")[1:] == [["", "K,1", A, "1"]]
