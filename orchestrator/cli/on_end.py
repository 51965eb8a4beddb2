"""``--on-end``: a command of the operator that runs once the report is written."""

import os
import shlex
import signal
import subprocess
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import anyio
import anyio.abc

from orchestrator import runs
from orchestrator.cli.output import say
from orchestrator.errors import UsageError
from orchestrator.printable import shortened
from orchestrator.settings import Settings

LONGEST = 60.0
"""Seconds that the command may take."""

MOST_OUTPUT = 2_000
"""Characters of its output that are shown if it fails."""

_SECRETS = ("ZUORA_CLIENT_SECRET", "ZUORA_TOKEN", "MASS_STOP_ON_END")


def words_of(command: str) -> list[str]:
    """``command`` split like a shell would. Raises UsageError."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise UsageError(f"--on-end: the command cannot be split into words ({error}).") from None
    if not words:
        raise UsageError("--on-end: the command is empty.")
    return words


async def run_command(command: str, run: runs.Run, settings: Settings) -> None:
    """Run ``command`` with the Markdown report of ``run`` on its standard input. It raises nothing."""
    from orchestrator.report.pages.markdown import write_markdown

    environment = without_secrets(os.environ, _secret_names(run, settings)) | {
        "MASS_STOP_RUN_DIR": str(run.directory.path.absolute()),
        "MASS_STOP_EXIT_STATUS": str(run.exit_status),
        "MASS_STOP_STATE": run.ending.state,
    }
    with tempfile.TemporaryFile() as report:
        try:
            await run.read(lambda reader: write_markdown(reader, report.write, run.directory.path))
            report.seek(0)
            process = await anyio.open_process(
                words_of(command), stdin=report, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                env=environment, start_new_session=True,
            )  # fmt: skip
        except OSError as error:
            _failed(f"could not be started: {error.strerror}.")
            return
        await _watch(process)


async def _watch(process: anyio.abc.Process) -> None:
    output = bytearray()

    async def read() -> None:
        assert process.stdout is not None
        async for piece in process.stdout:
            output.extend(piece[: MOST_OUTPUT - len(output)])

    ended = False
    try:
        with anyio.move_on_after(LONGEST):
            async with anyio.create_task_group() as group:
                group.start_soon(read)
                await process.wait()
                ended = True
                # A background process of the command may keep its output open.
                group.cancel_scope.deadline = anyio.current_time() + 1
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        with anyio.CancelScope(shield=True):
            await process.aclose()
    said = shortened(output.decode("utf-8", "replace").strip(), MOST_OUTPUT)
    said = f" Its output: {said}" if said else ""
    if not ended:
        _failed(f"was ended after {LONGEST:.0f}s.{said}")
    elif process.returncode:
        _failed(f"ended in exit status {process.returncode}.{said}")


def _failed(what: str) -> None:
    say(f"The command of --on-end {what}")


def without_secrets(environment: Mapping[str, str], names: Iterable[str]) -> dict[str, str]:
    """``environment`` without the variables ``names`` and without addresses that contain a password."""
    secret = {*_SECRETS, *names}
    return {
        name: value for name, value in environment.items() if name not in secret and not _has_password(value)
    }


def _has_password(value: str) -> bool:
    try:
        return "://" in value and urlsplit(value.strip()).password is not None
    except ValueError:
        return True


def _secret_names(run: runs.Run, settings: Settings) -> list[str]:
    """The variables that hold credentials of the tenants."""
    values = {secret.reveal() for secret in (settings.client_secret, settings.token) if secret is not None}
    names = [name for name, value in os.environ.items() if value.strip() in values]
    for tenant in run.tenants.values():
        names += filter(None, (tenant.client_secret_env, tenant.token_env))
    return names
