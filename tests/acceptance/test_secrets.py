"""Secrets appear only where they came from."""

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestrator.simulator import FaultPlan
from tests.acceptance.support import PROCESSING, Ended, MassStop, Tenant, family, publish_schema, until

SECRET = "canary-9f3e-swallow-secret-1c77"


@pytest.fixture
def started() -> bool:
    """Each command is started: its process shows what it was started with."""
    return True


@dataclass
class Seen:
    """The visible output of a run with many faults, and the secrets it must not contain."""

    ended: Ended
    processes: bytes
    secrets: list[bytes]

    def holds_none(self, data: bytes) -> bool:
        return not any(secret in data for secret in self.secrets)


@pytest.fixture(scope="module")
def seen(mass_stop_command: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seen]:
    publish_schema(mass_stop_command)
    mass_stop = MassStop(mass_stop_command, tmp_path_factory.mktemp("seen"), started=True)
    faults = FaultPlan({"expired_token": 0.1, "html": 0.1, "truncated": 0.1, "answer_lost": 0.1})
    changes = dict(PROCESSING) | {"latency": 0.04}
    with Tenant(**changes, actions=30, client_secret=SECRET, faults=faults) as tenant:
        secret = mass_stop.home / "secret"
        secret.write_text(SECRET + "\n")
        secret.chmod(0o600)
        going = mass_stop.start(
            "run", "--yes", "--out", "run", "--log-level", "debug", "--report", "-", "--concurrency", "4",
            "--client-secret-file", secret, mass_stop.keys(tenant.keys),
            tenant=tenant, env={"ZUORA_CLIENT_SECRET": ""},
        )  # fmt: skip
        until(lambda: tenant.answered("stop") >= 3, "some stops")
        processes = b"".join(
            (process / name).read_bytes()
            for process in family(going.process.pid)
            for name in ("cmdline", "environ", "comm")
        )
        tokens = tenant.tokens()
        tenant.simulated.revoke_tokens()
        until(lambda: tenant.sent("token") >= 2 and tenant.tokens(), "another token")
        tokens += tenant.tokens()
        ended = going.end()
        tokens += tenant.tokens()
        yield Seen(ended, processes, [SECRET.encode(), *(token.encode() for token in set(tokens))])
    mass_stop.close()


def test_a_run_that_needs_several_tokens_finishes(seen: Seen) -> None:
    assert seen.ended.status == 0, seen.ended
    assert len(seen.secrets) >= 3


def test_neither_secret_nor_token_is_in_any_file_of_the_run(seen: Seen) -> None:
    files = [path for path in seen.ended.directory.rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert [path.name for path in files if not seen.holds_none(path.read_bytes())] == []


def test_neither_secret_nor_token_is_in_any_cell_of_the_journal(seen: Seen) -> None:
    with sqlite3.connect(seen.ended.directory / "journal.db") as journal:
        dump = "\n".join(journal.iterdump()).encode()
    journal.close()
    assert seen.holds_none(dump)


def test_neither_secret_nor_token_is_on_standard_output_or_standard_error(seen: Seen) -> None:
    assert seen.holds_none(seen.ended.out)
    assert seen.holds_none(seen.ended.err.encode())


def test_neither_secret_nor_token_is_in_the_title_or_environment_of_a_process(seen: Seen) -> None:
    assert seen.processes
    assert seen.holds_none(seen.processes)


@pytest.mark.parametrize("origin", ["variable", "file"])
def test_a_secret_that_cannot_be_used_is_not_repeated(
    mass_stop: MassStop, tenant: Tenant, origin: str
) -> None:
    path = mass_stop.home / "token"
    path.write_text("canary token")
    path.chmod(0o600)
    more = ("--token-file", path) if origin == "file" else ()
    env = {} if origin == "file" else {"ZUORA_TOKEN": "canary token"}
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), *more, env=env)
    assert ended.status == 2, ended
    assert "canary" not in ended.err


def test_no_option_takes_a_secret_on_the_command_line(mass_stop: MassStop, tenant: Tenant) -> None:
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--client-secret", "canary")
    assert ended.status == 2, ended
    assert "canary" not in ended.err
    assert tenant.nothing_sent()


def test_a_secret_in_the_settings_file_is_refused(mass_stop: MassStop, tenant: Tenant) -> None:
    (mass_stop.home / "mass-stop.toml").write_text('client-secret = "canary"\n')
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys))
    assert ended.status == 2, ended
    assert "canary" not in ended.err


def test_a_bearer_token_is_used_and_never_shown(mass_stop: MassStop, tenant: Tenant) -> None:
    token = "canary-token-4711"
    tenant.simulated._tenant._tokens[token] = float("inf")
    env = {"ZUORA_TOKEN": token, "ZUORA_CLIENT_ID": "", "ZUORA_CLIENT_SECRET": ""}
    ended = mass_stop.run(
        tenant, mass_stop.keys(tenant.keys), "--no-results", "--log-level", "debug", env=env
    )
    assert (ended.status, tenant.sent("token")) == (0, 0), ended
    assert token not in ended.err
    for path in ended.directory.rglob("*"):
        assert path.is_dir() or token.encode() not in path.read_bytes(), path


def test_a_refused_bearer_token_ends_in_three(mass_stop: MassStop, tenant: Tenant) -> None:
    env = {"ZUORA_TOKEN": "canary-token-4711", "ZUORA_CLIENT_ID": "", "ZUORA_CLIENT_SECRET": ""}
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), env=env)
    assert ended.status == 3, ended
    assert "canary" not in ended.err
    assert not any(tenant.truth(key).stop_effective_at for key in tenant.keys)
