"""The settings of a run: one frozen object, made from options, environment, configuration file and defaults.

Each setting is declared once (``declared``). Its form (``forms``) reads it from text and says what would be right. Its
:class:`About` contains the help. Options, environment names and ``config/mass-stop.toml`` follow from that declaration.
``layers`` decides which of several values applies.
"""

from orchestrator.settings.addresses import (
    ENVIRONMENTS,
    TenantKind,
    is_loopback,
    kind_of_tenant,
    normal_address,
    same_address,
)
from orchestrator.settings.declared import SECRETS, SETTINGS, About, Setting, Settings
from orchestrator.settings.forms import (
    Form,
    Rate,
    Secret,
    Threshold,
)
from orchestrator.settings.layers import resolve

__all__ = [
    "ENVIRONMENTS",
    "SECRETS",
    "SETTINGS",
    "About",
    "Form",
    "Rate",
    "Secret",
    "Setting",
    "Settings",
    "TenantKind",
    "Threshold",
    "is_loopback",
    "kind_of_tenant",
    "normal_address",
    "resolve",
    "same_address",
]
