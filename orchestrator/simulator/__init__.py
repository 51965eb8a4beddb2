"""A simulated Zuora tenant: a second opinion, written from the API's documents alone.

``SimulatedTenant`` and ``serve`` need aiohttp, which is imported only when one of them is asked for.
"""

from typing import TYPE_CHECKING

from orchestrator.simulator.actions import ActionTruth
from orchestrator.simulator.config import DEFAULT_MIX, PRODUCTION_QUOTAS, TenantConfig
from orchestrator.simulator.faults import FaultPlan
from orchestrator.simulator.ledger import Call

if TYPE_CHECKING:
    from orchestrator.simulator.server import SimulatedTenant, serve

__all__ = [
    "DEFAULT_MIX",
    "PRODUCTION_QUOTAS",
    "ActionTruth",
    "Call",
    "FaultPlan",
    "SimulatedTenant",
    "TenantConfig",
    "serve",
]


def __getattr__(name: str) -> object:
    if name in ("SimulatedTenant", "serve"):
        from orchestrator.simulator import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
