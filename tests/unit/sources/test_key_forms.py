"""The characters removed around a key, the keys that --any-key accepts, and the problem of a malformed key."""

import pytest

from orchestrator.errors import InputError
from orchestrator.model import InputRow
from tests.unit.sources.tables import brief, problem
from tests.unit.sources.test_shapes import A, B, C


@pytest.mark.parametrize(
    "written",
    [
        f"'{C}", f"'{C}'", f"`{C}`", f'="{C}"', f'"=""{C}"""', f"\u201c{C}\u201d", f"\u201e{C}\u201c",
        f"\u00ab{C}\u00bb",
        f"\u200b{C}\u00a0", f"\ufeff{C}", f"\u2060{C}\u200d", f"\u202a{C}\u202c", f"{C}\x1a", f" \u3000{C}\u2009",
        f"\u00ad{C}", f"'{C} '", f'"\'{C}\'"',
    ],
    ids=ascii,
)  # fmt: skip
@pytest.mark.parametrize("header", ["", "bulk_key\n", "BulkJobId\n"], ids=["none", "known", "unknown"])
def test_characters_around_a_key_are_removed(keys, written, header):
    assert [row.key for row in keys(f"{header}{written}\n") if row.problem is None] == [C]


@pytest.mark.parametrize("sep", ["sep=;", "SEP=;", '"sep=;"', "\ufeffsep=;", "sep=; "])
def test_the_line_of_a_spreadsheet_about_the_delimiter_is_honoured(keys, sep):
    assert keys(f"{sep}\r\nnote;bulk_key\r\na,b;{A}\r\n") == [InputRow(3, A, {"note": "a,b"})]


@pytest.mark.parametrize("delimiter", [",", "\t", "|", ";"])
def test_any_delimiter_that_a_spreadsheet_names_is_used(keys, delimiter):
    lines = [f"sep={delimiter}", f"bulk_key{delimiter}note", f"{A}{delimiter}x"]
    assert keys("\n".join(lines)) == [InputRow(3, A, {"note": "x"})]


def test_a_repeated_line_about_the_delimiter_is_skipped(keys):
    part = "sep=;\nbulk_key;note\n"
    assert brief(keys(f"{part}{A};x\n{part}{B};y\n")) == [(3, A), (6, B)]


def test_a_line_of_invisible_characters_is_blank(keys):
    assert brief(keys(f"\u200b\n{A}\n\u00a0\u200b\n{B}\n\x1a")) == [(2, A), (4, B)]


@pytest.mark.parametrize(
    ("cell", "sentence"),
    [
        (
            f"'{C[1:]}",
            "Without its leading apostrophe the key has 31 characters; a bulk key is 32 letters or digits",
        ),
        (
            "2c92c0f8-7f1d-4c5c-9b8a-6d5e4f3a2b1c",
            "This is a UUID with hyphens; a bulk key is 32 letters or digits",
        ),
        ("4.02892E+31", "A spreadsheet made the number 4.02892E+31 of the key. Export it again"),
        (
            f"https://rest.zuora.com/v1/bulk/{C}/stop",
            "The cell contains a key and other text; leave only the key.",
        ),
        (f"{A} {B}", "The cell contains 2 keys; put each into a row or cell of its own."),
        (f"{C[:8]}\u200b{C[8:]}", "Character 9 of the key is '\\u200b' (U+200B)"),
    ],
    ids=["apostrophe", "UUID", "number", "address", "two keys", "invisible inside"],
)
def test_a_malformed_key_has_its_own_problem(keys, cell, sentence):
    assert problem(keys(f"key\n{cell}\n")).startswith(sentence)


@pytest.mark.parametrize("key", ["a", "job-1", "A.b_c~d-9", C, "x" * 200])
@pytest.mark.parametrize(
    ("content", "options"),
    [("bulk_key,note\n{},x\n", {}), ("{}\n", {}), ("x,{}\n", {"column": "2"}), ("n,Job\nx,{}\n", {"column": "Job"})],
    ids=["header", "one cell per row", "number", "title"],
)  # fmt: skip
def test_any_key_accepts_text_that_is_safe_in_a_path(keys, key, content, options):
    assert [row.key for row in keys(content.format(key), any_key=True, **options) if row.problem is None] == [
        key
    ]


@pytest.mark.parametrize("key", ["a b", "a/b", "..", ".", "a%20b", "ä", "a?b", "x" * 201, "a:b"])
def test_any_key_refuses_text_that_is_not_safe_in_a_path(keys, key):
    [row] = keys(f"key\n{key}\n", any_key=True)
    assert (row.key, row.problem is None) == (key[:200], False)


def test_any_key_without_a_hint_where_the_key_is_refuses_several_columns(keys):
    with pytest.raises(
        InputError, match=r"has several columns. With --any-key name the key's column with --column"
    ):
        keys("job-1,note\n", any_key=True)


def test_any_key_without_a_header_reports_a_row_of_several_cells(keys):
    rows = keys("job-1\njob-2,job-3\njob-4,\n", any_key=True)
    assert [(row.key, row.problem is None) for row in rows] == [
        ("job-1", True), ("job-2", False), ("job-4", True),
    ]  # fmt: skip


def test_any_key_finds_bulk_keys_beyond_the_header(keys):
    assert [row.key for row in keys(f"key\njob-1,{A}\n", any_key=True)] == ["job-1", A]


@pytest.mark.parametrize("options", [{}, {"column": "bulk_key"}, {"column": "2"}])
def test_a_repeated_header_is_no_key_with_any_key(keys, options):
    found = keys("job,bulk_key\n1,job-1\njob, bulk_key\n2,job-2\n", any_key=True, **options)
    assert [(row.number, row.key) for row in found] == [(2, "job-1"), (4, "job-2")]


@pytest.mark.parametrize("key", [".", ".."])
def test_a_step_of_a_path_is_refused_with_its_reason(keys, key):
    assert "not . or .. alone" in problem(keys(f"bulk_key\n{key}\n", any_key=True))
