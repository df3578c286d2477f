"""A short chaos run: whatever is broken, each picture that was submitted ends as one row."""

from collections import Counter

import pytest

from tests.chaos.driver import Chaos, Plan
from tests.chaos.schedule import SERVICES, Act, make_schedule
from tests.chaos.servers import Postgres

SHORT: Counter[Act] = Counter(
    {
        Act.KILL: 7,
        Act.TERMINATE: 1,
        Act.FREEZE: 1,
        Act.RESTART_REDIS: 1,
        Act.CUT: 2,
        Act.LOSE_REPLY: 2,
        Act.STOP_POSTGRES: 1,
    }
)


@pytest.mark.timeout(300)
async def test_the_promise_is_kept_through_kills_restarts_and_cuts(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("chaos")
    events = make_schedule(seed=7, counts=SHORT)
    plan = Plan(7, 300, events, folder / "run", postgres=Postgres.available())
    verdict = await Chaos(plan).run()
    assert verdict.kept, str(verdict)
    assert verdict.rows == 300


def test_the_same_seed_gives_the_same_schedule_and_every_service_dies() -> None:
    assert make_schedule(3, SHORT) == make_schedule(3, SHORT)
    assert make_schedule(3, SHORT) != make_schedule(4, SHORT)
    for seed in range(20):
        hit = {event.target for event in make_schedule(seed, SHORT) if event.target}
        assert hit == set(SERVICES)
