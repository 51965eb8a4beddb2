"""The report as a program gets it: what ``report.json`` holds, the run's directory, and answers to common questions."""

from pathlib import Path

from orchestrator.errors import error_of_run
from orchestrator.model import GOOD, OVER
from orchestrator.report import schema
from orchestrator.report.schema import ActionEntry


class Report(schema.Report, frozen=True, kw_only=True):
    """The whole report. Its fields are those of ``report.json``, and ``run_dir``: the directory of the run."""

    run_dir: Path | None = None

    @property
    def all_over(self) -> bool:
        """Whether the run is finished and every action is over. Malformed rows and plans are not over."""
        return self.run.state == "finished" and self.summary.outcomes.keys() <= OVER

    @property
    def needs_person(self) -> list[ActionEntry]:
        """The actions that need a person, in input order: those with an outcome that is not over."""
        return [action for action in self.actions if action.outcome not in GOOD]

    def raise_for_status(self) -> None:
        """Raise the error for an exit status other than 0. The message is a sentence for the operator.

        Raises:
            ActionsNotOver: the run finished, and at least one key is not over (exit status 1).
            CredentialsRefused: the tenant refused the credentials, and nothing was stopped (3).
            TenantUnreachable: the tenant could not be reached, and nothing was stopped (3).
            RunCutShort: the run was cut short by a limit, a deadline or its tenant (4).
            UsageError: the keys could not be read to their end (2).
            StorageError: this machine failed the run (5).
            RunInterrupted: the run was interrupted or cancelled, or is not finished (130, 143, 129 or none).
        """
        status = self.run.exit_status
        if status == 0:
            return
        left = len(self.needs_person)
        counted = f"{left} of {len(self.actions)} keys need a person"
        reason = self.run.reason or ("" if status == 1 else f"The run is {self.run.state}.")
        where = "" if self.run_dir is None else f" The report is in {self.run_dir}."
        raise error_of_run(status, f"{reason} {counted}.{where}".lstrip())
