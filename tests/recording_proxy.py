"""An HTTP proxy for tests. It opens tunnels to known hosts, and records every byte."""

import socket
import socketserver
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Self


class RecordingProxy(socketserver.ThreadingTCPServer):
    """Serves from a thread, as a context manager.

    Args:
        ports: host names that only this proxy resolves, each with a port on this machine.
        credentials: the required ``user:password`` of CONNECT, or None.
        answer: the whole response to every CONNECT. If it is empty, a tunnel opens. With None, CONNECT hangs.
        tls: a server context for an https:// proxy, or None.
        delay: seconds before each response to CONNECT.

    ``seen`` has all bytes that passed, and ``heads`` the headers of every request to the proxy itself.
    """

    daemon_threads = True
    request_queue_size = 200

    def __init__(
        self,
        ports: Mapping[str, int] | None = None,
        *,
        credentials: str | None = None,
        answer: bytes | None = b"",
        tls: ssl.SSLContext | None = None,
        delay: float = 0.0,
    ) -> None:
        super().__init__(("127.0.0.1", 0), socketserver.BaseRequestHandler)
        self.ports = dict(ports or {})
        self.credentials = credentials
        self.answer = answer
        self.tls = tls
        self.delay = delay
        self.seen = bytearray()
        self.heads: list[str] = []
        self._thread = threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://localhost:{self.server_address[1]}"

    def url_with(self, userinfo: str) -> str:
        """Return the address with the credentials ``userinfo``, which are inserted unchanged."""
        return self.url.replace("://", f"://{userinfo}@")

    @property
    def targets(self) -> list[str]:
        """The method and the target of every request to the proxy itself."""
        return [head.split(" HTTP/")[0] for head in self.heads]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
        self._thread.join()

    def finish_request(self, request: Any, _: Any) -> None:
        """Serve one connection."""
        with suppress(OSError):
            client = request if self.tls is None else self.tls.wrap_socket(request, server_side=True)
            with client:
                self._serve(client)

    def _serve(self, client: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            if not (byte := client.recv(1)):
                return
            head += byte
        self.seen += head
        self.heads.append(head.decode("latin-1"))
        if self.answer is None:
            client.recv(1)
            return
        time.sleep(self.delay)
        answer = self.answer or self._refusal(head)
        if answer:
            client.sendall(answer)
            return
        host = head.split()[1].decode().rpartition(":")[0]
        with socket.create_connection(("127.0.0.1", self.ports[host])) as upstream:
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=self._copy, args=(upstream, client), daemon=True)
            back.start()
            self._copy(client, upstream)
            back.join()

    def _refusal(self, head: bytes) -> bytes:
        if self.credentials and b64encode(self.credentials.encode()) not in head:
            return (
                b"HTTP/1.1 407 Proxy Authentication Required\r\n"
                b'Proxy-Authenticate: Basic realm="proxy"\r\nContent-Length: 0\r\n\r\n'
            )
        if head.split()[1].decode().rpartition(":")[0] not in self.ports:
            return b"HTTP/1.1 502 Bad Gateway\r\nX-Squid-Error: ERR_DNS_FAIL 0\r\nContent-Length: 0\r\n\r\n"
        return b""

    def _copy(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                self.seen += data
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
