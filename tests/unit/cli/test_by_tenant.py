"""The line of each tenant in the display of a run of several."""

from orchestrator.cli.by_tenant import rows_of
from orchestrator.progress import OutageFacts, Progress


def test_a_tenant_that_does_not_answer_is_named_first_with_the_time():
    outage = OutageFacts(since=900.0, problem="Not connected.", next_probe_at=1_001.0, ends_at=1_800.0)
    tenants = {
        "north": Progress(keys=5, slots=36, in_flight=4),
        "south": Progress(keys=5, slots=36, outage=outage),
    }
    _, first, second = rows_of(tenants, 1_000.0, 10, narrow=False)
    assert first == ("yellow", "south        0/5     0        0  no answer for 1m40s")
    assert second == ("", "north        0/5     0        0  4/36 slots")
