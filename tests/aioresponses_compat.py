"""aioresponses for aiohttp 3.14: supply one missing argument.

aiohttp 3.14 requires ``stream_writer`` for a ``ClientResponse``. aioresponses 0.7.9 does not pass it, so every mocked
response raises TypeError. Tests import ``aioresponses`` from this module:

    from tests.aioresponses_compat import aioresponses

``unit/test_aioresponses_compat.py`` fails when the library works without it. Then remove this file and import the
library.
"""

from typing import Any
from unittest.mock import patch

from aiohttp import ClientResponse
from aioresponses import aioresponses as plain_aioresponses

__all__ = ["aioresponses"]


class _NothingWritten:
    """The writer of a request that is never sent. A response needs only its size."""

    output_size = 0


class _MockedResponse(ClientResponse):
    """A response with the argument that aioresponses does not pass."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("stream_writer", _NothingWritten())
        super().__init__(*args, **kwargs)


class aioresponses(plain_aioresponses):
    """``aioresponses`` with a default response class that can be constructed."""

    def start(self) -> None:
        """Start to mock responses, with our response class."""
        self._response_class = patch("aioresponses.core.ClientResponse", _MockedResponse)
        self._response_class.start()
        super().start()

    def stop(self) -> None:
        """Stop mocking, and restore the library's response class."""
        super().stop()
        self._response_class.stop()
