"""report.html in a browser: Debian's Chromium, driven by Playwright. Nothing is on the network."""

import re
import sqlite3
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, Outcome, Records, Status
from orchestrator.report.pages import rows
from orchestrator.report.pages.html import write_html
from tests.made_runs import HOSTILE, MadeRun, key, made_run, one_of_each

CHROMIUM = Path("/usr/bin/chromium")

pytestmark = pytest.mark.skipif(
    not CHROMIUM.exists(), reason=f"there is no {CHROMIUM}: .ci/system-packages installs it"
)

EVERY = 13
"""Actions in the page that most tests open: one of each outcome, one that is not over, one with many labels."""

CONTRAST = """() => {
  const parse = (text) => (text.match(/[\\d.]+/g) || []).map(Number);
  const shine = ([r, g, b]) => [r, g, b].map((one) => one / 255)
    .map((one) => (one <= 0.03928 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4))
    .reduce((sum, one, n) => sum + one * [0.2126, 0.7152, 0.0722][n], 0);
  const behind = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const color = parse(getComputedStyle(one).backgroundColor);
      if (color.length === 3 || color[3] > 0) return color;
    }
    return [255, 255, 255];
  };
  const found = [];
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const element = walk.currentNode.parentElement;
    const text = walk.currentNode.data.trim();
    if (!text || !element.checkVisibility() || element.closest("svg, option, :disabled")) continue;
    const [one, other] = [shine(parse(getComputedStyle(element).color)), shine(behind(element))];
    const ratio = (Math.max(one, other) + 0.05) / (Math.min(one, other) + 0.05);
    if (ratio < 4.5) found.push(`${ratio.toFixed(2)}: ${element.className} ${text.slice(0, 40)}`);
  }
  return found;
}"""


LONGEST = 60_000
"""Milliseconds after which an expected element counts as missing."""


def save(run: MadeRun, folder: Path) -> Path:
    path = folder / "report.html"
    with path.open("wb") as file:
        write_html(JournalReader(run.connection), file.write, folder, "ab" * 32)
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        )
        expect.set_options(timeout=LONGEST)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with every kind of action."""
    with made_run() as run:
        one_of_each(run)
        run.add(None, {"job": "job-open"})
        labels = {f"label {n}": text.encode("utf-8", "replace").decode() for n, text in enumerate(HOSTILE)}
        run.add(Outcome.STOPPED, labels)
        run.journal.paced(36, 12, 3.0, 0, 0)
        return save(run, tmp_path_factory.mktemp("run"))


class Opened:
    """A page with its errors and its requests."""

    def __init__(self, page: Page) -> None:
        self.page = page
        page.set_default_timeout(LONGEST)
        self.complaints: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: self.complaints.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: self.requests.append(request.url))

    def go(self, file: Path) -> Page:
        self.page.goto(file.as_uri())
        return self.page


@pytest.fixture
def opened(browser: Browser) -> Iterator[Opened]:
    context = browser.new_context()
    yield Opened(context.new_page())
    context.close()


@pytest.fixture
def page(opened: Opened, file: Path) -> Page:
    return opened.go(file)


def keys(page: Page) -> list[str]:
    return page.locator("#rows code").all_text_contents()


def column(page: Page, field: str) -> list[str]:
    return page.locator(f"#rows [data-field={field}]").all_text_contents()


def test_the_page_opens_without_an_error_and_loads_nothing(opened: Opened, file: Path):
    page = opened.go(file)
    expect(page.get_by_role("heading", level=1)).to_have_text("Not finished")
    page.get_by_role("button", name=re.compile("^Details of")).first.click()
    page.get_by_role("searchbox").fill("job")
    expect(page.locator(".count")).to_contain_text("matching")
    assert opened.complaints == []
    assert opened.requests == [file.as_uri()]


def test_the_browser_refuses_a_request_of_the_page(opened: Opened, file: Path):
    page = opened.go(file)
    refused = page.evaluate("fetch('http://127.0.0.1:9/').then(() => false, () => true)")
    assert refused
    assert any("Content Security Policy" in one for one in opened.complaints)


def test_an_injected_script_does_not_run(opened: Opened, file: Path):
    page = opened.go(file)
    page.evaluate(
        "() => { const one = document.createElement('script'); one.textContent = 'window.ran = true';"
        " document.body.append(one); }"
    )
    assert page.evaluate("window.ran") is None


def test_hostile_labels_stay_text(opened: Opened, file: Path):
    page = opened.go(file)
    page.get_by_role("searchbox").fill("label 13")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("button", name=re.compile("^Details of")).click()
    shown = page.locator(".detail").text_content() or ""
    assert all(
        text in shown
        for text in ("<script>alert(1)</script>", "=HYPERLINK", "\\u202egpj.exe", "{{ 7 * 7 }}", "\\x00")
    )
    assert not set(shown) & set("\u202e\u2066\x00\x1b")
    assert page.locator("#rows script, #rows img, #rows svg, #rows a").count() == 0
    assert opened.complaints == []


def test_a_search_finds_all_its_words_anywhere_in_a_row(page: Page):
    page.get_by_role("searchbox").fill("STOPPED request-1")
    expect(page.locator(".count")).to_contain_text("matching")
    assert keys(page) == [key(1), key(13)]
    page.get_by_role("searchbox").fill("no such thing")
    expect(page.locator(".count")).to_have_text(f"None of {EVERY} actions matches.")


def test_a_filter_hides_other_rows_and_show_all_removes_it(page: Page):
    page.get_by_label("Outcome", exact=True).select_option("person")
    expect(page.locator("#rows tr")).to_have_count(7)
    assert set(column(page, "outcome")) == {
        "Unconfirmed", "Rejected", "Unreachable", "Not attempted", "Skipped by guard", "Malformed",
    }  # fmt: skip
    page.get_by_label("Error", exact=True).select_option("Not found")
    expect(page.locator("#rows tr")).to_have_count(1)
    page.get_by_role("button", name="Show all").click()
    expect(page.locator("#rows tr")).to_have_count(EVERY)


def test_a_column_sorts_down_up_and_back_to_the_order_of_the_input(page: Page):
    before = keys(page)
    button = page.get_by_role("button", name="Records", exact=True)
    heading = page.locator(".action-table").get_by_role("columnheader", name="Records", exact=True)
    button.click()
    expect(heading).to_have_attribute("aria-sort", "descending")
    down = [one for one in column(page, "total") if one != "–"]
    assert down == sorted(down, key=lambda one: -int(one.replace(",", "")))
    assert column(page, "total")[-1] == "–"
    button.click()
    expect(heading).to_have_attribute("aria-sort", "ascending")
    assert [one for one in column(page, "total") if one != "–"] == down[::-1]
    assert column(page, "total")[-1] == "–"
    button.click()
    assert heading.get_attribute("aria-sort") is None
    assert keys(page) == before


def test_a_figure_links_to_the_actions_that_it_counts(page: Page):
    page.get_by_role("link", name="Already completed").click()
    expect(page.locator("#rows tr")).to_have_count(1)
    assert column(page, "outcome") == ["Already completed"]
    expect(page.get_by_role("heading", name="Actions", exact=True)).to_be_focused()


def test_the_table_is_used_with_the_keyboard_alone(page: Page):
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the table of actions")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("job-0")
    expect(page.locator("#rows tr")).to_have_count(1)
    more = page.get_by_role("button", name=f"Details of {key(1)}")
    more.focus()
    page.keyboard.press("Enter")
    expect(more).to_have_attribute("aria-expanded", "true")
    expect(page.locator(".detail")).to_contain_text("track-1")
    page.keyboard.press("Space")
    expect(page.locator(".detail")).to_have_count(0)
    expect(more).to_be_focused()


def test_every_element_with_the_focus_shows_it(page: Page):
    for _ in range(12):
        page.keyboard.press("Tab")
        width = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
        assert float(width.removesuffix("px")) >= 1


def test_the_filtered_keys_are_copied(browser: Browser, file: Path):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = Opened(context.new_page()).go(file)
    page.get_by_label("Outcome", exact=True).select_option("rejected")
    page.get_by_role("button", name="Copy keys").click()
    expect(page.locator("#copied")).to_have_text("Copied, one a line: 1.")
    assert page.evaluate("navigator.clipboard.readText()") == f"{column(page, 'bulk_key')[0]}\n"
    context.close()


def test_the_buttons_change_the_page_of_the_table(opened: Opened, tmp_path: Path):
    with made_run() as run:
        for _ in range(250):
            run.add(Outcome.STOPPED)
        page = opened.go(save(run, tmp_path))
    assert keys(page) == [key(n) for n in range(1, 101)]
    page.get_by_role("button", name="Next").click()
    expect(page.get_by_label("Page", exact=True)).to_have_value("2")
    page.get_by_role("button", name="Last").click()
    expect(page.get_by_role("button", name="Next")).to_be_disabled()
    assert keys(page) == [key(n) for n in range(201, 251)]
    page.get_by_label("Rows", exact=True).select_option("50")
    assert keys(page)[0] == key(201)


def test_on_paper_the_table_has_every_row_and_its_ids(opened: Opened, tmp_path: Path):
    with made_run() as run:
        for _ in range(250):
            run.add(Outcome.STOPPED)
        page = opened.go(save(run, tmp_path))
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    expect(page.locator("#rows tr")).to_have_count(250)
    expect(page.locator("#rows tr").last).to_contain_text("request-250")
    expect(page.locator("#rows .printed").last).to_be_visible()
    expect(page.get_by_role("searchbox")).to_have_count(0)
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    expect(page.locator("#rows tr")).to_have_count(100)


def test_paper_shows_every_column(page: Page):
    page.set_viewport_size({"width": 600, "height": 800})
    chart = page.locator("th.chart-column").first
    expect(chart).not_to_be_visible()
    page.emulate_media(media="print")
    expect(chart).to_be_visible()
    expect(page.locator("th[data-sort=row]")).to_be_visible()
    # A button is not printed again where the table's head is repeated on the next page; its bare text is.
    display = page.locator("th[data-sort=bulk_key] button").evaluate("one => getComputedStyle(one).display")
    assert display == "contents"


def test_without_scripts_the_page_still_shows_the_result(browser: Browser, tmp_path: Path):
    context = browser.new_context(java_script_enabled=False)
    opened = Opened(context.new_page())
    with made_run() as run:
        one_of_each(run)
        for _ in range(150):
            run.add(Outcome.STOPPED)
        page = opened.go(save(run, tmp_path))
    expect(page.get_by_role("heading", level=1)).to_be_visible()
    expect(page.locator("#rows tr")).to_have_count(rows.ROWS_AT_ONCE)
    expect(page.locator(".count")).to_contain_text(f"The first {rows.ROWS_AT_ONCE} of 161 actions")
    assert not page.get_by_role("searchbox").is_visible()
    assert opened.complaints == []
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_has_enough_contrast(browser: Browser, file: Path, scheme: str):
    context = browser.new_context(color_scheme="dark" if scheme == "dark" else "light")
    page = Opened(context.new_page()).go(file)
    page.get_by_role("button", name=re.compile("^Details of")).first.click()
    background = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert (background == "rgb(20, 23, 26)") is (scheme == "dark")
    assert page.evaluate(CONTRAST) == []
    context.close()


def test_every_visible_control_has_a_name_for_screen_readers(page: Page):
    assert page.locator("html").get_attribute("lang") == "en"
    for table in page.locator("table").all():
        assert table.locator("caption").count() == 1
    assert page.locator("svg:not([aria-hidden]):not([aria-label]):not(svg svg)").count() == 0
    assert page.locator("th:not([scope])").count() == 0
    assert (
        page.evaluate(
            "[...document.querySelectorAll('input, select')].filter((one) => !one.labels.length).length"
        )
        == 0
    )
    identifiers = page.evaluate("[...document.querySelectorAll('[id]')].map((one) => one.id)")
    assert len(identifiers) == len(set(identifiers))
    levels = page.evaluate(
        "[...document.querySelectorAll('h1, h2, h3')].map((one) => Number(one.tagName[1]))"
    )
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))


@pytest.mark.parametrize("width", [320, 390, 768, 1280])
def test_the_page_is_as_wide_as_its_window(opened: Opened, file: Path, width: int):
    opened.page.set_viewport_size({"width": width, "height": 900})
    page = opened.go(file)
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of a run with every column, and with texts that are as long as they get."""
    names = ("north-america-production", "emea")
    with made_run(tenants=names) as run:
        for number in range(40):
            run.add(
                OUTCOMES[number % len(OUTCOMES)],
                {"owner": "Zoë " * 50, "备注": "x" * 500},
                tenant=names[number % 2],
            )
            records = Records(1_234_567, 1_234_567, 1_234_567, 1_234_567, 1_234_567, "status")
            run.journal.status_read(
                number + 1,
                ActionState(Status.STOPPED, "UpdateRevenueSchedule", records=records),
                retried=False,
            )
        return save(run, tmp_path_factory.mktemp("wide"))


OUTCOMES = (Outcome.STOPPED, Outcome.COMPLETED_BEFORE_STOP, Outcome.SKIPPED_BY_GUARD, Outcome.REJECTED)

CUT = """() => [...document.querySelectorAll('.scroll')].filter((one) => one.scrollWidth > one.clientWidth)
  .map((one) => one.getAttribute('aria-label') ?? one.getAttribute('aria-labelledby'))"""

BROKEN = """() => [...document.querySelectorAll('.number, .time, dd, #rows code')].filter((one) => {
  const range = document.createRange();
  range.selectNodeContents(one);
  const lines = new Set([...range.getClientRects()].map((line) => Math.round(line.top)));
  return /^[\\da-f.,:–]+$/.test(one.textContent.trim()) && lines.size > 1;
}).map((one) => one.textContent)"""


@pytest.mark.parametrize("width", [1265, 1440])
def test_no_column_is_cut_on_a_wide_screen(opened: Opened, wide: Path, width: int):
    """A window of 1,280 pixels leaves 1,265 beside its scroll bar."""
    opened.page.set_viewport_size({"width": width, "height": 900})
    page = opened.go(wide)
    assert page.evaluate(CUT) == []
    assert page.evaluate(BROKEN) == []


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_screen_scrolls_tables_and_breaks_no_number(opened: Opened, wide: Path, width: int):
    opened.page.set_viewport_size({"width": width, "height": 900})
    page = opened.go(wide)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(BROKEN) == []
    table = page.locator(".scroll.wide", has=page.locator(".action-table"))
    hint = table.evaluate("(one) => getComputedStyle(one, '::before').content")
    assert "Scroll sideways" in hint


def test_labels_take_one_line_until_their_row_is_opened(opened: Opened, wide: Path):
    page = opened.go(wide)
    labels = page.locator("#rows .labels").first
    lines = labels.evaluate("(one) => one.clientHeight / parseFloat(getComputedStyle(one).lineHeight)")
    assert lines < 1.5
    page.get_by_role("button", name=re.compile("^Details of")).first.click()
    expect(page.locator(".detail")).to_contain_text("x" * 400)


def test_a_page_without_room_says_so_and_links_only_to_its_own_actions(
    opened: Opened, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(rows, "ROOM", 10_000)
    with made_run() as run:
        for number in range(60):
            run.add(Outcome.UNREACHABLE if number % 20 == 0 else Outcome.STOPPED)
        page = opened.go(save(run, tmp_path))
    expect(page.locator(".part")).to_contain_text("shows 3 of the 60 actions: those that need a person.")
    expect(page.locator(".count")).to_have_text("1 to 3 of 3 actions on this page.")
    stopped = page.locator("a[data-filter=outcome][data-value=stopped]")
    assert stopped.get_attribute("href") is None
    page.locator("a[data-filter=outcome][data-value=unreachable]").first.click()
    expect(page.locator("#rows tr")).to_have_count(3)
    assert opened.complaints == []


@pytest.mark.hunt
def test_a_large_page_opens_sorts_and_searches(opened: Opened, tmp_path: Path):
    with made_run() as run:
        for _ in range(500):
            run.add(Outcome.STOPPED, {"job": "nightly"})
        multiply(run.connection)
        page = opened.go(save(run, tmp_path))
    expect(page.locator(".count")).to_have_text("1 to 100 of 50,000 actions.")
    page.get_by_role("button", name="Bulk key").click()
    page.get_by_role("searchbox").fill("00000063")
    expect(page.locator(".count")).to_contain_text("matching actions, of 50,000 in all")
    assert opened.complaints == []


@pytest.mark.hunt
@pytest.mark.parametrize("outcome", [Outcome.STOPPED, Outcome.NOT_ATTEMPTED])
def test_the_page_of_a_million_actions_stays_below_25_megabytes(
    opened: Opened, tmp_path: Path, outcome: Outcome
):
    with made_run() as run:
        for number in range(10_000):
            run.add(Outcome.REJECTED if number == 0 else outcome, {"job": "nightly", "owner": "close team"})
        multiply(run.connection)
        page = opened.go(path := save(run, tmp_path))
    assert path.stat().st_size < 25_000_000
    expect(page.locator(".part")).to_contain_text("of the 1,000,000 actions:")
    expect(page.locator("#rows tr")).to_have_count(100)
    assert opened.complaints == []


def multiply(connection: sqlite3.Connection) -> None:
    """A hundred times the actions there are, each with a key of its own."""
    names = [
        row[1]
        for row in connection.execute("PRAGMA table_info (action)")
        if row[1] not in ("seq", "bulk_key")
    ]
    others = ", ".join(names)
    connection.execute(
        f"WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 99) "
        f"INSERT INTO action (bulk_key, {others}) "
        f"SELECT printf('%08x', x) || substr(bulk_key, 9), {others} FROM action, n"
    )
