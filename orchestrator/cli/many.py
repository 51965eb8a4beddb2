"""The screens of a run of several tenants: the keys to stop in each, and the results."""

from orchestrator.cli.confirm import add_implicit, add_keys, add_terms
from orchestrator.cli.page import Capabilities, Page, counted
from orchestrator.model import GOOD
from orchestrator.report import ActionEntry, RunEntry, Summary, TenantEntry, TenantRunEntry
from orchestrator.settings import Settings, kind_of_tenant

SHOWN = 20
"""Tenants shown one by one; the others are summed up."""


def question(
    capabilities: Capabilities,
    settings: Settings,
    run: RunEntry,
    summary: Summary,
    first: list[ActionEntry],
    unordered: str | None = None,
) -> str:
    """The confirmation: each tenant that has keys, and how many; the first few, the guards, the limits."""
    page = Page(capabilities)
    tenants, by_tenant = _several(run, summary)
    asked = {name: one.keys for name, one in by_tenant.items() if one.keys}
    production = [name for name in asked if kind_of_tenant(tenants[name].base_url).production]
    if production:
        page.line(f"*** PRODUCTION *** {len(production)} of {counted(len(asked), 'tenant')}", "alarm")
    page.entry("tenants", f"{len(asked)} of the {len(tenants)} known have mass actions to stop", "bold")
    for name, keys in list(asked.items())[:SHOWN]:
        if page.narrow:
            page.line(f"{name}  {keys:,}  {_place(tenants[name])}", indent=4, hang=2)
        else:
            page.item(f"    {name:<16} {keys:>7,}  {_place(tenants[name])}")
    if rest := list(asked)[SHOWN:]:
        page.item(f"    and {len(rest)} more with {sum(asked[name] for name in rest):,}")
    add_implicit(page, settings)
    add_keys(page, run, summary, first)
    add_terms(page, settings, unordered)
    where = "one tenant" if len(asked) == 1 else f"{len(asked)} tenants"
    page.line(f"Stop all {summary.keys:,} in {where}? [y/N]", "bold")
    return f"{page} "


def add_tenants(page: Page, run: RunEntry, summary: Summary) -> None:
    """A line a tenant that has keys, those that need a person first; nothing where the run is of one."""
    tenants, by_tenant = _several(run, summary)
    used = {name: one for name, one in by_tenant.items() if one.outcomes}
    if not used:
        return
    left = {name: sum(n for o, n in one.outcomes.items() if o not in GOOD) for name, one in used.items()}
    person = sum(map(bool, left.values()))
    page.entry(
        "tenants", f"{len(used)}, of which {person or 'none'} need{'' if person > 1 else 's'} a person"
    )
    ordered = sorted(used, key=lambda name: -left[name])
    for name in ordered[:SHOWN]:
        counts = sorted(used[name].outcomes.items(), key=lambda item: item[0] in GOOD)
        text = ", ".join(f"{count:,} {outcome.value}" for outcome, count in counts)
        reason = tenants[name].reason
        text += f"  ({reason})" if reason is not None else ""
        if page.narrow:
            page.line(f"{name}  {text}", indent=4, hang=2)
        else:
            page.line(f"{name:<16} {text}", indent=4, hang=17)
    if len(ordered) > SHOWN:
        page.line(f"and {len(ordered) - SHOWN} more: see the report", indent=4)


def _several(run: RunEntry, summary: Summary) -> tuple[dict[str, TenantRunEntry], dict[str, Summary]]:
    return run.tenants or {}, summary.by_tenant or {}


def _place(tenant: TenantEntry) -> str:
    kind = kind_of_tenant(tenant.base_url)
    entity = f"  entity {tenant.entity_id}" if tenant.entity_id else ""
    return f"{tenant.base_url}{entity}{'  PRODUCTION' if kind.production else ''}"
