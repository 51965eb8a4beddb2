"""The settings of a run: one frozen object, made from options, environment, configuration file and defaults.

Each setting is declared once (``declared``), with its form and its help. The form (``forms``) parses its text and
describes valid values. Options, environment names and ``config/mass-stop.toml`` follow from that declaration.
``layers`` decides which of several values applies.
"""

from orchestrator.settings.addresses import ENVIRONMENTS, TenantKind, kind_of_tenant, same_address
from orchestrator.settings.declared import SECRETS, SETTINGS, Setting, Settings
from orchestrator.settings.forms import Rate, Secret, Threshold
from orchestrator.settings.layers import resolve

__all__ = [
    "ENVIRONMENTS",
    "SECRETS",
    "SETTINGS",
    "Rate",
    "Secret",
    "Setting",
    "Settings",
    "TenantKind",
    "Threshold",
    "kind_of_tenant",
    "resolve",
    "same_address",
]
