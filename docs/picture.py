"""Draws ``docs/pictures/run.png``: the terminal after a rehearsal, and its page in Chromium.

.venv-dev/bin/python docs/picture.py
"""

import html
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

CHROMIUM = "/usr/bin/chromium"
PICTURE = Path(__file__).parent / "pictures" / "run.png"
SHEET = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 24px; background: #e8eaed; display: flex; gap: 24px; align-items: flex-start }}
pre {{ margin: 0; padding: 20px; background: #16191d; color: #dfe3e8; border-radius: 10px;
      font: 13px/1.5 "DejaVu Sans Mono", monospace;
      width: 92ch; white-space: pre-wrap }}
img {{ width: 760px; border-radius: 10px; border: 1px solid #c4c8cd }}
</style><pre>{terminal}</pre><img src="{page}">"""


def main() -> None:
    """Runs a rehearsal, takes both pictures, and joins them."""
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        command = [sys.executable, "-m", "orchestrator", "drill", "--out", "tonight", "--log-level", "error"]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        terminal = f"$ mass-stop drill --out tonight\n{done.stderr}"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1180, "height": 820})
        view.goto(f"file://{folder}/tonight/report.html")
        view.screenshot(path=f"{folder}/page.png")
        sheet = Path(folder, "sheet.html")
        sheet.write_text(SHEET.format(terminal=html.escape(terminal), page="page.png"), "utf-8")
        view.set_viewport_size({"width": 1620, "height": 600})
        view.goto(f"file://{sheet}")
        view.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
