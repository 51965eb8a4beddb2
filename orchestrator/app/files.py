"""The files of a run that are made of its journal, whole or not at all."""

import hashlib
import sqlite3
from pathlib import Path

from orchestrator.store.atomic import replacing


def write_report(connection: sqlite3.Connection, path: Path) -> str:
    """Writes ``report.json``, whole or not at all, and gives its SHA-256. Raises OSError."""
    from orchestrator.store import report as reports

    digest = hashlib.sha256()
    with replacing(path) as file:

        def write(data: bytes) -> None:
            digest.update(data)
            file.write(data)

        reports.write_json(connection, write)
    return digest.hexdigest()


def write_page(connection: sqlite3.Connection, path: Path, report_sha256: str | None) -> None:
    """Writes ``report.html``, whole or not at all. Raises OSError."""
    from orchestrator.store.pages.html import write_html

    with replacing(path) as file:
        write_html(connection, file.write, path.parent, report_sha256)
