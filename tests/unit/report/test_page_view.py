"""The data of the page: the report's own numbers, added up, and the course of the run."""

import io
import json
import re
import tracemalloc
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.clock import stamp
from orchestrator.errors import Kind, StorageError
from orchestrator.journal import database
from orchestrator.journal.reader import JournalReader
from orchestrator.model import OVER, ActionState, Outcome, Problem, Records, Status
from orchestrator.printable import printable
from orchestrator.report import read_report
from orchestrator.report.pages import rows
from orchestrator.report.pages.breakdowns import MOST_SHARES
from orchestrator.report.pages.charts import draw
from orchestrator.report.pages.html import report_sha256, write_html
from orchestrator.report.pages.rows import ROWS_IN_BLOCK, Row
from orchestrator.report.pages.timeline import MOST_STRETCHES, read_timeline
from orchestrator.report.pages.view import FIRST, MOST_ERRORS, read_view
from orchestrator.report.wording import ERRORS, OUTCOMES, error_words, group_of
from tests.made_runs import HOSTILE, WALL, MadeRun, made_run, one_of_each

ENDS = st.lists(
    st.sampled_from([*(one for one in Outcome if one is not Outcome.WOULD_STOP), None]), max_size=30
)


@pytest.fixture
def run():
    with made_run() as run:
        yield run


def page(run: MadeRun, sha256: str | None = "ab" * 32) -> str:
    buffer = io.BytesIO()
    write_html(JournalReader(run.connection), buffer.write, Path("runs/one"), sha256)
    return buffer.getvalue().decode()


def shown_rows(text: str) -> list[dict[str, Any]]:
    """The actions as the page's script gets them."""
    blocks = re.findall(r'<script type="application/json" class="rows">(.*?)</script>', text, re.S)
    return [
        dict(zip(Row.__struct_fields__, row, strict=True)) for block in blocks for row in json.loads(block)
    ]


# Numbers


@settings(max_examples=30)
@given(ENDS)
def test_the_numbers_of_the_page_are_those_of_the_report(ends):
    with made_run() as run:
        for outcome in ends:
            run.add(outcome)
        view, report = read_view(JournalReader(run.connection)), read_report(JournalReader(run.connection))
        summary, rows = report.summary, shown_rows(page(run))
    assert view.actions == len(report.actions) == len(rows)
    assert sum(view.groups[name] for name in ("stopped", "over", "despite")) == sum(
        summary.outcomes.get(one, 0) for one in OVER
    )
    fate = view.fate
    assert (fate.succeeded, fate.failed) == (summary.records.succeeded, summary.records.failed)
    through = (fate.before, fate.despite, fate.so_far)
    assert sum(filter(None, through)) == (summary.records.processed or 0)
    left = (fate.saved, fate.spared, fate.at_risk)
    assert sum(filter(None, left)) == (summary.records.unprocessed or 0)
    for breakdown in view.breakdowns:
        for name in ("total", "processed", "succeeded", "failed", "unprocessed"):
            shown = [getattr(share.sums, name) for share in breakdown.shares]
            assert sum(filter(None, shown)) == (getattr(summary.records, name) or 0)
        assert sum(share.sums.actions for share in breakdown.shares) == len(report.actions)
    for row, action in zip(rows, report.actions, strict=True):
        assert (row["bulk_key"], row["outcome"], row["row"]) == (action.bulk_key, action.outcome, action.row)
        assert (row["total"], row["succeeded"]) == (action.records.total, action.records.succeeded)
        assert (row["track_id"], row["request_id"]) == (action.stop.track_id, action.stop.request_id)


def test_the_share_of_a_breakdown_leads_to_the_rows_it_counts(run):
    one_of_each(run)
    rows = shown_rows(page(run))
    for breakdown in read_view(JournalReader(run.connection)).breakdowns:
        for share in breakdown.shares:
            assert sum(row[share.field] == share.value for row in rows) == share.sums.actions


def test_an_error_of_the_table_leads_to_the_rows_it_counts(run):
    one_of_each(run)
    rows = shown_rows(page(run))
    errors = read_view(JournalReader(run.connection)).errors
    assert {one.words.title for one in errors} == {"Not found", "Timed out", "Malformed row"}
    for one in errors:
        assert sum(row["error"] == one.words.title for row in rows) == one.actions


def test_records_are_saved_only_where_this_run_stopped_the_action(run):
    run.add(Outcome.STOPPED)
    run.add(Outcome.ALREADY_STOPPED)
    run.add(Outcome.UNCONFIRMED)
    fate = read_view(JournalReader(run.connection)).fate
    assert (fate.saved, fate.spared, fate.at_risk) == (6, 12, 18)


def test_records_of_stopped_actions_without_counts_are_not_known(run):
    run.add(Outcome.ALREADY_STOPPED)
    run.add(None)
    run.journal.accepted(2, run.clock.stamp(), run.clock.stamp(), "track-2", None, 0.0, True)
    run.journal.completed(2, Outcome.STOPPED, None)
    fate = read_view(JournalReader(run.connection)).fate
    assert (fate.saved, fate.spared, fate.at_risk) == (None, 6, 0)
    stopped = page(run).split("Saved by the stop</dt><dd>")[1].split("<")[0]
    assert stopped == "–"


def test_actions_without_counts_are_shown(run):
    run.add(Outcome.STOPPED)
    run.add(None)
    assert read_view(JournalReader(run.connection)).fate.uncounted == 1


def test_every_case_and_error_of_several_tenants_names_its_tenant():
    names = tuple(f"tenant-{number}" for number in range(7))
    with made_run(tenants=names) as run:
        for name in names:
            run.add(Outcome.REJECTED, tenant=name)
        view, text = read_view(JournalReader(run.connection)), page(run)
    (cases,), (error,) = view.cases, view.errors
    assert [case.tenant for case in cases.first] == list(names)
    assert (error.tenant, error.tenants) == (names[0], sorted(names))
    assert all(f'<bdi class="tenant">{name}</bdi>' in text for name in names)
    assert "and 2 more" in text


def test_the_next_step_after_a_plan_of_several_tenants_names_their_file():
    with made_run(command="plan", tenants=("north", "south")) as run:
        run.add(Outcome.WOULD_STOP, tenant="north")
        assert "run --plan runs/one --tenants &#39;/folder of/tenants.toml&#39;" in page(run)


def test_only_the_first_keys_of_an_outcome_are_named_at_once(run):
    for _ in range(FIRST + 5):
        run.add(Outcome.REJECTED)
    (cases,) = read_view(JournalReader(run.connection)).cases
    assert (cases.count, len(cases.first)) == (FIRST + 5, FIRST)


def test_settings_at_their_default_are_not_shown(run):
    assert read_view(JournalReader(run.connection)).limits == [
        ("--headroom", "20"),
        ("--max-failures", "5% of the keys"),
    ]


def test_the_guards_of_a_run_are_shown_in_full(run):
    given = {"expect_uploaded_by": ["ann@example.com", "bob@example.com"], "no_results": True}
    run.connection.execute("UPDATE run SET settings = ?", [msgspec.json.encode(given).decode()])
    assert read_view(JournalReader(run.connection)).limits == [
        ("--expect-uploaded-by", "ann@example.com, bob@example.com"),
        ("--no-results", "yes"),
    ]


def test_a_journal_without_a_run_is_refused():
    connection = database.in_memory()
    try:
        with pytest.raises(StorageError):
            read_view(JournalReader(connection))
    finally:
        connection.close()


# Words


def test_every_outcome_has_its_words_and_those_that_need_a_person_say_what_to_do():
    assert set(OUTCOMES) == set(Outcome)
    assert all(OUTCOMES[one].todo for one in Outcome if group_of(one) == "person")


def test_every_kind_of_error_has_its_words():
    assert set(Kind) <= set(ERRORS)


def test_an_error_kind_of_a_later_version_is_shown_unchanged():
    assert error_words("never_heard_of").title == "Never heard of"


@pytest.mark.parametrize(
    ("ends", "state", "command", "title"),
    [
        ([Outcome.STOPPED, Outcome.ALREADY_FAILED], "finished", "run", "All over"),
        ([Outcome.STOPPED, Outcome.REJECTED], "finished", "run", "Not all over"),
        ([Outcome.UNCONFIRMED], "finished", "run", "Not all over"),
        ([Outcome.REJECTED, Outcome.NOT_ATTEMPTED], "aborted", "run", "Nothing was stopped"),
        ([Outcome.STOPPED, None], "running", "run", "Not finished"),
        ([Outcome.WOULD_STOP, Outcome.ALREADY_STOPPED], "finished", "plan", "Plan, no stop was sent"),
        ([], "finished", "run", "Nothing to stop"),
    ],
)
def test_the_headline_claims_no_more_than_is_known(ends, state, command, title):
    with made_run(command=command) as run:
        for outcome in ends:
            run.add(outcome)
        if state != "running":
            run.end(state)
        assert read_view(JournalReader(run.connection)).headline.title == title


@given(st.text())
def test_visible_text_contains_no_hidden_character(text):
    assert printable(text).isprintable()


# The course


def test_every_event_is_in_one_stretch_of_the_timeline(run):
    one_of_each(run)
    run.end()
    timeline = read_timeline(JournalReader(run.connection))
    assert (sum(timeline.accepted), sum(timeline.settled)) == (3, 10)
    assert sum(timeline.failed) == 2
    assert timeline.stretches <= MOST_STRETCHES


def test_an_event_is_at_its_time(run):
    run.seconds.now = 49.95
    run.add(Outcome.STOPPED)  # at 50.05 s
    run.seconds.now = 100.0
    run.end()
    timeline = read_timeline(JournalReader(run.connection))
    assert timeline.accepted.index(1) == int(50.05 / timeline.width)


def test_the_pauses_of_a_resumed_run_take_no_room(run):
    run.seconds.now = 10.0
    run.end("interrupted")
    run.seconds.now = 7_210.0
    run.journal.begin_session()
    run.add(Outcome.STOPPED)
    run.seconds.now = 7_230.0
    run.end()
    timeline = read_timeline(JournalReader(run.connection))
    assert timeline.seconds == pytest.approx(30.0)
    assert [one.pause for one in timeline.sessions] == [0.0, pytest.approx(7_200.0)]
    assert timeline.accepted.index(1) == int(10.1 / timeline.width)


def test_a_session_that_was_killed_lasted_to_its_last_event(run):
    run.seconds.now = 5.0
    run.add(Outcome.STOPPED)
    run.seconds.now = 500.0
    run.journal.begin_session()
    run.seconds.now = 501.0
    run.end()
    first, second = read_timeline(JournalReader(run.connection)).sessions
    assert first.ended_at is None
    assert [first.seconds, second.seconds] == pytest.approx([5.1, 1.0])


def test_a_run_of_no_time_has_a_timeline(run):
    run.end()
    timeline = read_timeline(JournalReader(run.connection))
    assert timeline.stretches == 1
    assert draw(timeline, 0, planning=False).ticks


def test_slots_of_several_tenants_are_added_up(run):
    for tenant, slots in (("one", 10), ("two", 30)):
        run.journal.of(tenant).paced(slots, 5, None, 0, 0)
    run.seconds.now = 60.0
    run.end()
    assert max(one.slots for one in read_timeline(JournalReader(run.connection)).pace) == 40


@settings(max_examples=30)
@given(st.lists(st.tuples(st.sampled_from(list(OVER)), st.floats(0, 1e5)), min_size=1, max_size=12))
def test_no_chart_leaves_its_square(steps):
    with made_run() as run:
        for outcome, pause in steps:
            run.seconds.now += pause
            run.add(outcome)
            run.journal.paced(36, 40, 99.0, 0, 0)
        run.end()
        charts = draw(read_timeline(JournalReader(run.connection)), len(steps), planning=False)
    for panel in charts.panels:
        for shape in panel.shapes:
            numbers = [float(one) for one in re.findall(r"-?[\d.]+", shape.path)]
            assert all(0 <= one <= 1000 for one in numbers)
        assert all(0 <= tick.percent <= 100 for tick in [*panel.levels, *charts.ticks])


# The file


@pytest.mark.parametrize("text", HOSTILE)
def test_text_from_outside_never_becomes_markup(text):
    plain = text.encode("utf-8", "replace").decode()
    with made_run() as run:
        one_of_each(run)
        before = page(run)
        run.add(Outcome.STOPPED, {plain: plain})
        run.add(Outcome.MALFORMED, bulk_key=plain)
        after = page(run)
    # With any text, the page has no more elements of these kinds than before.
    for tag in ("<script", "<img", "<svg onload", "<iframe", "<!--", "</script"):
        assert after.count(tag) == before.count(tag)
    assert all("\u202e" not in row["bulk_key"] for row in shown_rows(after))


def test_the_page_contains_no_address_to_load_from(run):
    one_of_each(run)
    text = page(run)
    assert not re.search(r'(?:src|href)="(?!#|data:image/svg\+xml)', text)
    assert not re.search(r"url\(|@import|fetch\(|XMLHttpRequest|WebSocket", text)


def test_the_page_is_identical_each_time(run):
    one_of_each(run)
    assert page(run) == page(run)


def test_the_page_has_the_hashes_of_input_and_output(run):
    run.journal.source_complete(run.sources[0], "cd" * 32)
    text = page(run, report_sha256(JournalReader(run.connection)))
    assert "cd" * 32 in text
    assert report_sha256(JournalReader(run.connection)) in text


def test_a_report_that_was_not_saved_has_no_hash(run):
    assert "could not be saved" in page(run, None)


def test_actions_travel_in_blocks(run):
    for _ in range(ROWS_IN_BLOCK + 1):
        run.add(None)
    text = page(run)
    assert text.count('class="rows"') == 2
    assert len(shown_rows(text)) == ROWS_IN_BLOCK + 1


@pytest.mark.parametrize(("copies", "more"), [(20, ""), (21, " and 1 more"), (1_500, " and 1,480 more")])
def test_the_first_of_many_duplicates_are_named_and_the_others_counted(run, copies, more):
    """A list with a million copies of one line would add ten megabytes to the page."""
    again = run.add(None)
    for _ in range(copies):
        run.add(None, bulk_key=again)
    (row,) = shown_rows(page(run))
    assert row["notes"].count(":") == 20
    assert row["notes"].endswith(f"{more}.")


def test_a_large_page_takes_no_more_memory_than_a_small_one(run, monkeypatch):
    in_block = 200  # a tenth, so that every row is soon there
    monkeypatch.setattr(rows, "ROWS_IN_BLOCK", in_block)

    def peak() -> int:
        tracemalloc.start()
        write_html(JournalReader(run.connection), lambda data: None, Path("run"), None)
        highest = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return highest

    for _ in range(2 * in_block):
        run.add(None)
    peak()
    small = peak()
    for _ in range(8 * in_block):
        run.add(None)
    assert peak() < 1.2 * small + 50_000


def test_the_page_of_a_plan_shows_its_states():
    with made_run(command="plan") as run:
        run.add(Outcome.WOULD_STOP)
        (row,) = shown_rows(page(run))
    assert (row["speed"], row["alone"]) == (2.5, 2.4)


def test_a_local_time_without_a_zone_is_shown_as_such(run):
    assert stamp(WALL)[:10] in page(run)


ROW = 450
"""Bytes of one made-up action in the page, at most."""


@pytest.mark.parametrize("people", [0, 1, 5])
def test_a_page_without_room_for_all_shows_those_that_need_a_person(run, monkeypatch, people):
    monkeypatch.setattr(rows, "ROOM", 10 * ROW)
    for number in range(40):
        run.add(Outcome.UNREACHABLE if number % 8 < 1 and number < 8 * people else Outcome.STOPPED)
    text = page(run)
    outcomes = [row["outcome"] for row in shown_rows(text)]
    if people:
        assert outcomes == ["unreachable"] * people
        assert f"shows {people} of the 40 actions:" in text
        assert "those that need a person." in text
    else:
        assert set(outcomes) == {"stopped"}
        assert f"shows {len(outcomes)} of the 40 actions:" in text
        assert "None of them needs a person." in text


def test_a_page_without_room_for_all_that_need_a_person_counts_the_others(run, monkeypatch):
    monkeypatch.setattr(rows, "ROOM", 10 * ROW)
    for _ in range(40):
        run.add(Outcome.NOT_ATTEMPTED)
    text = page(run)
    shown = len(shown_rows(text))
    assert 5 < shown < 40
    assert f"shows {shown} of the 40 actions:" in text
    assert f"the first of the 40 that need a person. The other {40 - shown} are not shown." in " ".join(
        text.split()
    )


def test_a_page_with_room_for_all_mentions_no_limit(run):
    one_of_each(run)
    assert "This page shows" not in page(run)


def test_no_run_makes_a_page_of_25_megabytes(run, monkeypatch):
    """With the longest texts that a journal keeps, in characters that take the most bytes."""
    monkeypatch.setattr(rows, "ROOM", rows.ROOM // 50)
    labels = {f"{number} \U000e0041" * 50: "\U000e0041" * 1_000 for number in range(100)}
    for _ in range(200):
        run.add(Outcome.NOT_ATTEMPTED, labels)
    assert len(page(run)) < (25 << 20) // 50 + 100 * 13_000


@pytest.mark.parametrize("count", [MOST_SHARES, MOST_SHARES + 1, MOST_SHARES + 40])
def test_the_rare_ones_of_very_many_action_types_are_added_up(run, count):
    for number in range(count):
        run.add(Outcome.STOPPED)
        run.journal.status_read(
            number + 1, ActionState(Status.STOPPED, f"type {number}", records=Records(10)), retried=False
        )
    view = read_view(JournalReader(run.connection))
    (by_type,) = (one for one in view.breakdowns if one.column == "Action type")
    assert sum(share.sums.actions for share in by_type.shares) == count
    assert len(by_type.shares) == min(count, MOST_SHARES + 1)
    if count > MOST_SHARES:
        assert (by_type.shares[-1].name, by_type.shares[-1].value) == (f"{count - MOST_SHARES} others", "")
    assert page(run).count('data-filter="action_type"') == min(count, MOST_SHARES)


def test_the_most_frequent_of_very_many_error_kinds_are_shown(run):
    for code in range(MOST_ERRORS + 7):
        run.add(None)
        run.journal.completed(code + 1, Outcome.REJECTED, Problem("unknown", 50_000_000 + code, 200, "No."))
    view = read_view(JournalReader(run.connection))
    assert (len(view.errors), view.more_errors) == (MOST_ERRORS, 7)
    assert "and 7 more kinds of errors" in page(run)


@pytest.mark.parametrize(
    ("address", "tag"),
    [
        ("https://REST.zuora.com:443/v1/", '<span class="tag production">us2-prod, production</span>'),
        ("https://rest.test.zuora.com", '<span class="tag">us-test</span>'),
        ("https://zuora.example.com", '<span class="tag production">treated as production</span>'),
        ("http://127.0.0.1:8480", ""),
    ],
)
def test_the_page_says_which_kind_of_tenant_it_is(address: str, tag: str):
    with made_run() as run:
        run.connection.execute("UPDATE run SET base_url = ?", [address])
        header = page(run).split('<dl class="where">')[1].split("<div><dt>Run")[0]
    assert tag in header
    assert header.count('class="tag') == (1 if tag else 0)


def test_no_hidden_character_of_any_text_reaches_the_page():
    hidden = "a\u202eb\x1b[2J"
    with made_run(tenants=(hidden,)) as run:
        run.add(Outcome.REJECTED, {hidden: hidden}, tenant=hidden)
        run.connection.execute("UPDATE source SET name = ?", [hidden])
        run.connection.execute("UPDATE action SET action_type = ?", [hidden])
        run.end("aborted", hidden, 4)
        text = page(run)
    assert text.count("a\\u202eb\\x1b[2J") > 10
    assert set(text) & {"\u202e", "\x1b"} == set()
