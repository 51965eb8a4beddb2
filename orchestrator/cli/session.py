"""Shared by the commands that work on a run: the screen, signals, the closing summary, copies of the report.

Modules for the end of a run are imported there: the first stop does not wait for them.
"""

import math
import os
import signal
import sys
import traceback
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from importlib.util import find_spec

import anyio
from anyio import to_thread
from anyio.abc import TaskStatus

from orchestrator import collector, runs
from orchestrator.cli import memory, progress
from orchestrator.cli.output import say
from orchestrator.errors import StorageError
from orchestrator.logs import Screen
from orchestrator.settings import Settings

PATIENCE = 2.0
"""Seconds after a signal for which a copy of the report may still find its reader."""

Prepare = Callable[[Screen], AbstractAsyncContextManager[tuple[runs.Run, runs.Intake]]]


# Arrow's own allocators keep freed memory for later. In the command's process nothing else needs them.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")


def conduct(settings: Settings, prepare: Prepare, close: "Close | None" = None) -> int:
    """Work on the run that ``prepare`` opens to its end, and return the exit status.

    ``close`` shows how it ended and returns that status; by default that is a summary and a copy of the report.
    """
    if settings.on_end is not None:
        from orchestrator.cli.on_end import words_of

        words_of(settings.on_end)
    collector.collect_rarely()
    # dask brings an HTTP server and processes of its own, which are made for the loop of the standard library.
    uvloop = settings.engine == "local" and find_spec("uvloop") is not None
    return anyio.run(_conduct, settings, prepare, close or _close, backend_options={"use_uvloop": uvloop})


async def _conduct(settings: Settings, prepare: Prepare, close: "Close") -> int:
    stage = _Stage()
    memory.watch_loop(stage.record_error)
    json = settings.log_format == "json" or (settings.log_format == "auto" and not sys.stderr.isatty())
    screen = Screen(sys.stderr, "error" if settings.quiet else settings.log_level, json)
    status = 0
    async with anyio.create_task_group() as group:
        await group.start(_watch_signals, stage)
        with stage.scope:
            async with prepare(screen) as (run, intake):
                stage.run = run
                try:
                    with anyio.CancelScope() as stage.scope:
                        await _work(run, intake, screen, settings)
                    if run.started:
                        stage.delivery = anyio.CancelScope()
                        status = await close(run, settings, stage)
                finally:
                    await _run_on_end(run, settings, stage)
        group.cancel_scope.cancel()
    if stage.run is None or not stage.run.started:
        raise runs.Interrupted("interrupted; nothing was sent.", 128 + stage.signal)
    return status


class _Stage:
    """The run at work, and what a ``signal`` cancels: the preparing, then the run's calls, then the report's copy."""

    def __init__(self) -> None:
        self.signal = signal.SIGINT.value
        self.run: runs.Run | None = None
        self.scope = anyio.CancelScope()
        self.delivery: anyio.CancelScope | None = None

    def receive(self, number: int) -> None:
        """The first signal lets calls in flight, or the copy of the report, finish. A second one cancels them.

        The files of a run are written in any case.
        """
        run = self.run
        if number == signal.SIGHUP and run is not None and run.cutoff.closing:
            return
        if self.delivery is not None:
            self.signal = number
            first = self.delivery.deadline == math.inf
            self.delivery.deadline = anyio.current_time() + (PATIENCE if first else 0)
        elif run is not None and run.progress.writing is not None:
            sys.stderr.write("All calls have ended. The files of the run are being written.\n")
        elif run is None or not run.started or run.cutoff.closing:
            self.signal = number
            self.scope.cancel()
        else:
            run.cutoff.interrupt(runs.Interrupted.by_signal(signal.Signals(number).name, 128 + number))
            sys.stderr.write(
                "Interrupted: no stop is sent any more. Calls in flight finish; a second signal cancels them.\n"
            )

    def record_error(self, message: str, error: BaseException | None) -> None:
        """Log an error that no code waits for. No traceback reaches the screen."""
        if self.run is not None:
            self.run.log.debug(
                "loop.error", message=message, traceback="".join(traceback.format_exception(error))
            )


Close = Callable[[runs.Run, Settings, _Stage], Awaitable[int]]


async def _work(run: runs.Run, intake: runs.Intake, screen: Screen, settings: Settings) -> None:
    async with progress.shown(run.progress, run.log, screen, settings):
        await run.execute(intake)


async def _watch_signals(stage: _Stage, *, task_status: TaskStatus[None]) -> None:
    """Hand each signal to ``stage``. A terminal that closes counts as one, unless nohup or the shell ignores it."""
    hung_up = [] if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN else [signal.SIGHUP]
    with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM, *hung_up) as signals:
        task_status.started()
        async for number in signals:
            stage.receive(number)


async def _close(run: runs.Run, settings: Settings, stage: _Stage) -> int:
    from orchestrator import report as reports
    from orchestrator.cli.report_output import shown

    if not settings.quiet:
        sys.stderr.write(f"{await _last_words(run, settings)}\n")
    else:  # why the run did not finish, and what this machine could not do
        aborted = run.ending.reason if run.ending.state == "aborted" else None
        for sentence in filter(None, (aborted, *run.troubles)):
            say(sentence)
    if not run.saved:
        await run.read(lambda reader: reports.write_json(reader, _to_standard_error))
    if settings.report is not None and stage.delivery is not None:
        with stage.delivery:
            await _deliver(run, settings.report)
        if stage.delivery.cancelled_caught:
            name, where = signal.Signals(stage.signal).name, shown(settings.report)
            sentence = (
                f"The report was not written to {where}: its reader had not read it when {name} arrived."
            )
            await _report_undelivered(run, sentence, 128 + stage.signal)
    return run.exit_status


async def _run_on_end(run: runs.Run, settings: Settings, stage: _Stage) -> None:
    """Run the command of ``--on-end`` after the report of a run, however it ended."""
    if (
        settings.on_end is None
        or run.info.command != "run"
        or not run.started
        or run.ending.state == "running"
    ):
        return
    from orchestrator.cli.on_end import run_command

    with anyio.CancelScope() as stage.delivery:
        await run_command(settings.on_end, run, settings)


async def _deliver(run: runs.Run, target: str) -> None:
    """Writes the report's copy: from the file, where there is one, in a thread that a signal can leave behind."""
    from orchestrator import report as reports
    from orchestrator.cli.report_output import copy_report, read_out, shown

    try:
        if run.saved:
            write_to = partial(read_out, run.directory.report)
            await to_thread.run_sync(copy_report, target, write_to, abandon_on_cancel=True)
        else:
            await run.read(lambda reader: copy_report(target, partial(reports.write_json, reader)))
    except ConnectionError:
        whole = f" It is whole in {run.directory.report}." if run.saved else ""
        say(f"The reader closed {shown(target)} before the report was complete.{whole}")
    except OSError as error:
        sentence = f"The report could not be written to {shown(target)}: {error.strerror}."
        await _report_undelivered(run, sentence, StorageError.exit_status)


async def _report_undelivered(run: runs.Run, sentence: str, exit_status: int) -> None:
    await run.undelivered(sentence, exit_status)
    say(sentence)


def _to_standard_error(data: bytes) -> None:
    sys.stderr.write(data.decode("utf-8", "replace"))


async def _last_words(run: runs.Run, settings: Settings) -> str:
    from orchestrator.cli import summary
    from orchestrator.cli.page import capabilities_of

    ended = await run.read(
        lambda reader: summary.read_ended_run(reader, run.directory.path, run.troubles, saved=run.saved)
    )
    if run.info.command != "plan":
        return summary.closing(ended, capabilities_of(sys.stderr))
    from orchestrator.cli import plan_summary

    plan = await run.read(lambda reader: plan_summary.read_ended_plan(reader, ended))
    ahead = plan_summary.forecast_run(plan, settings, run.progress, run.tenants)
    return plan_summary.closing(plan, ahead, capabilities_of(sys.stderr))
