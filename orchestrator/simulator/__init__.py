"""A simulated Zuora tenant, written independently of the client from the API's documentation alone."""

from orchestrator.simulator.actions import ActionTruth
from orchestrator.simulator.config import TenantConfig
from orchestrator.simulator.faults import FaultPlan
from orchestrator.simulator.ledger import Call
from orchestrator.simulator.server import SimulatedTenant, serve

__all__ = ["ActionTruth", "Call", "FaultPlan", "SimulatedTenant", "TenantConfig", "serve"]
