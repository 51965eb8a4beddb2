"""Decide which tenant a row belongs to, in a run of several tenants."""

from collections.abc import Collection

from msgspec import Struct, structs

from orchestrator.model import InputRow
from orchestrator.printable import shortened

NAMES_SHOWN = 12
"""Tenants named in the message about a row that names none of them."""


class Tenancy(Struct, frozen=True):
    """How the rows of a run are assigned to its tenants.

    ``names`` are the known tenants, from ``origin`` (a file). All rows belong to ``every`` if it is given; otherwise
    each row belongs to the tenant that its ``column`` names.
    """

    names: Collection[str]
    origin: str
    every: str | None = None
    column: str = "tenant"

    @property
    def read_from(self) -> str | None:
        """The column that names the tenant; None if no column does."""
        return self.column if self.every is None else None

    def settle(self, row: InputRow) -> InputRow:
        """``row`` with its tenant; malformed if the tenant is not known."""
        if self.every is not None:
            return structs.replace(row, tenant=self.every)
        if row.problem is not None or row.tenant in self.names:
            return row
        whose = (
            f"The tenant {shortened(row.tenant, 100)!r} is not known"
            if row.tenant
            else "The row names no tenant"
        )
        names = sorted(self.names)
        known = ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")
        return structs.replace(row, problem=f"{whose}; {self.origin} has {known}.")
