"""aioresponses under aiohttp 3.14: one missing argument, supplied only here.

aiohttp 3.14 builds a ``ClientResponse`` with a required ``stream_writer``; aioresponses 0.7.9 does not pass
one, so every mocked answer ends in a TypeError. Tests take ``aioresponses`` from this module:

    from tests.aioresponses_compat import aioresponses

``unit/test_aioresponses_compat.py`` fails once the plain library works again. Then remove this file and
import the library.
"""

from typing import Any
from unittest.mock import patch

from aiohttp import ClientResponse
from aioresponses import aioresponses as plain_aioresponses

__all__ = ["aioresponses"]


class _NothingWritten:
    """The writer of a request that never went out: all a response asks of it is its size."""

    output_size = 0


class _MockedResponse(ClientResponse):
    """A response that supplies the argument aioresponses does not know yet."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _NothingWritten())
        super().__init__(*args, **kwargs)


class aioresponses(plain_aioresponses):
    """``aioresponses`` whose answers can be built: while it is active, its default response class is ours."""

    def start(self) -> None:
        """Begin to answer, as the library does."""
        self._response_class = patch("aioresponses.core.ClientResponse", _MockedResponse)
        self._response_class.start()
        super().start()

    def stop(self) -> None:
        """Answer no more, and leave the library as it was."""
        super().stop()
        self._response_class.stop()
