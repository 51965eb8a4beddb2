"""All errors that this product raises, as one tree.

    MassStopError
    ├── UsageError              exit 2: an option, a setting, the input or the run directory is wrong
    │   ├── SettingError        one setting, with its origin and what would be right
    │   ├── InputError          a source of keys cannot be used
    │   └── RunDirectoryError   the run directory is in use, missing, or holds something else
    ├── TenantError             exit 3: no call to this tenant can succeed
    │   ├── CredentialsRefused
    │   └── TenantUnreachable
    ├── RunError                a report's exit status, from Report.raise_for_status
    │   ├── ActionsNotOver      exit 1: the run finished, and some keys are not over
    │   ├── RunCutShort         exit 4: a limit, the deadline or the tenant cut the run short
    │   └── RunInterrupted      exit 130: interrupted, cancelled or not finished
    ├── StorageError            exit 5: this machine failed (disk full, journal unreadable)
    └── CallError               one call to the tenant failed; the engine decides what follows

Each message is a sentence for the operator: what happened, for which key or file, and what to do.
"""

import re
from enum import StrEnum


class MassStopError(Exception):
    """The root of the tree. A command that raises it ends with its message instead of a traceback."""

    exit_status = 1


class UsageError(MassStopError):
    """An option, a setting, the input or the run directory is wrong. Nothing was sent."""

    exit_status = 2


class SettingError(UsageError):
    """A setting has a value that cannot be used.

    ``name`` is the setting, ``value`` the value given (never a secret), ``expected`` a description of valid values.
    ``origin`` is the option, the environment variable or the line of the configuration file.
    """

    def __init__(self, name: str, value: object, origin: str, expected: str) -> None:
        self.name, self.value, self.origin, self.expected = name, value, origin, expected
        super().__init__(f"{origin}: {value!r} cannot be used for {name}; expected {expected}.")


class InputError(UsageError):
    """A source of bulk keys cannot be read, or contains no key."""


class RunDirectoryError(UsageError):
    """The run directory is in use, is missing, or contains something else."""


class TenantError(MassStopError):
    """No call to the tenant can succeed. Nothing was stopped."""

    exit_status = 3


class CredentialsRefused(TenantError):
    """The tenant refused the credentials."""


class TenantUnreachable(TenantError):
    """The tenant did not respond."""


class StorageError(MassStopError):
    """This machine could not store or read data that the run needs."""

    exit_status = 5


class RunError(MassStopError):
    """A run ended with an exit status other than 0. Only ``Report.raise_for_status`` raises it."""


class ActionsNotOver(RunError):
    """The run finished, and at least one key is not over. ``report.needs_person`` lists those keys."""


class RunCutShort(RunError):
    """A limit, the deadline or the tenant cut the run short. ``resume_all`` continues it."""

    exit_status = 4


class RunInterrupted(RunError):
    """The run was interrupted or cancelled, or is not finished. ``resume_all`` continues it."""

    exit_status = 130


ALL_REFUSED = (
    "The tenant refused every call for its credentials (HTTP 401), with fresh tokens too. Check that the OAuth "
    "client's user may use the API, and --entity-id."
)

_CREDENTIALS = re.compile(
    r"refused the OAuth client's credentials|^The bearer token|the very tokens it has just issued"
    r"|refused every call for its credentials"
)
"""Recognizes the reasons of runs that ended with :class:`CredentialsRefused`: a journal has only their messages."""


def error_of_run(exit_status: int | None, sentence: str) -> MassStopError:
    """Return the error for an exit status other than 0, or for None if the run is not finished."""
    match exit_status:
        case 1:
            return ActionsNotOver(sentence)
        case 2:
            return UsageError(sentence)
        case 3:
            return (CredentialsRefused if _CREDENTIALS.search(sentence) else TenantUnreachable)(sentence)
        case 4:
            return RunCutShort(sentence)
        case 5:
            return StorageError(sentence)
    return RunInterrupted(sentence)


NO_MEMORY = (
    "This machine gives mass-stop no more memory. Stopped actions stay stopped, and the run directory has every known "
    "result. Raise the limit (ulimit -v, or the memory of the container), then: mass-stop resume RUN_DIR"
)


class Kind(StrEnum):
    """Why a call failed: the values of ``error.kind`` in the report."""

    THROTTLED = "throttled"
    LOCKED = "locked"
    TEMPORARY = "temporary"
    INTERNAL = "internal"
    INTEGRATION = "integration"
    SERVER = "server_error"
    TIMEOUT = "timeout"
    CONNECTION_LOST = "connection_lost"
    CONNECT_FAILED = "connect_failed"
    MALFORMED_ANSWER = "malformed_answer"
    UNAUTHENTICATED = "unauthenticated"
    NO_PERMISSION = "no_permission"
    INVALID_REQUEST = "invalid_request"
    WRONG_STATE = "wrong_state"
    NOT_FOUND = "not_found"
    UNSUPPORTED = "unsupported"
    REDIRECTED = "redirected"
    GATEWAY = "gateway"
    NO_RESPONSE_FILE = "no_response_file"
    ARCHIVED = "archived"
    TOO_LARGE = "too_large"
    BAD_FILE = "bad_file"
    UNKNOWN = "unknown"


NO_RESPONSE = frozenset({Kind.CONNECT_FAILED, Kind.CONNECTION_LOST, Kind.TIMEOUT})
"""Failures of calls that got no response."""


class CallError(MassStopError):
    """One call failed.

    Attributes:
        kind: the kind of failure.
        code: the tenant's eight-digit reason code, or None.
        http_status: the HTTP status, or None without a response.
        request_id: the response's ``Zuora-Request-Id``, or None.
        process_id: the response's ``processId``, or None.
        retry_after: seconds that the tenant asked to wait, limited to a day, or None.
        may_have_worked: the tenant may have carried out the call, although it failed for us.
        by_api: the API itself responded, with a reason code. Other failures come from the network or a gateway.
        wrong_address: a wrong address may explain it: unknown host, connection refused, a web page instead of a token.
    """

    def __init__(
        self,
        kind: Kind,
        message: str,
        *,
        code: int | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        process_id: str | None = None,
        retry_after: float | None = None,
        may_have_worked: bool = False,
        by_api: bool = False,
        wrong_address: bool = False,
    ) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.code = code
        self.http_status = http_status
        self.request_id = request_id
        self.process_id = process_id
        self.retry_after = retry_after
        self.may_have_worked = may_have_worked
        self.by_api = by_api
        self.wrong_address = wrong_address
