"""report.html and the Markdown form, as the installed command writes them."""

import hashlib
import stat

import pytest

from orchestrator.report.pages.environment import TEMPLATES
from tests.acceptance.support import Ended, MassStop, Tenant


def test_a_run_writes_a_page_beside_its_report_that_only_its_owner_can_read(over: Ended) -> None:
    page = over.directory / "report.html"
    assert stat.S_IMODE(page.stat().st_mode) == 0o600
    text = page.read_text()
    actions = over.report["actions"]
    assert len(actions) == 12
    assert all(action["bulk_key"] in text for action in actions)
    assert hashlib.sha256((over.directory / "report.json").read_bytes()).hexdigest() in text


def test_a_page_written_again_is_unchanged(mass_stop: MassStop, over: Ended) -> None:
    page = over.directory / "report.html"
    before = page.read_bytes()
    page.unlink()
    again = mass_stop("report", "run", "--format", "html")
    assert again.status == 0, again
    assert page.read_bytes() == before


def test_the_page_of_a_changed_report_shows_the_hash_of_the_original(
    mass_stop: MassStop, over: Ended
) -> None:
    report = over.directory / "report.json"
    true = hashlib.sha256(report.read_bytes()).hexdigest()
    report.write_bytes(report.read_bytes().replace(b'"stopped"', b'"already_stopped"'))
    assert true in mass_stop("report", "run", "--format", "html", "--report", "-").out.decode()


def test_a_page_that_cannot_be_written_changes_neither_exit_status_nor_report(
    mass_stop: MassStop, tenant: Tenant
) -> None:
    (mass_stop.home / "run" / "report.html").mkdir(parents=True)
    ended = mass_stop.run(tenant, mass_stop.keys(tenant.keys), "--no-results")
    assert ended.status == 0, ended
    assert (ended.report["run"]["exit_status"], ended.report["run"]["state"]) == (0, "finished")
    (trouble,) = [line for line in ended.sentences if "trouble" in line]
    assert "mass-stop report run --format html" in trouble


def test_a_plan_and_a_cut_run_have_a_page_too(mass_stop: MassStop, tenant: Tenant) -> None:
    keys = mass_stop.keys(tenant.keys)
    plan = mass_stop("plan", keys, "--out", "plan", tenant=tenant)
    assert "Plan, no stop was sent" in (plan.directory / "report.html").read_text()
    cut = mass_stop.run(tenant, keys, env={"ZUORA_CLIENT_SECRET": "wrong"})
    assert cut.status == 3, cut
    assert "Nothing was stopped" in (cut.directory / "report.html").read_text()


def test_markdown_goes_to_a_file_or_to_standard_output(mass_stop: MassStop, over: Ended) -> None:
    printed = mass_stop("report", "run", "--format", "markdown", "--report", "-")
    assert printed.status == 0, printed
    assert printed.out.decode().startswith("**✅ All over.**")
    saved = mass_stop("report", "run", "--format", "markdown")
    assert (saved.directory / "report.md").read_bytes() == printed.out


@pytest.mark.parametrize("form", ["json", "csv", "markdown"])
def test_a_report_written_again_imports_no_http_client_and_no_template_engine(
    mass_stop: MassStop, over: Ended, form: str
) -> None:
    ended = mass_stop("report", "run", "--format", form, env={"PYTHONPROFILEIMPORTTIME": "1"})
    assert ended.status == 0, ended
    assert not any(line.endswith((" jinja2", " aiohttp")) for line in ended.err.splitlines())


def test_the_page_contains_its_whole_style_and_script(over: Ended) -> None:
    text = (over.directory / "report.html").read_text()
    for name in ("page.css", "page.js"):
        assert (TEMPLATES / name).read_text() in text
