"""`make check` checks the locked packages against known vulnerabilities: its failures, and its warnings."""

import json
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOUND = {"name": "sound", "version": "1.0", "vulns": []}
BROKEN = {"name": "broken", "version": "2.0", "vulns": [{"id": "CVE-2026-1", "fix_versions": ["2.1"]}]}
UNKNOWN = {"name": "unknown", "skip_reason": "not found"}


@pytest.fixture
def audit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, in a tree of its own, with programs that say what the test wants."""
    loader = SourceFileLoader("audit", str(ROOT / ".ci" / "audit"))
    spec = spec_from_loader("audit", loader)
    assert spec is not None
    module = module_from_spec(spec)
    loader.exec_module(module)
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("AUDIT_OFFLINE", raising=False)
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "BIN", tmp_path)
    monkeypatch.setattr(module, "SBOM", tmp_path / "build" / "sbom.json")
    for lock in module.LOCKS:
        (tmp_path / lock).write_text("# made by hand\nsound==1.0 \\\n    --hash=sha256:00\n")
    program(tmp_path / "cyclonedx-py", """echo '{"components": []}' > build/sbom.json""")
    return module


def program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def says(audit: Any, *packages: dict[str, Any]) -> None:
    program(audit.BIN / "pip-audit", f"echo '{json.dumps({'dependencies': packages})}'")


def test_packages_without_a_known_vulnerability_pass(audit: Any) -> None:
    says(audit, SOUND)
    assert audit.main() == 0


def test_a_known_vulnerability_fails_and_names_the_fixed_version(audit: Any, capsys: Any) -> None:
    says(audit, SOUND, BROKEN)
    assert audit.main() == 1
    assert "broken 2.0 has CVE-2026-1; fixed in 2.1" in capsys.readouterr().err


def test_the_packages_that_were_checked_are_named(audit: Any, capsys: Any) -> None:
    says(audit, SOUND, BROKEN, UNKNOWN)
    audit.main()
    said = capsys.readouterr()
    assert "requirements.lock: 2 packages checked, 1 known vulnerabilities: sound, broken" in said.out
    assert "NOT CHECKED: 1 packages of requirements.lock (not found): unknown" in said.err


def test_one_package_that_could_not_be_checked_fails_nothing(
    audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    says(audit, SOUND, UNKNOWN)
    assert audit.main() == 0


def unreachable(audit: Any) -> None:
    program(audit.BIN / "pip-audit", "echo 'no route to host' >&2; exit 1")


def unknown(audit: Any) -> None:
    says(audit, UNKNOWN)


NOTHING_CHECKED = pytest.mark.parametrize("happens", [unreachable, unknown])


@NOTHING_CHECKED
def test_in_ci_it_fails_if_no_package_could_be_checked(
    audit: Any, happens: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CI", "true")
    happens(audit)
    assert audit.main() == 1
    assert (
        "no package could be checked for known vulnerabilities; set AUDIT_OFFLINE=1"
        in capsys.readouterr().err
    )


@NOTHING_CHECKED
def test_with_the_offline_flag_it_passes_and_says_that_nothing_was_checked(
    audit: Any, happens: Any, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("AUDIT_OFFLINE", "1")
    happens(audit)
    assert audit.main() == 0
    assert "OFFLINE (AUDIT_OFFLINE=1): no package was checked" in capsys.readouterr().err


@NOTHING_CHECKED
def test_on_a_developers_machine_it_only_says_that_nothing_was_checked(
    audit: Any, happens: Any, capsys: Any
) -> None:
    happens(audit)
    assert audit.main() == 0
    assert "no package was checked for known vulnerabilities. In CI this fails." in capsys.readouterr().err


def test_the_offline_flag_does_not_hide_a_known_vulnerability(
    audit: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AUDIT_OFFLINE", "1")
    says(audit, BROKEN)
    assert audit.main() == 1


def test_an_unreachable_service_is_named_with_its_error(audit: Any, capsys: Any) -> None:
    unreachable(audit)
    audit.main()
    assert "NOT CHECKED: 1 packages of requirements.lock (no route to host): sound" in capsys.readouterr().err


def test_a_requirement_without_a_hash_fails(audit: Any, capsys: Any) -> None:
    says(audit, SOUND)
    (audit.ROOT / "requirements.lock").write_text("loose==1.0\n")
    assert audit.main() == 1
    assert "loose==1.0 is not pinned by its hash" in capsys.readouterr().err
