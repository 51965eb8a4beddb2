"""Slots, windows and their headers."""

from orchestrator.simulator import TenantConfig
from orchestrator.simulator.limits import Limits, RateWindows


def test_no_more_calls_are_in_flight_than_the_limit_allows() -> None:
    """The next one enters when one has left."""
    limits = Limits(TenantConfig(concurrency=2), 0.0)
    assert [limits.enter(0.0) for _ in range(3)] == [True, True, False]
    limits.leave()
    assert limits.enter(0.0)
    assert limits.peak == 2


def test_a_lowered_limit_admits_no_call_before_enough_have_ended() -> None:
    """No call in flight is cancelled."""
    limits = Limits(TenantConfig(concurrency=2), 0.0)
    assert [limits.enter(0.0) for _ in range(2)] == [True, True]
    limits.change(1)
    limits.leave()
    assert (limits.enter(0.0), limits.headers(0.0)["Concurrency-Limit-Limit"]) == (False, "1")
    limits.leave()
    assert limits.enter(0.0)


def test_the_remaining_slots_are_updated_once_a_second() -> None:
    """Which is why they can drop suddenly."""
    limits = Limits(TenantConfig(concurrency=10), 0.0)
    limits.enter(0.0)
    limits.enter(0.5)
    assert limits.headers(0.9)["Concurrency-Limit-Remaining"] == "9"
    assert limits.headers(1.0)["Concurrency-Limit-Remaining"] == "8"


def test_a_full_window_asks_to_wait_for_its_end() -> None:
    """And a refused call counts like any other."""
    windows = RateWindows([(2, 60), (100, 3600)], 1000.0)
    assert windows.take(1000.0) is None
    assert windows.take(1010.0) is None
    assert windows.take(1015.0) == 45.0
    assert windows.take(1060.0) is None
    assert windows.headers(1060.0)["RateLimit-Remaining"] == "1"


def test_the_rate_headers_name_the_window_nearest_to_exhaustion() -> None:
    """First that window's quota, then every quota with its seconds."""
    windows = RateWindows([(1000, 60), (10, 3600)], 0.0)
    for _ in range(4):
        windows.take(30.5)
    assert windows.headers(30.5) == {
        "RateLimit-Limit": "10, 1000;w=60, 10;w=3600",
        "RateLimit-Remaining": "6",
        "RateLimit-Reset": "3570",
    }


def test_headers_can_be_switched_off() -> None:
    """Any of them may be missing."""
    config = TenantConfig(rate_headers=False, concurrency_headers=False)
    assert Limits(config, 0.0).headers(0.0) == {}


def test_a_tenant_without_quotas_sends_no_quota_header() -> None:
    """No window, no header, no refusal."""
    limits = Limits(TenantConfig(quotas=(), concurrency_headers=False), 0.0)
    assert limits.windows.take(0.0) is None
    assert limits.headers(0.0) == {}
