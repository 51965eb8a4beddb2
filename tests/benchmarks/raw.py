"""A tenant that needs almost no CPU: fixed responses from a bare protocol. ``raw.py COUNT`` prints COUNT ports.

It is for measurements on one core, where a simulated tenant would use the core. It has no state.
"""

import asyncio
import sys
from typing import cast

import uvloop

STOPPED = (
    b'{"success":true,"actionType":"MPU","status":"Stopped","totalCount":1,"processedCount":0,"errorCount":0,'
    b'"successCount":0}'
)
TOKEN = b'{"access_token":"0123456789abcdef0123456789abcdef","token_type":"bearer","expires_in":3599}'
ACCEPTED = b'{"success":true}'


def answer(body: bytes) -> bytes:
    """Return ``body`` as an HTTP response that keeps the connection open."""
    head = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Concurrency-Limit-Limit: 40"]
    return b"\r\n".join([*head, b"Content-Length: %d" % len(body), b"", body])


ANSWERS = {b"PUT": answer(ACCEPTED), b"GET": answer(STOPPED), b"POS": answer(TOKEN)}


class Canned(asyncio.Protocol):
    """Responds to each request by its method. The client must not send a request before the previous response."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)
        self._request = b""

    def data_received(self, data: bytes) -> None:
        self._request += data
        head, end, body = self._request.partition(b"\r\n\r\n")
        if not end or (head.startswith(b"POST") and not body):
            return
        answer = ANSWERS[self._request[:3]]
        self._request = b""
        self._transport.write(answer)


async def main(count: int) -> None:
    """Serve on ``count`` ports until the process ends."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Canned, "127.0.0.1", 0) for _ in range(count)]
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
