"""The closing summary claims no more than is known, and names the next steps."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from orchestrator.cli.page import Capabilities
from orchestrator.cli.summary import EndedRun, as_argument, closing
from orchestrator.journal.digest import Failures, Named, Reason
from orchestrator.journal.entries import SourceInfo
from orchestrator.model import Outcome
from orchestrator.report import RunEntry, Summary
from orchestrator.report.headline import headline
from orchestrator.report.schema import CallTotals, RecordTotals, TenantEntry, TenantRunEntry, Timing
from orchestrator.results.index import Index, RemediationFile, encode

DIRECTORY = Path("runs/one")
KEY = "0123456789abcdef0123456789abcdef"


def said(
    outcomes: dict[Outcome, int],
    *,
    last_stop: float | None = None,
    files_missing: int = 0,
    failures: list[Failures] | None = None,
    reasons: list[Reason] | None = None,
    unread: list[SourceInfo] | None = None,
    directory: Path = DIRECTORY,
    width: int | None = None,
    trouble: str | None = None,
    tenants: dict[str, TenantRunEntry] | None = None,
    since: str | None = None,
    unprocessed: int = 0,
    **run: Any,
) -> str:
    """The summary of a run with these outcomes."""
    entry = RunEntry(
        id="one",
        command=run.get("command", "run"),
        version="0",
        started_at="2026-11-23T22:50:13.123Z",
        ended_at=None,
        duration_seconds=None,
        tenant=TenantEntry("https://rest.zuora.com", None, ()),
        sources=[],
        state=run.get("state", "finished"),
        reason=run.get("reason"),
        resumed=0,
        exit_status=run.get("exit_status", 0),
        operator=None,
        tenants=tenants or None,
    )
    summary = Summary(
        keys=sum(outcomes.values()),
        duplicates=0,
        malformed=0,
        outcomes=outcomes,
        records=RecordTotals(unprocessed, 0, 0, 0, unprocessed, 0),
        calls=CallTotals(0, 0, 0, 0, 0, 0, 0),
        timing=Timing(None, last_stop, None),
    )
    names = [source.name for source in unread or []]
    entry = structs.replace(entry, headline=headline(entry, summary, failures or [], names, files_missing))
    ended = EndedRun(
        entry, summary, directory, True, [trouble] if trouble else [], reasons or [], unread or [], since
    )
    return closing(ended, Capabilities(width=width))


def test_without_a_possible_stop_the_summary_says_nothing_was_stopped():
    text = said({Outcome.NOT_ATTEMPTED: 3}, state="aborted")
    assert text.startswith("Nothing was stopped: none of the 3 mass actions is known to be over.\n")


def test_without_a_key_none_is_counted_as_running():
    """A pipe whose writer never came: its keys are not known."""
    text = said({}, state="interrupted", unread=[SourceInfo(1, "keys.pipe", "/keys.pipe")])
    assert "Nothing was stopped: no key was read, and the input was not read to its end: keys.pipe" in text
    assert "0 mass actions" not in text


def test_with_a_possible_stop_the_summary_does_not_say_nothing_was_stopped():
    assert "Nothing" not in said({Outcome.UNCONFIRMED: 3}, state="aborted")


def test_an_action_that_ran_to_its_end_despite_the_stop_is_not_called_already_over():
    shown = said({Outcome.ALREADY_STOPPED: 2, Outcome.COMPLETED_BEFORE_STOP: 1_500})
    assert "already over   2 (2 already_stopped)" in shown
    assert "too late       1,500 completed despite the stop" in shown


def test_the_reason_follows_the_headline():
    text = said({Outcome.NOT_ATTEMPTED: 3}, state="aborted", reason="The credentials were refused.")
    assert text.splitlines()[1] == "The credentials were refused."


NOT_FOUND = Failures(Outcome.REJECTED, "not_found", 5, 0, KEY, "There is no such action.")


def test_too_many_failures_name_a_check_before_resume():
    text = said(
        {Outcome.REJECTED: 5, Outcome.NOT_ATTEMPTED: 95}, state="aborted", exit_status=4, failures=[NOT_FOUND],
        reason="5 of 5 keys were refused or unreachable: --max-failures stopped the sending.",
    )  # fmt: skip
    assert text.startswith("Nothing was stopped: this tenant knows none of the 5 keys that were tried.")
    assert text.index(f"mass-stop check {KEY}") < text.index("mass-stop resume")


@pytest.mark.parametrize("kind", ["throttled", "not_found", "no_permission", "gateway"])
def test_the_first_step_after_too_many_failures_is_never_a_bare_resume(kind: str):
    failures = [structs.replace(NOT_FOUND, kind=kind, outcome=Outcome.UNCONFIRMED)]
    text = said(
        {Outcome.UNCONFIRMED: 5, Outcome.STOPPED: 2, Outcome.NOT_ATTEMPTED: 9}, state="aborted", exit_status=4,
        failures=failures, reason="5 of 7 keys were refused: --max-failures stopped the sending.",
    )  # fmt: skip
    first = text[text.index("Next:") :].splitlines()[1]
    assert first.startswith("- ")
    assert "check" in text[text.index("Next:") : text.index("mass-stop resume")]


def test_a_run_cut_when_every_action_was_over_says_so():
    assert said({Outcome.STOPPED: 3}, last_stop=1.0, state="interrupted").startswith("All over")


def test_missing_response_files_are_reported():
    text = said({Outcome.STOPPED: 3}, last_stop=1.0, files_missing=2)
    assert "2 response files are missing" in text


def test_complete_response_files_are_not_mentioned():
    assert "missing" not in said({Outcome.STOPPED: 3}, last_stop=1.0)


@pytest.mark.parametrize("outcome", [Outcome.UNCONFIRMED, Outcome.UNREACHABLE, Outcome.NOT_ATTEMPTED])
def test_open_keys_name_the_command_that_continues(outcome: Outcome):
    assert f"mass-stop resume {DIRECTORY}\n" in said({outcome: 1}, last_stop=1.0) + "\n"


@pytest.mark.parametrize("outcome", [Outcome.REJECTED, Outcome.SKIPPED_BY_GUARD, Outcome.MALFORMED])
def test_keys_that_resume_would_not_retry_are_not_left_to_resume(outcome: Outcome):
    text = said({Outcome.STOPPED: 1, outcome: 1}, last_stop=1.0)
    resumes = [line for line in text.splitlines() if "mass-stop resume" in line]
    assert all(line.endswith("--retry-rejected") for line in resumes)
    assert "\nNext:\n- " in text


def test_a_cut_input_never_reads_as_all_over():
    text = said(
        {Outcome.STOPPED: 3}, last_stop=1.0, state="interrupted", unread=[SourceInfo(1, "keys.csv", "/k")]
    )
    assert "All over" not in text
    assert f"mass-stop resume {DIRECTORY}\n" in text + "\n"


def test_the_summary_asks_for_a_cut_standard_input_again():
    text = said({Outcome.STOPPED: 3}, last_stop=1.0, state="interrupted", unread=[SourceInfo(1, "-")])
    assert f"mass-stop resume {DIRECTORY} SOURCE\n" in text


def test_standard_input_is_named_in_words():
    """ "- was not read to its end" names nothing."""
    text = said({Outcome.STOPPED: 3}, last_stop=1.0, state="interrupted", unread=[SourceInfo(1, "-")])
    assert "the input was not read to its end: standard input\n" in text
    assert "Give the same keys again as SOURCE: standard input cannot be read twice." in text


def test_a_drill_is_not_resumed():
    assert "mass-stop resume" not in said({Outcome.UNCONFIRMED: 1}, last_stop=1.0, command="drill")


def test_a_local_failure_names_the_disk_space_to_free():
    text = said({Outcome.UNCONFIRMED: 1}, exit_status=5, trouble="The journal: No space left on device.")
    assert "Correct the problem on this machine named above" in text
    assert "--engine local" not in text


def test_a_lost_shard_names_no_disk_space_to_free():
    text = said({Outcome.UNCONFIRMED: 1}, exit_status=5, state="aborted", reason="Its shard came to no end.")
    assert "Make room" not in text
    assert "Check the workers and the scheduler" in text
    assert "add --engine local" in text


def test_after_refused_credentials_check_comes_before_resume():
    text = said({Outcome.NOT_ATTEMPTED: 1}, state="aborted", exit_status=3)
    assert text.index("mass-stop check") < text.index("mass-stop resume")


def test_resume_is_named_too_if_every_key_had_refused_credentials():
    assert "mass-stop resume" in said({Outcome.REJECTED: 3}, state="aborted", exit_status=3)


@pytest.mark.parametrize(
    ("reason", "first"),
    [
        ("It refused the credentials.", "Correct the problems of the tenants named above"),
        (None, "Continue the run"),
    ],
)
def test_the_reason_of_an_abandoned_tenant_comes_before_resume(reason: str | None, first: str):
    tenants = {"south": TenantRunEntry("https://rest.zuora.com", None, (), state="aborted", reason=reason)}
    whole = f"south: {reason}" if reason else "The deadline was reached."
    text = said(
        {Outcome.NOT_ATTEMPTED: 1, Outcome.STOPPED: 1}, last_stop=1.0,
        state="aborted", reason=whole, exit_status=4, tenants=tenants,
    )  # fmt: skip
    assert text.index(first) < text.index("mass-stop resume")


@pytest.mark.parametrize("option", ["--deadline", "--max-failures"])
def test_the_summary_names_an_option_that_would_cut_the_resume_again(option: str):
    text = said({Outcome.NOT_ATTEMPTED: 1}, state="aborted", reason=f"It was cut ({option}).")
    assert "applies again" in text


@pytest.mark.parametrize("name", ["runs/one", "it's 3 a.m.", "a;rm -rf b", "-x", "$(x)"])
def test_the_directory_in_a_command_is_quoted_for_a_shell(name: str):
    (word,) = shlex.split(as_argument(Path(name)))
    assert Path(word) == Path(name)
    assert not word.startswith("-")


@pytest.mark.parametrize("records", [0, 1_200])
def test_a_folder_of_records_is_named_with_their_number(tmp_path: Path, records: int):
    (tmp_path / "remediation").mkdir()
    index = Index([RemediationFile("retry/MPU-001.csv", "retry", records)])
    (tmp_path / "remediation" / "index.json").write_bytes(encode(index))
    text = said({Outcome.STOPPED: 1}, last_stop=1.0, directory=tmp_path)
    assert (f"{tmp_path}/remediation/retry" in text, "1,200 records failed" in text) == (bool(records),) * 2


@pytest.mark.parametrize(("unprocessed", "explained"), [(90, False), (100, False), (101, True)])
def test_unprocessed_records_without_a_file_are_explained(tmp_path: Path, unprocessed: int, explained: bool):
    (tmp_path / "remediation").mkdir()
    files = [
        RemediationFile("resend/MPU-001.csv", "resend", 70),
        RemediationFile("held/MPU-001.csv", "held", 30),
    ]
    (tmp_path / "remediation" / "index.json").write_bytes(encode(Index(files)))
    text = said({Outcome.STOPPED: 1}, last_stop=1.0, directory=tmp_path, unprocessed=unprocessed)
    assert ("Unprocessed records without an upload file" in text) == explained


def test_electronic_payments_are_named_with_the_earliest_time(tmp_path: Path):
    (tmp_path / "remediation").mkdir()
    (tmp_path / "remediation" / "index.json").write_bytes(encode(Index([], electronic_payments=12)))
    text = said({Outcome.STOPPED: 1}, last_stop=1.0, directory=tmp_path, since="2026-11-23 10:00:05")
    assert ("12 electronic payments went through" in text, "2026-11-23 10:00:05" in text) == (True, True)


def test_keys_that_need_a_person_are_named_with_the_reason_and_the_rest_is_counted():
    reason = Reason(Outcome.REJECTED, 12, 53900010, "You may not.", [Named(KEY, "keys.csv", 7)])
    text = said({Outcome.REJECTED: 20}, reasons=[reason])
    assert "  12 rejected: You may not. (53900010)\n" in text
    assert f"    {KEY}  keys.csv:7\n    and 11 more\n" in text
    assert "  and 8 for other reasons" in text


def test_malformed_rows_with_different_reasons_show_each_reason():
    named = [
        Named("x", "keys.csv", 9, message="too short"),
        Named("y", "keys.csv", 11, message="no such tenant"),
    ]
    text = said({Outcome.MALFORMED: 2}, reasons=[Reason(Outcome.MALFORMED, 2, None, "too short", named)])
    assert "  2 malformed: too short\n    keys.csv:9  x\n    keys.csv:11  y\n      no such tenant\n" in text


def test_a_malformed_row_is_named_by_its_place():
    reason = Reason(Outcome.MALFORMED, 1, None, "too short", [Named("nonsense", "keys.csv", 9)])
    assert "    keys.csv:9  nonsense\n" in said({Outcome.MALFORMED: 1}, reasons=[reason])


def test_control_characters_are_made_visible():
    reason = Reason(Outcome.MALFORMED, 1, None, "\x1b]0;owned\x07", [Named("\x1b[2J", "k\r.csv", 9)])
    text = said({Outcome.MALFORMED: 1}, reasons=[reason], reason="\x1b[31m\x9b")
    assert all(char.isprintable() or char == "\n" for char in text)
    assert "\\x1b[2J" in text


@pytest.mark.parametrize("width", [20, 40, 80])
def test_only_commands_and_paths_are_wider_than_the_screen(width: int):
    outcomes = dict.fromkeys((*Outcome,), 1)
    reason = Reason(
        Outcome.REJECTED, 12, 53900010, "A sentence of some length. " * 5, [Named(KEY, "k.csv", 7)]
    )
    text = said(outcomes, reasons=[reason], width=width, last_stop=1.0, directory=Path("a/" * 30))
    long = [line for line in text.splitlines() if len(line) > width]
    assert all("a/a/a" in line or " " not in line.strip() for line in long), long
