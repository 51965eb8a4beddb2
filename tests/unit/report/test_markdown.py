"""The Markdown form: short, true, and safe to paste for any input."""

import io
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from orchestrator.journal.reader import JournalReader
from orchestrator.model import Outcome
from orchestrator.report import read_head
from orchestrator.report.pages.markdown import code, write_markdown
from orchestrator.report.pages.view import FIRST
from tests.made_runs import HOSTILE, MadeRun, made_run, one_of_each

READER = MarkdownIt("gfm-like")  # with tables, and with every address as a link


def text_of(run: MadeRun) -> str:
    buffer = io.BytesIO()
    write_markdown(JournalReader(run.connection), buffer.write, Path("runs/one"))
    return buffer.getvalue().decode()


def tokens(text: str) -> list[Token]:
    every = READER.parse(text)
    return every + [child for one in every for child in one.children or []]


def kinds(text: str) -> set[str]:
    return {one.type for one in tokens(text)}


@pytest.fixture
def run():
    with made_run() as run:
        yield run


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_text_from_outside_is_only_code(text):
    (paragraph,) = (one for one in READER.parse(f"before {code(text)} after") if one.type == "inline")
    assert {one.type for one in paragraph.children or []} <= {"text", "code_inline"}


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_text_from_outside_stays_in_its_cell(text):
    table = f"| a | b |\n| :-- | :-- |\n| {code(text)} | end |\n"
    cells = [one for one in READER.parse(table) if one.type == "td_open"]
    assert len(cells) == 2


@given(st.text() | st.sampled_from(HOSTILE))
def test_a_text_from_outside_mentions_no_person(text):
    assert not re.search(r"[@<>`|\n\r]", code(text)[1:-1])


@given(st.text(min_size=50))
def test_a_long_text_is_cut(text):
    assert (
        len(code(text.replace("\n", " "), 10)) <= 12 * 10
    )  # ten characters, each of them perhaps spelled out


def test_a_run_of_everything_has_no_link_and_no_markup(run):
    one_of_each(run)
    found = kinds(text_of(run))
    assert "table_open" in found
    assert not found & {"link_open", "image", "html_block", "html_inline"}


def test_the_counts_are_those_of_the_report(run):
    one_of_each(run)
    _, summary = read_head(JournalReader(run.connection))
    text = text_of(run)
    (whole,) = re.findall(r"^\| \*\*All\*\* \| \*\*([\d,]+)\*\* \| ([\d,]+) ", text, re.M)
    assert [int(one.replace(",", "")) for one in whole] == [
        sum(summary.outcomes.values()), summary.records.total,
    ]  # fmt: skip


def test_the_text_names_the_first_keys_that_need_a_person_and_counts_the_rest(run):
    keys = [run.add(Outcome.REJECTED) for _ in range(FIRST + 3)]
    text = text_of(run)
    assert all(f"`{one}`" in text for one in keys[:FIRST])
    assert f"`{keys[FIRST]}`" not in text
    assert "and 3 more" in text


def test_the_text_fits_a_screen_for_a_run_of_any_size(run):
    for _ in range(300):
        run.add(Outcome.UNREACHABLE)
    assert len(text_of(run).splitlines()) < FIRST + 30


def test_open_keys_name_the_command_that_continues(run):
    run.add(Outcome.UNCONFIRMED)
    assert "`mass-stop resume runs/one`" in text_of(run)


def test_a_run_that_has_not_ended_names_no_file_of_its_end(run):
    run.add(Outcome.UNCONFIRMED)
    running = text_of(run)
    assert "`mass-stop report runs/one --report -`" in running
    run.end()
    for name in ("needs-person.csv", "report.json", "report.html"):
        assert f"`runs/one/{name}`" not in running
        assert f"`runs/one/{name}`" in text_of(run)


def test_a_run_that_was_killed_while_it_wrote_its_files_is_continued(run):
    run.add(Outcome.STOPPED)
    assert "`mass-stop resume runs/one`" in text_of(run)


def test_a_run_with_all_keys_over_has_no_next_step(run):
    run.add(Outcome.STOPPED)
    run.end()
    text = text_of(run)
    assert text.startswith("**✅ All over.**")
    assert "nothing is left to stop" in text


def test_production_is_marked(run):
    assert "**production**" in text_of(run)


def test_a_plan_names_the_command_that_stops():
    with made_run(command="plan") as run:
        run.add(Outcome.WOULD_STOP)
        assert "`mass-stop run --plan runs/one`" in text_of(run)


def test_each_key_of_several_tenants_is_shown_with_its_tenant():
    with made_run(tenants=("north", "south")) as run:
        key = run.add(Outcome.REJECTED, tenant="south")
        assert f"- `{key}` (tenant `south`, `" in text_of(run)


def test_the_first_of_many_tenants_are_shown():
    with made_run(tenants=tuple(f"t{number:03}" for number in range(200))) as run:
        run.add(Outcome.STOPPED, tenant="t007")
        text = text_of(run)
    assert "`t005` at" in text
    assert "`t006`" not in text
    assert "; and 194 more" in text


def test_a_plan_of_several_tenants_names_their_file_in_the_next_step():
    with made_run(command="plan", tenants=("north",)) as run:
        run.add(Outcome.WOULD_STOP, tenant="north")
        assert "`mass-stop run --plan runs/one --tenants '/folder of/tenants.toml'`" in text_of(run)


def test_the_reason_is_shown(run):
    run.end("aborted", "The deadline passed: @here", 4)
    assert "Reason: `The deadline passed: ＠here`" in text_of(run)
