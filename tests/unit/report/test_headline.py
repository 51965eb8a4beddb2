"""Terminal, page, Markdown and JSON give the same headline, whatever the state of the run."""

import html
import re
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from orchestrator.cli import plan_summary
from orchestrator.cli.page import Capabilities
from orchestrator.cli.summary import closing, read_ended_run
from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, Outcome, Problem, Records, Status
from orchestrator.report import write_json
from orchestrator.report.pages.html import write_html
from orchestrator.report.pages.markdown import write_markdown
from tests.made_runs import MadeRun, made_run

DIRECTORY = Path("runs/one")
SAID_OVER = Problem("wrong_state", 50000030, 200, "The mass action is already Stopped.")
REFUSED = Problem("no_permission", 50000010, 200, "You may not do this.")
EXPIRED = Problem("unauthenticated", 90000011, 401, "The token is not valid.")
LOCKED = Problem("locked", 50000050, 200, "Another *transaction* holds the object.")


def over(count: int) -> Callable[[MadeRun], None]:
    def make(run: MadeRun) -> None:
        for _ in range(count):
            run.add(Outcome.STOPPED)

    return make


def refused(problem: Problem, count: int = 3, *, others: int = 0) -> Callable[[MadeRun], None]:
    def make(run: MadeRun) -> None:
        for _ in range(count):
            run.refuse(problem)
        over(others)(run)

    return make


def rejected(count: int, unsent: int = 0) -> Callable[[MadeRun], None]:
    def make(run: MadeRun) -> None:
        for outcome in [Outcome.REJECTED] * count + [None] * unsent:
            run.add(outcome)

    return make


def file_missing(run: MadeRun) -> None:
    over(2)(run)
    run.journal.ended(2, Outcome.STOPPED, "https://rest.zuora.com/v1/files/1")


def of_two_tenants(run: MadeRun) -> None:
    run.add(Outcome.STOPPED, tenant="north")
    run.add(Outcome.UNREACHABLE, tenant="south")
    run.add(Outcome.STOPPED, tenant="south")


STATES = {
    "nothing sent": (rejected(0, unsent=3), "Nothing was stopped", "None of the 3 mass actions is known to be over."),
    "no key known": (
        rejected(3), "Nothing was stopped", "This tenant knows none of the 3 keys. Is it the right tenant?",
    ),
    "no tried key known": (
        rejected(3, unsent=2), "Nothing was stopped",
        "This tenant knows none of the 3 keys that were tried. Is it the right tenant?",
    ),
    "one key unknown": (
        rejected(1), "Nothing was stopped", "This tenant does not know the key. Is it the right tenant?",
    ),
    "no permission": (
        refused(REFUSED), "Not all over", "This user may not stop mass actions: all 3 keys were refused.",
    ),
    "token expired": (
        refused(EXPIRED), "Nothing was stopped",
        "All 3 keys were refused because the tenant did not accept the token. It may have expired.",
    ),
    "one way to fail": (refused(LOCKED, 10, others=1), "Not all over", "10 of the 11 keys failed in the same way:"),
    "all said over": (
        refused(SAID_OVER), "Not confirmed",
        "3 of 3 mass actions are over according to the tenant; the status was not read yet.",
    ),
    "some over, some said over": (
        refused(SAID_OVER, 2, others=1), "Not confirmed",
        "2 of 3 mass actions are over according to the tenant; the status was not read yet.",
    ),
    "some need a person": (
        lambda run: (rejected(1)(run), over(3)(run)), "Not all over", "1 of 4 mass actions needs a person.",
    ),
    "all over, a file missing": (file_missing, "All over", "None of the 2 mass actions processes records any more."),
    "all over": (over(2), "All over", "None of the 2 mass actions processes records any more."),
    "the action over": (over(1), "All over", "The mass action does not process records any more."),
}  # fmt: skip


def forms(run: MadeRun) -> dict[str, str]:
    """The whole text of each form, without its markup."""
    reader = JournalReader(run.connection)
    pieces: dict[str, list[bytes]] = {"json": [], "html": [], "markdown": []}
    write_json(reader, pieces["json"].append)
    write_html(reader, pieces["html"].append, DIRECTORY, None)
    write_markdown(reader, pieces["markdown"].append, DIRECTORY)
    texts = {name: b"".join(parts).decode() for name, parts in pieces.items()}
    said = msgspec.json.decode(texts["json"])["run"]["headline"]
    texts["json"] = " ".join([said["title"], said["sentence"], said["quote"], *said["details"]])
    texts["html"] = html.unescape(re.sub(r"<[^>]+>", " ", texts["html"].split("<main>")[1]))
    texts["markdown"] = re.sub(r"[*`]", "", texts["markdown"])
    ended = read_ended_run(reader, DIRECTORY)
    if ended.run.command == "plan":
        plan = plan_summary.read_ended_plan(reader, ended)
        texts["terminal"] = plan_summary.closing(plan, {}, Capabilities())
    else:
        texts["terminal"] = closing(ended, Capabilities())
    return {name: re.sub(r"\W+", " ", text).casefold() for name, text in texts.items()}


def plain(text: str) -> str:
    return re.sub(r"\W+", " ", text).strip().casefold()


@pytest.mark.parametrize("state", STATES)
def test_every_form_gives_the_same_headline(state):
    make, title, sentence = STATES[state]
    with made_run() as run:
        make(run)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert f"{plain(title)} {plain(sentence)}" in text, name


@pytest.mark.parametrize(
    ("make", "title"), [(lambda _: None, "Nothing was stopped"), (over(2), "Not all over")]
)
def test_every_form_says_that_the_input_was_not_read_to_its_end(make, title):
    with made_run(complete=False) as run:
        make(run)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert f" {plain(title)} " in f" {text} ", name
            assert "input was not read to its end keys csv" in text, name


@pytest.mark.parametrize("command", ["run", "plan"])
@pytest.mark.parametrize("form", ["html", "markdown", "terminal"])
def test_a_run_whose_input_was_cut_is_resumed_though_all_it_read_is_over(command, form):
    with made_run(command=command, complete=False) as run:
        run.add(Outcome.ALREADY_STOPPED)
        run.end("interrupted", "Interrupted by SIGTERM.")
        text = forms(run)[form]
    assert "input was not read to its end" in text
    assert "mass stop resume runs one" in text
    assert "nothing is left to stop" not in text


@pytest.mark.parametrize(
    ("make", "detail"),
    [
        (file_missing, "1 response file is missing"),
        (refused(SAID_OVER), "mass-stop resume confirms it"),
        (
            lambda run: (refused(SAID_OVER, 2)(run), rejected(1)(run), over(2)(run)),
            "2 are over according to the tenant; the status was not read yet.",
        ),
    ],
)
def test_every_form_gives_the_details(make, detail):
    with made_run() as run:
        make(run)
        run.end()
        for name, text in forms(run).items():
            assert plain(detail) in text, name


def test_every_form_gives_the_headline_of_several_tenants():
    with made_run(tenants=("north", "south")) as run:
        of_two_tenants(run)
        run.end()
        for name, text in forms(run).items():
            assert "not all over 1 of 3 mass actions needs a person" in text, name


def test_every_form_names_the_tenant():
    with made_run() as run:
        refused(LOCKED)(run)
        run.end()
        for name, text in forms(run).items():
            assert "failed in the same way another transaction holds the object" in text, name


@pytest.mark.parametrize("form", ["html", "markdown", "terminal"])
@pytest.mark.parametrize(
    ("refused", "reason", "status"),
    [
        (3, "3 of 3 keys were refused: --max-failures stopped the sending.", 4),
        (0, "3 of 9 keys were refused: --max-failures stopped the sending. Interrupted by SIGINT.", 130),
        (0, "The tenant did not answer for 15m00s (--wait-for-tenant): Connection refused.", 3),
    ],
)
def test_a_check_comes_before_a_resume(form, refused, reason, status):
    with made_run() as run:
        rejected(refused, unsent=2)(run)
        run.end("aborted", reason, status)
        text = forms(run)[form]
    assert text.index("mass stop check") < text.index("mass stop resume runs one")


@pytest.mark.parametrize(
    ("unread", "sentence"),
    [
        (
            3,
            "would stop 1 of the 2 mass actions whose status was read the reading of 3 was not completed 1 needs",
        ),
        (
            1,
            "would stop 1 of the 2 mass actions whose status was read the reading of 1 was not completed 1 needs",
        ),
    ],
)
def test_a_plan_that_was_cut_counts_only_what_it_read(unread, sentence):
    with made_run(command="plan") as run:
        for outcome in [Outcome.WOULD_STOP, Outcome.REJECTED, *[None] * unread]:
            run.add(outcome)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert sentence in text, name
            assert name == "json" or "mass stop resume runs one" in text, name


def test_a_plan_that_was_cut_between_two_readings_says_not_that_it_read_nothing():
    with made_run(command="plan") as run:
        run.add(None)
        records = Records(10, 4, 3, 1, 6, "status")
        run.journal.status_read(1, ActionState(Status.PROCESSING, "MPU", records=records), retried=False)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert "the reading of 1 mass action was not completed" in text, name


def test_a_plan_counts_no_malformed_row_as_an_action_whose_status_was_read():
    with made_run(command="plan") as run:
        for outcome in [Outcome.WOULD_STOP, Outcome.MALFORMED, None]:
            run.add(outcome)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert (
                "stop 1 of the 1 mass action whose status was read the reading of 1 was not completed" in text
            ), name


def test_keys_that_the_tenant_called_over_are_not_counted_as_open():
    with made_run() as run:
        refused(SAID_OVER, 2)(run)
        assert "2 of 2 mass actions are over according to the tenant" in forms(run)["markdown"]
        rejected(0, unsent=3)(run)
        for name, text in forms(run).items():
            assert "not finished 3 of 5 mass actions were not known to be over" in text, name
            assert "2 are over according to the tenant" in text, name


def test_actions_that_the_tenant_called_over_are_not_called_open_by_the_next_step():
    with made_run() as run:
        refused(SAID_OVER, 2)(run)
        run.end("interrupted", "Interrupted by SIGINT.")
        for name, text in forms(run).items():
            assert "actions that are not over" not in text, name


def test_a_plan_with_refused_reads_says_so():
    with made_run(command="plan") as run:
        refused(REFUSED)(run)
        run.end()
        assert "this user may not read mass actions" in forms(run)["markdown"]


@pytest.mark.parametrize("form", ["html", "markdown", "terminal"])
def test_unknown_records_are_not_shown_as_zero(form):
    with made_run() as run:
        rejected(2)(run)
        run.end()
        text = forms(run)[form]
    assert "went through 0" not in text
    assert "0 records went through" not in text
    assert "0 were saved" not in text


@pytest.mark.parametrize(
    ("command", "make", "sentence"),
    [
        (
            "run",
            lambda run: (rejected(0, 2)(run), over(1)(run)),
            "not finished 2 of 3 mass actions were not known to be over",
        ),
        ("run", rejected(0, 1), "not finished the mass action was not known to be over"),
        (
            "run",
            lambda run: (rejected(0, 1)(run), over(1)(run)),
            "not finished 1 of 2 mass actions was not known to be over",
        ),
        ("run", refused(SAID_OVER, 1, others=1), "not finished 1 of 2 mass actions is over according to the tenant"),
        ("run", lambda _: None, "nothing to stop no row of the input was read"),
        ("plan", rejected(0, 3), "plan no stop was sent the reading of 3 mass actions was not completed"),
        ("plan", lambda run: run.add(Outcome.WOULD_STOP), "plan no stop was sent a run would stop 1 of 1 mass action"),
    ],
)  # fmt: skip
def test_every_form_gives_the_headline_of_a_run_at_work_and_of_a_plan(command, make, sentence):
    with made_run(command=command) as run:
        make(run)
        if command == "plan":
            run.end()
        for name, text in forms(run).items():
            assert sentence in text, name
