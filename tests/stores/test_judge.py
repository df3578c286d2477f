"""A refusal counts against its object only where the store does what it did before."""

import asyncio

import pytest

from shared.errors import Unreachable
from shared.stores.judge import Judge
from shared.stores.opening import ObjectRefused


class Store:
    """A store whose answers a test chooses."""

    def __init__(self) -> None:
        self.refuses_all = False
        self.answers = True
        self.repeated = 0
        self.tried = 0
        self.judge = Judge(self.repeat)

    async def repeat(self) -> None:
        self.repeated += 1
        await asyncio.sleep(0)
        if not self.answers:
            raise Unreachable("it does not answer")
        if self.refuses_all:
            raise ObjectRefused("what succeeded before is refused")

    async def refused(self) -> None:
        self.tried += 1
        await asyncio.sleep(0)
        raise ObjectRefused("403 Forbidden")


async def test_an_object_is_to_blame_where_the_store_does_what_it_did() -> None:
    store = Store()
    with pytest.raises(ObjectRefused, match="403 Forbidden"):
        await store.judge.call(store.refused)
    assert store.tried == 2, "once more after the store has shown that it is well"


async def test_a_store_is_to_blame_that_refuses_what_it_did_before() -> None:
    store = Store()
    store.refuses_all = True
    with pytest.raises(Unreachable, match="403 Forbidden"):
        await store.judge.call(store.refused)
    assert store.tried == 1


async def test_silence_on_asking_is_told_as_it_is() -> None:
    store = Store()
    store.answers = False
    with pytest.raises(Unreachable, match="it does not answer"):
        await store.judge.call(store.refused)


async def test_what_is_refused_only_in_an_outage_succeeds_after_it() -> None:
    store = Store()

    async def once() -> str:
        store.tried += 1
        if store.tried == 1:
            raise ObjectRefused("403 Forbidden")
        return "done"

    assert await store.judge.call(once) == "done"


async def test_for_many_refusals_at_once_the_store_is_asked_twice() -> None:
    store = Store()
    store.refuses_all = True
    calls = (store.judge.call(store.refused) for _ in range(50))
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert {type(answer) for answer in answers} == {Unreachable}
    assert store.repeated == 2, "by the first, and once for all that were refused after that"


async def test_a_later_refusal_asks_anew() -> None:
    store = Store()
    with pytest.raises(ObjectRefused):
        await store.judge.call(store.refused)
    store.refuses_all = True
    with pytest.raises(Unreachable):
        await store.judge.call(store.refused)
    assert store.repeated == 2
