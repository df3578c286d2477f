"""Short chaos runs: whatever is broken, each picture that was submitted ends as one row."""

from collections import Counter

import pytest

from tests.chaos.__main__ import FULL
from tests.chaos.acts import ACTS
from tests.chaos.acts.act import Needs
from tests.chaos.driver import Chaos, Plan
from tests.chaos.recovery import Recovery, table
from tests.chaos.redis_servers import RedisServers
from tests.chaos.schedule import make_schedule, possible
from tests.chaos.servers import Postgres
from tests.chaos.suite import SERVICES
from tests.chaos.verdict import Verdict

SHORT = Counter(
    {
        "kill": 7,
        "terminate": 1,
        "freeze": 1,
        "restart redis": 1,
        "cut": 2,
        "lose reply": 2,
        "stop postgres": 1,
    }
)
OUTAGES = Counter({name: 1 for name, act in ACTS.items() if act.outage} | {"kill": 7})
"""One of each outage, and every service is killed once."""


async def run(
    factory: pytest.TempPathFactory, counts: Counter[str], *, replicated: bool
) -> Verdict:
    missing = [] if replicated else [Needs.SENTINEL]
    if not Postgres.available():
        missing.append(Needs.POSTGRES)
    events = make_schedule(seed=7, counts=possible(counts, missing))
    folder = factory.mktemp("chaos") / "run"
    postgres = Needs.POSTGRES not in missing
    return await Chaos(Plan(7, 300, events, folder, postgres, replicated)).run()


@pytest.mark.timeout(300)
async def test_the_promise_is_kept_through_kills_restarts_and_cuts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    verdict = await run(tmp_path_factory, SHORT, replicated=False)
    assert verdict.kept, f"{verdict}: {verdict.breaches}"
    assert verdict.rows == 300


@pytest.mark.timeout(600)
async def test_no_picture_is_blamed_for_an_outage(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    verdict = await run(tmp_path_factory, OUTAGES, replicated=RedisServers.can_be_replicated())
    assert verdict.kept, f"{verdict}: {verdict.breaches}"
    assert verdict.rows == 300
    never_went_on = [one.act for one in verdict.recoveries if one.waited and one.seconds is None]
    assert not never_went_on


def test_the_same_seed_gives_the_same_schedule_and_every_service_dies() -> None:
    assert make_schedule(3, SHORT) == make_schedule(3, SHORT)
    assert make_schedule(3, SHORT) != make_schedule(4, SHORT)
    for seed in range(20):
        hit = {event.target for event in make_schedule(seed, SHORT) if event.target}
        assert hit == set(SERVICES)


def test_a_whole_run_does_every_act_there_is() -> None:
    assert set(FULL) == set(ACTS)
    assert {event.act for event in make_schedule(1, FULL)} == set(ACTS)


def test_a_verdict_tells_who_was_blamed_and_which_services_ended() -> None:
    assert Verdict(submitted=1, rows=1).kept
    for name in ("lost", "failed_wrongly", "blamed", "ended_by_themselves"):
        verdict = Verdict(submitted=1, rows=1)
        setattr(verdict, name, ["one"])
        assert not verdict.kept
        assert verdict.breaches == {name: ["one"]}
    assert not Verdict(1, 1, dead_letters=1).kept


def test_an_outage_is_late_where_work_waited_and_did_not_go_on_in_time() -> None:
    recoveries = [
        Recovery("cut", waited=3, seconds=1.0, limit=5),
        Recovery("cut", waited=3, seconds=6.0, limit=5),
        Recovery("cut", waited=3, seconds=None, limit=5),
        Recovery("idle", waited=0, seconds=None, limit=5),
    ]
    assert [one.late for one in recoveries] == [False, True, True, False]
    assert table(recoveries[:2]).splitlines()[-1] == "| cut | 2 | 3 | 3.5 s | 6.0 s | 5 s |"
    assert "not within reach" in table(recoveries[:3])
    assert "nothing waited" in table(recoveries[3:])
