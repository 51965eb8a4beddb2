"""Rows with very long or very many cells."""

import pytest

from orchestrator.journal.admission import LONGEST, MOST_LABELS, bounded
from orchestrator.model import InputRow

KEY = "402892f04c97b89a014c97bb30a50003"


def test_a_label_of_a_megabyte_is_shortened_with_a_mark():
    row = bounded(InputRow(1, KEY, {"note": "x" * 1_000_000, "owner": "Ada"}))
    assert row.labels == {"note": f"{'x' * LONGEST}… (1,000,000 characters)", "owner": "Ada"}


def test_the_name_of_a_label_is_shortened_like_its_text():
    row = bounded(InputRow(1, KEY, {"n" * 2_000: "x"}))
    assert row.labels == {f"{'n' * LONGEST}… (2,000 characters)": "x"}


def test_a_row_with_very_many_columns_keeps_the_first_labels_and_says_how_many_there_were():
    row = bounded(InputRow(1, KEY, {f"column {n}": "x" for n in range(5_000)}))
    assert (len(row.labels), row.labels["column 0"], row.labels["…"]) == (
        MOST_LABELS + 1, "x", f"{5_000 - MOST_LABELS:,} more columns",
    )  # fmt: skip


def test_a_malformed_key_of_a_megabyte_is_shortened_with_a_mark():
    row = bounded(InputRow(1, "x" * 1_000_000, problem="no key"))
    assert row.key == f"{'x' * LONGEST}… (1,000,000 characters)"


@pytest.mark.parametrize(
    "row",
    [
        InputRow(1, KEY),
        InputRow(1, KEY, {"note": "x" * LONGEST}),
        InputRow(1, "k" * 2_000),
        InputRow(1, "x" * LONGEST, problem="no key"),
    ],
    ids=["plain", "label", "usable key", "malformed key"],
)
def test_a_row_of_usual_size_is_unchanged(row):
    assert bounded(row) is row
