"""The columns of the response file of each action type (Zuora API, "Mass Updater" and "Mass payment upload")."""

from collections.abc import Sequence

from msgspec import Struct

GROUP = "group id"
PAYMENT_ID = "payment id"
PAYMENT_TYPE = "payment type"
SCHEDULE = "revenue schedule number"
ERROR = "error message"
_OURS = ("#bulk_key", "#row", "#error", "#why")


class ActionType(Struct, frozen=True):
    """One action type: the columns that the API adds to the upload, in lower case, and how its work is reversed.

    ``reversed_by`` is the action type that takes the ``reverse`` columns of the successful records as an upload.
    """

    name: str
    added: frozenset[str]
    grouped: bool = True
    reversed_by: str | None = None


_ADDED = frozenset({"success", ERROR})

ACTION_TYPES = {
    known.name: known
    for known in (
        ActionType("UpdateAccountingCode", _ADDED),
        ActionType("CreateRevenueSchedule", _ADDED | {SCHEDULE}, reversed_by="DeleteRevenueSchedule"),
        ActionType("UpdateRevenueSchedule", _ADDED),
        ActionType("DeleteRevenueSchedule", _ADDED),
        ActionType("ImportFXRate", _ADDED),
        ActionType(
            "MPU",
            _ADDED | {PAYMENT_ID, "gateway response code", "gateway response message", "payment status"},
            grouped=False,
        ),
    )
}


class Layout(Struct, frozen=True):
    """Where the columns of one response file are.

    ``uploaded`` are the places of the columns that the user uploaded, without the informational columns that this
    product adds. ``places`` finds a column by its name in lower case.
    """

    action_type: ActionType
    header: tuple[str, ...]
    uploaded: tuple[int, ...]
    places: dict[str, int]

    def place(self, name: str) -> int | None:
        return self.places.get(name)


def layout_of(action_type: str | None, header: Sequence[str]) -> Layout | None:
    """The layout of a response file; None where the type or the header is unknown.

    A header is unknown if a column that decides something occurs twice, or if it has no uploaded column.
    """
    known = ACTION_TYPES.get(action_type or "")
    if known is None:
        return None
    names = [normalised(name) for name in header]
    deciding = known.added | {GROUP, PAYMENT_TYPE, SCHEDULE}
    if any(names.count(name) > 1 for name in deciding):
        return None
    uploaded = tuple(
        place for place, name in enumerate(names) if name not in known.added and name not in _OURS
    )
    if not any(not names[place].startswith("#") for place in uploaded):
        return None
    places = {name: place for place, name in reversed(list(enumerate(names)))}
    return Layout(known, tuple(header[place] for place in uploaded), uploaded, places)


def normalised(name: str) -> str:
    """``name`` without surrounding blanks and in lower case."""
    return name.strip(" \t\r\n\xa0\ufeff").lower()
