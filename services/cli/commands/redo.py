"""`faces redo`: search pictures again, under their own recipe or under another one."""

import asyncio
import json
import os
import signal
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.options import (
    AsJson,
    DatabaseUrl,
    Model,
    Out,
    RedisUrl,
    load_settings,
    make_recipe,
    takes_recipe,
)
from services.cli.places import TOKEN, ObjectsUrl, catalog_url, whole_id
from services.cli.redoing import Redoing, Redone, hand_on
from shared.errors import Exit, FacesError

if TYPE_CHECKING:
    from shared.catalog import Filter
    from shared.settings import Settings


@takes_recipe
def command(
    recipe: dict[str, Any],  # Any: options of all types
    pattern: Annotated[
        str | None,
        typer.Argument(metavar="PATTERN", help="Names as in a shell (* also matches /), or an id."),
    ] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    recipe_changed: Annotated[
        bool,
        typer.Option(
            "--recipe-changed",
            help="Those done by another recipe, by the one given here: --model, --mode, ...",
        ),
    ] = False,
    submission: Annotated[str | None, typer.Option(help="Only if named by this one.")] = None,
    out: Out = None,
    model: Model = None,
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    as_json: AsJson = False,
    quiet: Annotated[bool, typer.Option("-q", "--quiet", help="No progress.")] = False,
) -> None:
    """Search pictures again that have ended; the new result replaces the old one.

    With `-o OUT` it is done here and now, as `faces run` does it. Else they are sent to the
    running deployment, by reference: pictures that were sent along with their bytes cannot be
    done again, and it says how many these are. Prints the id of the new submission.

    Example: `faces redo --failed -o out`

    Example: `faces redo '*beach*' --database postgresql://faces@10.0.0.6/faces
    --redis redis://10.0.0.5/0`

    Example: `faces redo --recipe-changed --mode blur -o out`
    """
    from shared.catalog import Filter
    from shared.messages import Status

    if not (pattern or failed or recipe_changed):
        raise FacesError("which ones? Give --failed, --recipe-changed, or a pattern: '*' for all")
    if (recipe or model) and not recipe_changed:
        raise FacesError(
            "each is done again by its own recipe; give --recipe-changed to use another"
        )
    whole = pattern is not None and TOKEN.fullmatch(pattern)
    filter_ = Filter(
        statuses=(Status.FAILED,) if failed else (Status.FACES, Status.NO_FACES, Status.FAILED),
        name=None if whole else pattern,
        image=pattern if whole else None,
        submission=submission,
    )
    title = " ".join(
        ["redo", *(["--failed"] * failed), *(["--recipe-changed"] * recipe_changed), pattern or ""]
    ).strip()
    if out is not None:
        status = _here(
            out,
            (redis, database, objects),
            filter_,
            title,
            (model, recipe) if recipe_changed else None,
            quiet=quiet,
            as_json=as_json,
        )
        raise typer.Exit(status)
    settings = load_settings(redis_url=redis, database_url=catalog_url(None, database))
    changed = make_recipe(model or settings.model, recipe) if recipe_changed else None
    raise typer.Exit(asyncio.run(_send(settings, Redoing(filter_, changed), title, as_json)))


def _here(
    out: Path,
    servers: tuple[str | None, str | None, str | None],
    filter_: "Filter",
    title: str,
    changed: tuple[str | None, dict[str, Any]] | None,
    *,
    quiet: bool,
    as_json: bool,
) -> Exit:
    """Do them on this machine, into OUT; Redis, catalog and objects as for `faces run`."""
    from services.cli.commands.models import choose
    from services.cli.commands.run import carry_out
    from services.cli.local.plan import Plan, run_settings
    from services.cli.outdir.lock import hold

    redis, database, objects = servers
    url = catalog_url(out, database or os.environ.get("FACES_DATABASE_URL"))
    settings, embedded = run_settings(
        paths=(),
        out=out,
        redis=redis,
        database=database,
        objects=objects,
        slots=None,
        verbose=False,
    )
    model, recipe = changed or (None, {})
    make_recipe(model or "yunet", recipe)  # a wrong parameter is told before anything starts
    with hold(out, _say):
        first, filter_ = asyncio.run(_first(url, filter_))
        if first is None:
            _tell_nothing(as_json=as_json)
            return Exit.DONE
        own = None if changed else first.rpartition("-")[0]
        chosen = choose(model or own, settings.models_dir, _say)
        made = make_recipe(chosen, recipe)
        plan = Plan(
            paths=(),
            out=out.absolute(),
            recipe=made,
            settings=settings.model_copy(update={"model": chosen}),
            embedded=embedded,
            name=title,
            again=Redoing(filter_, made if changed else None),
        )
        return carry_out(plan, out, quiet=quiet, as_json=as_json)


async def _send(settings: "Settings", again: Redoing, title: str, as_json: bool) -> Exit:
    """Hand them to the running deployment."""
    from redis.exceptions import RedisError

    from shared.catalog import Catalog, Redo
    from shared.errors import Unreachable
    from shared.messages import new_token, now
    from shared.streams.client import check, connect, describe
    from shared.streams.producer import Producer

    url = settings.database_url.get_secret_value()
    first, filter_ = await _first(url, again.filter)
    if first is None:
        _tell_nothing(as_json=as_json)
        return Exit.DONE
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with AsyncExitStack() as opened:
        client = connect(settings.redis_url)
        opened.push_async_callback(client.aclose)
        await check(client)
        catalog = await Catalog.open(url)
        opened.push_async_callback(catalog.close)
        producer = Producer(client, settings)
        request = Redo(new_token(), title, now(), filter_, again.recipe)
        try:
            done = await hand_on(request, catalog, producer, lambda: not stop.is_set())
        except RedisError as error:
            raise Unreachable(describe(error)) from None
    _tell(request.submission, done, as_json=as_json)
    if stop.is_set():
        _say("interrupted; what was not sent yet stays as it is")
        return Exit.INTERRUPTED
    return Exit.SOME_FAILED if done.lost else Exit.DONE


async def _first(url: str, filter_: "Filter") -> tuple[str | None, "Filter"]:
    """The recipe of the first image that fits, None where none does; and the id made whole."""
    from shared.catalog import Catalog

    catalog = await Catalog.open(url)
    try:
        if filter_.submission is not None:
            filter_ = replace(filter_, submission=await whole_id(catalog, filter_.submission))
        rows = await catalog.reader.page(filter_, limit=1, faces=False)
        return (rows[0].recipe if rows else None), filter_
    finally:
        await catalog.close()


def _tell_nothing(*, as_json: bool) -> None:
    print(json.dumps(asdict(Redone()) | {"submission": None}) if as_json else "nothing to do again")


def _tell(submission: str, done: Redone, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(done) | {"submission": submission}))
        return
    for line in (f"{done.sent:,} pictures sent again", *done.lines()):
        _say(line)
    print(submission)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
