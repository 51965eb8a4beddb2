"""The information in the headers of an answer; malformed ones are ignored."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from multidict import CIMultiDict

from orchestrator.model import Limits, Window
from orchestrator.zuora.headers import (
    LONGEST_ID,
    LONGEST_TEXT,
    LONGEST_WAIT,
    read_limits,
    read_request_id,
    read_retry_after,
    read_windows,
)

MINUTE, HOUR, DAY = Window(50_000, 60), Window(2_250_000, 3600), Window(27_000_000, 86_400)
DOCUMENTED = "2250000, 50000;w=60, 2250000;w=3600, 27000000;w=86400"

NAMES = [
    "RateLimit-Limit",
    "RateLimit-Remaining",
    "RateLimit-Reset",
    *(
        f"{prefix}-{name}"
        for prefix in ("Rate-Limit", "X-RateLimit", "X-Rate-Limit")
        for name in ("Limit", "Remaining", "Reset")
    ),
    "Concurrency-Limit-Limit",
    "Concurrency-Limit-Remaining",
    "Retry-After",
    "Date",
]

NOW = datetime(2026, 11, 24, 3, tzinfo=UTC).timestamp()

instants = st.integers(-600_000_000, 7_000_000_000).map(lambda at: datetime.fromtimestamp(at, UTC))
http_dates = instants.map(lambda moment: format_datetime(moment, usegmt=True))
almost_dates = st.builds(
    "{}, {} {} {} {}:{}:{} {}".format,
    st.sampled_from(["Sun", "Mon", "٣", ""]),
    st.integers(-1, 400),
    st.sampled_from(["Nov", "Feb", "13", "novembre"]),
    st.integers(-5, 10**20),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.integers(-1, 99),
    st.sampled_from(["GMT", "+0100", "-0000", "+9999", "-99999999999", "EST", ""]),
)
almost_windows = st.text(alphabet="0123456789;=w, -٣x", max_size=60)
values = st.one_of(
    st.text(max_size=40),
    st.text(alphabet="0123456789 +-._eE٣٤²", max_size=30),
    st.integers().map(str),
    http_dates,
    almost_dates,
    almost_windows,
    st.sampled_from(["", " ", "9" * 400, "9" * 5000, "-1", "1e9", "nan", "inf", "0x10", DOCUMENTED]),
)
header_sets = st.dictionaries(st.sampled_from(NAMES), values).map(CIMultiDict)


def headers(**named: str) -> CIMultiDict[str]:
    return CIMultiDict({name.replace("_", "-"): value for name, value in named.items()})


@given(received=header_sets)
def test_no_header_makes_the_reading_of_limits_fail(received):
    limits = read_limits(received)
    numbers = (limits.nearest, limits.remaining, limits.concurrency, limits.concurrency_remaining)
    assert all(number is None or 0 <= number < 10**12 for number in numbers)
    assert limits.reset is None or 0 <= limits.reset <= LONGEST_WAIT
    assert all(window.quota > 0 and window.seconds > 0 for window in limits.windows)


@given(received=header_sets)
@example(received=CIMultiDict({"Retry-After": "Sun, 31 Dec 9999 23:59:59 -2359", "Date": DOCUMENTED}))
@example(received=CIMultiDict({"Retry-After": "Mon, 01 Jan 0001 00:00:00 +2359", "Date": "٣"}))
def test_no_header_makes_the_reading_of_a_wait_fail(received):
    wait = read_retry_after(received, NOW)
    assert wait is None or 0 <= wait <= LONGEST_WAIT


def test_the_documented_headers_are_read_completely():
    received = headers(
        RateLimit_Limit=DOCUMENTED,
        RateLimit_Remaining="399",
        RateLimit_Reset="1200",
        Concurrency_Limit_Type="default",
        Concurrency_Limit_Limit="40",
        Concurrency_Limit_Remaining="12",
    )
    assert read_limits(received) == Limits((MINUTE, HOUR, DAY), 2_250_000, 399, 1200.0, 40, 12)


def test_a_limit_of_zero_calls_counts_as_absent():
    assert (
        read_limits(headers(Concurrency_Limit_Limit="0", Concurrency_Limit_Remaining="0")).concurrency is None
    )


def test_without_headers_nothing_is_known():
    assert read_limits(headers()) == Limits()


@pytest.mark.parametrize("spelt", [str, str.lower, str.upper, str.title])
@pytest.mark.parametrize("prefix", ["RateLimit", "Rate-Limit", "X-RateLimit", "X-Rate-Limit"])
def test_the_rate_limit_is_read_in_every_spelling_of_its_names(prefix, spelt):
    documented = {f"{prefix}-Limit": DOCUMENTED, f"{prefix}-Remaining": "399", f"{prefix}-Reset": "1200"}
    limits = read_limits(CIMultiDict({spelt(name): value for name, value in documented.items()}))
    assert (limits.windows, limits.remaining, limits.reset) == ((MINUTE, HOUR, DAY), 399, 1200.0)


@pytest.mark.parametrize("spelt", [str.lower, str.upper, str.title])
def test_the_concurrency_limit_is_read_in_every_spelling_of_its_names(spelt):
    documented = {"Concurrency-Limit-Limit": "40", "Concurrency-Limit-Remaining": "12"}
    limits = read_limits(CIMultiDict({spelt(name): value for name, value in documented.items()}))
    assert (limits.concurrency, limits.concurrency_remaining) == (40, 12)


@pytest.mark.parametrize(
    ("text", "windows"),
    [
        ("50000", ()),
        ("50000, 50000;w=60", (MINUTE,)),
        ("50000;w=60", (MINUTE,)),
        ("50000, 50000 ; w = 60", (MINUTE,)),
        ("50000,50000;W=60,2250000;w=3600", (MINUTE, HOUR)),
        ('50000, 50000;w=60;comment="x"', (MINUTE,)),
        ("50000, 50000;w=60, oops;w=3600, 27000000;w=86400", (MINUTE, DAY)),
        ("50000, 0;w=60", ()),
        ("50000, 50000;w=0", ()),
        ("50000, -5;w=60", ()),
        ("50000, 50000;w=", ()),
        ("50000, 5;w=60;w=86400, 2250000;w=3600", (HOUR,)),
    ],
)
def test_windows_are_read_one_by_one(text, windows):
    assert read_windows(text) == (50_000, windows)


def test_a_malformed_nearest_window_is_unknown():
    assert read_windows("many, 50000;w=60") == (None, (MINUTE,))


def test_an_overlong_number_is_ignored():
    text = "1" + ", 50000;w=60" * (LONGEST_TEXT // 10)
    assert read_windows(text) == (None, ())


@pytest.mark.parametrize(
    "text", ["٣", "²", "9" * 13, "9" * 400, "-1", "+1", "1_000", "1e3", "0x10", "1.", ".5", "", " ", "ten"]
)
def test_a_malformed_number_is_ignored(text):
    """``int('٣')`` is 3, and Python counts with four hundred digits happily."""
    received = headers(
        RateLimit_Remaining=text, RateLimit_Reset=text, Concurrency_Limit_Limit=text, Retry_After=text
    )
    assert (read_limits(received), read_retry_after(received, NOW)) == (Limits(), None)


def test_a_count_of_calls_has_no_fraction():
    assert read_limits(headers(RateLimit_Remaining="1.5", RateLimit_Reset="1.5")) == Limits()


def test_spaces_around_a_number_do_not_matter():
    assert read_limits(headers(RateLimit_Remaining=" 399 ")).remaining == 399


def test_an_absurd_reset_is_clamped():
    assert read_limits(headers(RateLimit_Reset="999999999999")).reset == LONGEST_WAIT


@pytest.mark.parametrize(
    ("text", "seconds"), [("2", 2.0), ("0", 0.0), (" 2 ", 2.0), ("2.5", 2.5), ("0.25", 0.25), (" 2.0 ", 2.0)]
)
def test_the_wait_is_read_in_seconds_whole_or_with_a_fraction(text, seconds):
    """If a gateway's 2.5 was ignored, the backoff could be shorter than that wait."""
    assert read_retry_after(headers(Retry_After=text), NOW) == seconds


@pytest.mark.parametrize("text", ["2.-5", "2,5", "2.5.5", "2.5s", "2.٣", "2.5e1", "-2.5", "2." + "5" * 400])
def test_a_malformed_fraction_is_ignored(text):
    assert read_retry_after(headers(Retry_After=text), NOW) is None


@pytest.mark.parametrize(
    ("texts", "seconds"),
    [
        (("1", "3"), 3.0),
        (("3", "1"), 3.0),
        (("2", "2.5"), 2.5),
        (("soon", "3"), 3.0),
        (("3", "soon"), 3.0),
        (("soon", "later"), None),
        (("5", "Tue, 24 Nov 2026 03:00:30 GMT"), 30.0),
    ],
)
def test_the_longest_of_several_waits_is_used(texts, seconds):
    """One is the gateway's and the other the API's behind it: a call in time for both is in time."""
    received = CIMultiDict(
        [("Date", "Tue, 24 Nov 2026 03:00:00 GMT"), *(("Retry-After", text) for text in texts)]
    )
    assert read_retry_after(received, NOW) == seconds


def test_an_absurd_wait_is_clamped():
    assert read_retry_after(headers(Retry_After="999999999999"), NOW) == LONGEST_WAIT


def test_without_the_header_there_is_no_wait():
    assert read_retry_after(headers(Date="Tue, 24 Nov 2026 03:00:00 GMT"), NOW) is None


@pytest.mark.parametrize(
    "until",
    [
        "Tue, 24 Nov 2026 03:00:30 GMT",
        "Tue, 24 Nov 2026 03:00:30 UTC",
        "Tue, 24 Nov 2026 04:00:30 +0100",
        "Tue, 24 Nov 2026 03:00:30 -0000",
        "Tuesday, 24-Nov-26 03:00:30 GMT",
        "Tue Nov 24 03:00:30 2026",
    ],
)
def test_a_date_is_compared_with_the_date_of_the_answer(until):
    """RFC 9110 wants all three forms read; the one without a zone is UTC, in any zone of this machine."""
    received = headers(Retry_After=until, Date="Tue, 24 Nov 2026 03:00:00 GMT")
    assert read_retry_after(received, NOW) == 30.0


@given(since=instants, seconds=st.integers(0, 86_400))
def test_a_date_does_not_use_the_local_clock(since, seconds):
    until = since + timedelta(seconds=seconds)
    received = headers(
        Retry_After=format_datetime(until, usegmt=True), Date=format_datetime(since, usegmt=True)
    )
    assert read_retry_after(received, NOW) == seconds


def test_a_past_date_means_no_wait():
    received = headers(Retry_After="Tue, 24 Nov 2026 02:00:00 GMT", Date="Tue, 24 Nov 2026 03:00:00 GMT")
    assert read_retry_after(received, NOW) == 0.0


def test_a_date_years_in_the_future_is_clamped():
    received = headers(Retry_After="Tue, 24 Nov 2099 02:00:00 GMT", Date="Tue, 24 Nov 2026 03:00:00 GMT")
    assert read_retry_after(received, NOW) == LONGEST_WAIT


@pytest.mark.parametrize("date", [None, "", "yesterday", "Tue, 99 Nov 2026 03:00:00 GMT"])
def test_a_date_without_an_answer_date_uses_the_local_clock(date):
    """If it was ignored, the next call would be too early."""
    received = headers(
        Retry_After="Tue, 24 Nov 2026 03:00:30 GMT", **({} if date is None else {"Date": date})
    )
    assert read_retry_after(received, NOW) == 30.0


def test_a_request_id_is_read_unchanged():
    assert read_request_id({"Zuora-Request-Id": "9f0c1c3e-6f7a-4a0e-8f4b-1b2c3d4e5f60"}, str) == (
        "9f0c1c3e-6f7a-4a0e-8f4b-1b2c3d4e5f60"
    )


@pytest.mark.parametrize(
    "text", ["", "  ", "\udcb2\udcb3", "caf\xe9", "a\x1b[2J", "a\tb", "a" * (LONGEST_ID + 1)]
)
def test_a_malformed_request_id_is_ignored(text):
    """Two bytes that are no UTF-8 ended a whole run once: the journal could not hold them."""
    assert read_request_id({"Zuora-Request-Id": text}, str) is None
