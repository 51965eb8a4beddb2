"""The simulated tenant as a process. Its argument is a JSON object; on ``facts``, it prints its counts.

It counts its calls in this process. A log of 100,000 calls would enlarge the measuring process.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import uvloop

from orchestrator.simulator import Call, FaultPlan, SimulatedTenant


def facts(tenant: SimulatedTenant) -> dict[str, Any]:
    """Return calls of each kind, breaches and refusals. With a log, add the times of stops and results in seconds."""
    found: dict[str, Any] = {
        "calls": tenant.calls,
        "problems": tenant.problems[:3],
        "throttled": tenant.throttled,
        "peak": tenant.peak_in_flight,
    }
    stops = [call for call in tenant.log if call.kind == "stop"]
    if files := [call.ended for call in tenant.log if call.kind == "file" and call.ended is not None]:
        found["last_file"] = max(files)
    answered = [call.ended for call in stops if call.ended is not None]
    if not answered:
        return found
    first, last, accepted = min(call.t for call in stops), max(call.t for call in stops), max(answered)
    results = [call for call in tenant.log if call.kind in ("status", "file")]
    effective = [tenant.truth(key).stop_effective_at for key in tenant.keys]
    return found | {
        "first_stop": first,
        "last_stop": last,
        "action_seconds": sum(at - first for at in effective if at is not None),
        "last_accepted": accepted,
        "results_sent_before_last_stop": sum(call.t < last for call in results),
        "results_answered_before_last_accepted": sum(_answered_by(call, accepted) for call in results),
    }


def _answered_by(call: Call, moment: float) -> bool:
    return call.ended is not None and call.ended < moment


async def serve(changes: dict[str, Any], keys: Path) -> None:
    """Serve until standard input ends."""
    if "faults" in changes:
        changes["faults"] = FaultPlan(**changes["faults"])
    async with SimulatedTenant(**changes) as tenant:
        keys.write_text("\n".join(["bulk_key", *tenant.keys, ""]))  # noqa: ASYNC240 - there is no caller yet
        # Scripts without OAuth get a token in their environment.
        token = json.loads(tenant._tenant._issue().body)["access_token"]  # type: ignore[arg-type]
        print(json.dumps({"environment": tenant.environment(), "token": token}), flush=True)
        while (await asyncio.to_thread(sys.stdin.readline)).strip() == "facts":
            print(json.dumps(facts(tenant)), flush=True)


def main() -> None:
    """Read the settings and serve. Ranges are JSON arrays."""
    changes = json.loads(sys.argv[1])
    keys = Path(changes.pop("keys"))
    ranges = {name: tuple(value) for name, value in changes.items() if isinstance(value, list)}
    uvloop.run(serve(changes | ranges, keys))


if __name__ == "__main__":
    main()
