"""How many bytes of pictures a process holds at once."""

import asyncio

from services.detector.room import Room, Share
from tests.support.waiting import wait_until


class Pictures:
    """Pictures that take room until they are let go."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.held: list[str] = []
        self._tasks: dict[str, asyncio.Task[None]] = {}

    async def come(self, name: str, size: int) -> None:
        """One comes, and waits for room or takes it."""
        self._tasks[name] = asyncio.create_task(self._hold(name, size))
        await asyncio.sleep(0)

    async def go(self, name: str) -> None:
        """One goes, whether it had room or waited."""
        self._tasks[name].cancel()
        await asyncio.wait([self._tasks[name]])
        await asyncio.sleep(0)

    async def _hold(self, name: str, size: int) -> None:
        with self._room.share() as share:
            await share.take(size)
            self.held.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.held.remove(name)


async def test_what_does_not_fit_waits_until_others_have_gone() -> None:
    pictures = Pictures(Room(10))
    await pictures.come("a", 6)
    await pictures.come("b", 4)
    await pictures.come("c", 1)
    assert pictures.held == ["a", "b"]
    await pictures.go("b")
    assert pictures.held == ["a", "c"]


async def test_one_that_is_larger_than_all_room_is_held_alone() -> None:
    pictures = Pictures(Room(10))
    await pictures.come("small", 1)
    await pictures.come("huge", 1000)
    assert pictures.held == ["small"]
    await pictures.go("small")
    assert pictures.held == ["huge"]
    await pictures.come("after", 1)
    assert pictures.held == ["huge"]
    await pictures.go("huge")
    assert pictures.held == ["after"]


async def test_a_large_one_gets_its_turn_among_small_ones() -> None:
    pictures = Pictures(Room(10))
    await pictures.come("first", 6)
    await pictures.come("large", 10)
    await pictures.come("small", 1)
    assert pictures.held == ["first"], "the small one would fit, but stands behind"
    await pictures.go("first")
    assert pictures.held == ["large"]


async def test_one_that_stops_waiting_lets_those_behind_it_in() -> None:
    room = Room(10)
    assert room.take_now(6)
    large = asyncio.create_task(room.take(10))
    small = asyncio.create_task(room.take(1))
    await asyncio.sleep(0)
    large.cancel()
    await wait_until(small.done, "the small one is in")


async def test_room_that_was_given_to_one_that_stops_at_that_moment_is_not_lost() -> None:
    room = Room(10)
    with room.share() as first:
        await first.take(10)
        share = Share(room)
        waiting = asyncio.create_task(share.take(10))
        await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    assert room.take_now(10)


async def test_of_two_that_need_more_than_they_took_one_goes_on() -> None:
    room, done = Room(10), []

    async def grow(name: str) -> None:
        with room.share() as share:
            assert share.take_now(5)
            await asyncio.sleep(0)
            assert not share.take_now(8)
            await share.take(8)
            done.append(name)

    await asyncio.gather(grow("a"), grow("b"))
    await wait_until(lambda: len(done) == 2, "both went on")
