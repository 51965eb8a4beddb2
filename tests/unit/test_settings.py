"""What a run is told: precedence, spellings, refusals that help, and secrets that stay secret."""

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.errors import SettingError, UsageError
from orchestrator.settings import (
    ENVIRONMENTS,
    SETTINGS,
    Rate,
    Secret,
    Settings,
    Threshold,
    is_loopback,
    resolve,
    show_duration,
)

posix_only = pytest.mark.skipif(sys.platform == "win32", reason="file modes are a matter of POSIX")
not_root = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() == 0, reason="nothing is forbidden to the superuser"
)

SECRET = "S3cret/Value+42=="


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No mass-stop.toml of the developer's own, and nothing of the environment."""
    monkeypatch.chdir(tmp_path)


def told(
    options: dict[str, object] | None = None,
    environment: dict[str, str] | None = None,
    file: str | None = None,
    earlier: dict[str, object] | None = None,
) -> Settings:
    """Settings out of the four layers; ``file`` is the text of a configuration file."""
    config = None
    if file is not None:
        Path("settings.toml").write_text(file, "utf-8")
        config = "settings.toml"
    return resolve(options or {}, environment or {}, config, earlier)


def private(name: str, text: str) -> str:
    """A file of mode 0600 in the working directory."""
    path = Path(name)
    path.write_text(text, "utf-8")
    path.chmod(0o600)
    return name


# ------------------------------------------------------------------------------------------ precedence

FOUR_VALUES: dict[str, tuple[list[Any], list[Any]]] = {
    # name: (written as option, variable, TOML value, earlier value), (what each means)
    "client_id": (["a", "b", '"c"', "d"], ["a", "b", "c", "d"]),
    "timeout": (["1s", "2s", '"3s"', 4.0], [1.0, 2.0, 3.0, 4.0]),
    "headroom": (["1", "2%", "3", 4.0], [1.0, 2.0, 3.0, 4.0]),
    "rate": (["1/s", "2/s", '"3/s"', Rate(4, 1)], [Rate(1, 1), Rate(2, 1), Rate(3, 1), Rate(4, 1)]),
    "max_failures": (
        ["1", "2", "3", Threshold(count=4)],
        [Threshold(1), Threshold(2), Threshold(3), Threshold(4)],
    ),
    "concurrency": (["1", "2", "3", 4], [1, 2, 3, 4]),
    "org_ids": (["a", "b", '["c", "cc"]', ("d",)], [("a",), ("b",), ("c", "cc"), ("d",)]),
    "expect_action_type": (
        [("A",), "B,BB", '["C"]', ("D",)],
        [("A",), ("B", "BB"), ("C",), ("D",)],
    ),
    "log_format": (["json", "console", '"JSON"', "console"], ["json", "console", "json", "console"]),
}
"""One setting of each kind."""


def layers_of(name: str, first: int) -> tuple[Any, ...]:
    """The four layers for one setting, but for those before ``first``."""
    option, variable, toml, earlier = FOUR_VALUES[name][0]
    return (
        {name: option} if first <= 0 else {},
        {SETTINGS[name].variable: variable} if first <= 1 else {},
        f"{name} = {toml}" if first <= 2 else "",
        {name: earlier} if first <= 3 else {},
    )


@pytest.mark.parametrize("first", range(4), ids=["option", "environment", "file", "earlier run"])
@pytest.mark.parametrize("name", FOUR_VALUES)
def test_the_layer_nearest_to_the_operator_wins(name, first):
    assert getattr(told(*layers_of(name, first)), name) == FOUR_VALUES[name][1][first]


@pytest.mark.parametrize("name", SETTINGS)
def test_where_nobody_says_anything_the_default_holds(name):
    assert getattr(told(), name) == SETTINGS[name].default


@pytest.mark.parametrize(
    ("layers", "strict"),
    [
        (({"strict": "true"}, {"MASS_STOP_STRICT": "false"}), True),
        (({"strict": False}, {"MASS_STOP_STRICT": "true"}), False),
        (({}, {"MASS_STOP_STRICT": "0"}, "strict = true"), False),
        (({}, {"MASS_STOP_STRICT": "On"}), True),
        (({}, {}, "strict = true"), True),
        (({}, {}, "strict = false", {"strict": True}), False),
    ],
)
def test_a_flag_may_be_raised_and_lowered_by_each_layer(layers, strict):
    assert told(*layers).strict is strict


def test_an_option_that_was_not_given_leaves_the_word_to_the_next():
    options: dict[str, object] = {"timeout": None, "expect_action_type": ()}
    environment = {"MASS_STOP_TIMEOUT": "7s", "MASS_STOP_EXPECT_ACTION_TYPE": "MPU"}
    settings = told(options, environment)
    assert (settings.timeout, settings.expect_action_type) == (7.0, ("MPU",))


def test_an_empty_variable_counts_as_none():
    assert told({}, {"MASS_STOP_TIMEOUT": "", "ZUORA_TOKEN": "", "ZUORA_BASE_URL": ""}) == Settings()


def test_a_file_in_the_working_directory_is_found():
    Path("mass-stop.toml").write_text('timeout = "7s"')
    assert told().timeout == 7.0


def test_a_named_file_replaces_the_one_in_the_working_directory():
    Path("mass-stop.toml").write_text('timeout = "7s"\nheadroom = 20')
    assert told(file='timeout = "8s"') == Settings(timeout=8.0)


def test_dashes_and_underscores_both_name_a_setting_in_the_file():
    settings = told(file="max-attempts = 3\nno_results = true")
    assert (settings.max_attempts, settings.no_results) == (3, True)


# ------------------------------------------------------------------------------------------ which tenant


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_an_environment_has_its_address(name):
    assert told({"env": name}).address == ENVIRONMENTS[name]


def test_a_named_environment_overrides_an_address_further_away():
    settings = told({"env": "eu-prod"}, {"ZUORA_BASE_URL": "https://rest.zuora.com"})
    assert settings.address == ENVIRONMENTS["eu-prod"]


def test_an_address_overrides_an_environment_further_away():
    settings = told({"base_url": "https://rest.zuora.com"}, {"MASS_STOP_ENV": "eu-prod"})
    assert settings.address == "https://rest.zuora.com"


def test_an_option_that_is_no_setting_is_refused_with_the_one_that_was_meant():
    with pytest.raises(UsageError, match="headrom, which is no setting; did you mean headroom"):
        told({"headrom": "20"})


def test_what_was_overridden_does_not_linger():
    settings = told({"base_url": "https://rest.zuora.com"}, {"MASS_STOP_ENV": "eu-prod"}, "env = 'ap-prod'")
    assert settings.env is None


def test_a_name_and_an_address_that_contradict_each_other_are_refused():
    with pytest.raises(UsageError, match="name different tenants"):
        told({"env": "eu-prod", "base_url": "https://rest.zuora.com"})


def test_a_name_and_an_address_that_agree_are_taken():
    assert (
        told({"env": "us2-prod", "base_url": "https://rest.zuora.com/"}).address == "https://rest.zuora.com"
    )


def test_without_a_tenant_the_sentence_says_how_to_name_one():
    with pytest.raises(UsageError, match="--env NAME or --base-url URL"):
        _ = told().address


def test_keeping_files_that_are_not_fetched_is_refused():
    with pytest.raises(UsageError, match="leave one out"):
        told({"no_results": "true"}, {"MASS_STOP_SAVE_RESPONSES": "true"})


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("https://rest.zuora.com", "https://rest.zuora.com"),
        (" https://rest.zuora.com// ", "https://rest.zuora.com"),
        ("HTTPS://rest.zuora.com", "HTTPS://rest.zuora.com"),
        ("https://rest.zuora.com:8443/proxy", "https://rest.zuora.com:8443/proxy"),
        ("http://localhost:8080", "http://localhost:8080"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("http://127.8.9.10", "http://127.8.9.10"),
        ("http://[::1]:8080", "http://[::1]:8080"),
    ],
)
def test_https_is_taken_and_plain_http_on_this_machine(written, address):
    assert told({"base_url": written}).address == address


@pytest.mark.parametrize(
    "written",
    [
        "http://rest.zuora.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://0.0.0.0",
        "http://192.168.0.1",
        "http://[::2]",
        "ftp://localhost",
        "rest.zuora.com",
        "//rest.zuora.com",
        "https://",
        "https://:443",
        "https://rest.zuora.com:99999",
        "https://rest.zuora.com:0",
        "https://rest.zuora.com:port",
        "https://[rest.zuora.com",
        "https://rest.zuora.com?x=1",
        "https://rest.zuora.com?",
        "https://rest.zuora.com#x",
        "https://rest.zuora.com#",
        "https://rest.zuora .com",
        "https://rest.zuo\nra.com",
        "https://rest.zuora.com\\@example.com",
        "",
    ],
)
def test_an_address_that_is_not_safe_is_refused(written):
    with pytest.raises(SettingError, match="expected an https:// address"):
        told({"base_url": written})


@pytest.mark.parametrize("user", ["jane:{}", ":{}", "{}"])
def test_an_address_with_a_user_in_it_is_refused_and_not_repeated(user):
    with pytest.raises(SettingError) as caught:
        told({"base_url": f"https://{user.format(SECRET)}@rest.zuora.com"})
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("host", [None, "", "example.com", "127.0.0.1.example.com", "localhost."])
def test_no_other_host_is_taken_for_this_machine(host):
    assert not is_loopback(host)


# ------------------------------------------------------------------------------------------ spellings


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
    assert told({"timeout": text}).timeout == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "-1s", "1d", "s", "30 s", "1e3", "721h", "9" * 400 + "h", "٣s", "inf", "1h30"]
)
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(SettingError, match="expected a duration such as 30s"):
        told({"timeout": text})


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
    assert told({"rate": text}).rate == rate


@pytest.mark.parametrize(
    "text", ["", "0", "0/s", "-1/s", "1.5/s", "10/day", "10/", "/s", "9999999999", "٣/s"]
)
def test_what_is_no_rate_is_refused(text):
    with pytest.raises(SettingError, match="expected calls and a unit, such as 600/min"):
        told({"rate": text})


@pytest.mark.parametrize(
    ("text", "percent"),
    [("0", 0.0), ("10", 10.0), ("10%", 10.0), ("10 %", 10.0), ("2.5%", 2.5), ("95", 95.0)],
)
def test_percentages(text, percent):
    assert told({"headroom": text}).headroom == percent


@pytest.mark.parametrize("text", ["", "-1", "95.1", "100", "100%", "0.1e1", "ten", "10%%", "٣", "nan"])
def test_what_is_no_percentage_is_refused(text):
    with pytest.raises(SettingError, match="expected a percentage from 0 to 95"):
        told({"headroom": text})


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
    assert told({"max_failures": text}).max_failures == threshold


@pytest.mark.parametrize("text", ["", "0", "0%", "100.1%", "-5%", "%", "1.5", "five"])
def test_what_is_no_threshold_is_refused(text):
    with pytest.raises(SettingError, match="expected a number of keys such as 10, or a share such as 5%"):
        told({"max_failures": text})


@pytest.mark.parametrize("text", ["", "0", "-1", "1.5", "1001", "1e2", "٣", "9" * 400])
def test_what_is_no_number_of_slots_is_refused(text):
    with pytest.raises(SettingError, match="expected a whole number from 1 to 1000"):
        told({"concurrency": text})


@pytest.mark.parametrize("sign", [":", ";", '"', "'", "\n", "\x00", "ü", "\x7f"])
@pytest.mark.parametrize("name", ["track_prefix", "entity_id", "zuora_version"])
def test_a_sign_that_no_header_of_zuora_carries_is_refused(name, sign):
    with pytest.raises(SettingError, match="printable ASCII characters without"):
        told({name: f"a{sign}b"})


@pytest.mark.parametrize(("name", "longest"), [("track_prefix", 24), ("entity_id", 64)])
def test_a_header_has_a_longest_length(name, longest):
    assert getattr(told({name: "x" * longest}), name) == "x" * longest
    with pytest.raises(SettingError):
        told({name: "x" * (longest + 1)})


@pytest.mark.parametrize("text", ["a,b", " a , b "])
def test_organisations_have_commas_between(text):
    assert told({"org_ids": text}).org_ids == ("a", "b")


@pytest.mark.parametrize("text", ["", ",", "a,,b", "a b", "a;b", "a\nb"])
def test_what_is_no_list_of_organisations_is_refused(text):
    with pytest.raises(SettingError, match="organisation ids with commas between"):
        told({"org_ids": text})


@pytest.mark.parametrize("text", ["MPU,ImportFXRate", " MPU , ImportFXRate "])
def test_spaces_around_the_items_of_a_variable_do_not_matter(text):
    """An action type that begins with a space would match no action, and leave every one running."""
    settings = told({}, {"MASS_STOP_EXPECT_ACTION_TYPE": text})
    assert settings.expect_action_type == ("MPU", "ImportFXRate")


@pytest.mark.parametrize("text", ["maybe", "2", ""])
def test_what_is_neither_true_nor_false_is_refused(text):
    with pytest.raises(SettingError, match="expected true or false"):
        told({"strict": text})


def test_an_unknown_environment_is_refused_with_those_there_are():
    with pytest.raises(SettingError, match=r"eu-prdo.*expected one of us1-prod, us2-prod"):
        told({"env": "eu-prdo"})


# ------------------------------------------------------------------------------------------ refusals

WRONG = {
    "env": "nowhere",
    "base_url": "ftp://x",
    "client_id": "  ",
    "client_secret_file": "  ",
    "token_file": "  ",
    "entity_id": "a:b",
    "org_ids": "a b",
    "tenants": "  ",
    "tenant": "  ",
    "tenant_column": " ",
    "engine": "steam",
    "scheduler": " ",
    "shared_dir": " ",
    "zuora_version": "a;b",
    "track_prefix": "x" * 25,
    "column": " ",
    "order": " ",
    "plan": " ",
    "strict": "maybe",
    "expect_action_type": " ",
    "expect_uploaded_by": " ",
    "concurrency": "many",
    "headroom": "all",
    "rate": "fast",
    "max_attempts": "0",
    "timeout": "soon",
    "deadline": "later",
    "settle": "never",
    "max_failures": "some",
    "max_failures_total": "some",
    "no_results": "perhaps",
    "save_responses": "perhaps",
    "out": " ",
    "report": " ",
    "yes": "certainly",
    "log_format": "xml",
    "log_level": "loud",
    "quiet": "rather",
    "no_progress": "none",
}
"""A wrong value of every setting."""


def test_every_setting_has_a_wrong_value_here():
    assert set(WRONG) == set(SETTINGS)


def refusals(name: str) -> list[tuple[dict[str, Any], str]]:
    return [
        ({"options": {name: WRONG[name]}}, SETTINGS[name].option),
        ({"environment": {SETTINGS[name].variable: WRONG[name]}}, SETTINGS[name].variable),
        ({"file": f'{name} = "{WRONG[name]}"'}, f"{name} in settings.toml"),
    ]


@pytest.mark.parametrize("layer", range(3), ids=["option", "environment", "file"])
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_value_is_refused_with_its_name_its_origin_and_what_would_be_right(name, layer):
    arguments, origin = refusals(name)[layer]
    with pytest.raises(SettingError) as caught:
        told(**arguments)
    error, sentence = caught.value, str(caught.value)
    assert (error.name, error.origin) == (name.replace("_", "-"), origin)
    assert (
        sentence == f"{origin}: {error.value!r} cannot be used for {error.name}; expected {error.expected}."
    )
    assert error.expected == SETTINGS[name].form.expected


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("tiemout = 3", "settings.toml sets tiemout, which is no setting; did you mean timeout?"),
        ("save-response = true", "did you mean save_responses?"),
        ("zzz = 3", "which is no setting; mass-stop run --help lists the settings."),
        ("[run]\ntimeout = 3", "sets run, which is no setting"),
    ],
)
def test_an_unknown_name_in_the_file_is_refused_with_the_nearest(text, sentence):
    with pytest.raises(UsageError) as caught:
        told(file=text)
    assert sentence in str(caught.value)


@pytest.mark.parametrize("value", ["{x = 1}", "[1, 2]", "2026-11-24", "1.5", "true"])
def test_a_value_of_another_type_in_the_file_is_refused(value):
    with pytest.raises(SettingError, match=r"concurrency in settings\.toml"):
        told(file=f"concurrency = {value}")


def test_a_file_that_is_no_toml_is_refused_with_its_line():
    with pytest.raises(UsageError, match=r"settings\.toml cannot be read: .*line 2"):
        told(file="timeout = 3\nstrict = maybe\n")


def test_a_file_that_is_no_text_is_refused():
    Path("binary.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"binary\.toml cannot be read"):
        resolve({}, {}, "binary.toml")


def test_a_named_file_that_is_missing_is_refused():
    with pytest.raises(UsageError, match=r"nowhere\.toml cannot be read: No such file or directory"):
        resolve({}, {}, "nowhere.toml")


# ------------------------------------------------------------------------------------------ secrets


def with_secrets() -> Settings:
    return told({}, {"ZUORA_CLIENT_SECRET": SECRET, "ZUORA_TOKEN": SECRET})


@pytest.mark.parametrize("show", [repr, str, "{}".format, "{!r}".format, "{0.token}".format, ascii])
def test_settings_do_not_show_their_secrets(show):
    assert SECRET not in show(with_secrets())


def test_a_secret_is_given_to_who_asks_for_it():
    secrets = with_secrets()
    assert secrets.client_secret is not None
    assert secrets.client_secret.reveal() == SECRET


def test_a_secret_has_no_attributes_that_a_logger_might_list():
    assert not hasattr(Secret(SECRET), "__dict__")


@pytest.mark.parametrize("key", ["client_secret", "client-secret", "token"])
def test_a_secret_in_the_configuration_file_is_refused_and_not_repeated(key):
    with pytest.raises(UsageError, match="belongs in the environment or in a file of mode 0600") as caught:
        told(file=f'{key} = "{SECRET}"')
    assert SECRET not in str(caught.value)


@pytest.mark.parametrize("variable", ["ZUORA_CLIENT_SECRET", "ZUORA_TOKEN"])
@pytest.mark.parametrize("secret", ["two words", "line\nbreak", "tök", "nul\x00"])
def test_a_secret_that_no_header_can_carry_is_refused_and_not_repeated(variable, secret):
    with pytest.raises(UsageError, match="holds characters that no header can carry") as caught:
        told({}, {variable: secret})
    assert variable in str(caught.value)
    assert secret not in str(caught.value)


def test_spaces_around_a_secret_of_the_environment_are_dropped():
    settings = told({}, {"ZUORA_TOKEN": f" {SECRET}\n"})
    assert settings.token is not None
    assert settings.token.reveal() == SECRET


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_secret_is_read_from_a_file(name):
    settings = told({f"{name}_file": private("secret", SECRET + "\n")})
    assert getattr(settings, name).reveal() == SECRET


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_file_that_the_option_names_beats_the_environment(name):
    path = private("secret", "from-the-file")
    settings = told({f"{name}_file": path}, {f"ZUORA_{name.upper()}": "from-the-environment"})
    assert getattr(settings, name).reveal() == "from-the-file"


@pytest.mark.parametrize("name", ["client_secret", "token"])
def test_a_secret_of_the_environment_beats_a_file_that_the_configuration_names(name):
    """The file is not even opened: it may be gone by now."""
    settings = told({}, {f"ZUORA_{name.upper()}": "from-the-environment"}, f'{name}_file = "gone"')
    assert getattr(settings, name).reveal() == "from-the-environment"


def test_the_credentials_named_by_an_option_beat_a_token_of_the_environment():
    settings = told(
        {"client_id": "id", "client_secret_file": private("secret", SECRET)},
        {"ZUORA_TOKEN": "stale", "ZUORA_CLIENT_ID": "other"},
    )
    assert (settings.client_id, settings.token) == ("id", None)
    assert settings.client_secret is not None


@posix_only
@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o620, 0o601, 0o666])
def test_a_secret_that_others_can_read_is_refused(mode):
    path = private("secret", SECRET)
    Path(path).chmod(mode)
    with pytest.raises(UsageError, match="can be read by others; run: chmod 600 secret"):
        told({"token_file": path})


@posix_only
@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_secret_that_is_the_owners_alone_is_taken(mode):
    path = private("secret", SECRET)
    Path(path).chmod(mode)
    assert told({"token_file": path}).token is not None


@not_root
def test_a_secret_that_may_not_be_read_is_refused():
    path = private("secret", SECRET)
    Path(path).chmod(0o200)
    with pytest.raises(UsageError, match="secret cannot be read: Permission denied"):
        told({"token_file": path})


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "secret cannot be read: No such file or directory"),
        (lambda path: path.mkdir(), "secret cannot be read: Is a directory"),
        (lambda path: path.write_bytes(b""), "secret is empty"),
        (lambda path: path.write_bytes(b" \n"), "secret is empty"),
        (lambda path: path.write_bytes(b"\xff\xfe"), "secret cannot be read: it is not text"),
        (lambda path: path.write_bytes(b"two words"), "characters that no header can carry"),
    ],
    ids=["missing", "directory", "empty", "blank", "binary", "spaces"],
)
@pytest.mark.parametrize("name", ["client_secret_file", "token_file"])
def test_a_file_without_a_usable_secret_is_refused(name, make, sentence):
    path = Path("secret")
    make(path)
    if path.is_file():
        path.chmod(0o600)
    with pytest.raises(UsageError) as caught:
        told({name: str(path)})
    assert str(caught.value).startswith(SETTINGS[name].option)
    assert sentence in str(caught.value)
