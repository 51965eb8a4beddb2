"""``config/runbooks/inform.py``, as ``--on-end`` runs it: a chat and a ticket on a server of this machine."""

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tests.contract.examples import LONGEST, ROOT

SCRIPT = ROOT / "config" / "runbooks" / "inform.py"
UNKNOWN = "f" * 32

Posts = list[tuple[str, dict[str, str]]]


@pytest.fixture
def posts(environment: dict[str, str]) -> Iterator[Posts]:
    """The posts of the script, with their paths. Its addresses are in the environment."""
    received: Posts = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            received.append((self.path, json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Standard error belongs to the tests."""

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        environment |= {"CHAT_URL": f"{address}/chat", "TICKET_URL": f"{address}/ticket"}
        yield received
        server.shutdown()


def run(folder: Path, environment: dict[str, str], *sources: str) -> int:
    command = ["mass-stop", "run", *sources, "--out", "night", "--no-results"]
    done = subprocess.run(
        [*command, "--on-end", f"'{sys.executable}' '{SCRIPT}'"],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST,
    )  # fmt: skip
    assert "--on-end" not in done.stderr, done.stderr
    return done.returncode


def test_a_run_that_is_all_over_is_posted_to_the_chat_only(
    folder: Path, environment: dict[str, str], posts: Posts
):
    assert run(folder, environment, "keys.csv") == 0
    ((path, content),) = posts
    assert path == "/chat"
    assert "| Outcome | Actions |" in content["text"]


def test_a_run_with_keys_for_a_person_opens_a_ticket_too(
    folder: Path, environment: dict[str, str], posts: Posts
):
    assert run(folder, environment, "keys.csv", UNKNOWN) == 1
    assert [path for path, _ in posts] == ["/chat", "/ticket"]
    ticket = posts[1][1]
    assert ticket["title"] == f"mass-stop ended in 1 (finished): {folder / 'night'}"
    assert UNKNOWN in ticket["description"]
