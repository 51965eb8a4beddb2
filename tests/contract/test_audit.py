"""`make check` holds the locked packages against known vulnerabilities: what fails it, and what is only said."""

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


def test_a_known_vulnerability_fails_and_says_what_mends_it(audit: Any, capsys: Any) -> None:
    says(audit, SOUND, BROKEN)
    assert audit.main() == 1
    assert "broken 2.0 has CVE-2026-1; mended in 2.1" in capsys.readouterr().err


def test_what_could_not_be_looked_up_is_said_and_fails_nothing(audit: Any, capsys: Any) -> None:
    says(audit, SOUND, UNKNOWN)
    assert audit.main() == 0
    assert "NOT LOOKED UP: 1 of requirements.lock" in capsys.readouterr().err


def test_a_service_that_cannot_be_reached_is_said_and_fails_nothing(audit: Any, capsys: Any) -> None:
    program(audit.BIN / "pip-audit", "echo 'no route to host' >&2; exit 1")
    assert audit.main() == 0
    assert "no route to host" in capsys.readouterr().err


def test_a_requirement_without_a_hash_fails(audit: Any, capsys: Any) -> None:
    says(audit, SOUND)
    (audit.ROOT / "requirements.lock").write_text("loose==1.0\n")
    assert audit.main() == 1
    assert "loose==1.0 is not pinned by its hash" in capsys.readouterr().err
