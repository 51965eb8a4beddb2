"""Convert the keys of a program to rows. No object raises an error: one without a key becomes a malformed row."""

from collections.abc import Callable

from orchestrator.model import InputRow
from orchestrator.sources.cells import bulk_key, clean, key_problem, safe_key, storable
from orchestrator.sources.rows import KEPT


def object_rows(*, several: bool, any_key: bool) -> Callable[[int, object], InputRow]:
    """Return a function that converts the n-th object (from 1) of a program to a row.

    Args:
        several: the run has several tenants. Each object is then a pair of a tenant's name and a key.
        any_key: accept any text that is safe in a URL path as a key.
    """
    read_key = safe_key if any_key else bulk_key

    def row(number: int, item: object) -> InputRow:
        tenant, value = item if isinstance(item, tuple) and len(item) == 2 else ("", item)
        key = read_key(value) if isinstance(value, str) else None
        text = key or clean(_text(value))[:KEPT]
        whose = _text(tenant)[:KEPT]
        problem = None
        if not isinstance(value, str):
            problem = f"A bulk key must be text, not {type(value).__name__}."
        elif key is None:
            problem = key_problem(_text(value), any_key=any_key)
        elif not isinstance(tenant, str):
            problem = f"The name of a tenant must be text, not {type(tenant).__name__}."
        elif tenant and not several:
            problem = (
                f"The key names a tenant ({whose}), but this run has only one: pass the tenants as well."
            )
        return InputRow(number, text, problem=problem, tenant=whose if several else "")

    return row


def _text(value: object) -> str:
    """Return ``value`` as text that can be shown and stored; empty for None."""
    if value is None:
        return ""
    try:
        return storable(str(value))
    except Exception:  # noqa: BLE001 - str() of a caller's object may raise anything
        return ""
