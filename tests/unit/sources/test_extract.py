"""Keys in text that goes over several lines, and in tables with several columns of keys."""

import json
from pathlib import Path

import pytest

from orchestrator.sources.extract import Extraction
from tests.unit.sources.test_shapes import A, B, C


def rows_of_keys(folder: Path, text: str) -> list[tuple[str, int]]:
    log = folder / "app.log"
    log.write_text(text, newline="")
    extraction = Extraction()
    extraction.read(str(log))
    return [(key, found.row) for key, found in extraction.found.items()]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"bulkKeys": [A, B], "traces": [C]}, indent=1), [(A, 3), (B, 4)]),
        (f'"bulkKey" : [\r\n "{A}",\r\n\r\n "{B}"\r\n ],\r\n "{C}"\r\n', [(A, 2), (B, 4)]),
        (f'"bulkKeys": ["{A}",\n"{B}"], "trace": "{C}"', [(A, 1), (B, 2)]),
        (f'"bulkKeys": [\n"{A}"], "bulkKeys": [\n"{B}"]\n"{C}"', [(A, 2), (B, 3)]),
        (f"bulkKeys: [\n{A},\nINFO trace={B}\n{C}", [(A, 2)]),
        (f"bulk_keys:\n - {A}\n - {B}\ntraces:\n - {C}\n", [(A, 2), (B, 3)]),
        (f'"bulkKey":\n "{A}",\n"trace":\n "{C}"', [(A, 2)]),
        (f"bulkKey=\n{C}\n", []),
    ],
    ids=["JSON", "CRLF", "first line", "two lists", "never closed", "YAML", "value", "empty variable"],
)
def test_a_value_or_list_that_begins_below_its_label_is_found(tmp_path, text, expected):
    assert rows_of_keys(tmp_path, text) == expected


def test_every_column_titled_bulk_key_is_searched(tmp_path):
    assert rows_of_keys(tmp_path, f"bulk_key,id,Bulk Key\n{A},{C},{B}\n") == [(A, 2), (B, 2)]
