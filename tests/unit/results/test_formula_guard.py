"""The formula guard: which cells it changes, and that it can be undone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.results.formula_guard import guard
from tests.unit.results.guarded_cells import unguard


@pytest.mark.parametrize(
    "cell", ["=1+1", "+x", "-x", "@SUM(A1)", "\tx", "\rx", "=", "-", "+-3", "-1+cmd|' /C calc'!A0",
     "＝1+1", "＋1", "－1", "＠SUM(A1)",
     " =1", "  -x", "\t=1", " \t@x", "\n=1", "\xa0=1", "\u3000＝1", "\u200b=1", "\ufeff+x", "\x00=1", "\x9f=1"]
)  # fmt: skip
def test_a_cell_that_a_spreadsheet_would_run_gets_an_apostrophe(cell):
    assert guard(cell) == f"'{cell}"


@pytest.mark.parametrize(
    "cell",
    [
        "-12.50",
        "+3",
        "-.5",
        "12",
        "",
        "plain",
        "'Y'",
        "it's",
        "2026-03-28",
        "a=b",
        "a ＝ b",
        " x",
        " -12.50 ",
        "ü",
        "→",
    ],
)
def test_a_harmless_cell_stays_as_it_is(cell):
    assert guard(cell) == cell


@pytest.mark.parametrize("number", ["-٣", "-1e5", "-1\n", "- 1", "--1"])
def test_only_plain_numbers_are_unchanged(number):
    assert guard(number) == f"'{number}"


@given(st.text(st.sampled_from("'=+-@＝\t\r1.x\n \u200b")) | st.text())
def test_the_guard_can_be_undone(cell):
    assert unguard(guard(cell)) == cell


@given(st.text(st.sampled_from("'=+-@\t\r1.x\n")))
def test_no_guarded_cell_is_a_formula(cell):
    assert guard(cell)[:1] not in tuple("=+-@\t\r") or guard(cell).lstrip("+-").replace(".", "", 1).isdigit()
