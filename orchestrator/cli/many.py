"""What an operator is told of a run of several tenants: what would be stopped where, and what came of it."""

from collections.abc import Mapping

from orchestrator.model import OVER, Outcome
from orchestrator.settings import ENVIRONMENTS
from orchestrator.store.entries import Standing, TenantInfo
from orchestrator.store.report import RunEntry, Summary

SHOWN = 20
"""Tenants told one by one; of more, the rest is summed up."""

_GOOD = OVER | {Outcome.WOULD_STOP}


def question(tenants: Mapping[str, TenantInfo], standings: Mapping[str, Standing]) -> str:
    """What the operator is asked: each tenant that has keys, and how many."""
    asked = {name: one.keys for name, one in standings.items() if one.keys}
    total = sum(asked.values())
    lines = [f"Tenants: {len(asked)} of the {len(tenants)} known have mass actions to stop"]
    for name, keys in list(asked.items())[:SHOWN]:
        lines.append(f"         {name:<16} {keys:>7}  {_place(tenants[name])}")
    if rest := list(asked.items())[SHOWN:]:
        production = sum(_is_production(tenants[name]) for name, _ in rest)
        keys = sum(count for _, count in rest)
        lines.append(f"         and {len(rest)} tenants more with {keys}, {production} of them PRODUCTION")
    lines.append(f"Actions: {total}")
    lines.append(f"Stop all {total} in {len(asked)} tenants? Records processed so far stay processed. [y/N] ")
    return "\n".join(lines)


def closing(run: RunEntry, summary: Summary) -> list[str]:
    """A line a tenant, those that need a person first."""
    if not isinstance(summary.by_tenant, dict) or not isinstance(run.tenants, dict):
        return []
    used = {name: one for name, one in summary.by_tenant.items() if one.outcomes}
    left = {name: sum(n for o, n in one.outcomes.items() if o not in _GOOD) for name, one in used.items()}
    ordered = sorted(used, key=lambda name: -left[name])
    lines = [f"  tenants        {len(used)}, {sum(map(bool, left.values()))} of them need a look"]
    for name in ordered[:SHOWN]:
        counts = sorted(used[name].outcomes.items(), key=lambda item: item[0] in _GOOD)
        told = ", ".join(f"{count} {outcome.value}" for outcome, count in counts)
        reason = run.tenants[name].reason
        lines.append(f"    {name:<12} {told}{f'  ({reason})' if isinstance(reason, str) else ''}")
    if len(ordered) > SHOWN:
        lines.append(f"    and {len(ordered) - SHOWN} more: see the report")
    return lines


def _place(tenant: TenantInfo) -> str:
    name = _name(tenant)
    entity = f"  entity {tenant.entity_id}" if tenant.entity_id else ""
    production = "  PRODUCTION" if _is_production(tenant) else ""
    return f"{tenant.base_url}{f' ({name})' if name else ''}{entity}{production}"


def _name(tenant: TenantInfo) -> str | None:
    return next((name for name, url in ENVIRONMENTS.items() if url == tenant.base_url), None)


def _is_production(tenant: TenantInfo) -> bool:
    return (_name(tenant) or "").endswith("-prod")
