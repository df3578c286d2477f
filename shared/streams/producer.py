"""Adding messages from outside the stages: `submit` and `run`. Waits where the stream is full."""

import asyncio
from collections.abc import Mapping
from contextlib import suppress

import structlog
from redis.asyncio import Redis
from redis.exceptions import NoPermissionError, RedisError, ResponseError

from shared.backoff import backoff
from shared.errors import FacesError, Unreachable
from shared.messages import Message, Payload, new_token
from shared.settings import Settings
from shared.streams.entries import number, weight_of
from shared.streams.high_water import HighWaterMark, HighWaterMarks
from shared.streams.keys import Keys
from shared.streams.mending import Mending
from shared.streams.outage import CAP_SECONDS, FIRST_SECONDS
from shared.streams.payloads import set_payloads
from shared.streams.refusals import as_unreachable, describe, is_lasting, is_misplaced
from shared.streams.scripts import Answer, Scripts
from shared.streams.sentinel import has_replicas
from shared.streams.stats import misplaced

REMEMBER_SECONDS = 3600
"""How long a repeated send of the same addition is recognised."""

GIVE_UP_SECONDS = 30.0
"""How long an addition waits for a server that is away, or that refuses whatever is asked of it
(read-only, unable to save, full), before it says so."""


CONFIRM_MS = 8000
"""How long an addition waits until a replica has it; less than a reply may take."""

DOUBT_MS = 100
"""The same after one that no replica confirmed, until one does: adding goes on, and says so."""

log = structlog.get_logger()


class Producer:
    """Adds messages, each exactly once however often a lost reply makes it send again.

    Behind Sentinel an addition counts as done when a replica has it too. What stages hand on
    needs no such wait: a failover takes the streams back to an earlier state, from which they
    finish again, while what comes from outside would be gone with nobody to add it again.
    """

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._scripts = Scripts(client, self._keys)
        self._mending = Mending(client, self._keys)
        self._marks: HighWaterMarks | None = None
        self._has_replicas = has_replicas(client)
        self._patience_ms = CONFIRM_MS

    async def add(self, message: Message, payloads: Mapping[Payload, bytes] | None = None) -> bool:
        """Add a message with the bytes of its payloads; waits as long as its stream is full.

        Returns:
            False if the same image was under way already.

        Raises:
            Unreachable: Redis stays away, or refuses what it refuses to all, for
                GIVE_UP_SECONDS; at once where waiting does not mend that.
            FacesError: the stream's key holds something else.
        """
        token = new_token()
        away_since: float | None = None
        attempts = 0
        clock = asyncio.get_running_loop().time
        while True:
            attempts += 1
            try:
                answer = await self._send(message, payloads or {}, token)
                if answer is Answer.DONE:
                    await self._confirm(token)
                await self._mend(answer)
                away_since = None
            except RedisError as error:
                if is_lasting(error):
                    raise Unreachable(describe(error)) from None
                away_since = away_since or clock()
                if clock() - away_since > GIVE_UP_SECONDS:
                    raise Unreachable(describe(error)) from None
                answer = Answer.FULL
            if answer in (Answer.DONE, Answer.IN_FLIGHT):
                return answer is Answer.DONE
            await asyncio.sleep(backoff(attempts, FIRST_SECONDS, CAP_SECONDS))

    async def _mend(self, answer: Answer) -> None:
        """What is in the way of an addition, where that can be done without loss. Who may only add
        waits for the services, which do the same."""
        with suppress(NoPermissionError):
            if answer is Answer.EXHAUSTED:
                await self._mending.ids(tries=True)
            elif answer is Answer.WRONG_TYPE:
                await self._mending.types()
        if answer is Answer.WRONG_TYPE:
            for key in await misplaced(self._client, self._keys):
                raise FacesError(f"Redis key {key} is not a stream; set FACES_PREFIX or delete it")

    async def _confirm(self, token: str) -> None:
        """Wait until a replica has what was added under this token."""
        if not self._has_replicas:
            return
        # WAIT looks at what was written before it over its own connection, which need not be the
        # one that added: so a write goes ahead of it that changes nothing.
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.expire(self._keys.once(token), REMEMBER_SECONDS)
            pipeline.wait(1, self._patience_ms)
            _, replicas = await pipeline.execute()
        if replicas > 0:
            self._patience_ms = CONFIRM_MS
        elif self._patience_ms != DOUBT_MS:
            self._patience_ms = DOUBT_MS
            log.warning("no replica has what was added; a failover now would lose it")

    async def most_at_once(self) -> int:
        """Bytes that one message may bring along; with more it might wait for ever.

        Raises:
            Unreachable: Redis does not answer.
        """
        with as_unreachable():
            return (await self._asked()).most_at_once

    async def _asked(self) -> HighWaterMarks:
        """The marks, which Redis is asked for once."""
        if self._marks is None:
            self._marks = await HighWaterMarks.of(self._client, self._settings)
        return self._marks

    async def _send(
        self, message: Message, payloads: Mapping[Payload, bytes], token: str
    ) -> Answer:
        mark = (await self._asked()).of_stream(message.stream)
        stream = self._keys.stream(message.stream)
        if payloads:
            # Do not even send the bytes while there is no room for them.
            if await self._is_full(stream, mark):
                return Answer.FULL
            await set_payloads(self._client, self._keys, payloads.items())
        encoded = message.encode()
        return await self._scripts.add(
            message.stream,
            mark,
            encoded,
            weight_of(message, encoded),
            message.in_flight,
            token,
            REMEMBER_SECONDS,
            list(payloads),
        )

    async def _is_full(self, stream: str, mark: HighWaterMark) -> bool:
        """Whether a stream holds as many bytes as it may; False where that cannot be told, which
        the addition then says."""
        try:
            held = number(await self._client.hget(self._keys.bytes, stream))
            return held >= mark.bytes and await self._client.xlen(stream) > 0
        except ResponseError as error:
            if is_misplaced(error):
                return False
            raise
