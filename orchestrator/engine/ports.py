"""The interfaces that the engine needs from other packages."""

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Protocol

from orchestrator.model import ActionState


class Tenant(Protocol):
    """One tenant's calls. Each raises one CallError where it fails, or TenantError where none can succeed."""

    @property
    def has_token(self) -> bool:
        """Whether a call need not wait for a token."""

    async def authenticate(self) -> None:
        """Wait for a token. Raises TenantError if there can be none, and CallError if there is none now."""

    async def stop(self, bulk_key: str, track_id: str) -> str | None:
        """Returns once the stop is accepted, with the request id that support asks for."""

    async def status(self, bulk_key: str, track_id: str) -> ActionState: ...

    async def download(
        self,
        address: str,
        track_id: str,
        write: Callable[[bytes], Awaitable[object]],
        on_headers: Callable[[], object],
    ) -> None:
        """Pass the file to ``write``, after calling ``on_headers`` once the response's headers are there."""

    async def archived(self, address: str, track_id: str) -> str | None:
        """A sentence with the restore call if the response file at ``address`` is archived, otherwise None."""

    def redact(self, text: str, /) -> str:
        """``text`` without the credentials, where it comes from what the tenant sent."""


class Intake(Protocol):
    """Where keys come from: admits rows to the journal, and reports to ``on_new`` how many new keys of each tenant a
    batch brought."""

    async def read(self, on_new: Callable[[Counter[str]], None]) -> None: ...

    async def finish(self) -> None:
        """No key will be sent any more: admits what can be read without waiting for anybody, and returns."""
