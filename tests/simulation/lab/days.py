"""The days on which every controller is tried."""

from dataclasses import replace

from tests.simulation.lab.scenario import Scenario

STEADY = Scenario("steady", others=((0.0, 9.0),))
CAREFUL = replace(STEADY, headroom=20.0)
FAR = replace(STEADY, name="far away", wire=0.04)
BURSTY = Scenario("bursty", burst=(3.0, 18.0))
STEPS = Scenario("steps", limit=((0.0, 40), (20.0, 20), (40.0, 40)))
LATE = replace(STEADY, name="late headers", refresh=5.0)
SILENT = Scenario("no headers", seconds=300.0, held=28, headers="none", stops=1_000)
LYING = replace(STEADY, name="wrong headers", headers="wrong")
STRAINED = replace(STEADY, name="strained", strain=2.0)
SPENT = Scenario("quota spent", seconds=150.0, others=((0.0, 9.0),), quota=3_000, window=60.0, stops=7_000)
UNTOLD = replace(SPENT, name="quota untold", quota_in_headers=False, retry_after=2.0)
HERD = Scenario(
    "herd",
    seconds=300.0,
    limit=((0.0, 300), (5.0, 40)),
    call=1.0,
    refuses=(5.0, 7.0),
    most=300,
    headroom=0.0,
    stops=1_500,
)
ALONE = Scenario("alone", seconds=300.0, headroom=0.0, stops=2_000)

DAYS = (STEADY, BURSTY, STEPS, FAR, LATE, SILENT, LYING, STRAINED, SPENT, UNTOLD, HERD, ALONE)
