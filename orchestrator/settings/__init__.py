"""What a run is told: one frozen object, put together from options, environment, configuration file and defaults.

Each setting is declared once (``declared``): its form (``forms``) reads it from text and says what would be right, its
:class:`About` gives the help. The command's options, the environment's names and ``config/mass-stop.toml`` all follow
from that declaration; ``layers`` decides which of several values counts.
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
    show_duration,
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
    "show_duration",
]
