"""The parts of the page: columns, verdicts, figures, refusals, operator, and links to files."""

import html
import io
import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from orchestrator.journal.entries import Operator
from orchestrator.journal.reader import JournalReader
from orchestrator.model import ActionState, Outcome, Problem, Records, Status
from orchestrator.report.building import read_report
from orchestrator.report.pages.html import write_html
from orchestrator.report.pages.view import read_view
from orchestrator.results.index import Index, RemediationFile, encode
from tests.made_runs import MadeRun, made_run, one_of_each

OVER_ALREADY = Problem("wrong_state", 53_900_030, 200, "The mass action is Stopped.")


@pytest.fixture
def run():
    with made_run() as run:
        yield run


def page(run: MadeRun, directory: Path = Path("runs/one"), damage: Sequence[str] = ()) -> str:
    buffer = io.BytesIO()
    write_html(JournalReader(run.connection, damage), buffer.write, directory, None)
    return re.sub(r"<template.*?</template>", "", buffer.getvalue().decode(), flags=re.S)


def headings(text: str) -> list[str]:
    """The names of the columns of the table of actions."""
    return re.findall(r'<th scope="col" data-sort="[^>]*>([^<]*)</th>', text)


def text_of(markup: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", markup)).split())


def steps_of(text: str) -> str:
    """The list of what to do next."""
    return text_of(text.split('class="steps"')[1].split("</ol>")[0])


def facts(text: str) -> dict[str, str]:
    """The list of the section Evidence."""
    found = re.findall(r"<dt>(.*?)</dt><dd>(.*?)</dd>", text.split('id="evidence"')[1], re.S)
    return {name: text_of(value) for name, value in found}


# The table of actions


def test_the_table_starts_with_the_row_number_and_the_key(run):
    one_of_each(run)
    assert headings(page(run))[:2] == ["Row", "Bulk key"]


def test_a_column_that_would_be_empty_is_not_shown(run):
    run.add(Outcome.NOT_ATTEMPTED)
    assert headings(page(run)) == ["Row", "Bulk key", "Outcome"]


def test_a_table_without_actions_is_not_shown(run):
    assert headings(page(run)) == []


def test_the_column_of_the_tenant_is_for_runs_of_several():
    with made_run(tenants=("north", "south")) as run:
        run.add(Outcome.STOPPED, tenant="north")
        assert "Tenant" in headings(page(run))


def test_each_label_is_isolated_from_its_neighbours(run):
    run.add(Outcome.STOPPED, {"owner": "محمد", "备注": "ok"})
    assert "<bdi>owner: محمد</bdi> · <bdi>备注: ok</bdi>" in page(run)


def test_an_action_type_breaks_between_its_words_only(run):
    run.add(Outcome.STOPPED)
    run.journal.status_read(
        1, ActionState(Status.STOPPED, "UpdateRevenueSchedule", records=Records(10)), retried=False
    )
    assert "Update<wbr>Revenue<wbr>Schedule" in page(run)


# Figures and verdicts


def test_records_of_actions_that_completed_despite_the_stop_are_counted_apart(run):
    run.add(Outcome.STOPPED)
    run.add(Outcome.ALREADY_COMPLETED)
    run.add(Outcome.COMPLETED_BEFORE_STOP)
    run.add(Outcome.UNCONFIRMED)
    view = read_view(JournalReader(run.connection))
    assert (view.fate.before, view.fate.despite, view.fate.so_far) == (4 + 8, 12, 16)
    shown = text_of(page(run))
    assert "12 before the stop 12 despite the stop 16 so far, in actions that may still run" in shown
    assert (view.groups["over"], view.groups["despite"]) == (1, 1)


def test_counts_that_are_not_known_are_a_dash(run):
    run.add(Outcome.STOPPED)
    run.add(Outcome.REJECTED)
    (row,) = re.findall(r'<tr>\s*<th scope="row"><a [^>]*data-value="rejected".*?</tr>', page(run), re.S)
    assert text_of(row) == "Rejected 1 1 – – – – –"


def test_each_tenant_has_its_own_verdict():
    with made_run(tenants=("done", "failing", "unused")) as run:
        run.add(Outcome.STOPPED, tenant="done")
        run.add(Outcome.STOPPED, tenant="failing")
        run.add(Outcome.REJECTED, tenant="failing")
        run.end()
        run.journal.of("failing").tenant_state("aborted", "The tenant went away.")
        verdicts = {
            one.name: (one.headline.title, one.actions, one.reason)
            for one in read_view(JournalReader(run.connection)).tenants
        }
    assert verdicts == {
        "done": ("All over", 1, None),
        "failing": ("Not all over", 2, "The tenant went away."),
        "unused": ("Nothing to stop", 0, None),
    }


def test_a_tenant_that_called_its_actions_over_is_not_called_failed():
    with made_run(tenants=("north", "south")) as run:
        run.add(Outcome.STOPPED, tenant="south")
        run.refuse(OVER_ALREADY, tenant="north")
        run.end("interrupted")
        north, south = read_view(JournalReader(run.connection)).tenants
    assert (north.headline.title, south.headline.title) == ("Not confirmed", "All over")


# Calls that failed


def test_a_stop_of_an_action_that_was_over_is_a_normal_refusal(run):
    run.refuse(OVER_ALREADY)
    run.journal.status_read(1, ActionState(Status.STOPPED, "MPU", records=Records(10)), retried=False)
    run.refuse(OVER_ALREADY)  # its status was not read
    run.refuse(Problem("timeout", None, None, "No answer."))
    shown = page(run)
    assert "Normal refusals: 1" in shown
    assert "Calls that failed: 2" in shown


def test_a_run_without_failures_says_so(run):
    run.add(Outcome.STOPPED)
    assert "No call failed." in page(run)


# Who ran it


def test_operator_command_confirmation_reason_and_ticket_are_shown():
    with made_run() as run:
        operator = Operator(
            "maria", "ops-1", "client-7", ("mass-stop", "run", "a b.csv"), "terminal", "Wrong prices", "INC-1"
        )
        run.connection.execute("UPDATE session SET operator = ?", [msgspec.json.encode(operator).decode()])
        found = facts(page(run))
    assert {name: found[name] for name in OPERATOR} == {
        "Operator": "maria",
        "Host": "ops-1",
        "OAuth client": "client-7",
        "Confirmation": "confirmed on the terminal",
        "Command": "mass-stop run 'a b.csv'",
        "Reason": "Wrong prices",
        "Ticket": "INC-1",
    }


def test_an_operator_who_is_not_known_is_a_dash(run):
    run.connection.execute("UPDATE session SET operator = NULL")
    found = facts(page(run))
    assert {found[name] for name in OPERATOR} == {"–"}


OPERATOR = ("Operator", "Host", "OAuth client", "Confirmation", "Command", "Reason", "Ticket")


# Links


def test_what_to_do_next_links_to_the_files_beside_the_page(run, tmp_path):
    files = [
        RemediationFile("resend/MPU-001.csv", "resend", 1_200),
        RemediationFile("retry/a tenant/MPU-001.csv", "retry", 1),
        RemediationFile("failed.csv", "", 1),
    ]
    (tmp_path / "remediation").mkdir()
    (tmp_path / "remediation" / "index.json").write_bytes(encode(Index(files, 3)))
    (tmp_path / "needs-person.csv").touch()
    run.add(Outcome.REJECTED)
    run.end()
    text = page(run, tmp_path)
    links = re.findall(r'href="(?!#|data:)([^"]*)"', text.split('id="next"')[1].split("</section>")[0])
    assert links == [
        "needs-person.csv",
        "remediation/resend/MPU-001.csv",
        "remediation/retry/a%20tenant/MPU-001.csv",
        "remediation/failed.csv",
        "remediation/README.md",
    ]
    steps = steps_of(text)
    assert "1,200 records not processed. Upload these files once the reason for the stop is gone:" in steps
    assert "1 record failed. Correct them, then upload these files:" in steps
    assert "3 electronic payments went through." in steps


def test_outdated_files_of_an_earlier_session_are_not_linked(run, tmp_path):
    (tmp_path / "remediation").mkdir()
    (tmp_path / "remediation" / "index.json").write_bytes(
        encode(Index([RemediationFile("failed.csv", "", 1)], 3))
    )
    (tmp_path / "needs-person.csv").touch()
    run.add(Outcome.UNCONFIRMED)
    text = page(run, tmp_path)
    assert 'href="needs-person.csv"' not in text
    assert 'href="remediation/' not in text


def test_a_file_that_is_not_there_is_not_linked(run, tmp_path):
    run.add(Outcome.REJECTED)
    assert 'href="needs-person.csv"' not in page(run, tmp_path)


def test_a_command_to_continue_names_the_run_directory(run):
    run.add(Outcome.REJECTED)
    assert "mass-stop resume runs/one --retry-rejected" in text_of(page(run))


def test_a_run_with_nothing_left_says_so(run):
    run.add(Outcome.STOPPED)
    run.end()
    assert "Nothing. Every action is over." in text_of(page(run))


def test_refused_credentials_are_checked_before_the_run_continues(run):
    run.add(None)
    run.end("aborted", "The tenant refused the credentials.", 3)
    steps = steps_of(page(run))
    assert steps.index("mass-stop check") < steps.index("mass-stop resume runs/one")


def test_the_check_before_a_run_of_several_tenants_continues_names_their_file():
    """A key alone does not say which of the tenants it belongs to."""
    with made_run(tenants=("north", "south")) as run:
        run.add(Outcome.REJECTED, tenant="north")
        run.end()
        steps = steps_of(page(run))
    assert "mass-stop check --tenants '/folder of/tenants.toml'" in steps


def test_a_plan_that_was_cut_is_resumed_and_not_yet_run():
    """A run refuses a plan without all its keys."""
    with made_run(command="plan", complete=False) as run:
        run.add(Outcome.WOULD_STOP)
        run.end("interrupted", None, 143)
        steps = steps_of(page(run))
    assert "mass-stop resume runs/one" in steps
    assert "mass-stop run" not in steps


def test_a_plan_with_nothing_to_stop_asks_for_no_run():
    with made_run(command="plan") as run:
        run.add(Outcome.ALREADY_COMPLETED)
        run.end()
        steps = steps_of(page(run))
    assert steps == "> Nothing. Every action is over."


def test_a_plan_without_records_to_save_promises_none():
    with made_run(command="plan") as run:
        run.add(Outcome.ALREADY_COMPLETED)
        run.end()
        shown = text_of(page(run))
    assert "Not processed yet 0" in shown
    assert "would save them" not in shown


def test_an_input_that_was_cut_is_not_called_done():
    with made_run(complete=False) as run:
        run.add(Outcome.STOPPED)
        run.end("interrupted", None, 130)
        steps = steps_of(page(run))
    assert "mass-stop resume runs/one" in steps
    assert "Nothing" not in steps


def test_a_run_that_is_at_work_calls_its_actions_not_known_to_be_over(run):
    """The tenant may have called some of them over already."""
    run.add(Outcome.STOPPED)
    run.add(None)
    shown = text_of(page(run))
    assert "Not known to be over 1" in shown
    assert "Need a person" not in shown


@pytest.mark.parametrize("outcome", [Outcome.STOPPED, Outcome.REJECTED])
def test_a_damaged_journal_is_the_first_thing_said(run, outcome):
    run.add(outcome)
    run.end()
    reader = JournalReader(run.connection, ["4 of the 203 rows of keys.csv are lost."])
    view = read_view(reader)
    assert view.headline == read_report(reader).run.headline
    assert (view.headline.tone, view.headline.title) == ("bad", "Journal damaged")
    assert view.headline.details[0] == "4 of the 203 rows of keys.csv are lost."
    assert view.headline.details[1].startswith("What could be read: ")
    assert not view.open_ends


def test_what_is_left_of_a_damaged_journal_is_run_again_and_not_resumed(run):
    run.add(Outcome.REJECTED)
    run.add(None)
    run.end()
    steps = text_of(page(run, damage=("Rows are lost.",)).split('id="next"')[1].split("</section>")[0])
    assert "run the same input again with another --out" in steps
    assert "mass-stop resume" not in steps


def test_the_rehearsal_asks_for_nothing():
    with made_run(command="drill") as run:
        run.add(Outcome.UNCONFIRMED)
        run.end()
        assert "mass-stop resume" not in text_of(page(run).split("<main>")[1].split('id="course"')[0])
