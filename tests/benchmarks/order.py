"""Priority of stops: no status or file call takes a slot while stops wait to be sent or accepted."""

from tests.benchmarks import common
from tests.benchmarks.table import Table

KEYS = 500


def measure(table: Table, rounds: int | None = None, long: bool = False) -> None:
    """Count results before the last stop. The stops take 1 s and results are due after 0.25 s, so results must wait."""
    table.head(f"order: {KEYS} keys, 80 ms, 40 slots, response files and all")
    sent, answered, results = [], [], []
    for _ in range(rounds or 3):
        with common.tenant(actions=KEYS, latency=0.08, latency_jitter=0.0, **common.PATIENT) as at:
            common.run(common.mass_stop(at, "--quiet"), at)
            facts = at.facts()
            sent.append(facts["results_sent_before_last_stop"])
            answered.append(facts["results_answered_before_last_accepted"])
            results.append(facts["calls"]["status"] + facts["calls"]["file"])
    table.row("results sent while a stop was unsent", sent, digits=0, wanted="0")
    table.row("results answered before the last acceptance", answered, digits=0, wanted="0")
    table.row("results in all (status and file calls)", results, digits=0)
