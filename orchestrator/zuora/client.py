"""The calls of the tenant's API that this product makes, over aiohttp."""

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
"""Bytes of a response file (Zuora API, "Retrieve a file")."""

SLOWEST_FILE = 16 << 10
FILE_TIMEOUTS = 4
"""Bytes per second of a response file on the whole, once it took longer than so many timeouts. Otherwise a byte now and
then would hold a slot for ever."""

_NO_FILE = ("text/html", "application/json")

_ZIP = b"P"
"""The first two bytes of every zip file ("PK"); a first chunk may be one byte long."""

_CSV = ("text/csv", "application/csv")
"""The content type of a file that a gateway decompressed in transit."""

_FILE_ID = re.compile(r"(?:.*/)?v1/files/([0-9A-Za-z_-]+)(?:\.[^/]*)?/?", re.DOTALL)
"""The path of a response file's address, up to its query: the id is one segment, an extension may follow."""

_ANSWER = msgspec.json.Decoder(Answer)
_STATUS = msgspec.json.Decoder(StatusAnswer)
_FILE_STATUS = msgspec.json.Decoder(FileStatusAnswer)


class ZuoraClient(Calls):
    """One tenant. Each method makes one call and returns its meaning, or raises one :class:`CallError`.

    Nothing is retried here except the token's own call. ``settings.timeout`` bounds each call. For a file, it bounds
    the time between chunks, and ``SLOWEST_FILE`` bounds the whole.
    """

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        """``PUT /v1/bulk/{bulk-key}/stop``: asks the tenant to stop one mass action; gives its request id."""
        answer, headers = await self._call("PUT", f"{self._bulk}/{bulk_key}/stop", track_id, _ANSWER)
        request_id = read_request_id(headers, self.redact)
        if not answer.success:
            raise not_understood("it does not say whether the stop was accepted", request_id)
        return request_id

    async def status(self, bulk_key: str, track_id: str) -> ActionState:
        """``GET /v1/bulk/{bulk-key}``: reads one mass action's status and counts."""
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
        """``GET /v1/files/{file-id}``: passes the response file to ``write``, chunk by chunk.

        Args:
            address: the ``outputURL`` of an action. Only the file id in it is used: the tenant's own base address is
                called, whatever host or prefix ``address`` names.
            track_id: the track id of this call.
            write: takes the next bytes of the file. An OSError that it raises is raised unchanged.
            on_headers: called once the headers of a successful response are there.

        Raises:
            CallError: of kind ``no_response_file``, without a call, if ``address`` contains no file id.
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
                # A gateway answers HTML under 200 as well, and the API its failures as JSON.
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
        """``GET /v1/files/{file-id}/status``: whether the response file at ``address`` is archived.

        Returns a sentence with the call that restores the file, or None if the tenant can deliver it.
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
        """Until when the next chunk of a file must come, of which there are ``size`` bytes; in the loop's seconds."""
        timeout = self._settings.timeout
        by_pace = began + FILE_TIMEOUTS * timeout + size / SLOWEST_FILE
        return min(asyncio.get_running_loop().time() + timeout, by_pace)


def file_id(address: str) -> str:
    """The id of the response file at ``address``, absolute or relative. Raises CallError if there is none."""
    path = re.split("[?#]", address, maxsplit=1)[0]
    found = _FILE_ID.fullmatch(path) if len(address) < LONGEST_ADDRESS else None
    if found is None:
        shown = shortened(address, 300)
        raise CallError(
            Kind.NO_RESPONSE_FILE, f"The tenant's address of the response file contains no file id: {shown}"
        )
    return found[1]
