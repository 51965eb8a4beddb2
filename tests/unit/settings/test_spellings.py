"""How durations, rates, shares and lists are written."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.durations import show_duration
from orchestrator.errors import SettingError
from orchestrator.settings import SETTINGS, Rate, Threshold, resolve
from tests.unit.settings.resolved import resolved


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30s", 30.0),
        ("30", 30.0),
        ("0.5", 0.5),
        ("500ms", 0.5),
        ("10m", 600.0),
        ("1h30m", 5400.0),
        ("1h1m1s1ms", 3661.001),
        ("1.5h", 5400.0),
        (" 30s ", 30.0),
        ("720h", 2_592_000.0),
    ],
)
def test_durations(text, seconds):
    assert resolved({"timeout": text}).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1s", "1d", "s", "30 s", "1e3", "721h", "9" * 400 + "h", "٣s", "inf", "1h30"]
)
def test_an_invalid_duration_is_refused(text):
    with pytest.raises(SettingError, match="expected a duration such as 30s"):
        resolved({"timeout": text})


@given(seconds=st.integers(1, 30 * 86_400))
def test_a_duration_is_read_as_it_is_shown(seconds):
    assert SETTINGS["timeout"].read(show_duration(float(seconds)), "here") == seconds


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(90.0, "1m30s"), (0.5, "500ms"), (30.0, "30s"), (600.0, "10m"), (3600.0, "1h"), (5400.5, "1h30m0.5s")],
)
def test_durations_are_shown_as_a_person_writes_them(seconds, text):
    assert show_duration(seconds) == text


@pytest.mark.parametrize(
    ("text", "rate"),
    [
        ("600", Rate(600, 60)),
        ("600/min", Rate(600, 60)),
        ("600/m", Rate(600, 60)),
        ("600 / min", Rate(600, 60)),
        ("10/s", Rate(10, 1)),
        ("10/sec", Rate(10, 1)),
        ("5000/h", Rate(5000, 3600)),
        ("5000/hour", Rate(5000, 3600)),
    ],
)
def test_rates(text, rate):
    assert resolved({"rate": text}).rate == rate


@pytest.mark.parametrize(
    "text", ["", "0", "0/s", "-1/s", "1.5/s", "10/day", "10/", "/s", "9999999999", "٣/s"]
)
def test_an_invalid_rate_is_refused(text):
    with pytest.raises(SettingError, match="expected calls and a unit, such as 600/min"):
        resolved({"rate": text})


@pytest.mark.parametrize(
    ("text", "percent"),
    [("0", 0.0), ("10", 10.0), ("10%", 10.0), ("10 %", 10.0), ("2.5%", 2.5), ("95", 95.0)],
)
def test_percentages(text, percent):
    assert resolved({"headroom": text}).headroom == percent


@pytest.mark.parametrize("text", ["", "-1", "95.1", "100", "100%", "0.1e1", "ten", "10%%", "٣", "nan"])
def test_an_invalid_percentage_is_refused(text):
    with pytest.raises(SettingError, match="expected a percentage from 0 to 95"):
        resolved({"headroom": text})


@pytest.mark.parametrize(
    ("text", "threshold"),
    [
        ("10", Threshold(count=10)),
        ("5%", Threshold(share=0.05)),
        ("0.5 %", Threshold(share=0.005)),
        ("100%", Threshold(share=1.0)),
    ],
)
def test_thresholds(text, threshold):
    assert resolved({"max_failures": text}).max_failures == threshold


@pytest.mark.parametrize("text", ["", "0", "0%", "100.1%", "-5%", "%", "1.5", "five"])
def test_an_invalid_threshold_is_refused(text):
    with pytest.raises(SettingError, match="expected a number of keys such as 10, or a share such as 5%"):
        resolved({"max_failures": text})


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1001", "1e2", "٣", "9" * 400])
def test_an_invalid_number_of_slots_is_refused(text):
    with pytest.raises(SettingError, match="expected a whole number from 1 to 1000"):
        resolved({"concurrency": text})


@pytest.mark.parametrize("sign", [":", ";", '"', "'", "\n", "\x00", "ü", "\x7f"])
@pytest.mark.parametrize("name", ["track_prefix", "entity_id", "zuora_version"])
def test_a_character_that_no_header_of_zuora_accepts_is_refused(name, sign):
    with pytest.raises(SettingError, match="printable ASCII characters without"):
        resolved({name: f"a{sign}b"})


@pytest.mark.parametrize(("name", "longest"), [("track_prefix", 24), ("entity_id", 64)])
def test_a_header_has_a_longest_length(name, longest):
    assert getattr(resolved({name: "x" * longest}), name) == "x" * longest
    with pytest.raises(SettingError):
        resolved({name: "x" * (longest + 1)})


@pytest.mark.parametrize("text", ["a,b", " a , b "])
def test_organisations_are_separated_by_commas(text):
    assert resolved({"org_ids": text}).org_ids == ("a", "b")


@pytest.mark.parametrize("text", ["", ",", "a,,b", "a b", "a;b", "a\nb"])
def test_an_invalid_list_of_organisations_is_refused(text):
    with pytest.raises(SettingError, match="organisation ids with commas between"):
        resolved({"org_ids": text})


@pytest.mark.parametrize("text", ["MPU,ImportFXRate", " MPU , ImportFXRate "])
def test_spaces_around_the_items_of_a_variable_do_not_matter(text):
    """An action type that begins with a space would match no action, and leave every one running."""
    settings = resolved({}, {"MASS_STOP_EXPECT_ACTION_TYPE": text})
    assert settings.expect_action_type == ("MPU", "ImportFXRate")


@pytest.mark.parametrize("text", ["maybe", "2", ""])
def test_a_value_that_is_neither_true_nor_false_is_refused(text):
    with pytest.raises(SettingError, match="expected true or false"):
        resolved({"strict": text})


def test_an_unknown_environment_is_refused_and_the_known_ones_are_named():
    with pytest.raises(SettingError, match=r"eu-prdo.*expected one of us1-prod, us2-prod"):
        resolved({"env": "eu-prdo"})


@pytest.mark.parametrize("name", SETTINGS)
def test_the_help_of_a_setting_is_readable_on_every_terminal(name):
    setting = SETTINGS[name]
    assert f"{setting.help}{setting.form.metavar}{setting.form.expected}".isascii()


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("MASS_STOP_EXPECT_ACTION_TYPES", "MASS_STOP_EXPECT_ACTION_TYPE"),
        ("MASS_STOP_HEADROM", "MASS_STOP_HEADROOM"),
        ("MASS_STOP_BASE_URL", "ZUORA_BASE_URL"),
        ("MASS_STOP_CLIENT_SECRET", "ZUORA_CLIENT_SECRET"),
    ],
)
def test_a_mistyped_variable_is_named_with_the_right_one(variable, meant):
    """An expectation in a mistyped variable would not protect any action."""
    said: list[str] = []
    resolve({}, {variable: "canary"}, warn=said.append)
    assert said == [f"{variable} is no setting; did you mean {meant}?"]


@pytest.mark.parametrize(
    "variable",
    [
        *(f"MASS_STOP_{name}" for name in ("PORT", "SEED", "FAULTS", "ACTIONS", "LATENCY", "KEYS", "FORMAT", "ONLY")),
        *(f"MASS_STOP_{name}" for name in ("LATEST", "LOOSE", "RETRY_REJECTED", "CONFIG", "RUN_DIR", "STATE")),
        "MASS_STOP_EXIT_STATUS", "MASS_STOP_HOME", "MASS_STOP",
    ],
)  # fmt: skip
def test_a_variable_of_another_command_or_of_a_script_is_not_mentioned(variable):
    said: list[str] = []
    resolve({}, {variable: "1"}, warn=said.append)
    assert said == []
