"""On a terminal: the question before the stops."""

import os
from collections.abc import Callable, Iterator
from typing import Any

import pexpect
import pytest

from tests.acceptance.support import LONGEST, MassStop, Tenant, outcomes, until, valid

pytestmark = [pytest.mark.terminal, pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")]

Ask = Callable[..., "pexpect.spawn[str]"]


@pytest.fixture
def ask(mass_stop: MassStop, tenant: Tenant) -> Iterator[Ask]:
    """Starts ``mass-stop run --out run ARGUMENTS`` on a terminal, in a shell that may redirect."""
    started = []

    def start(*arguments: Any, shell: str = 'exec "$@"', unset: tuple[str, ...] = ()) -> "pexpect.spawn[str]":
        environment = mass_stop.environment(tenant, {"TERM": "xterm"})
        words = [str(mass_stop.command), "run", "--out", "run", *map(str, arguments)]
        child = pexpect.spawn(
            "/bin/sh",
            ["-c", shell, "sh", *words],
            env={name: value for name, value in environment.items() if name not in unset},
            cwd=str(mass_stop.home),
            encoding="utf-8",
            timeout=LONGEST,
            dimensions=(40, 160),
        )
        started.append(child)
        return child

    yield start
    for child in started:
        child.close(force=True)


def _ended(child: "pexpect.spawn[str]") -> int:
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus is not None
    return int(child.exitstatus)


def test_the_question_shows_the_first_keys_in_the_order_of_the_run(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    rows = [f"{key},{number}" for number, key in enumerate(tenant.keys)]
    (mass_stop.home / "keys.csv").write_text("\n".join(["bulk_key,speed", *rows]) + "\n")
    child = ask("keys.csv", "--order", "speed")
    child.expect(r"\[y/N\]")
    shown = [line.split()[:2] for line in (child.before or "").splitlines() if "keys.csv:" in line]
    assert shown == [[tenant.keys[at], f"keys.csv:{at + 2}"] for at in (11, 10, 9, 8, 7)]


def test_the_question_shows_the_tenant_the_number_and_the_first_keys(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    child = ask(mass_stop.keys(tenant.keys))
    child.expect(r"\[y/N\]")
    question = child.before or ""
    assert tenant.environment["ZUORA_BASE_URL"] in question
    assert "12" in question
    assert all(key in question for key in tenant.keys[:3])
    assert tenant.nothing_sent()


@pytest.mark.parametrize("answer", ["n", "", "yesterday"])
def test_any_answer_except_yes_stops_nothing(
    mass_stop: MassStop, tenant: Tenant, ask: Ask, answer: str
) -> None:
    child = ask(mass_stop.keys(tenant.keys))
    child.expect(r"\[y/N\]")
    child.sendline(answer)
    assert _ended(child) == 2
    assert tenant.nothing_sent()
    assert not (mass_stop.home / "run").exists()


def test_yes_in_a_file_that_was_not_named_does_not_remove_the_question(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    address = tenant.environment["ZUORA_BASE_URL"]
    (mass_stop.home / "mass-stop.toml").write_text(f'yes = true\nbase-url = "{address}"\nheadroom = 20\n')
    child = ask(mass_stop.keys(tenant.keys), unset=("ZUORA_BASE_URL",))
    child.expect(r"\[y/N\]")
    assert f"mass-stop.toml in this folder sets yes = true, base_url = {address}" in (child.before or "")
    child.sendline("n")
    assert _ended(child) == 2
    assert tenant.nothing_sent()


def test_yes_in_a_file_that_was_named_removes_the_question(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    (mass_stop.home / "mass-stop.toml").write_text("yes = true\n")
    child = ask(mass_stop.keys(tenant.keys), "--config", "mass-stop.toml", "--no-results")
    assert _ended(child) == 0
    assert not tenant.nothing_sent()


def test_the_report_says_that_the_run_was_confirmed_on_the_terminal(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    child = ask(mass_stop.keys(tenant.keys), "--no-results")
    child.expect(r"\[y/N\]")
    child.sendline("y")
    assert _ended(child) == 0
    report = valid((mass_stop.home / "run" / "report.json").read_bytes())
    assert report["run"]["operator"]["confirmed"] == "terminal"


def test_the_answer_yes_stops_every_action(mass_stop: MassStop, tenant: Tenant, ask: Ask) -> None:
    child = ask(mass_stop.keys(tenant.keys))
    child.expect(r"\[y/N\]")
    child.sendline("y")
    assert _ended(child) == 0
    report = valid((mass_stop.home / "run" / "report.json").read_bytes())
    assert outcomes(report) == dict.fromkeys(tenant.keys, "stopped")


def test_keys_come_from_standard_input_while_the_answer_comes_from_the_terminal(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    mass_stop.keys([*tenant.keys, "y"])
    child = ask(shell='cat keys.txt | "$@"')
    child.expect("12 to stop")
    child.expect(r"\[y/N\]")
    assert tenant.nothing_sent()
    child.sendline("y")
    assert _ended(child) == 1
    assert all(tenant.truth(key).stop_effective_at for key in tenant.keys)


def test_the_report_goes_into_a_pipe_while_the_answer_comes_from_the_terminal(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    child = ask(mass_stop.keys(tenant.keys), "--report", "-", shell='"$@" > piped.json')
    child.expect(r"\[y/N\]")
    child.sendline("y")
    assert _ended(child) == 0
    assert outcomes(valid((mass_stop.home / "piped.json").read_bytes())) == dict.fromkeys(
        tenant.keys, "stopped"
    )


def test_an_interrupt_at_the_question_stops_nothing(mass_stop: MassStop, tenant: Tenant, ask: Ask) -> None:
    child = ask(mass_stop.keys(tenant.keys))
    child.expect(r"\[y/N\]")
    child.sendintr()
    assert _ended(child) == 130
    assert tenant.nothing_sent()
    assert not (mass_stop.home / "run").exists()


def test_the_end_of_the_terminal_at_the_question_stops_nothing(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    child = ask(mass_stop.keys(tenant.keys))
    child.expect(r"\[y/N\]")
    child.sendeof()
    assert _ended(child) == 2
    assert tenant.nothing_sent()


def test_with_a_terminal_and_nothing_piped_keys_are_asked_for(tenant: Tenant, ask: Ask) -> None:
    child = ask("--yes")
    child.expect("mass-stop: No keys")
    assert _ended(child) == 2


def test_no_question_is_asked_for_an_input_without_a_key(mass_stop: MassStop, ask: Ask) -> None:
    (mass_stop.home / "keys.csv").write_text("bulk_key,job\n")
    child = ask("keys.csv")
    child.expect("holds no usable bulk key")
    assert (_ended(child), "y/N" in (child.before or "")) == (2, False)


def test_on_a_terminal_an_interrupt_ends_the_run_with_a_summary(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    os.mkfifo(mass_stop.home / "pipe")
    child = ask("--yes", "pipe")
    with (mass_stop.home / "pipe").open("w") as pipe:
        pipe.write(tenant.keys[0] + "\n")
        pipe.flush()
        until(lambda: tenant.answered("file"), "the first result")
        child.sendintr()
        child.expect("report +run/report.json")
        assert _ended(child) == 130


def test_the_cursor_is_shown_while_ctrl_z_has_stopped_the_run(
    mass_stop: MassStop, tenant: Tenant, ask: Ask
) -> None:
    os.mkfifo(mass_stop.home / "pipe")
    child = ask("--yes", "pipe", shell='set -m; "$@"; echo "shell has it"; read go; fg; echo "ended in $?"')
    with (mass_stop.home / "pipe").open("w") as pipe:
        pipe.write(tenant.keys[0] + "\n")
        pipe.flush()
        child.expect_exact("\x1b[?25l")
        until(lambda: tenant.answered("file"), "the first result")
        child.send("\x1a")
        child.expect_exact("\x1b[?25h")
        child.expect_exact("shell has it")
        child.sendline("")
        child.expect_exact("\x1b[?25l")
    child.expect_exact("\x1b[?25h")
    child.expect_exact("ended in 0")
    assert _ended(child) == 0
