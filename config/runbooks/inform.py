#!/usr/bin/env python3
"""Posts the report of a run to a chat, and opens a ticket if keys need a person: for ``mass-stop run --on-end``."""

import json
import os
import sys
import urllib.request

LONGEST = 15


def post(address: str, content: dict[str, str]) -> None:
    """Sends ``content`` as JSON. Raises OSError if the address does not accept it."""
    data = json.dumps(content).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json"})
    urllib.request.urlopen(request, timeout=LONGEST).close()


def main() -> None:
    """Reads the Markdown text from standard input."""
    text = sys.stdin.read()
    status, directory = os.environ["MASS_STOP_EXIT_STATUS"], os.environ["MASS_STOP_RUN_DIR"]
    if chat := os.environ.get("CHAT_URL"):
        post(chat, {"text": text})
    if status != "0" and (ticket := os.environ.get("TICKET_URL")):
        title = f"mass-stop ended in {status} ({os.environ['MASS_STOP_STATE']}): {directory}"
        post(ticket, {"title": title, "description": text})


if __name__ == "__main__":
    main()
