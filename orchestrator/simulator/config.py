"""The configuration of a simulated tenant, one frozen object."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from uuid import UUID

from orchestrator.simulator.dice import hexadecimal
from orchestrator.simulator.faults import FaultPlan

_MIX = {
    "Pending": 0.15,
    "Processing": 0.78,
    "Completed": 0.02,
    "Stopped": 0.02,
    "Failed": 0.01,
    "Stopping": 0.02,
}
"""The share of actions in each status when the tenant starts."""

PRODUCTION_QUOTAS = ((50_000, 60), (2_250_000, 3600), (27_000_000, 86400))
"""Calls and seconds of each rate window of a production tenant."""

ACTION_TYPES = ("MPU", "MPU", "MPU", "MPU", "ImportFXRate", "CreateRevenueSchedule", "UpdateAccountingCode")
UPLOADERS = ("close.team@example.com", "billing.ops@example.com", "integration@example.com")


@dataclass(frozen=True)
class TenantConfig:
    """The configuration of a simulated tenant. Times are in seconds, ranges are (least, most), shares are 0 to 1.

    ``latency`` is the mean duration of a stop or status call. ``latency_jitter`` is its standard deviation as a share
    of it. A file takes twice as long. With ``latency_sigma`` above 0, the latency is log-normal with the median
    ``latency``. The body of a file takes ``download_seconds`` more.

    ``records`` is the size of an action. ``speed`` is its records per second, uniformly distributed on a logarithmic
    scale. ``failing`` is the range of the share of its records that fail. ``start_delay`` is the time in status
    Pending, and ``stopping_time`` the time in status Stopping. A Stopping action still processes records and may
    complete. ``mix`` has the weight of each status at the start. ``denied`` is the share of keys whose calls lack
    permission.

    ``entities`` are the entities in a token's scope.

    ``concurrency`` is the limit of calls in flight. ``quotas`` are (calls, seconds) of each fixed rate window.

    ``repeat_stop`` is the response to a stop of an action that is Stopping or over. ``nothing_as`` is the form of an
    unknown field: null as documented, an empty text, or no field. ``retry_after`` is the header of a 429.
    ``file_address`` is the form of ``outputURL``: this tenant's own address, another host, a relative address, an old
    host with a prefix, or a mixture. ``file_delay`` is the time in seconds between an action's end and the status that
    names its file. ``archived`` is the share of response files that the tenant has archived. Without ``keep_log``, no
    calls are logged and no track ids compared, which bounds memory.
    """

    actions: int = 100
    seed: int = 1
    latency: float = 0.08
    latency_jitter: float = 0.1
    latency_sigma: float = 0.0
    download_seconds: float = 0.0
    records: tuple[int, int] = (20, 400)
    speed: tuple[float, float] = (2.0, 200.0)
    failing: tuple[float, float] = (0.0, 0.2)
    start_delay: tuple[float, float] = (0.5, 30.0)
    mix: Mapping[str, float] = field(default_factory=lambda: _MIX)
    denied: float = 0.0
    stopping_time: tuple[float, float] = (0.2, 1.5)
    action_types: tuple[str, ...] = ACTION_TYPES
    entities: tuple[str, ...] = ("11e643f4-a3ee-8bad-b061-0025904c57d6",)
    concurrency: int = 40
    concurrency_headers: bool = True
    quotas: tuple[tuple[int, int], ...] = PRODUCTION_QUOTAS
    rate_headers: bool = True
    token_lifetime: float = 3599.0
    retry_after: Literal["seconds", "fraction", "date", "missing", "mixed"] = "seconds"
    repeat_stop: Literal["accept", "refuse", "mixed"] = "refuse"
    nothing_as: Literal["null", "empty", "absent", "mixed"] = "null"
    file_address: Literal["own", "other", "relative", "old", "mixed"] = "own"
    file_delay: tuple[float, float] = (0.0, 0.0)
    archived: float = 0.0
    faults: FaultPlan = field(default_factory=FaultPlan)
    client_id: str = ""
    client_secret: str = ""
    keep_log: bool = True

    def __post_init__(self) -> None:
        # object.__setattr__ is the only way to set a field of a frozen object. The credentials follow from the seed.
        if not self.client_id:
            object.__setattr__(self, "client_id", str(UUID(hexadecimal(32, self.seed, "client id"))))
        if not self.client_secret:
            object.__setattr__(self, "client_secret", hexadecimal(42, self.seed, "client secret"))
