"""What a consumer does beside its work: it renews its leases, shows that it lives, and looks after
what nobody else does: gauges, consumers that are gone, the bounds of dead letters."""

import time
from typing import Generic

from redis.asyncio import Redis

from shared.health import Health
from shared.metrics import HELD, LEASES_LOST
from shared.settings import Settings
from shared.streams.dead_bounds import DeadBounds
from shared.streams.entries import Membership
from shared.streams.intake import SIGN_OF_LIFE_SECONDS, Intake
from shared.streams.keys import Keys
from shared.streams.leases import Leases
from shared.streams.mending import Mending
from shared.streams.outage import Outage
from shared.streams.scripts import Scripts
from shared.streams.stage import M, StageSpec
from shared.streams.stats import measure

RENEWALS_A_LEASE = 4

GONE_AFTER_LEASES = 20
"""A consumer that is idle this many leases long, and holds nothing, is taken off the group; not
before it has missed as many signs of life."""

TIDY_AFTER_LEASES = 2
"""How often such consumers are looked for."""


class Upkeep(Generic[M]):
    """The upkeep of one consumer: two activities, which end by being cancelled."""

    def __init__(
        self,
        spec: StageSpec[M],
        settings: Settings,
        client: Redis,
        membership: Membership,
        intake: Intake,
        leases: Leases,
        dead_bounds: DeadBounds,
        mending: Mending,
        health: Health,
    ) -> None:
        self._spec = spec
        self._lease_seconds = settings.lease_seconds
        self._client = client
        self._keys = Keys(settings.prefix)
        self._scripts = Scripts(client, self._keys)
        self._membership = membership
        self._intake = intake
        self._leases = leases
        self._dead_bounds = dead_bounds
        self._mending = mending
        self._renewing = Outage(spec.name, health, "leases")
        self._looking_after = Outage(spec.name, None, "gauges")
        self._tidy_at = 0.0
        HELD.labels(spec.name).set_function(lambda: len(leases))

    async def renew_leases(self) -> None:
        """Renew all leases, also while draining, until the last batch is settled."""
        await self._renewing.keep(self._renew, self._lease_seconds / RENEWALS_A_LEASE)

    async def look_after(self) -> None:
        """Everything else; no work depends on it, so its trouble makes nobody unready."""
        await self._looking_after.keep(self._look_after, SIGN_OF_LIFE_SECONDS)

    async def _renew(self) -> None:
        before = self._leases.lost
        await self._leases.renew()
        LEASES_LOST.labels(self._spec.name).inc(self._leases.lost - before)

    async def _look_after(self) -> None:
        await self._mending.all()
        await self._intake.show_life()
        standing = await self._mending.group(self._spec.stream, self._membership.group)
        measure(self._spec.name, standing)
        await self._dead_bounds.keep()
        if time.monotonic() >= self._tidy_at:
            silent = max(self._lease_seconds, SIGN_OF_LIFE_SECONDS)
            await self._scripts.tidy(self._membership, int(1000 * silent * GONE_AFTER_LEASES))
            self._tidy_at = time.monotonic() + self._lease_seconds * TIDY_AFTER_LEASES
