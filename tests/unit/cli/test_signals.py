"""Signals at the end of a run."""

import os
import signal
import sys
from types import SimpleNamespace
from typing import Any

import anyio

from orchestrator.cli import session
from orchestrator.engine.cutoff import Cutoff
from orchestrator.progress import Progress


def test_a_signal_while_files_are_written_interrupts_nothing_and_says_so(monkeypatch):
    async def main() -> None:
        stage = session._Stage()
        run: Any = SimpleNamespace(started=True, progress=Progress(writing=0.41), cutoff=cutoff)
        stage.run = run
        send, receive = anyio.create_memory_object_stream[str](9)
        monkeypatch.setattr(sys, "stderr", SimpleNamespace(write=send.send_nowait))
        async with anyio.create_task_group() as group, send, receive:
            await group.start(session._watch_signals, stage)
            for _ in range(2):
                os.kill(os.getpid(), signal.SIGINT)
                assert "files of the run are being written" in await receive.receive()
            assert not stage.scope.cancel_called
            group.cancel_scope.cancel()

    cutoff = Cutoff()
    anyio.run(main)
    assert not cutoff.closing
