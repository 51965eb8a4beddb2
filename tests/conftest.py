"""Available to every test: hypothesis profiles, seeds, the installed command. Nothing runs by itself."""

import asyncio
import gc
import os
import signal
import sys
from collections.abc import Generator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings

# jsonschema would import it for formats that no schema here has: a grammar that takes two seconds to build.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # None says that it cannot be imported

# The everyday suite tries the same examples each time: red means the change, not the day.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=100, database=None)
# The hunt tries others each time, remembers what failed, and prints how to see it again.
settings.register_profile(
    "hunt",
    derandomize=False,
    deadline=timedelta(seconds=30),
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# A mutant must fail a test; an explanation is not needed.
settings.register_profile(
    "mutants",
    derandomize=True,
    deadline=None,
    max_examples=25,
    database=None,
    phases=[Phase.explicit, Phase.generate],
)
settings.load_profile("steady")


def pytest_configure() -> None:
    """The same state of this process for the tests, however it was started."""
    # No event loop is current: one that pytest-asyncio finds there it would put aside without closing it.
    asyncio.set_event_loop(None)
    # A shell starts a background job without SIGINT, nohup a command without SIGHUP; every command would inherit that.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Tests and their imports stay to the end: the garbage collector need not search them."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--seeds`` and ``--first-seed``: which seeds a test with an argument ``run_seed`` is run with."""
    group = parser.getgroup("mass-stop")
    group.addoption("--seeds", type=int, default=3, help="how many seeds (default 3)")
    group.addoption("--first-seed", type=int, default=1, help="the first of them (default 1)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test that takes ``run_seed`` once with each seed; its name shows which: ``test_x[seed=7]``."""
    if "run_seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("first_seed"), metafunc.config.getoption("seeds")
        seeds = range(first, first + count)
        metafunc.parametrize("run_seed", seeds, ids=[f"seed={seed}" for seed in seeds])


@pytest.fixture(scope="session")
def mass_stop_command() -> Path:
    """The installed command: the wheel's, which ``make test`` names; else the one beside this Python."""
    named = os.environ.get("MASS_STOP")
    return Path(named).absolute() if named else Path(sys.executable).parent / "mass-stop"
