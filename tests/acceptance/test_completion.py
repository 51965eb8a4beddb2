"""Shell completion: by the protocol that the shells speak with the command, and by the shells themselves."""

import shutil
import subprocess

import pytest

from orchestrator.cli import COMMANDS
from orchestrator.settings import ENVIRONMENTS
from tests.acceptance.support import LONGEST, MassStop


def offered(mass_stop: MassStop, words: str, shell: str = "bash", more: dict[str, str] | None = None) -> str:
    """The answer to a shell that completes the last of ``words``; a space at the end begins a new one."""
    place = len(words.split()) - (0 if words.endswith(" ") else 1)
    position = words.split()[-1] if shell == "fish" and not words.endswith(" ") else str(place)
    env = {
        "COMP_WORDS": words,
        "COMP_CWORD": "" if shell == "fish" and words.endswith(" ") else position,
        "_MASS_STOP_COMPLETE": f"{shell}_complete",
    }
    ended = mass_stop(env=env | (more or {}))
    assert ended.status == 0, ended
    return ended.out.decode()


def values(mass_stop: MassStop, words: str) -> list[str]:
    return [line.partition(",")[2] for line in offered(mass_stop, words).splitlines()]


def test_every_command_is_offered(mass_stop: MassStop) -> None:
    assert values(mass_stop, "mass-stop ") == list(COMMANDS)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("mass-stop re", ["resume", "report"]),
        ("mass-stop run --expect", ["--expect-action-type", "--expect-uploaded-by"]),
        ("mass-stop plan --env us1", ["us1-prod", "us1-sandbox"]),
        ("mass-stop check --env ", list(ENVIRONMENTS)),
        ("mass-stop run --log-format ", ["auto", "console", "json"]),
        ("mass-stop drill --log-level w", ["warning"]),
        ("mass-stop drill --faults ", ["none", "some", "many", "hell"]),
        ("mass-stop completion ", ["bash", "zsh", "fish"]),
    ],
)
def test_a_word_is_completed(mass_stop: MassStop, words: str, expected: list[str]) -> None:
    assert values(mass_stop, words) == expected


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("mass-stop run key", "file"),
        ("mass-stop plan --token-file ", "file"),
        ("mass-stop run --config ", "file"),
        ("mass-stop resume ru", "dir"),
        ("mass-stop report ", "dir"),
        ("mass-stop run --plan ", "dir"),
        ("mass-stop simulate --keys ", "file"),
    ],
)
def test_a_path_is_left_to_the_shell(mass_stop: MassStop, words: str, kind: str) -> None:
    typed = "" if words.endswith(" ") else words.split()[-1]
    assert offered(mass_stop, words).splitlines() == [f"{kind},{typed}"]


def test_zsh_receives_a_description_of_each_word(mass_stop: MassStop) -> None:
    lines = offered(mass_stop, "mass-stop run --env us2-p", "zsh").splitlines()
    assert lines == ["plain", "us2-prod", ENVIRONMENTS["us2-prod"]]


def test_fish_receives_its_own_form(mass_stop: MassStop) -> None:
    lines = offered(mass_stop, "mass-stop pl", "fish").splitlines()
    assert [line.partition("\t")[0] for line in lines] == ["plain,plan"]


def test_a_completion_imports_no_heavy_module(mass_stop: MassStop) -> None:
    env = {
        "COMP_WORDS": "mass-stop run --e", "COMP_CWORD": "2", "_MASS_STOP_COMPLETE": "zsh_complete",
        "PYTHONPROFILEIMPORTTIME": "1",
    }  # fmt: skip
    imported = {line.rpartition("|")[2].strip() for line in mass_stop(env=env).err.splitlines()}
    assert "click.shell_completion" in imported
    assert not imported & {"aiohttp", "uvloop", "sqlite3", "rich", "structlog", "anyio", "asyncio", "jinja2"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_calls_the_command(mass_stop: MassStop, shell: str) -> None:
    ended = mass_stop("completion", shell)
    assert ended.status == 0, ended
    script = ended.out.decode()
    assert f"_MASS_STOP_COMPLETE={shell}_complete" in script
    assert mass_stop(env={"_MASS_STOP_COMPLETE": f"{shell}_source"}).out.decode().strip() == script.strip()


def test_another_shell_is_refused(mass_stop: MassStop) -> None:
    ended = mass_stop("completion", "csh")
    assert (ended.status, len(ended.sentences)) == (2, 1)


BASH = """
set -e; eval "$(mass-stop completion bash)"; complete -p mass-stop >/dev/null
COMP_WORDS=(mass-stop run --env us-); COMP_CWORD=3; _mass_stop_completion mass-stop
printf "%s\\n" "${COMPREPLY[@]}"
"""
# The shell can show words only while a key is pressed; here it prints them.
ZSH = """
compdef() { registered="$*" }
_describe() { print -rl -- "${(@P)3}" }
eval "$(mass-stop completion zsh)"
words=(mass-stop run --env us-); CURRENT=4; ${registered% mass-stop}
"""
FISH = """
mass-stop completion fish | source
complete --do-complete "mass-stop run --env us-"
"""


@pytest.mark.parametrize(
    ("shell", "script", "expected"),
    [
        (("bash", "--norc"), BASH, "us-test"),
        (("zsh", "-f"), ZSH, f"us-test:{ENVIRONMENTS['us-test']}"),
        (("fish", "--no-config"), FISH, f"us-test\t{ENVIRONMENTS['us-test']}"),
    ],
)
def test_a_shell_completes_by_the_script(
    mass_stop: MassStop, shell: tuple[str, str], script: str, expected: str
) -> None:
    if shutil.which(shell[0]) is None:
        pytest.skip(f"there is no {shell[0]}: .ci/system-packages installs it")
    own = mass_stop.environment(None)
    env = own | {"PATH": f"{mass_stop.command.parent}:{own['PATH']}", "HOME": str(mass_stop.home)}
    done = subprocess.run(
        [*shell, "-c", script], capture_output=True, text=True, env=env, timeout=LONGEST, check=False
    )
    assert (done.returncode, done.stdout.strip()) == (0, expected), done.stderr
