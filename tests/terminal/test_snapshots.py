"""The screens of an operator, kept as text: on narrow, colourless, dumb and ASCII terminals, and in a CI log."""

import os
from collections.abc import Callable

import pytest

from tests.acceptance.support import MassStop, Tenant, until
from tests.terminal.conftest import MIXED, On

pytestmark = [pytest.mark.terminal, pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")]

OnTerminal = Callable[..., On]
AsKept = Callable[..., None]

WIDTHS = pytest.mark.parametrize("columns", [80, 40])
QUIETER = ("--log-level", "error")
"""Log lines wrap where an address or a version ends: they are left out."""

STRANGER = {"ZUORA_CLIENT_ID": "nobody", "ZUORA_CLIENT_SECRET": "nothing"}


@pytest.fixture
def tenant(make_tenant: Callable[..., Tenant]) -> Tenant:
    return make_tenant(**MIXED)


def keys_of(mass_stop: MassStop, tenant: Tenant) -> str:
    """A file with a label a key, a duplicate, and a row that holds no key; one label would paint a terminal."""
    path = mass_stop.home / "keys.csv"
    rows = [f"{key},job-{number},Zoë\x1b[31m" for number, key in enumerate(tenant.keys)]
    path.write_text("\n".join(["bulk_key,job,owner", *rows, tenant.keys[0], "no key at all,,"]) + "\n")
    return path.name


@WIDTHS
def test_the_question(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept, columns: int
) -> None:
    terminal = on_terminal("run", keys_of(mass_stop, tenant), tenant=tenant, columns=columns)
    terminal.child.expect(r"\[y/N\]")
    terminal.child.sendline("n")
    assert terminal.end() == 2
    as_kept(f"question-{columns}", terminal.screen())
    assert tenant.nothing_sent()


@WIDTHS
def test_the_question_in_production_with_every_guard(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept, columns: int
) -> None:
    terminal = on_terminal(
        "run", keys_of(mass_stop, tenant), "--env", "us2-prod", "--entity-id", "E-1", "--org-ids", "1,2",
        "--expect-action-type", "MPU", "--expect-uploaded-by", "close@example.com", "--max-failures", "5%",
        "--concurrency", "20", "--rate", "600/min", "--deadline", "1h", "--no-results", "--order", "job",
        tenant=None, columns=columns, env=STRANGER,
    )  # fmt: skip
    terminal.child.expect(r"\[y/N\]")
    terminal.child.sendline("")
    assert terminal.end() == 2
    as_kept(f"question-production-{columns}", terminal.screen())


@WIDTHS
def test_the_question_for_several_tenants(
    mass_stop: MassStop, on_terminal: OnTerminal, as_kept: AsKept, columns: int
) -> None:
    (mass_stop.home / "tenants.toml").write_text(
        '[tenants.north]\nenv = "us1-prod"\ntoken_env = "TOKEN"\n'
        '[tenants.south]\nenv = "eu-sandbox"\nentity_id = "E-7"\ntoken_env = "TOKEN"\n'
        '[tenants.idle]\nenv = "ap-prod"\ntoken_env = "TOKEN"\n'
    )
    rows = [f"{name},{number:032x},job-{number}" for number, name in enumerate(["north", "south"] * 4)]
    rows += ["nowhere,00000000000000000000000000000009,job-9", rows[0]]
    (mass_stop.home / "all.csv").write_text("\n".join(["tenant,bulk_key,job", *rows]) + "\n")
    terminal = on_terminal(
        "run", "all.csv", "--tenants", "tenants.toml", "--max-failures", "5", "--max-failures-total", "10%",
        tenant=None, columns=columns, env={"TOKEN": "no-token-at-all"},
    )  # fmt: skip
    terminal.child.expect(r"\[y/N\]")
    terminal.child.sendline("n")
    assert terminal.end() == 2
    as_kept(f"question-tenants-{columns}", terminal.screen())


@pytest.mark.parametrize(
    ("env", "coloured"),
    [({"NO_COLOR": ""}, True), ({"NO_COLOR": "1"}, False), ({"NO_COLOR": "", "TERM": "dumb"}, False)],
)
def test_production_is_coloured_on_a_colour_terminal(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, env: dict[str, str], coloured: bool
) -> None:
    terminal = on_terminal(
        "run", keys_of(mass_stop, tenant), "--env", "eu-prod", tenant=None, env=STRANGER | env
    )
    terminal.child.expect(r"\[y/N\]")
    terminal.child.sendline("n")
    terminal.end()
    assert ("\x1b[1;97;41m*** PRODUCTION ***" in terminal.written) is coloured
    assert ("\x1b" in terminal.written) is coloured


@WIDTHS
def test_a_run(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept, columns: int
) -> None:
    run = on_terminal(
        "run",
        keys_of(mass_stop, tenant),
        "--yes",
        "--out",
        "it's one",
        *QUIETER,
        tenant=tenant,
        columns=columns,
    )
    assert run.end() == 1
    as_kept(f"run-{columns}", run.screen())


def test_a_run_on_a_dumb_terminal(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept
) -> None:
    run = on_terminal(
        "run",
        keys_of(mass_stop, tenant),
        "--yes",
        "--out",
        "one",
        *QUIETER,
        tenant=tenant,
        env={"TERM": "dumb"},
    )
    assert run.end() == 1
    assert "\x1b" not in run.written
    as_kept("run-dumb", run.screen())


def test_a_run_in_a_ci_job(mass_stop: MassStop, tenant: Tenant, as_kept: AsKept) -> None:
    ended = mass_stop.run(tenant, keys_of(mass_stop, tenant), env={"LANG": "C"})
    assert ended.status == 1
    assert "\x1b" not in ended.err
    lines = [line for line in ended.err.splitlines(keepends=True) if "action.needs_a_person" not in line]
    assert len(lines) < len(ended.err.splitlines())
    as_kept("run-ci", "".join(lines))


def test_an_interrupted_run(
    mass_stop: MassStop, tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept
) -> None:
    """The progress is gone from the screen, and so is the terminal's echo of Ctrl-C."""
    key = next(key for key in tenant.keys if tenant.truth(key).status == "Pending")
    os.mkfifo(mass_stop.home / "pipe")
    run = on_terminal("run", "pipe", "--yes", "--out", "one", *QUIETER, tenant=tenant)
    with (mass_stop.home / "pipe").open("w") as pipe:
        pipe.write(f"{key}\n")
        pipe.flush()
        until(lambda: tenant.answered("status"), "the first status")
        run.child.expect("results")
        run.child.sendintr()
        assert run.end() == 130
    as_kept("run-interrupted", run.screen())


@WIDTHS
def test_a_plan(
    make_tenant: Callable[..., Tenant],
    mass_stop: MassStop,
    on_terminal: OnTerminal,
    as_kept: AsKept,
    columns: int,
) -> None:
    tenant = make_tenant(**MIXED, clock=lambda: 1_000.0)
    plan = on_terminal(
        "plan", keys_of(mass_stop, tenant), "--out", "planned", *QUIETER, tenant=tenant, columns=columns
    )
    assert plan.end() == 1
    as_kept(f"plan-{columns}", plan.screen())


@WIDTHS
def test_a_check(
    make_tenant: Callable[..., Tenant], on_terminal: OnTerminal, as_kept: AsKept, columns: int
) -> None:
    tenant = make_tenant(**MIXED, clock=lambda: 1_000.0)
    check = on_terminal("check", tenant=tenant, columns=columns)
    assert check.end() == 0
    as_kept(f"check-{columns}", check.screen())


def test_a_check_with_the_wrong_secret(tenant: Tenant, on_terminal: OnTerminal, as_kept: AsKept) -> None:
    check = on_terminal("check", tenant=tenant, env={"ZUORA_CLIENT_SECRET": "wrong"})
    assert check.end() == 3
    as_kept("check-refused", check.screen())
