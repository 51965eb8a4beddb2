"""An input that is refused, and what the operator is warned about."""

from collections import Counter
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from orchestrator.errors import InputError
from orchestrator.journal.intake import (
    FileIntake,
)
from orchestrator.journal.journal import Journal
from orchestrator.model import Outcome
from orchestrator.sources import open_source
from orchestrator.sources.rows import Wanted
from tests.unit.journal.intakes import connection, fill, info, journal, key, known, read, report, rows, write

__all__ = ["connection", "info", "journal"]


def test_with_strict_a_malformed_row_is_refused_with_its_line(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1)
    path.write_text(path.read_text() + "nonsense\n")
    with pytest.raises(InputError, match=r"keys\.csv, line 2"):
        read(journal, path, strict=True)


def test_without_strict_a_malformed_row_is_a_result(journal, tmp_path):
    path = fill(tmp_path / "keys.csv", 1)
    path.write_text(path.read_text() + "nonsense\n")
    read(journal, path)
    assert report(journal).actions[1].outcome is Outcome.MALFORMED


def test_an_empty_file_is_refused_by_name(journal, tmp_path):
    with pytest.raises(InputError, match=r"keys\.csv is empty: name a file with bulk keys"):
        read(journal, fill(tmp_path / "keys.csv"))


def test_an_empty_file_beside_one_that_an_earlier_session_read_is_read_to_its_end(journal, tmp_path):
    """A resume reads only the rest; an empty rest says nothing about the whole input."""
    read(journal, fill(tmp_path / "keys.csv", 1, 2))
    assert read(journal, fill(tmp_path / "more.csv")) == []
    assert [source.rows for source in report(journal).run.sources] == [2, 0]


def refusal(journal: Journal, path: Path, **options) -> str:
    with pytest.raises(InputError) as raised:
        read(journal, path, **options)
    return str(raised.value)


@pytest.mark.parametrize(
    ("content", "options", "end"),
    [
        (
            "x\ny\n",
            {},
            "keys.csv, row 1: The key has 1 character; a bulk key is 32 letters or digits (A-Z, a-z, 0-9).",
        ),
        (f"key,job\nx,{key(1)}\n", {}, "If another column contains the keys, name it with --column."),
        (f"key,job\nx,{key(1)}\n", {"column": "key"}, "a bulk key is 32 letters or digits (A-Z, a-z, 0-9)."),
        ("# nothing\n", {}, "keys.csv has no row with a key, only a header, comments or blank lines."),
        ("bulk_key\n", {}, "keys.csv has no row with a key, only a header, comments or blank lines."),
    ],
    ids=["one column", "another column", "chosen column", "comments", "header"],
)
def test_an_input_without_a_key_is_refused_with_its_own_problem(journal, tmp_path, content, options, end):
    sentence = refusal(journal, write(tmp_path / "keys.csv", content), **options)
    assert sentence.startswith("The input holds no usable bulk key")
    assert sentence.endswith(end)


def test_a_file_with_an_unclear_column_is_refused_before_a_key_of_another_is_sent(journal, tmp_path):
    paths = [
        fill(tmp_path / "one.csv", 1),
        write(tmp_path / "two.csv", f"a,b\n{key(2)},{key(3)}\n"),
    ]
    infos = journal.add_sources([(path.name, str(path)) for path in paths])
    sources = [(open_source(str(path)), info) for path, info in zip(paths, infos, strict=True)]
    new: list[Counter[str]] = []

    async def main() -> None:
        await FileIntake(journal, sources, Wanted()).read(new.append)

    with pytest.raises(InputError, match=r"two\.csv has keys in several columns"):
        anyio.run(main)
    assert new == []


def notified(journal: Journal, path: Path) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    read(journal, path, notify=lambda event, sentence: found.append((event, sentence)))
    return found


def test_keys_that_differ_only_in_case_are_all_admitted_and_named(journal, tmp_path):
    one, other = f"{'a' * 31}b", f"{'a' * 31}B"
    path = write(tmp_path / "keys.csv", f"{one}\n{key(1)}\n{other}\n")
    assert notified(journal, path) == [
        ("input.case", f"Keys that differ only in case are different keys; all are sent: {other} and {one}.")
    ]
    assert len(report(journal).actions) == 3


def test_keys_in_one_case_cause_no_warning(journal, tmp_path):
    assert notified(journal, write(tmp_path / "keys.csv", f"{'a' * 32}\n{'B' * 32}\n")) == []


def test_skipped_rows_of_a_handover_are_counted(journal, tmp_path):
    path = write(
        tmp_path / "keys.csv", f"bulk_key,tenant,source,row,outcome\n{key(1)},,a,1,x\n,,a,2,malformed\n"
    )
    assert notified(journal, path) == [("input.skipped", f"{path}: skipped rows without a bulk key: 1.")]


@pytest.mark.parametrize("wrong", [(9, 8, 7), (1,)], ids=["other rows", "too few rows"])
def test_a_wrong_file_at_resume_does_not_keep_the_right_one_from_being_read(journal, tmp_path, wrong):
    (info,) = journal.add_sources([("-", None)])
    journal.admit(info, rows(1, 2), False).result(60)
    with pytest.raises(InputError, match="standard input is not what it was when the run was cut"):
        read(journal, fill(tmp_path / "wrong.txt", *wrong), known(journal))
    assert (known(journal).path, known(journal).digest) == (None, None)

    right = fill(tmp_path / "right.txt", 1, 2, 3)
    assert read(journal, right, known(journal)) == [1]
    assert known(journal).path == str(right)
