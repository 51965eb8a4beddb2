"""The adaptation of aioresponses works, and says when it is no longer needed."""

import aiohttp
import aioresponses as library
import pytest

from tests.aioresponses_compat import aioresponses

URL = "https://rest.test.example/v1/things"


@pytest.mark.asyncio
async def test_an_adapted_answer_has_its_status_headers_and_body() -> None:
    """The client reads the answer that a test registers."""
    with aioresponses() as mocked:
        mocked.put(URL, status=503, headers={"Retry-After": "7"}, payload={"success": False})
        async with aiohttp.ClientSession() as session, session.put(URL) as response:
            assert response.status == 503
            assert response.headers["Retry-After"] == "7"
            assert await response.json() == {"success": False}


@pytest.mark.asyncio
async def test_an_adapted_callback_responds_too() -> None:
    """A callback's result is built by the same class."""
    with aioresponses() as mocked:
        mocked.get(URL, callback=lambda url, **_: library.CallbackResult(status=202, body=str(url)))
        async with aiohttp.ClientSession() as session, session.get(URL) as response:
            assert (response.status, await response.text()) == (202, URL)


@pytest.mark.asyncio
async def test_the_adaptation_is_still_needed() -> None:
    """Red: plain aioresponses works again. Take tests/aioresponses_compat.py away, and this file with it."""
    with library.aioresponses() as mocked:
        mocked.get(URL)
        async with aiohttp.ClientSession() as session:
            with pytest.raises(TypeError, match="stream_writer"):
                await session.get(URL)
