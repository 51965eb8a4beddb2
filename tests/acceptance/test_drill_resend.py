"""The end of a drill: spared records are uploaded again."""

from tests.acceptance.support import MassStop


def test_a_drill_ends_with_the_statement_that_each_spared_record_was_processed_once(
    mass_stop: MassStop,
) -> None:
    ended = mass_stop("drill", "--actions", "20", "--faults", "none", "--out", "run")
    assert (ended.status, "each was processed exactly once" in ended.err) == (0, True)
