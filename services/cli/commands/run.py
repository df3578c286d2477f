"""`faces run PATH... -o OUT`: the whole pipeline, with one command."""

import asyncio
import json
import os
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.options.common import (
    AsJson,
    Beside,
    DatabaseUrl,
    Embed,
    Model,
    Quiet,
    RedisUrl,
    Sidecars,
    Where,
    check_beside,
)
from services.cli.options.patterns import Exclude, Include, patterns
from services.cli.options.recipe import make_recipe, takes_recipe
from services.cli.talk import say
from shared.errors import Exit, SettingsError

if TYPE_CHECKING:
    from services.cli.local.course import Ending
    from services.cli.local.embedded import EmbeddedValkey
    from services.cli.local.plan import Plan
    from services.cli.local.progress import Reporter

HELP = """Find the faces in pictures and folders of pictures, all in one command.

OUT gets `annotated/` (the results under their pictures' names), `faces.db` (the catalog) and
`objects/`. Running it again on the same OUT does only what is new, also after an interrupt.

Example: `faces run ~/Pictures -o out`

Example, hiding faces: `faces run ~/Pictures -o out --mode blur --margin 0.3`

Example, with the faces in a file beside each picture: `faces run ~/Pictures -o out --sidecar xmp`

Exit status: 0 done, 3 done but some pictures failed or have no place in OUT, 2 usage, 4 a server
fails, or the disk is full or cannot be written, 130 interrupted.
"""


@dataclass(frozen=True)
class Wanted:
    """Which sidecars are written: the forms beside annotated pictures, and those of originals, or
    regions in these themselves."""

    forms: tuple[str, ...] = ()
    originals: bool = False
    embed: bool = False


RESUMES = "interrupted; the same command goes on where it stopped"
REDO_RESUMES = "interrupted; the same `faces run` as before does the rest"


@takes_recipe
def command(
    paths: Annotated[
        list[Path],
        typer.Argument(metavar="PATH", readable=False, help="Pictures, and folders of pictures."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", metavar="OUT", help="Output folder.")],
    recipe: dict[str, Any],  # Any: options of all types
    model: Model = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, max=1024, help="Detector processes. [default: one for each CPU]"),
    ] = None,
    done_dir: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Move each original here once its result is committed."),
    ] = None,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links",
            help="Search also what links lead to, wherever that is; without it only what lies in "
            "PATH itself is read.",
        ),
    ] = False,
    exclude: Exclude = None,
    include: Include = None,
    name: Annotated[str, typer.Option(help="What to call this submission.")] = "",
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    objects: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Object store. [env: FACES_OBJECTS_URL]"),
    ] = None,
    sidecar: Sidecars = None,
    beside: Beside = Where.ANNOTATED,
    embed: Embed = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", help="Show services' logs.")] = False,
) -> None:
    """Replaced by HELP."""
    from services.cli.commands.models import choose
    from services.cli.local.plan import Plan, check_paths, run_settings
    from services.cli.outdir.given import remember
    from services.cli.outdir.lock import hold

    check_paths(paths, out, done_dir)
    chosen_files = patterns(exclude, include)
    make_recipe(model or "yunet", recipe)  # a wrong parameter is said before a model is fetched
    settings, embedded = run_settings(
        paths=paths,
        out=out,
        redis=redis,
        database=database,
        objects=objects,
        slots=slots,
        verbose=verbose,
        follow_links=follow_links,
    )
    check_beside(beside, sidecar, embed=embed)
    if embed and done_dir:
        raise SettingsError("--embed writes into originals where they lie: leave out --done-dir")
    annotated = beside is Where.ANNOTATED
    if sidecar and annotated and not settings.objects_url.startswith("file:"):
        raise SettingsError(
            "--sidecar writes beside OUT/annotated: keep --objects in a folder, or give "
            "--beside originals"
        )
    with hold(out, say):
        chosen = choose(model, settings.models_dir, say)
        remember(out, [path.absolute() for path in paths], follow_links=follow_links)
        plan = Plan(
            paths=tuple(path.absolute() for path in paths),
            out=out.absolute(),
            recipe=make_recipe(chosen, recipe),
            settings=settings.model_copy(update={"model": chosen}),
            embedded=embedded,
            name=name or _name(paths),
            done_dir=done_dir.absolute() if done_dir else None,
            follow_links=follow_links,
            patterns=chosen_files,
        )
        wanted = Wanted(
            tuple(sidecar or ()) if annotated else (), originals=not annotated, embed=embed
        )
        status = carry_out(plan, out, quiet=quiet, as_json=as_json, sidecars=wanted)
    raise typer.Exit(status)


command.__doc__ = HELP


def carry_out(
    plan: "Plan", out: Path, *, quiet: bool, as_json: bool, sidecars: Wanted = Wanted()
) -> Exit:
    """Run a plan whose OUT (as it was typed) is held, and tell how it ended; the exit status.

    Raises:
        FacesError: what keeps it from going on.
    """
    from services.cli.local.progress import reporter
    from services.cli.outdir.private import make_objects

    if plan.objects == plan.out / "objects":
        make_objects(plan.out)
    shown = reporter(quiet=quiet)
    try:
        ending = _run(plan, shown)
    except KeyboardInterrupt:  # before there was anything to drain
        shown.note(_resumes(plan))
        return Exit.INTERRUPTED
    finally:
        shown.close()
    all_written = asyncio.run(_write_sidecars(plan, ending, sidecars))
    status = _tell(plan, ending, out, as_json=as_json)
    return status if all_written else status or Exit.SOME_FAILED


async def _write_sidecars(plan: "Plan", ending: "Ending", wanted: Wanted) -> bool:
    """Write those that are wanted now, and those that earlier commands wrote; whether all could
    be placed."""
    from services.cli.outdir.beside import beside_before, write_beside
    from services.cli.outdir.sidecars import asked_before, write_sidecars
    from shared.catalog import Catalog, Filter

    forms = sorted({*wanted.forms, *asked_before(plan.out)})
    originals = wanted.originals or beside_before(plan.out)
    if not forms and not originals:
        return True
    catalog = await Catalog.open(plan.settings.database_url.get_secret_value())
    filter_ = Filter(submission=ending.standing.id)
    try:
        all_written = not forms or await write_sidecars(plan.out, catalog, filter_, forms)
        if originals:
            report = await write_beside(plan.out, catalog, filter_, embed=wanted.embed)
            for line in report.lines():
                say(line)
        return all_written
    finally:
        await catalog.close()


def _run(plan: "Plan", shown: "Reporter") -> "Ending":
    from services.cli.local.embedded import EmbeddedValkey

    valkey = EmbeddedValkey(plan.private) if plan.embedded else None
    try:
        if valkey is not None:
            valkey.start()
            plan = plan.on_server(valkey.url)
        import uvloop

        from shared.logs import configure_logs

        configure_logs(plan.settings)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(_run_in_loop(plan, valkey, shown))
    finally:
        if valkey is not None:
            valkey.stop()


async def _run_in_loop(
    plan: "Plan", valkey: "EmbeddedValkey | None", shown: "Reporter"
) -> "Ending":
    """Start the detector's processes; while they and the server come up, load all the rest."""
    from services.detector.starting import starting_slots

    async with starting_slots(plan.settings) as slots:
        await asyncio.to_thread(_load)
        from services.cli.local.course import run

        return await run(plan, valkey, shown, slots)


def _load() -> None:
    """Import what a run needs, which takes as long as its processes take to start."""
    import_module("services.cli.local.course")
    from services.cli.local.stages import Stages

    Stages.load()


def _tell(plan: "Plan", ending: "Ending", out: Path, *, as_json: bool) -> Exit:
    """Say how it ended; the exit status."""
    from services.cli.local.progress import last_line
    from services.cli.local.summary import Run, figures, lines

    standing = ending.standing
    told = Run(plan, ending, out)
    if as_json:
        print(json.dumps(figures(told)))
    else:
        for line in lines(told):
            print(line)
        print(last_line(standing, ending.rate), flush=True)
    for line in ending.not_moved:
        say(f"faces: {line}")
    for part in standing.failed_parts:
        say(f"faces: {part.uri}: {part.reason}")
    if ending.interrupted:
        known = standing.sealed and standing.parts_open == 0
        left = f"{standing.queued:,} images are left; " if known else ""
        say(_resumes(plan).replace("; ", f"; {left}"))
        return Exit.INTERRUPTED
    some_failed = standing.failed or standing.failed_parts or ending.placed.refused
    return Exit.SOME_FAILED if some_failed else Exit.DONE


def _resumes(plan: "Plan") -> str:
    """What goes on: another recipe's rows are found by asking again, an own one's are queued."""
    own = plan.again is not None and plan.again.recipe is None
    return REDO_RESUMES if own else RESUMES


def _name(paths: list[Path]) -> str:
    names = [os.fsencode(path.name or path.resolve().name) for path in paths[:5]]
    shown = ", ".join(name.decode("utf-8", "backslashreplace") for name in names)
    return shown + (f" and {len(paths) - 5} more" if len(paths) > 5 else "")
