"""`faces redo`: search pictures again, under their own recipe or under another one."""

import asyncio
import json
import os
import signal
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.deployment import Place, deployment, load_settings, whole_id
from services.cli.options.common import (
    AsJson,
    DatabaseUrl,
    Model,
    ObjectsUrl,
    Out,
    Pattern,
    Quiet,
    RedisUrl,
    Submission,
)
from services.cli.options.filters import (
    Because,
    Camera,
    KindOf,
    Taken,
    by_name_or_id,
    reason_code,
    taken_range,
)
from services.cli.options.recipe import make_recipe, takes_recipe
from services.cli.talk import notes_on, say
from shared.errors import Exit, FacesError
from shared.printing import count

if TYPE_CHECKING:
    from shared.catalog import Filter
    from shared.verbs.redo import Redone


@takes_recipe
def command(
    recipe: dict[str, Any],  # Any: options of all types
    pattern: Annotated[str | None, Pattern] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed.")] = False,
    recipe_changed: Annotated[
        bool,
        typer.Option(
            "--recipe-changed",
            help="Search those that other recipes did by the recipe given here: --model, --mode...",
        ),
    ] = False,
    drawn_before_mend: Annotated[
        bool,
        typer.Option(
            "--drawn-before-mend",
            help="Only those whose annotated picture was drawn before a mend of drawing or hiding.",
        ),
    ] = False,
    taken: Taken = "",
    camera: Camera = None,
    kind: KindOf = None,
    reason: Because = None,
    submission: Submission = None,
    out: Out = None,
    model: Model = None,
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Search pictures again that have ended; the new result replaces the old one.

    With `-o OUT` it is done here and now, as `faces run` does it. Otherwise the pictures are sent
    to the running deployment, by reference: those that were sent along with their bytes cannot be
    searched again, and are counted. Prints the id of the new submission.

    A picture is done in its current version; what is older only by its id or with `--submission`.

    Example: `faces redo --failed -o out`

    Example: `faces redo '*beach*' --database postgresql://faces@10.0.0.6/faces
    --redis redis://10.0.0.5/0`

    Example: `faces redo --recipe-changed --mode blur -o out`
    """
    flags = {
        "--failed": failed,
        "--recipe-changed": recipe_changed,
        "--drawn-before-mend": drawn_before_mend,
    }
    values = {"--taken": taken, "--camera": camera, "--kind": kind, "--reason": reason}
    if not (pattern or any(flags.values()) or any(values.values())):
        raise FacesError(
            "which ones? Give a pattern ('*' for all), --failed, --recipe-changed, "
            "--drawn-before-mend, --taken, --camera, --kind or --reason"
        )
    if (recipe or model) and not recipe_changed:
        raise FacesError(
            "each is searched again by its own recipe; give --recipe-changed to use another"
        )
    asked = _Asked(
        place=Place(out=out, redis=redis, database=database, objects=objects),
        filter=_filter(pattern, submission, failed, drawn_before_mend, taken, camera, kind, reason),
        title=" ".join(
            [
                "redo",
                *(flag for flag, given in flags.items() if given),
                *(f"{flag} {value}" for flag, value in values.items() if value),
                *([pattern] if pattern else []),
            ]
        ),
        model=model,
        recipe=recipe if recipe_changed else None,
        as_json=as_json,
        quiet=quiet,
    )
    raise typer.Exit(_here(asked) if out is not None else asyncio.run(_send(asked)))


@dataclass(frozen=True)
class _Asked:
    """What was typed. `recipe` of None: each by its own."""

    place: Place
    filter: "Filter"
    title: str
    model: str | None
    recipe: dict[str, Any] | None  # Any: as in `command`
    as_json: bool
    quiet: bool


def _filter(
    pattern: str | None,
    submission: str | None,
    failed: bool,
    drawn_before_mend: bool,
    taken: str,
    camera: str | None,
    kind: str | None,
    reason: str | None,
) -> "Filter":
    from shared.messages import Status
    from shared.recipe import DRAWING_VERSION

    since, until = taken_range(taken)
    named = by_name_or_id(pattern)
    ended = (Status.FACES, Status.NO_FACES, Status.FAILED)
    return replace(
        named,
        statuses=(Status.FAILED,) if failed else ended,
        submission=submission,
        taken_since=since,
        taken_until=until,
        camera=camera,
        kind=kind,
        code=reason_code(reason),
        drawn_before=DRAWING_VERSION if drawn_before_mend else None,
        current=submission is None and named.image is None,
    )


def _here(asked: _Asked) -> Exit:
    """Do them on this machine, into OUT; Redis, catalog and objects as for `faces run`."""
    from services.cli.commands.models import choose
    from services.cli.commands.run import carry_out
    from services.cli.local.plan import Again, Plan, run_settings
    from services.cli.outdir.given import recall
    from services.cli.outdir.lock import hold

    out = asked.place.out
    assert out is not None
    database = asked.place.database or os.environ.get("FACES_DATABASE_URL")
    place = replace(asked.place, database=database)
    place.catalog_url()  # one that is not there is said before anything is made
    changed = asked.recipe or {}
    make_recipe(asked.model or "yunet", changed)  # a wrong parameter is said before anything starts
    with hold(out, say):
        first, filter_ = asyncio.run(_first(place, asked.filter))
        if first is None:
            return _tell_nothing(as_json=asked.as_json)
        given = recall(out)
        settings, embedded = run_settings(
            paths=given.paths,
            out=out,
            redis=place.redis,
            database=place.database,
            objects=place.objects,
            slots=None,
            verbose=False,
            follow_links=given.follow_links,
        )
        if not settings.source_roots:
            raise FacesError(
                f"{str(out)!r} does not say which folders may be read again for it; give them to "
                "`faces run` once more (nothing is searched twice), or name them in "
                "FACES_SOURCE_ROOTS"
            )
        own = first.rpartition("-")[0] if asked.recipe is None else None
        chosen = choose(asked.model or own, settings.models_dir, say)
        made = make_recipe(chosen, changed)
        plan = Plan(
            paths=(),
            out=out.absolute(),
            recipe=made,
            settings=settings.model_copy(update={"model": chosen}),
            embedded=embedded,
            name=asked.title,
            again=Again(filter_, None if asked.recipe is None else made),
        )
        return carry_out(plan, out, quiet=asked.quiet, as_json=asked.as_json)


async def _send(asked: _Asked) -> Exit:
    """Hand them to the running deployment."""
    from shared.catalog import Redo
    from shared.messages import new_token, now
    from shared.verbs.redo import redo

    place = replace(asked.place, database=asked.place.catalog_url())
    changed = None
    if asked.recipe is not None:
        changed = make_recipe(asked.model or load_settings().model, asked.recipe)
    first, filter_ = await _first(place, asked.filter)
    if first is None:
        return _tell_nothing(as_json=asked.as_json)
    stop = asyncio.Event()
    for signum in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with deployment(place) as opened:
        producer, catalog = await opened.producer(), await opened.catalog()
        request = Redo(new_token(), asked.title, now(), filter_, changed)
        done = await redo(request, catalog, producer, lambda: not stop.is_set())
    _tell(request.submission, done, as_json=asked.as_json)
    if stop.is_set():
        say("interrupted; what was not sent yet stays as it is")
        return Exit.INTERRUPTED
    return Exit.SOME_FAILED if done.lost else Exit.DONE


async def _first(place: Place, filter_: "Filter") -> tuple[str | None, "Filter"]:
    """The recipe of the first image that fits, None where none does; and the id made whole."""
    async with deployment(place) as opened:
        catalog = await opened.catalog()
        if filter_.submission is not None:
            filter_ = replace(filter_, submission=await whole_id(catalog, filter_.submission))
        rows = await catalog.reader.page(filter_, limit=1, faces=False)
        return (rows[0].recipe if rows else None), filter_


def _tell_nothing(*, as_json: bool) -> Exit:
    from shared.verbs.redo import Redone

    print(json.dumps(asdict(Redone()) | {"submission": None}) if as_json else "nothing to do again")
    return Exit.DONE


def _tell(submission: str, done: "Redone", *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(done) | {"submission": submission}))
        return
    for line in (f"{count(done.sent, 'picture')} sent again", *notes_on(done)):
        say(line)
    print(submission)
