"""Draws the pictures of README and documentation from real runs against simulated tenants: ``make pictures``.

Each picture is drawn light and dark. It needs Chromium at /usr/bin/chromium.
"""

import csv
import io
import os
import pty
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Literal

from PIL import Image
from playwright.sync_api import Browser, sync_playwright
from rich.console import Console
from rich.terminal_theme import DEFAULT_TERMINAL_THEME, MONOKAI
from rich.text import Text

CHROMIUM = "/usr/bin/chromium"
PICTURES = Path(__file__).parent / "pictures"
COMMAND = [sys.executable, "-m", "orchestrator"]
COLUMNS = 100
WHY = ("--reason", "Wrong price list", "--ticket", "INC-4711")

Scheme = Literal["light", "dark"]
SCHEMES: tuple[Scheme, ...] = ("light", "dark")

TERMINAL = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; display: inline-block; background: {paper} }}
pre {{ margin: 0; padding: 18px; background: {paper}; color: {ink}; width: {columns}ch;
      font: 13px/1.45 "DejaVu Sans Mono", monospace; white-space: pre-wrap }}
</style><pre>{code}</pre>"""
PAPER = {"light": ("#ffffff", "#1b2026"), "dark": ("#16191d", "#dfe3e8")}

SHEET = """<!doctype html><meta charset="utf-8"><style>
body {{ margin: 0; padding: 20px; background: {paper}; display: flex; gap: 20px; align-items: flex-start }}
img {{ border-radius: 8px; border: 1px solid {rule}; width: {left}px }} img + img {{ width: {right}px }}
</style><img src="terminal.png"><img src="page.png">"""
DESK = {"light": ("#e8eaed", "#c4c8cd"), "dark": ("#0a0c0e", "#30373d")}


def main() -> None:
    """Makes the runs, and draws every picture."""
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        folder = Path(name)
        one = _run_of_one(folder)
        _run_of_three(folder)
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for scheme in SCHEMES:
            terminal = _terminal(browser, one, folder, scheme)
            _save(terminal, f"terminal-{scheme}")
            page = _page(browser, folder / "tonight", scheme, (1180, 1180))
            _save(_joined(browser, terminal, page, folder, scheme), f"run-{scheme}")
            _save(_page(browser, folder / "tenants", scheme, (1180, 1120)), f"page-tenants-{scheme}")
            _save(_page(browser, folder / "tenants", scheme, (1180, 700), "#next"), f"page-next-{scheme}")
            _save(
                _page(browser, folder / "tenants", scheme, (1180, 700), "#actions"), f"page-actions-{scheme}"
            )
            _save(_page(browser, folder / "tenants", scheme, (390, 844)), f"page-phone-{scheme}")
        browser.close()


def _run_of_one(folder: Path) -> str:
    """Runs ``mass-stop run`` in ``folder`` as on a terminal, answers yes, and returns what the terminal shows."""
    command = ["run", "keys.csv", "--out", "tonight", *WHY]
    with _simulated(folder, "keys.csv", "--actions", "200", "--faults", "some") as tenant:
        shown = _on_a_terminal([*command, "--no-progress", "--log-level", "error"], folder, tenant)
    return f"$ {shlex.join(['mass-stop', *command])}\n{shown.rstrip()}"


def _run_of_three(folder: Path) -> None:
    """Runs against three tenants: one is not there, and one does not know a key."""
    with (
        _simulated(folder, "emea.csv", "--actions", "120", "--seed", "2", "--faults", "some") as emea,
        _simulated(folder, "us.csv", "--actions", "90", "--seed", "3", "--faults", "some") as us,
    ):
        away = us | {"ZUORA_BASE_URL": "http://127.0.0.1:9"}
        tenants, environment = [], {}
        for name, found in (("emea", emea), ("us", us), ("apac", away)):
            environment |= {f"{name}_{part}": value for part, value in found.items()}
            tenants.append(
                f'[tenants.{name}]\nbase_url = "{found["ZUORA_BASE_URL"]}"\n'
                f'client_id_env = "{name}_ZUORA_CLIENT_ID"\nclient_secret_env = "{name}_ZUORA_CLIENT_SECRET"\n'
            )
        (folder / "tenants.toml").write_text("\n".join(tenants))
        rows = [
            *((key, "emea") for key in _keys(folder / "emea.csv")),
            *((key, "us") for key in _keys(folder / "us.csv")),
            ("f" * 32, "emea"),
            ("e" * 32, "apac"),
        ]
        with (folder / "all.csv").open("w", newline="") as file:
            table = csv.writer(file)
            table.writerow(("bulk_key", "tenant", "job"))
            table.writerows(
                (key, tenant, f"close-{number:03}") for number, (key, tenant) in enumerate(rows, 1)
            )
        command = ["run", "all.csv", "--tenants", "tenants.toml", "--out", "tenants", "--yes", "--quiet"]
        subprocess.run(
            [*COMMAND, *command, "--wait-for-tenant", "3s", *WHY],
            cwd=folder,
            env=os.environ | environment,
            check=False,
        )


@contextmanager
def _simulated(folder: Path, keys: str, *options: str) -> Iterator[dict[str, str]]:
    """A simulated tenant that serves meanwhile: its address and credentials, by the names of their variables."""
    command = [*COMMAND, "simulate", "--keys", keys, *options]
    with subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield dict(line.rstrip("\n").split("=", 1) for line in _lines(process.stdout, 3))
        finally:
            process.terminate()


def _lines(stream: IO[str] | None, count: int) -> Iterator[str]:
    assert stream is not None
    for _ in range(count):
        yield stream.readline()


def _keys(path: Path) -> list[str]:
    with path.open(newline="") as file:
        return [row["bulk_key"] for row in csv.DictReader(file)]


def _on_a_terminal(arguments: list[str], folder: Path, variables: dict[str, str]) -> str:
    """The text and the colours that ``mass-stop ARGUMENTS`` shows on a terminal where the answer is yes."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        size = {"COLUMNS": str(COLUMNS), "TERM": "xterm-256color", "LANG": "C.UTF-8"}
        os.execve(COMMAND[0], [*COMMAND, *arguments], os.environ | variables | size)
    shown, answered = b"", False
    while True:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # how Linux reports that the other end is closed
            break
        if not data:
            break
        shown += data
        if not answered and b"[y/N]" in shown:
            os.write(terminal, b"y\n")
            answered = True
    os.close(terminal)
    os.waitpid(child, 0)
    return shown.decode().replace("\r\n", "\n").replace("\r", "")


def _terminal(browser: Browser, shown: str, folder: Path, scheme: Scheme) -> Image.Image:
    console = Console(record=True, width=COLUMNS, file=io.StringIO())
    console.print(Text.from_ansi(shown))
    theme = MONOKAI if scheme == "dark" else DEFAULT_TERMINAL_THEME
    code = console.export_html(theme=theme, inline_styles=True, code_format="{code}")
    paper, ink = PAPER[scheme]
    sheet = folder / "terminal.html"
    sheet.write_text(TERMINAL.format(paper=paper, ink=ink, columns=COLUMNS, code=code), "utf-8")
    view = browser.new_page(viewport={"width": 400, "height": 400})
    view.goto(sheet.as_uri())
    data = view.locator("pre").screenshot()
    view.close()
    return Image.open(io.BytesIO(data))


def _page(browser: Browser, run: Path, scheme: Scheme, size: tuple[int, int], part: str = "") -> Image.Image:
    """The window of a browser of ``size`` that shows the page of ``run``, from its element ``part`` on."""
    view = browser.new_page(
        viewport={"width": size[0], "height": size[1]}, color_scheme=scheme, reduced_motion="reduce"
    )
    view.goto((run / "report.html").as_uri())
    if part == "#actions":
        view.get_by_role("button", name="Details of").nth(1).click()
    if part:
        view.locator(part).evaluate("(one) => scrollTo(0, one.getBoundingClientRect().top + scrollY - 20)")
    data = view.screenshot()
    view.close()
    return Image.open(io.BytesIO(data))


def _joined(
    browser: Browser, terminal: Image.Image, page: Image.Image, folder: Path, scheme: Scheme
) -> Image.Image:
    """Both pictures beside each other."""
    terminal.save(folder / "terminal.png")
    page.save(folder / "page.png")
    paper, rule = DESK[scheme]
    sheet = folder / "sheet.html"
    sheet.write_text(SHEET.format(paper=paper, rule=rule, left=terminal.width, right=760), "utf-8")
    view = browser.new_page(viewport={"width": terminal.width + 760 + 64, "height": 400})
    view.goto(sheet.as_uri())
    data = view.screenshot(full_page=True)
    view.close()
    return Image.open(io.BytesIO(data))


def _save(picture: Image.Image, name: str) -> None:
    """With 256 colours a picture takes half the room, and text and charts need no more."""
    palette = picture.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    palette.save(PICTURES / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
