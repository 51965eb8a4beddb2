"""The calls of Zuora's API that this product makes, over aiohttp."""

import asyncio
import re
from collections.abc import Awaitable, Callable

import msgspec

from orchestrator.errors import CallError, Kind
from orchestrator.model import ActionState
from orchestrator.printable import shortened
from orchestrator.zuora.calls import LARGEST_ANSWER, Calls, not_understood, refuse_anothers
from orchestrator.zuora.headers import read_request_id
from orchestrator.zuora.responses import (
    LONGEST_ADDRESS,
    Answer,
    FileStatusAnswer,
    StatusAnswer,
    failure,
    understood,
)
from orchestrator.zuora.transport import FAILURES, read_bounded

LARGEST_FILE = 2_047 << 20
"""Largest response file in bytes (Zuora API, "Retrieve a file")."""

SLOWEST_FILE = 16 << 10
FILE_TIMEOUTS = 4
"""Slowest average of a download in bytes per second. It applies after ``FILE_TIMEOUTS`` times the timeout of a call.
Otherwise a server that sends a byte now and then would occupy a slot for ever."""

_NO_FILE = ("text/html", "application/json")

_ZIP = b"P"
"""The first byte of every zip file, which starts with "PK". The first chunk may be one byte long."""

_CSV = ("text/csv", "application/csv")
"""Content types of a file that a gateway decompressed in transit."""

_FILE_ID = re.compile(r"(?:.*/)?v1/files/([0-9A-Za-z_-]+)(?:\.[^/]*)?/?", re.DOTALL)
"""The path of a response file's address, without query. The id is one segment and may have an extension."""

_ANSWER = msgspec.json.Decoder(Answer)
_STATUS = msgspec.json.Decoder(StatusAnswer)
_FILE_STATUS = msgspec.json.Decoder(FileStatusAnswer)


class ZuoraClient(Calls):
    """The client of one tenant. Each method makes one call and returns its result, or raises one :class:`CallError`.

    Only the token request is retried here. ``settings.timeout`` bounds each call. For a download it bounds the time
    between chunks, and ``SLOWEST_FILE`` bounds the whole download.
    """

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        """Stop one mass action (``PUT /v1/bulk/{bulk-key}/stop``). Return the request id, or None if there is none."""
        answer, headers = await self._call("PUT", f"{self._bulk}/{bulk_key}/stop", track_id, _ANSWER)
        request_id = read_request_id(headers, self.redact)
        if not answer.success:
            raise not_understood("it does not say whether the stop was accepted", request_id)
        return request_id

    async def status(self, bulk_key: str, track_id: str) -> ActionState:
        """Return the status and counts of one mass action (``GET /v1/bulk/{bulk-key}``)."""
        answer, headers = await self._call("GET", f"{self._bulk}/{bulk_key}", track_id, _STATUS)
        try:
            return answer.state(self.redact)
        except ValueError as error:
            request_id = read_request_id(headers, self.redact)
            raise not_understood(str(error), request_id, by_api=answer.by_api) from None

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object] = lambda: None,
    ) -> None:
        """Pass a response file to ``write``, chunk by chunk (``GET /v1/files/{file-id}``).

        Args:
            address: the ``outputURL`` of an action. Only its file id is used. The request goes to the tenant's own base
                address, although ``address`` may contain another host or prefix.
            track_id: the track id of this call.
            write: receives the next bytes of the file. Its OSError is raised unchanged.
            on_headers: called when the headers of a successful response have arrived.

        Raises:
            CallError: of kind ``no_response_file``, without a request, if ``address`` contains no file id.
        """
        url = self._url.with_path(f"{self._files}/{file_id(address)}", encoded=True)
        token = await self._token.bearer()
        started, began = self._clock.now(), asyncio.get_running_loop().time()
        size = 0
        unwritten: OSError | None = None
        try:
            async with (
                asyncio.timeout(self._settings.timeout) as limit,
                self._request("GET", url, track_id, token) as response,
            ):
                refuse_anothers(response, track_id, self.redact)
                # A gateway may send HTML with HTTP 200, and the API sends its failures as JSON.
                if response.status != 200 or response.content_type in _NO_FILE:
                    body = await read_bounded(response, LARGEST_ANSWER)
                    refusal = self._refusal(response, understood(body, _ANSWER), body, token)
                    self._on_answer(self._answered(response, refusal, started))
                    raise refusal
                self._token.accepted(token)
                self._on_answer(self._answered(response, None, started))
                on_headers()
                plain = response.content_type in _CSV
                async for chunk in response.content.iter_any():
                    if not size and not plain and not chunk.startswith(_ZIP):
                        raise not_understood(
                            "it is no zip file", read_request_id(response.headers, self.redact)
                        )
                    size += len(chunk)
                    limit.reschedule(self._file_ends(began, size))
                    if size > LARGEST_FILE:
                        raise CallError(
                            Kind.TOO_LARGE, "The response file is larger than the 2,047 MB documented."
                        )
                    try:
                        await write(chunk)
                    except OSError as error:
                        unwritten = error
                        raise
        except FAILURES as error:
            if error is unwritten:
                raise
            raise self._failure(error) from error
        if not size:
            raise failure(200, None, read_request_id(response.headers, self.redact), None, self.redact)

    async def archived(self, address: str, track_id: str) -> str | None:
        """Return how to restore the response file at ``address`` (``GET /v1/files/{file-id}/status``).

        Return a sentence with the restoring call if the file is archived, or None if the tenant can deliver it.
        """
        path = f"{self._files}/{file_id(address)}"
        answer, _ = await self._call("GET", f"{path}/status", track_id, _FILE_STATUS)
        state = answer.archived(self.redact)
        if state is None:
            return None
        return (
            f"The tenant has archived the response file ({state}). Restore it with "
            f"PUT {self._url.origin()}{path}/restore, which takes 12 to 48 hours, then run mass-stop resume."
        )

    def _file_ends(self, began: float, size: int) -> float:
        """Return the deadline of the next chunk, after ``size`` bytes, in the event loop's seconds."""
        timeout = self._settings.timeout
        by_pace = began + FILE_TIMEOUTS * timeout + size / SLOWEST_FILE
        return min(asyncio.get_running_loop().time() + timeout, by_pace)


def file_id(address: str) -> str:
    """Return the id of the response file at ``address``, absolute or relative. Raises CallError without an id."""
    path = re.split("[?#]", address, maxsplit=1)[0]
    found = _FILE_ID.fullmatch(path) if len(address) < LONGEST_ADDRESS else None
    if found is None:
        shown = shortened(address, 300)
        raise CallError(
            Kind.NO_RESPONSE_FILE, f"The tenant's address of the response file contains no file id: {shown}"
        )
    return found[1]
