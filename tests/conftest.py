"""Common to all tests: hypothesis profiles, seeds, the installed command. No fixture runs without being requested."""

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

# jsonschema imports this grammar for formats that no schema here has. Building it takes two seconds.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment] # None prevents the import

# The everyday suite tries the same examples each time, so that a failure comes from a change.
settings.register_profile("steady", derandomize=True, deadline=None, max_examples=100, database=None)
# The hunt tries other examples each time, stores those that fail, and prints how to repeat them.
settings.register_profile(
    "hunt",
    derandomize=False,
    deadline=timedelta(seconds=30),
    max_examples=5_000,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# A mutant only has to fail a test. An explanation is not needed.
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
    """Give the process the same state for the tests, in any environment."""
    # pytest-asyncio would put a current event loop aside without closing it.
    asyncio.set_event_loop(None)
    # A shell starts a background job without SIGINT, and nohup starts a command without SIGHUP. Commands inherit that.
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGHUP, signal.SIG_DFL)):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, usual)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Exclude tests and their imports from garbage collection, because they exist to the end."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.freeze()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--seeds`` and ``--first-seed``, the seeds for tests with an argument ``run_seed``."""
    group = parser.getgroup("mass-stop")
    group.addoption("--seeds", type=int, default=3, help="how many seeds (default 3)")
    group.addoption("--first-seed", type=int, default=1, help="the first of them (default 1)")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run a test with an argument ``run_seed`` once for each seed. Its name contains the seed: ``test_x[seed=7]``."""
    if "run_seed" in metafunc.fixturenames:
        first, count = metafunc.config.getoption("first_seed"), metafunc.config.getoption("seeds")
        seeds = range(first, first + count)
        metafunc.parametrize("run_seed", seeds, ids=[f"seed={seed}" for seed in seeds])


@pytest.fixture(scope="session")
def mass_stop_command() -> Path:
    """The installed command: the path in MASS_STOP, as in ``make test``, or the one beside this Python."""
    named = os.environ.get("MASS_STOP")
    return Path(named).absolute() if named else Path(sys.executable).parent / "mass-stop"
