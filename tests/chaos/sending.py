"""Sending pictures by every way there is, a slice at a time, and again what a failover lost."""

import asyncio
from collections.abc import Collection, Iterable, Sequence

from redis.asyncio import Redis

from services.cli.sending.parts import Submission
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.producer import Producer
from tests.chaos.pictures import Picture
from tests.chaos.suite import HIGH_WATER, PICTURES, Suite, Way

INLINE_BATCH = 20
RECIPE = Recipe(model="haar", model_version=MODELS["haar"].version)


class Sending:
    """Hands a suite its pictures: those of each slice by all ways alike.

    Slices are given in their order when `release` says so; `sent` are the names of those that Redis
    has taken. Each way is one submission.
    """

    def __init__(self, suite: Suite, pictures: Sequence[Picture], slices: int) -> None:
        self._suite = suite
        self._slices = [pictures[number::slices] for number in range(slices)]
        self._released = asyncio.Semaphore(0)
        self._folders: dict[str, str] = {}
        self.way: dict[str, Way] = {}
        self.sent: set[str] = set()
        self._client: Redis | None = None
        self._task: asyncio.Task[list[str]] | None = None

    def start(self) -> None:
        """Begin; nothing is sent before `release`."""
        settings = Settings.load({"redis_url": self._suite.redis.url, "high_water": HIGH_WATER})
        self._client = connect(settings.redis_url)
        self._producer = Producer(self._client, settings)
        self._task = asyncio.create_task(self._send_all())

    def release(self, slices: int = 1) -> None:
        """Let so many slices more be sent."""
        for _ in range(slices):
            self._released.release()

    @property
    def ended(self) -> bool:
        """Whether nothing is left to be sent, or sending has failed."""
        return self._task is not None and self._task.done()

    async def finish(self) -> list[str]:
        """Send what is left; returns the submissions."""
        assert self._task is not None
        self.release(len(self._slices))
        return await self._task

    async def close(self) -> None:
        """End it, also in the middle."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        if self._client is not None:
            await self._client.aclose()

    async def again(self, pictures: Sequence[Picture], lost: Collection[str]) -> list[str]:
        """Send again what was lost, as who sent it would: the same bytes, the same places."""
        submissions = self._submissions({self.way[name] for name in lost})
        for way, submission in submissions.items():
            if way is Way.INLINE:
                missing = [
                    one for one in pictures if one.name in lost and self.way[one.name] is way
                ]
                await self._add_inline(submission, missing)
                continue
            names = [name for name in lost if self.way[name] is way]
            for folder in sorted({self._folders[name] for name in names}):
                await self._add_folder(submission, way, folder)
        return await _closed(submissions)

    async def _send_all(self) -> list[str]:
        submissions = self._submissions(Way)
        for number, pictures in enumerate(self._slices):
            await self._released.acquire()
            for turn, way in enumerate(Way):
                await self._send(submissions[way], way, pictures[turn :: len(Way)], f"{number:04}")
        return await _closed(submissions)

    async def _send(
        self, submission: Submission, way: Way, pictures: Sequence[Picture], folder: str
    ) -> None:
        self.way |= {one.name: way for one in pictures}
        if way is Way.INLINE:
            await self._add_inline(submission, pictures)
            return
        self._folders |= {one.name: folder for one in pictures}
        if way is Way.FOLDER:
            (self._suite.inputs / folder).mkdir()
        for one in pictures:
            if way is Way.FOLDER:
                (self._suite.inputs / folder / one.name).write_bytes(one.content)
            else:
                self._suite.s3.buckets[PICTURES][f"{folder}/{one.name}"] = one.content
        if pictures:
            await self._add_folder(submission, way, folder)
        self.sent |= {one.name for one in pictures}

    async def _add_inline(self, submission: Submission, pictures: Sequence[Picture]) -> None:
        for start in range(0, len(pictures), INLINE_BATCH):
            batch = pictures[start : start + INLINE_BATCH]
            await submission.add_pictures([(one.name, one.content) for one in batch])
            self.sent |= {one.name for one in batch}

    async def _add_folder(self, submission: Submission, way: Way, folder: str) -> None:
        if way is Way.BUCKET:
            await submission.add_uri(f"s3://{PICTURES}/{folder}")
        else:
            await submission.add_path(self._suite.inputs / folder)

    def _submissions(self, ways: Iterable[Way]) -> dict[Way, Submission]:
        return {way: Submission(self._producer, RECIPE, way.value) for way in ways}


async def _closed(submissions: dict[Way, Submission]) -> list[str]:
    for submission in submissions.values():
        await submission.close()
    return [submission.id for submission in submissions.values()]
