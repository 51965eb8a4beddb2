"""Several tenants in one run: the installed command, simulated tenants on ports of their own, their truth."""

import json
import re
import shlex
import signal
from collections.abc import Callable

import pytest

from tests.acceptance.support import PROCESSING, MassStop, Tenant, table, until
from tests.acceptance.tenants import Tenants

MakeTenant = Callable[..., Tenant]

OVER = {"stopped", "already_stopped", "already_completed", "completed_before_stop", "already_failed"}


@pytest.fixture
def two(mass_stop: MassStop, make_tenant: MakeTenant) -> Tenants:
    """Two tenants of one seed: both have the same eight keys."""
    both = {name: make_tenant(**PROCESSING, actions=8) for name in ("north", "south")}
    return Tenants(mass_stop.home, both)


def test_the_same_key_is_stopped_in_each_tenant_and_shown_with_its_tenant(mass_stop, two):
    ended = mass_stop.run(None, two.keys(), "--tenants", two.file, "--save-responses", env=two.environment)
    report = ended.report
    assert ended.status == 0
    assert two.lies(report) == []
    assert [action["tenant"] for action in report["actions"]] == ["north", "south"] * 8
    assert two.outcomes(report) == {"north": {"stopped"}, "south": {"stopped"}}
    assert {name: one["base_url"] for name, one in report["run"]["tenants"].items()} == {
        name: tenant.environment["ZUORA_BASE_URL"] for name, tenant in two.named.items()
    }
    by_tenant = report["summary"]["by_tenant"]
    assert {name: (one["keys"], one["calls"]["token"]) for name, one in by_tenant.items()} == {
        "north": (8, 1),
        "south": (8, 1),
    }
    rows = [row for verdict in ("succeeded", "failed", "unprocessed") for row in remediation(ended, verdict)]
    for name, tenant in two.named.items():
        own = [row for row in rows if row["tenant"] == name]
        assert len(own) == sum(tenant.truth(key).total for key in tenant.keys)
        saved = {path.stem for path in (ended.directory / "responses" / name).iterdir()}
        assert saved == set(tenant.keys)
    mass_stop("report", "run", "--format", "csv")
    assert [row["tenant"] for row in table(ended.directory / "report.csv")] == ["north", "south"] * 8


def remediation(ended, verdict):
    return table(ended.directory / "remediation" / f"{verdict}.csv")


def test_a_dead_and_a_refusing_tenant_do_not_delay_a_third(mass_stop, make_tenant):
    tenants = Tenants(
        mass_stop.home,
        {
            name: make_tenant(**PROCESSING, actions=6, seed=seed)
            for seed, name in enumerate(("good", "dead", "shut"))
        },
    )
    tenants.named["dead"].cut()
    wrong = tenants.environment | {"SHUT_SECRET": "x" * 42}
    ended = mass_stop.run(
        None, tenants.keys(), "--tenants", tenants.file, "--wait-for-tenant", "2s", env=wrong
    )
    report = ended.report
    assert ended.status == 4
    assert tenants.outcomes(report)["good"] == {"stopped"}
    assert not tenants.outcomes(report)["dead"] & OVER
    assert not tenants.outcomes(report)["shut"] & OVER
    states = {name: one["state"] for name, one in report["run"]["tenants"].items()}
    assert states == {"good": "finished", "dead": "aborted", "shut": "aborted"}
    assert "refused the OAuth client's credentials" in report["run"]["tenants"]["shut"]["reason"]
    assert tenants.lies(report) == []


def test_the_exit_status_is_3_if_no_tenant_can_be_used(mass_stop, two):
    wrong = dict.fromkeys(two.environment, "x" * 42)
    ended = mass_stop.run(None, two.keys(), "--tenants", two.file, env=wrong)
    assert ended.status == 3
    assert two.outcomes(ended.report) == {"north": {"not_attempted"}, "south": {"not_attempted"}}


@pytest.mark.parametrize("place", ["first", "last", "among the others"])
def test_a_tenant_without_credentials_ends_only_its_own_part(mass_stop, two, place):
    del two.environment["SOUTH_SECRET"]
    rows = {name: [(key, name) for key in tenant.keys] for name, tenant in two.named.items()}
    in_turns = [row for both in zip(rows["north"], rows["south"], strict=True) for row in both]
    order = {"first": rows["south"] + rows["north"], "last": rows["north"] + rows["south"]}
    keys = two.keys(order.get(place, in_turns))
    ended = mass_stop.run(None, keys, "--tenants", two.file, env=two.environment)
    report = ended.report
    assert ended.status == 4, ended
    assert two.outcomes(report) == {"north": {"stopped"}, "south": {"not_attempted"}}
    assert report["run"]["tenants"]["south"]["state"] == "aborted"
    assert "SOUTH_SECRET" in report["run"]["tenants"]["south"]["reason"]
    assert two.named["south"].log == []


def test_if_every_tenant_lacks_credentials_nothing_is_sent_or_kept(mass_stop, two):
    ended = mass_stop.run(None, two.keys(), "--tenants", two.file)
    assert ended.status == 2, ended
    assert "SOUTH_SECRET, which client_secret_env of tenant south names, is not set" in ended.err
    assert all(tenant.log == [] for tenant in two.named.values())
    assert not (mass_stop.home / "run").exists()


def test_a_row_of_an_unknown_tenant_is_malformed_and_the_known_ones_are_named(mass_stop, two):
    key, other = two.named["north"].keys[:2]
    rows = [(key, "north"), (other, "west"), (other, ""), ("no key", "south")]
    ended = mass_stop.run(None, two.keys(rows), "--tenants", two.file, env=two.environment)
    report = ended.report
    assert ended.status == 1
    assert [(action["outcome"], action["tenant"]) for action in report["actions"]] == [
        ("stopped", "north"),
        ("malformed", "west"),
        ("malformed", ""),
        ("malformed", "south"),
    ]
    assert "tenants.toml has north, south" in report["actions"][1]["error"]["message"]
    assert [one["malformed"] for one in report["summary"]["by_tenant"].values()] == [0, 1]
    assert "3 malformed (no bulk key, or no known tenant)" in ended.err
    assert "without a bulk key" not in ended.err


def test_a_tenant_without_rows_is_not_contacted(mass_stop, two):
    del two.environment["SOUTH_SECRET"]
    keys = mass_stop.keys(two.named["north"].keys)
    ended = mass_stop.run(None, keys, "--tenants", two.file, "--tenant", "north", env=two.environment)
    assert ended.status == 0
    assert two.named["south"].log == []
    assert ended.report["run"]["tenants"]["south"]["state"] == "unused"


def test_the_tenant_is_read_from_the_named_column(mass_stop, two):
    north, south = two.named["north"].keys[0], two.named["south"].keys[1]
    keys = mass_stop.home / "keys.csv"
    keys.write_text(f"region;bulk_key;owner\nnorth;{north};Ada\nsouth;{south};Bob\n")
    ended = mass_stop.run(None, keys, "--tenants", two.file, "--tenant-column", "region", env=two.environment)
    assert [(one["tenant"], one["labels"]) for one in ended.report["actions"]] == [
        ("north", {"owner": "Ada"}),
        ("south", {"owner": "Bob"}),
    ]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["keys.txt", "--tenants", "tenants.toml"], "no column 'tenant' that names the tenant"),
        (["keys.txt", "--tenants", "tenants.toml", "--tenant", "west"], "it has north, south"),
        (["keys.txt", "--tenants", "nowhere.toml"], "nowhere.toml cannot be read"),
    ],
)
def test_an_input_without_a_tenant_column_is_refused(mass_stop, two, arguments, expected):
    mass_stop.keys(two.named["north"].keys)
    ended = mass_stop.run(None, *arguments, env=two.environment)
    assert ended.status == 2
    assert expected in ended.err
    assert all(tenant.nothing_sent() for tenant in two.named.values())


@pytest.mark.parametrize(("scope", "tokens"), [(("one", "two", "three"), 1), (("one",), 3)])
def test_entities_share_a_token_only_if_its_scope_names_them(mass_stop, make_tenant, scope, tokens):
    tenant = make_tenant(**PROCESSING, actions=9, entities=scope)
    entities = dict.fromkeys(("one", "two", "three"), tenant)
    tenants = Tenants(mass_stop.home, entities, {name: f'entity_id = "{name}"' for name in entities})
    rows = [(key, name) for key, name in zip(tenant.keys, [*entities] * 3, strict=True)]
    ended = mass_stop.run(None, tenants.keys(rows), "--tenants", tenants.file, env=tenants.environment)
    assert ended.status == 0
    assert tenant.sent("token") == ended.report["summary"]["calls"]["token"] == tokens


def test_too_many_failures_end_only_the_tenant_that_has_them(mass_stop, make_tenant):
    both = {
        "north": make_tenant(**PROCESSING, actions=30, seed=1),
        "south": make_tenant(**PROCESSING, actions=30, seed=2, denied=1.0),
    }
    tenants = Tenants(mass_stop.home, both, {"south": "max_failures = 3\nconcurrency = 2"})
    ended = mass_stop.run(None, tenants.keys(), "--tenants", tenants.file, env=tenants.environment)
    assert ended.status == 4
    assert tenants.outcomes(ended.report) == {"north": {"stopped"}, "south": {"rejected", "not_attempted"}}


def test_too_many_failures_in_all_end_the_sending_to_every_tenant(mass_stop, make_tenant):
    both = {
        "north": make_tenant(**PROCESSING | {"latency": 0.3}, actions=30, seed=1),
        "south": make_tenant(**PROCESSING, actions=30, seed=2, denied=1.0),
    }
    tenants = Tenants(mass_stop.home, both, {"north": "concurrency = 1"})
    ended = mass_stop.run(
        None, tenants.keys(), "--tenants", tenants.file, "--max-failures-total", "3", env=tenants.environment
    )
    assert ended.status == 4
    assert "not_attempted" in tenants.outcomes(ended.report)["north"]
    assert ": --max-failures-total stopped the sending" in ended.report["run"]["reason"]
    assert tenants.lies(ended.report) == []


def test_a_total_share_of_failures_counts_the_stops_of_every_tenant(mass_stop, make_tenant):
    both = {
        "north": make_tenant(**PROCESSING | {"latency": 0.3}, actions=30, seed=1),
        "south": make_tenant(**PROCESSING, actions=19, seed=2, denied=1.0),
    }
    tenants = Tenants(mass_stop.home, both, {"north": "concurrency = 1"})
    keys = tenants.keys([(key, name) for name in ("south", "north") for key in both[name].keys])
    ended = mass_stop.run(
        None, keys, "--tenants", tenants.file, "--max-failures-total", "50%", env=tenants.environment
    )
    assert ended.status == 4
    assert tenants.outcomes(ended.report) == {"north": {"stopped", "not_attempted"}, "south": {"rejected"}}


def test_a_run_that_was_killed_is_resumed_for_every_tenant(mass_stop, two):
    keys = two.keys()
    going = mass_stop.start(
        "run", keys, "--tenants", two.file, "--yes", "--out", "run", "--concurrency", "1", env=two.environment
    )
    until(lambda: all(tenant.answered("stop") >= 2 for tenant in two.named.values()), "stops of both")
    going.signal(signal.SIGKILL)
    going.process.wait()
    ended = mass_stop("resume", "run", env=two.environment)
    assert ended.status == 0
    assert two.lies(ended.report) == []
    assert two.outcomes(ended.report) == {"north": {"stopped"}, "south": {"stopped"}}


def test_a_resumed_run_that_reaches_no_tenant_reports_the_earlier_stops(mass_stop, two):
    """Exit status 3 would mean that nothing was stopped."""
    wrong = two.environment | {"SOUTH_SECRET": "x" * 42}
    mass_stop.run(None, two.keys(), "--tenants", two.file, env=wrong)
    ended = mass_stop("resume", "run", env=wrong)
    assert ended.status == 4, ended
    assert two.outcomes(ended.report) == {"north": {"stopped"}, "south": {"not_attempted"}}


def test_a_resume_without_the_credentials_of_a_tenant_leaves_the_run_unchanged(mass_stop, two):
    before = mass_stop.run(
        None, two.keys(), "--tenants", two.file, env=two.environment | {"SOUTH_SECRET": "x" * 42}
    ).report
    ended = mass_stop("resume", "run", env=two.environment | {"SOUTH_SECRET": ""})
    assert (ended.status, "SOUTH_SECRET" in ended.err) == (2, True), ended
    assert json.loads(mass_stop("report", "run", "--report", "-").out) == before


def test_a_resumed_run_refuses_a_tenant_with_another_address(mass_stop, two):
    mass_stop.run(None, two.keys(), "--tenants", two.file, env=two.environment)
    two.named["south"] = two.named["north"]
    two.write()
    ended = mass_stop("resume", "run", env=two.environment)
    assert ended.status == 2
    assert "must still say the same" in ended.err


def test_an_interrupt_ends_the_sending_to_every_tenant(mass_stop, make_tenant):
    both = {
        name: make_tenant(**PROCESSING | {"latency": 0.2}, actions=30, seed=seed)
        for seed, name in enumerate(("north", "south"))
    }
    tenants = Tenants(mass_stop.home, both)
    going = mass_stop.start(
        "run", tenants.keys(), "--tenants", tenants.file, "--yes", "--out", "run", "--concurrency", "1",
        env=tenants.environment,
    )  # fmt: skip
    until(lambda: all(tenant.answered("stop") for tenant in both.values()), "a stop of both")
    going.signal(signal.SIGINT)
    ended = going.end()
    assert ended.status == 130
    assert all("not_attempted" in some for some in tenants.outcomes(ended.report).values())
    assert tenants.lies(ended.report) == []


def test_a_check_of_several_tenants_reports_each_and_stops_nothing(mass_stop, two):
    ended = mass_stop("check", "--tenants", two.file, env=two.environment)
    assert ended.status == 0, ended
    for name, tenant in two.named.items():
        assert f"{name:<13}  {tenant.environment['ZUORA_BASE_URL']}: ready" in ended.err
        assert tenant.sent("stop") == 0
    assert ended.err.count("concurrency: ") == 2


@pytest.mark.parametrize(
    ("env", "status", "said"),
    [
        ({"SOUTH_SECRET": "wrong"}, 4, "a run would work on the others"),
        ({"NORTH_SECRET": "wrong", "SOUTH_SECRET": "wrong"}, 3, "NOT ready: 2 of 2 tenants."),
        ({"SOUTH_SECRET": ""}, 2, "a run would refuse its input"),
    ],
)
def test_a_check_says_which_tenant_is_not_ready(mass_stop, two, env, status, said):
    ended = mass_stop("check", "--tenants", two.file, env=two.environment | env)
    assert ended.status == status, ended
    assert f"{two.named['south'].environment['ZUORA_BASE_URL']}: NOT ready" in ended.err
    assert said in ended.err


def test_a_check_of_one_of_several_tenants_reports_it_in_full(mass_stop, two):
    ended = mass_stop("check", "--tenants", two.file, "--tenant", "south", env=two.environment)
    assert ended.status == 0, ended
    assert two.named["south"].environment["ZUORA_BASE_URL"] in ended.err
    assert "forecast" in ended.err
    assert two.named["north"].sent("token") == 0


def test_the_command_after_a_plan_of_several_tenants_can_be_copied(mass_stop, two):
    plan = mass_stop(
        "plan",
        two.keys(),
        "--tenants",
        two.file,
        "--headroom",
        "20",
        "--out",
        "our plan",
        env=two.environment,
    )
    assert plan.status == 0, plan
    (step,) = (line.strip() for line in plan.err.splitlines() if line.startswith("      mass-stop run "))
    _, *words = shlex.split(step)
    ended = mass_stop(*words, "--yes", "--out", "run", env=two.environment)
    assert ended.status == 0, ended
    assert two.outcomes(json.loads((mass_stop.home / "run" / "report.json").read_text())) == {
        "north": {"stopped"}, "south": {"stopped"},
    }  # fmt: skip
    assert words[-2:] == ["--headroom", "20"]


def test_a_plan_of_several_tenants_forecasts_the_whole_run(mass_stop, two):
    plan = mass_stop("plan", two.keys(), "--tenants", two.file, "--out", "plan", env=two.environment)
    forecast = re.search(r"\((\d+) stop, (\d+) status, (\d+) file\)", plan.err)
    assert forecast, plan.err
    stops, statuses, files = map(int, forecast.groups())
    assert (stops, files) == (8 + 8, 8 + 8)
    assert statuses >= 16
    assert "    north            8 would_stop\n    south            8 would_stop\n" in plan.err


def test_a_plan_of_several_tenants_gives_the_next_run_its_keys(mass_stop, two):
    mass_stop("plan", two.keys(), "--tenants", two.file, "--out", "plan", env=two.environment)
    ended = mass_stop.run(None, "--plan", "plan", "--tenants", two.file, env=two.environment)
    assert ended.status == 0
    by_tenant = ended.report["summary"]["by_tenant"]
    assert {name: one["keys"] for name, one in by_tenant.items()} == {"north": 8, "south": 8}


def test_no_secret_of_any_tenant_is_written_to_a_file(mass_stop, two):
    ended = mass_stop.run(
        None, two.keys(), "--tenants", two.file, "--log-level", "debug", env=two.environment
    )
    tokens = [token for tenant in two.named.values() for token in tenant.tokens()]
    written = [ended.err.encode(), ended.out]
    written += [path.read_bytes() for path in ended.directory.rglob("*") if path.is_file()]
    secrets = [*two.environment.values(), *tokens]
    assert secrets
    assert not [secret for secret in secrets for data in written if secret.encode() in data]
