"""Every way to break something, by its name."""

from tests.chaos.acts import on_buckets, on_postgres, on_redis, on_services
from tests.chaos.acts.act import Act

ACTS: dict[str, Act] = {
    act.name: act for room in (on_services, on_redis, on_postgres, on_buckets) for act in room.ACTS
}
