"""``config/runbooks/incident.sh``: every exit status is handled, and a signal reaches mass-stop."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from tests.acceptance.support import PROCESSING, Tenant, until
from tests.contract.examples import LONGEST, ROOT, without_others

SCRIPT = ROOT / "config" / "runbooks" / "incident.sh"

FAKE_COMMAND = """#!/bin/sh
# mass-stop as the test wants it: each call takes the next line of "plan": an exit status, and what is left open.
echo "$*" >> calls
read -r status open < plan
sed -i.old 1d plan
mkdir -p night && touch night/journal.db
printf '  "outcomes": {\\n    "stopped": 3,\\n    "%s": 1\\n  }\\n' "${open:-stopped}" > night/report.json
exit "$status"
"""

RUN = "run keys.txt --yes --out night"
RESUME = "resume night"


@pytest.fixture
def rehearse(tmp_path: Path) -> Callable[..., tuple[int, list[str], str]]:
    """Runs the script with a substitute command that ends as planned. Returns exit status, calls and output."""
    command = tmp_path / "bin" / "mass-stop"
    command.parent.mkdir()
    command.write_text(FAKE_COMMAND)
    command.chmod(0o755)

    def play(*plan: str, options: tuple[str, ...] = (), **variables: str) -> tuple[int, list[str], str]:
        (tmp_path / "plan").write_text("".join(f"{line}\n" for line in plan))
        path = f"{command.parent}{os.pathsep}{os.environ.get('PATH', os.defpath)}"
        done = subprocess.run(
            ["sh", SCRIPT, "keys.txt", "night", *options], cwd=tmp_path, stdin=subprocess.DEVNULL,
            env={**without_others(), "PATH": path, "PAUSE": "0", "LOOKS": "2", "VERIFY_AFTER": "0", **variables},
            capture_output=True, text=True, timeout=LONGEST,
        )  # fmt: skip
        assert (tmp_path / "plan").read_text() == "", f"not all was called for: {done.stderr}"
        return done.returncode, (tmp_path / "calls").read_text().splitlines(), done.stderr

    return play


@pytest.mark.parametrize(
    ("plan", "ends_in", "calls"),
    [
        (["0"], 0, [RUN]),
        (["1 malformed"], 1, [RUN]),
        (["1 unconfirmed", "0"], 0, [RUN, RESUME]),
        (["1 unreachable", "1 rejected"], 1, [RUN, RESUME]),
        (["2"], 2, [RUN]),
        (["3", "0", "0"], 0, [RUN, "check", RESUME]),
        (["3", "3", "3"], 3, [RUN, "check", "check"]),
        (["4", "3", "0", "0"], 0, [RUN, "check", "check", RESUME]),
        (["5"], 5, [RUN]),
        (["130"], 130, [RUN]),
        (["143"], 143, [RUN]),
        (["137", "0"], 0, [RUN, RESUME]),
    ],
)
def test_each_exit_status_has_its_next_command(
    rehearse: Callable[..., tuple[int, list[str], str]], plan: list[str], ends_in: int, calls: list[str]
):
    status, made, said = rehearse(*plan)
    assert (status, made) == (ends_in, calls), said


@pytest.mark.parametrize(
    ("verified", "said"), [("0", "Verified: the stop holds."), ("1", "NOT verified (status 1)")]
)
def test_a_run_that_is_all_over_is_verified_later(
    rehearse: Callable[..., tuple[int, list[str], str]], verified: str, said: str
):
    status, made, output = rehearse("0", verified, VERIFY_AFTER="1")
    assert (status, made) == (int(verified), [RUN, "verify night"])
    assert said in output


@pytest.mark.parametrize("limit", ["--deadline", "--max-failures"])
def test_a_run_cut_by_an_option_is_not_resumed_without_it(
    rehearse: Callable[..., tuple[int, list[str], str]], limit: str
):
    status, made, said = rehearse("4", options=(limit, "5"))
    assert (status, made) == (4, [f"{RUN} {limit} 5"])
    assert "your own limit" in said


@pytest.mark.parametrize("limit", ["DEADLINE", "MAX_FAILURES", "MAX_FAILURES_TOTAL"])
def test_a_run_cut_by_a_variable_is_not_resumed_without_it(
    rehearse: Callable[..., tuple[int, list[str], str]], limit: str
):
    status, made, said = rehearse("4", **{f"MASS_STOP_{limit}": "5"})
    assert (status, made) == (4, [RUN])
    assert "your own limit" in said


def test_the_script_checks_the_tenant_of_the_run(rehearse: Callable[..., tuple[int, list[str], str]]):
    options = ("--strict", "--tenants", "my tenants.toml", "--headroom", "5", "--tenant=north", "--quiet")
    status, made, _ = rehearse("4", "0", "0", options=options)
    look = "check --tenants my tenants.toml --tenant=north"
    assert (status, made) == (0, [f"{RUN} {' '.join(options)}", look, RESUME])


def test_the_script_ends_after_some_rounds_without_progress(
    rehearse: Callable[..., tuple[int, list[str], str]],
):
    status, made, said = rehearse(*["1 unconfirmed"] * 5)
    assert (status, made) == (1, [RUN] + [RESUME] * 4)
    assert "Still not over after 5 rounds" in said


def test_a_second_start_continues_the_same_run(rehearse: Callable[..., tuple[int, list[str], str]]):
    rehearse("143")
    status, made, _ = rehearse("0", options=("--expect-action-type", "MPU"))
    assert (status, made) == (0, [RUN, RESUME])


def start(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        ["sh", SCRIPT, *arguments], cwd=folder, env={"PAUSE": "0", "LOOKS": "1", "VERIFY_AFTER": "0", **environment},
        stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "ends_in", "says"),
    [
        (["keys.csv", "all-over"], 0, "All over"),
        (["broken.txt", "one-malformed"], 1, "Needs a person"),
        (["missing.csv", "nothing-there"], 2, "Nothing was sent"),
        (["keys.csv", "too-short", "--deadline", "1ms"], 4, "your own limit"),
    ],
)
def test_the_real_command_ends_as_the_script_expects(
    folder: Path, environment: dict[str, str], arguments: list[str], ends_in: int, says: str
):
    (folder / "broken.txt").write_text((folder / "keys.txt").read_text() + "not-a-key\n")
    _, said = (process := start(arguments, folder, environment)).communicate(timeout=LONGEST)
    assert process.returncode == ends_in, said
    assert f"incident: {says}" in said or f"perhaps by {says}" in said


def test_wrong_credentials_are_checked_again_and_then_page_a_person(
    folder: Path, environment: dict[str, str]
):
    process = start(["keys.csv", "refused"], folder, {**environment, "ZUORA_CLIENT_SECRET": "wrong"})
    _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == 3, said
    assert "Page the owner" in said


@pytest.mark.parametrize(("number", "ends_in"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_to_the_script_alone_lets_the_calls_finish(
    folder: Path, environment: dict[str, str], number: signal.Signals, ends_in: int
):
    with Tenant(**PROCESSING | {"latency": 0.5}, actions=60) as slow:
        (folder / "many.txt").write_text("".join(f"{key}\n" for key in slow.keys))
        process = start(["many.txt", "night"], folder, {**environment, **slow.environment})
        until(lambda: slow.sent("stop"), "a stop was sent", LONGEST)
        process.send_signal(number)
        _, said = process.communicate(timeout=LONGEST)
    assert process.returncode == ends_in, said
    assert "Interrupted; the report was written" in said
    run = json.loads((folder / "night" / "report.json").read_text())["run"]
    assert (run["state"], run["exit_status"]) == ("interrupted", ends_in)


def test_shellcheck_accepts_the_script():
    shellcheck = shutil.which("shellcheck")
    if shellcheck is None:
        pytest.skip("there is no shellcheck: .ci/system-packages installs it")
    done = subprocess.run([shellcheck, SCRIPT], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")
