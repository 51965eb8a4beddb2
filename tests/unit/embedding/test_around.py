"""The program around a run: the run changes nothing in it, and finds every public name."""

import logging
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, get_type_hints

import pytest

import orchestrator
from orchestrator import (
    Settings,
    stop_all,
    stop_all_blocking,
    stop_each,
)
from tests.unit.embedding.served import one_by_one


@pytest.mark.asyncio
async def test_nothing_is_printed(settings: Settings, keys: list[str], capfd: pytest.CaptureFixture[str]):
    await stop_all([*keys, "no key"], settings)
    assert tuple(capfd.readouterr()) == ("", "")


@pytest.mark.asyncio
async def test_no_signal_handler_is_touched(settings: Settings, keys: list[str]):
    during: list[Any] = []

    async def looking() -> AsyncIterator[str]:
        async for key in one_by_one(keys):
            during.append([signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)])
            yield key

    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    await stop_all(looking(), settings)
    assert all(handlers == before for handlers in during)


@pytest.mark.asyncio
async def test_root_logging_is_not_touched(settings: Settings, keys: list[str]):
    root = logging.getLogger()
    before = (root.level, list(root.handlers))
    await stop_all(keys, settings)
    assert (root.level, list(root.handlers)) == before


def test_importing_the_package_imports_no_http_client():
    loaded = "import sys, orchestrator; print('aiohttp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_the_package_is_marked_as_typed():
    assert (Path(orchestrator.__file__).parent / "py.typed").is_file()


@pytest.mark.parametrize("function", [stop_all, stop_each, stop_all_blocking])
def test_every_function_has_types_for_its_arguments_and_result(function: Any):
    assert set(get_type_hints(function)) == {
        "keys", "settings", "tenants", "on_progress", "logger", "return",
    }  # fmt: skip


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_every_public_name_can_be_imported(name: str):
    assert getattr(orchestrator, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        orchestrator.no_such_name  # noqa: B018
