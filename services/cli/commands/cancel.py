"""`faces cancel ID`: ending a submission early."""

import asyncio
import json
from typing import Annotated

import typer

from services.cli.deployment import Place, deployment, whole_id
from services.cli.options.common import AsJson, DatabaseUrl, Out
from shared.printing import count


def command(
    submission: Annotated[
        str, typer.Argument(metavar="ID", help="A submission; the start of its id will do.")
    ],
    out: Out = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
) -> None:
    """End a submission early: what it still has queued ends as failed, with the reason `cancelled`.

    Pictures that another submission named too stay queued for that one. A cancelled picture that is
    submitted again is searched.

    Example: `faces cancel 3f2a --database postgresql://faces@10.0.0.6/faces`
    """
    asyncio.run(_cancel(submission, Place(out=out, database=database), as_json=as_json))


async def _cancel(submission: str, place: Place, *, as_json: bool) -> None:
    from shared.verbs.cancel import cancel

    async with deployment(place) as opened:
        catalog = await opened.catalog()
        done = await cancel(catalog, await whole_id(catalog, submission))
    one, after = done.after.id, done.after
    if as_json:
        told = {
            "submission": one,
            "cancelled": done.cancelled,
            "queued": after.queued,
            "was_over": done.was_over,
        }
        print(json.dumps(told))
        return
    if done.was_over:
        print(f"{one} was {'cancelled' if done.before.cancelled else 'complete'} already")
        return
    ended = after.ended - done.cancelled
    print(f"{count(done.cancelled, 'image')} cancelled; {ended:,} had ended before")
    if after.queued:
        print(f"{after.queued:,} stay queued, since other submissions named them too")
