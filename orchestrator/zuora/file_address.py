"""The id of a response file in the tenant's address; nothing else of the address is used."""

import re

from orchestrator.errors import CallError, Kind
from orchestrator.printable import shortened
from orchestrator.zuora.responses import LONGEST_ADDRESS

LONGEST_SHOWN = 300
"""Characters of an unusable address that an error message shows."""

_FILE_ID = re.compile(r"(?:.*/)?v1/files/([0-9A-Za-z_-]+)(?:\.[^/]*)?/?", re.DOTALL)
"""The path of a response file's address, up to its query: the id is one segment, an extension may follow."""


def file_id(address: str) -> str:
    """The id of the response file at ``address``, absolute or relative. Raises CallError if there is none."""
    path = re.split("[?#]", address, maxsplit=1)[0]
    found = _FILE_ID.fullmatch(path) if len(address) < LONGEST_ADDRESS else None
    if found is None:
        shown = shortened(address, LONGEST_SHOWN)
        raise CallError(
            Kind.NO_RESPONSE_FILE, f"The tenant's address of the response file contains no file id: {shown}"
        )
    return found[1]
