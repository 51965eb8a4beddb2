"""Errors in callbacks of the event loop."""

import asyncio
import gc

import pytest

from orchestrator.cli import memory


@pytest.mark.asyncio
async def test_an_error_that_no_code_waits_for_is_recorded_and_not_printed(capfd):
    recorded: list[tuple[str, BaseException | None]] = []
    memory.watch_loop(lambda message, error: recorded.append((message, error)))
    failed = ConnectionError("certificate verify failed")
    asyncio.get_running_loop().create_future().set_exception(failed)
    gc.collect()
    assert [error for _, error in recorded] == [failed]
    assert capfd.readouterr().err == ""
