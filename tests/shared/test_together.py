"""Many calls at once, of which nothing is left when one of them fails."""

import asyncio

import pytest

from shared.together import each


async def test_answers_come_in_order_and_so_many_calls_are_under_way() -> None:
    under_way = most = 0

    async def call(number: int) -> int:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        for _ in range(10 - number):
            await asyncio.sleep(0)
        under_way -= 1
        return number * 2

    assert await each(call, range(10), 3) == [number * 2 for number in range(10)]
    assert most == 3


async def test_the_others_have_ended_when_the_first_error_is_raised() -> None:
    ended: list[int] = []

    async def call(number: int) -> None:
        try:
            if number == 2:
                raise KeyError(number)
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)  # as one that has to clean up
            ended.append(number)

    with pytest.raises(KeyError):
        await each(call, range(5), 4)
    assert {0, 1, 2, 3} <= set(ended)
    assert asyncio.all_tasks() == {asyncio.current_task()}
