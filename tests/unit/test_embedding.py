"""The functions for programs: what they return, what they leave alone, and how they end when they are cancelled."""

import asyncio
import json
import logging
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, Literal, get_type_hints

import anyio
import pytest
from msgspec import structs

import orchestrator
from orchestrator import (
    Outcome,
    Report,
    Secret,
    Settings,
    Tenant,
    UsageError,
    app,
    embedding,
    resume_all,
    resume_all_blocking,
    stop_all,
    stop_all_blocking,
    stop_each,
)
from orchestrator.app import cluster
from orchestrator.errors import CallError, Kind
from orchestrator.simulator import SimulatedTenant
from orchestrator.store.report import ActionEntry, read_report
from orchestrator.zuora.client import ZuoraClient

LONGEST = 45.0
ACTIONS = 12

AT_WORK: dict[str, Any] = {
    "actions": ACTIONS,
    "latency": 0.003,
    "mix": {"Processing": 1},
    "records": (2000, 4000),
    "speed": (5.0, 20.0),
    "stopping_time": (0.01, 0.1),
}
"""A tenant whose actions have minutes of work ahead: each is stopped by us or not at all."""


class Served:
    """A simulated tenant in a thread and a loop of its own, so that the test's loop holds our tasks alone."""

    def __init__(self, **changes: Any) -> None:
        self.tenant = SimulatedTenant(**{**AT_WORK, **changes})
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self.tenant.start(), self._loop).result(LONGEST)

    def end(self) -> None:
        asyncio.run_coroutine_threadsafe(self.tenant.stop(), self._loop).result(LONGEST)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(LONGEST)
        self._loop.close()

    def settings(self, out: Path, **others: Any) -> Settings:
        config = self.tenant.config
        return Settings(
            base_url=self.tenant.base_url,
            client_id=config.client_id,
            client_secret=Secret(config.client_secret),
            out=str(out),
            **others,
        )


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    one.start()
    yield one
    one.end()


@pytest.fixture
def slow() -> Iterator[Served]:
    """As ``served``, but each call takes long enough for a test to step in."""
    one = Served(latency=0.2)
    one.start()
    yield one
    one.end()


@pytest.fixture
def keys(served: Served) -> list[str]:
    return list(served.tenant.keys)


@pytest.fixture
def settings(served: Served, tmp_path: Path) -> Settings:
    return served.settings(tmp_path / "run")


async def until_some_stop_arrived(served: Served) -> None:
    async with asyncio.timeout(LONGEST):
        while not served.tenant.calls.get("stop"):  # noqa: ASYNC110 - the tenant is in another thread
            await asyncio.sleep(0.002)


async def cut(served: Served, settings: Settings) -> None:
    """Starts a run, and cancels it when stops are under way."""
    task = asyncio.create_task(stop_all(served.tenant.keys, settings))
    await until_some_stop_arrived(served)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def other_tasks() -> set["asyncio.Task[Any]"]:
    return asyncio.all_tasks() - {asyncio.current_task()}


async def one_by_one(keys: list[str]) -> AsyncIterator[str]:
    for key in keys:
        await asyncio.sleep(0)
        yield key


# ---------------------------------------------------------------------------------------------- stop_all


@pytest.mark.asyncio
async def test_stop_all_returns_the_report_as_an_object(settings: Settings, keys: list[str]):
    assert isinstance(await stop_all(keys, settings), Report)


@pytest.mark.asyncio
async def test_stop_all_stops_every_action(served: Served, settings: Settings, keys: list[str]):
    await stop_all(keys, settings)
    assert {served.tenant.truth(key).status for key in keys} == {"Stopped"}


@pytest.mark.asyncio
async def test_stop_all_reports_the_keys_in_their_order(settings: Settings, keys: list[str]):
    report = await stop_all(keys, settings)
    assert [action.bulk_key for action in report.actions] == keys


@pytest.mark.asyncio
async def test_stop_all_gives_the_commands_exit_status(settings: Settings, keys: list[str]):
    report = await stop_all([*keys, "no key"], settings)
    assert report.run.exit_status == 1


@pytest.mark.asyncio
async def test_stop_all_tells_a_malformed_key_in_the_report(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], "no key"], settings)
    assert [action.outcome for action in report.actions] == [Outcome.STOPPED, Outcome.MALFORMED]


@pytest.mark.asyncio
async def test_stop_all_numbers_duplicates_by_their_place(settings: Settings, keys: list[str]):
    report = await stop_all([keys[0], keys[1], keys[0]], settings)
    assert [(action.row, action.duplicate_rows) for action in report.actions] == [(1, [3]), (2, [])]


@pytest.mark.asyncio
async def test_stop_all_takes_keys_from_a_generator(settings: Settings, keys: list[str]):
    report = await stop_all((key for key in keys), settings)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_stop_all_sends_a_key_of_an_asynchronous_iterable_as_it_comes(
    served: Served, settings: Settings, keys: list[str]
):
    async def second_after_the_first_stop() -> AsyncIterator[str]:
        yield keys[0]
        await until_some_stop_arrived(served)
        yield keys[1]

    report = await stop_all(second_after_the_first_stop(), settings)
    assert report.summary.outcomes == {Outcome.STOPPED: 2}


@pytest.mark.asyncio
async def test_without_a_key_stop_all_raises_a_usage_error(settings: Settings):
    with pytest.raises(UsageError):
        await stop_all([], settings)


@pytest.mark.asyncio
async def test_without_a_tenant_stop_all_raises_a_usage_error(settings: Settings, keys: list[str]):
    with pytest.raises(UsageError):
        await stop_all(keys, structs.replace(settings, base_url=None))


@pytest.mark.asyncio
async def test_without_credentials_stop_all_raises_a_usage_error(settings: Settings, keys: list[str]):
    with pytest.raises(UsageError):
        await stop_all(keys, structs.replace(settings, client_secret=None))


@pytest.mark.asyncio
async def test_refused_credentials_are_told_by_the_report(settings: Settings, keys: list[str]):
    report = await stop_all(keys, structs.replace(settings, client_secret=Secret("wrong")))
    assert report.run.exit_status == 3


@pytest.mark.asyncio
@pytest.mark.parametrize("engine", ["local", "dask"])
async def test_an_error_of_the_callers_own_iterable_reaches_the_caller_and_the_report(
    settings: Settings, keys: list[str], engine: Literal["local", "dask"]
):
    async def breaks() -> AsyncIterator[str]:
        yield keys[0]
        raise LookupError("the caller's own")

    with pytest.raises(LookupError):
        await stop_all(breaks(), structs.replace(settings, engine=engine))
    told = json.loads((Path(settings.out or "") / "report.json").read_text())
    assert (told["run"]["state"], told["run"]["reason"]) == ("aborted", "The keys broke off: LookupError.")


@pytest.mark.asyncio
async def test_two_runs_in_one_loop_do_not_meet(served: Served, keys: list[str], tmp_path: Path):
    halves = (keys[:6], keys[6:])
    told = [served.settings(tmp_path / name) for name in ("one", "other")]
    reports = await asyncio.gather(*(stop_all(half, one) for half, one in zip(halves, told, strict=True)))
    assert tuple([action.bulk_key for action in report.actions] for report in reports) == halves


@pytest.mark.asyncio
async def test_a_run_leaves_no_task_behind(settings: Settings, keys: list[str]):
    await stop_all(keys, settings)
    assert other_tasks() == set()


# --------------------------------------------------------------------------------------------- stop_each


async def collected(keys: Any, settings: Settings) -> list[ActionEntry]:
    async with aclosing(stop_each(keys, settings)) as actions:
        return [action async for action in actions]


@pytest.mark.asyncio
async def test_stop_each_yields_every_key_once(settings: Settings, keys: list[str]):
    yielded = Counter(action.bulk_key for action in await collected(keys, settings))
    assert yielded == Counter(keys)


@pytest.mark.asyncio
async def test_stop_each_yields_a_malformed_key_once(settings: Settings, keys: list[str]):
    yielded = await collected(["no key", *keys], settings)
    assert [action.bulk_key for action in yielded if action.outcome is Outcome.MALFORMED] == ["no key"]


@pytest.mark.asyncio
async def test_stop_each_yields_a_duplicate_once_with_its_rows(settings: Settings, keys: list[str]):
    yielded = await collected([keys[0], keys[0]], settings)
    assert [(action.row, action.duplicate_rows) for action in yielded] == [(1, [2])]


@pytest.mark.asyncio
async def test_stop_each_yields_a_key_before_the_next_is_there(settings: Settings, keys: list[str]):
    first_is_over = asyncio.Event()

    async def second_after_the_first_is_over() -> AsyncIterator[str]:
        yield keys[0]
        await first_is_over.wait()
        yield keys[1]

    yielded = []
    async with (
        asyncio.timeout(LONGEST),
        aclosing(stop_each(second_after_the_first_is_over(), settings)) as actions,
    ):
        async for action in actions:
            yielded.append(action.bulk_key)
            first_is_over.set()
    assert yielded == keys[:2]


@pytest.mark.asyncio
async def test_stop_each_yields_the_keys_that_a_deadline_left_over(slow: Served, tmp_path: Path):
    keys = slow.tenant.keys
    yielded = await collected(keys, slow.settings(tmp_path / "run", deadline=0.001))
    assert Counter(action.bulk_key for action in yielded) == Counter(keys)


@pytest.mark.asyncio
async def test_leaving_stop_each_early_leaves_no_task_behind(settings: Settings, keys: list[str]):
    async with aclosing(stop_each(keys, settings)) as actions:
        async for _ in actions:
            break
    assert other_tasks() == set()


@pytest.mark.asyncio
async def test_stop_each_raises_a_usage_error_without_a_key(settings: Settings):
    with pytest.raises(UsageError):
        await collected([], settings)


@pytest.mark.asyncio
async def test_two_stop_each_in_one_loop_do_not_meet(served: Served, keys: list[str], tmp_path: Path):
    one, other = await asyncio.gather(
        collected(keys[:6], served.settings(tmp_path / "one")),
        collected(keys[6:], served.settings(tmp_path / "other")),
    )
    assert ({a.bulk_key for a in one}, {a.bulk_key for a in other}) == (set(keys[:6]), set(keys[6:]))


# ------------------------------------------------------------------------------------- stop_all_blocking


def test_stop_all_blocking_in_a_loop_names_the_call_that_belongs_there(settings: Settings, keys: list[str]):
    async def in_a_loop() -> None:
        stop_all_blocking(keys, settings)

    with pytest.raises(UsageError, match="await stop_all"):
        asyncio.run(in_a_loop())


def test_resume_all_blocking_in_a_loop_names_the_call_that_belongs_there(settings: Settings, tmp_path: Path):
    async def in_a_loop() -> None:
        resume_all_blocking(tmp_path, settings)

    with pytest.raises(UsageError, match="await resume_all"):
        asyncio.run(in_a_loop())


def test_stop_all_blocking_needs_no_loop(settings: Settings, keys: list[str]):
    reports: list[Report] = []
    # In a thread of its own: asyncio.run() would throw away the loop that pytest-asyncio keeps for the main thread.
    thread = threading.Thread(target=lambda: reports.append(stop_all_blocking(keys, settings)))
    thread.start()
    thread.join(LONGEST)
    assert [report.summary.outcomes for report in reports] == [{Outcome.STOPPED: ACTIONS}]


@pytest.mark.asyncio
@pytest.mark.parametrize(("kind", "status"), [(Kind.UNAUTHENTICATED, 3), (Kind.NO_PERMISSION, 1)])
async def test_a_run_whose_every_key_is_refused_for_its_credentials_ends_as_one_with_wrong_credentials(
    settings: Settings, keys: list[str], monkeypatch: pytest.MonkeyPatch, kind: Kind, status: int
):
    async def refuse(*_: str) -> None:
        raise CallError(kind, "No.", http_status=401)

    monkeypatch.setattr(ZuoraClient, "stop", refuse)
    report = await stop_all(keys[:2], settings)
    assert (report.run.exit_status, report.summary.outcomes) == (status, {Outcome.REJECTED: 2})


# --------------------------------------------------------------------------------------------- cancelling


@pytest.mark.asyncio
async def test_a_cancelled_run_leaves_a_report_that_says_interrupted(slow: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    assert b'"state": "interrupted"' in (tmp_path / "run" / "report.json").read_bytes()


@pytest.mark.asyncio
async def test_a_run_that_is_cut_while_its_report_is_written_writes_it_and_has_its_exit_status(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """A second Ctrl-C in that moment ended an interrupted run in exit status 0."""
    run = app.begin(settings, "run", None)
    with anyio.CancelScope() as scope:
        remediate = run._remediate

        async def cut_then_remediate() -> None:
            scope.cancel()
            await remediate()

        monkeypatch.setattr(run, "_remediate", cut_then_remediate)
        run.cut(app.interrupted("SIGINT", 130))
        run.exit_status = -1
        await run.execute(embedding._intake(run, list(served.tenant.keys)))
    run.end()
    assert (run.exit_status, run.saved) == (0, True)


@pytest.mark.asyncio
async def test_a_run_that_waits_for_its_cluster_is_cut_at_once(
    served: Served, settings: Settings, monkeypatch: pytest.MonkeyPatch
):
    """It waited a minute for the first worker, whatever the operator did."""
    waits = asyncio.Event()

    @asynccontextmanager
    async def never(*_: object) -> AsyncIterator[None]:
        waits.set()
        await anyio.sleep_forever()
        yield

    monkeypatch.setattr(cluster, "connected", never)
    run = app.begin(structs.replace(settings, engine="dask"), "run", None)
    async with asyncio.timeout(LONGEST), anyio.create_task_group() as group:
        group.start_soon(run.execute, embedding._intake(run, list(served.tenant.keys)))
        await waits.wait()
        run.cut(app.interrupted("SIGINT", 130))
    outcomes = (await run.read(read_report)).summary.outcomes
    run.end()
    assert (run.exit_status, outcomes) == (130, {Outcome.NOT_ATTEMPTED: ACTIONS})


@pytest.mark.asyncio
async def test_a_cancelled_run_can_be_resumed_to_its_end(
    slow: Served, tmp_path: Path, mass_stop_command: Path
):
    await cut(slow, slow.settings(tmp_path / "run"))
    resume = await asyncio.create_subprocess_exec(
        mass_stop_command, "resume", tmp_path / "run", "--quiet", env=slow.tenant.environment()
    )
    async with asyncio.timeout(LONGEST):
        assert await resume.wait() == 0


@pytest.mark.asyncio
async def test_a_cancelled_run_is_gone_on_with_from_the_program(slow: Served, tmp_path: Path):
    settings = slow.settings(tmp_path / "run")
    await cut(slow, settings)
    report = await resume_all(tmp_path / "run", settings, slow.tenant.keys)
    assert (report.run.exit_status, report.run.resumed) == (0, 1)
    assert [action.bulk_key for action in report.actions] == list(slow.tenant.keys)
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_a_guard_holds_when_the_run_is_resumed_without_naming_it(slow: Served, tmp_path: Path):
    guarded = slow.settings(tmp_path / "run", expect_uploaded_by=("nobody@example.com",))
    task = asyncio.create_task(stop_all(slow.tenant.keys, guarded))
    async with asyncio.timeout(LONGEST):
        while not slow.tenant.calls.get("status"):  # noqa: ASYNC110 - the tenant is in another thread
            await asyncio.sleep(0.002)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    report = await resume_all(tmp_path / "run", slow.settings(tmp_path / "run"), slow.tenant.keys)
    assert report.summary.outcomes == {Outcome.SKIPPED_BY_GUARD: ACTIONS}
    assert slow.tenant.calls.get("stop", 0) == 0


@pytest.mark.asyncio
async def test_keys_that_the_cut_left_unread_must_be_given_again(slow: Served, tmp_path: Path):
    async def no_end() -> AsyncIterator[str]:
        yield slow.tenant.keys[0]
        await asyncio.Event().wait()

    settings = slow.settings(tmp_path / "run")
    task = asyncio.create_task(stop_all(no_end(), settings))
    await until_some_stop_arrived(slow)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(UsageError, match="give the same keys again"):
        await resume_all(tmp_path / "run", settings)
    report = await resume_all(tmp_path / "run", settings, one_by_one(slow.tenant.keys))
    assert report.summary.outcomes == {Outcome.STOPPED: ACTIONS}


@pytest.mark.asyncio
async def test_a_run_is_not_resumed_at_another_tenant(slow: Served, served: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    with pytest.raises(UsageError, match="belongs to"):
        await resume_all(tmp_path / "run", served.settings(tmp_path / "run"))


def test_a_run_that_is_over_is_resumed_to_the_same_report_without_a_loop(
    settings: Settings, keys: list[str], tmp_path: Path
):
    before = stop_all_blocking(keys, settings)
    after = resume_all_blocking(tmp_path / "run", settings)
    assert (after.actions, after.run.exit_status) == (before.actions, 0)


@pytest.mark.asyncio
async def test_a_cancelled_run_leaves_no_task_behind(slow: Served, tmp_path: Path):
    await cut(slow, slow.settings(tmp_path / "run"))
    assert other_tasks() == set()


@pytest.mark.asyncio
async def test_a_cancelled_run_makes_no_noise_in_the_loop(slow: Served, tmp_path: Path):
    noise: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
    await cut(slow, slow.settings(tmp_path / "run"))
    assert noise == []


@pytest.mark.asyncio
async def test_a_cancelled_run_frees_its_directory(slow: Served, tmp_path: Path):
    told = slow.settings(tmp_path / "run")
    await cut(slow, told)
    with pytest.raises(UsageError, match="holds a run already"):  # and not: another is at work
        await stop_all(slow.tenant.keys, told)


# ------------------------------------------------------------------------------- the program around it


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
def test_a_function_has_the_type_of_everything_it_takes_and_returns(function: Any):
    assert set(get_type_hints(function)) == {"keys", "settings", "tenants", "return"}


@pytest.mark.parametrize("name", orchestrator.__all__)
def test_a_public_name_can_be_had(name: str):
    assert getattr(orchestrator, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no_such_name"):
        orchestrator.no_such_name  # noqa: B018


# ---------------------------------------------------------------------------------------------- several tenants


def two_tenants(served: Served) -> dict[str, Tenant]:
    """Two entities of the tenant that is served."""
    config = served.tenant.config
    return {
        name: Tenant(
            base_url=served.tenant.base_url,
            entity_id=name,
            client_id=config.client_id,
            client_secret=Secret(config.client_secret),
        )
        for name in ("north", "south")
    }


@pytest.mark.asyncio
async def test_several_tenants_are_stopped_in_one_call(served: Served, tmp_path: Path, keys: list[str]):
    pairs = [(("north", "south")[place % 2], key) for place, key in enumerate(keys)]
    report = await stop_all(pairs, Settings(out=str(tmp_path / "run")), two_tenants(served))
    assert [(action.tenant, action.bulk_key) for action in report.actions] == pairs
    assert {action.outcome for action in report.actions} == {Outcome.STOPPED}


@pytest.mark.asyncio
async def test_a_key_of_a_tenant_that_was_not_given_is_malformed(
    served: Served, tmp_path: Path, keys: list[str]
):
    pairs = [("north", keys[0]), ("west", keys[1])]
    report = await stop_all(pairs, Settings(out=str(tmp_path / "run")), two_tenants(served))
    assert [action.outcome for action in report.actions] == [Outcome.STOPPED, Outcome.MALFORMED]


@pytest.mark.asyncio
async def test_a_key_that_names_a_tenant_is_malformed_in_a_run_of_one(settings: Settings, keys: list[str]):
    report = await stop_all([("north", keys[0]), keys[1]], settings)
    assert [action.outcome for action in report.actions] == [Outcome.MALFORMED, Outcome.STOPPED]


@pytest.mark.asyncio
async def test_a_secret_that_a_program_holds_is_not_sent_to_a_worker(
    served: Served, tmp_path: Path, keys: list[str]
):
    told = Settings(out=str(tmp_path / "run"), engine="dask")
    with pytest.raises(UsageError, match="does not leave it"):
        await stop_all([("north", keys[0])], told, two_tenants(served))
