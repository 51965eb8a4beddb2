"""Common parts of the tests of responses: the tenant's addresses, its responses, and the client's results."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from orchestrator.errors import CallError
from orchestrator.settings import Secret, Settings
from orchestrator.zuora.client import ZuoraClient

BASE = "https://rest.zuora.test"
KEY = "402892f04c97b89a014c97bb30a50003"
FILE = f"{BASE}/v1/files/402892"
STOP, STATUS, TOKEN = f"{BASE}/v1/bulk/{KEY}/stop", f"{BASE}/v1/bulk/{KEY}", f"{BASE}/oauth/token"

LOST, SURE = True, False


def refusal(code: object, message: object = "No.") -> dict[str, Any]:
    return {"success": False, "processId": "7F2E", "reasons": [{"code": code, "message": message}]}


def settings(**changes: Any) -> Settings:
    return Settings(**{"base_url": BASE, "token": Secret("ready"), **changes})


OAUTH = {"token": None, "client_id": "id", "client_secret": Secret("secret")}
"""Changes to the settings with which the client fetches its own token."""


def into(chunks: list[bytes]) -> Callable[[bytes], Awaitable[None]]:
    """Return a function that appends a file's chunks to ``chunks``."""

    async def write(chunk: bytes) -> None:
        chunks.append(chunk)

    return write


async def failed_stop(client: ZuoraClient) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.stop(KEY, "track")
    return caught.value


async def failed_status(client: ZuoraClient) -> CallError:
    with pytest.raises(CallError) as caught:
        await client.status(KEY, "track")
    return caught.value


def calls(tenant: Any, method: str, url: str) -> int:
    return sum(len(made) for (verb, at), made in tenant.requests.items() if (verb, str(at)) == (method, url))
