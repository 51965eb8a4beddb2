"""The duration of the stops, from the arrival of the first to the acceptance of the last, on the tenant's clock."""

from tests.benchmarks import common
from tests.benchmarks.table import Table

KEYS, LATENCY, SLOTS = 1_000, 0.08, 40
IDEAL = KEYS / SLOTS * LATENCY


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    table.head(f"stops: {KEYS} keys, {LATENCY * 1000:.0f} ms, {SLOTS} slots; ideal {IDEAL:.2f} s")
    ours, theirs, throttled = [], [], []
    for _ in range(rounds or 5):
        with tenant() as at:
            common.run(common.mass_stop(at, "--no-results", "--quiet"), at)
            facts = at.facts()
            ours.append(facts["last_accepted"] - facts["first_stop"])
            throttled.append(facts["throttled"])
        with tenant() as at:
            common.run(common.curl_parallel(at), at)
            facts = at.facts()
            assert facts["calls"]["stop"] == KEYS
            theirs.append(facts["last_accepted"] - facts["first_stop"])
    table.row("mass-stop", ours, "s", 3)
    table.row("curl --parallel, stops alone", theirs, "s", 3)
    table.row("mass-stop : ideal", [span / IDEAL for span in ours], "x", 3, "<= 1.05")
    table.row("curl : ideal", [span / IDEAL for span in theirs], "x", 3)
    table.ratio("mass-stop : curl", ours, theirs, "<= 1.00")
    table.row("429s to mass-stop", throttled, digits=0)


def tenant():
    """Start a tenant with exactly the given latency, where no action completes without a stop."""
    return common.tenant(
        actions=KEYS, latency=LATENCY, latency_jitter=0.0, concurrency=SLOTS, **common.PATIENT
    )
