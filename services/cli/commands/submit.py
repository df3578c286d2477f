"""`faces submit SOURCE...`: give pictures to a running deployment."""

import asyncio
import json
import os
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.deployment import Place, deployment, load_settings
from services.cli.options.common import AsJson, DatabaseUrl, Model, Quiet, RedisUrl
from services.cli.options.patterns import Exclude, Include, patterns
from services.cli.options.recipe import make_recipe, takes_recipe
from services.cli.talk import say
from shared.errors import Exit, FacesError, SettingsError
from shared.printing import count

if TYPE_CHECKING:
    from shared.settings import Settings


@takes_recipe
def command(
    recipe: dict[str, Any],  # Any: options of all types
    sources: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SOURCE", help="Pictures, folders of pictures, and buckets: s3://BUCKET/FOLDER."
        ),
    ] = None,
    by_reference: Annotated[
        bool,
        typer.Option(
            "--by-reference",
            help="Send only names: paths as the ingest service sees them.",
        ),
    ] = False,
    follow_links: Annotated[
        bool,
        typer.Option(
            "--follow-links",
            help="With --by-reference: go through links to folders, where they lead to what "
            "ingest may read.",
        ),
    ] = False,
    exclude: Exclude = None,
    include: Include = None,
    missing: Annotated[
        bool,
        typer.Option(
            "--missing",
            help="After Redis lost its data: send again what the catalog still has as queued.",
        ),
    ] = False,
    wait: Annotated[
        bool, typer.Option("--wait", help="Wait until it is complete; needs the catalog.")
    ] = False,
    name: Annotated[str, typer.Option(help="What to call this submission.")] = "",
    model: Model = None,
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
) -> None:
    """Give pictures to a running deployment; prints the id of the submission.

    Reads them here and sends their bytes, so that the services need not see this machine's
    files. With `--by-reference` only their names are sent.

    Example: `faces submit ~/Pictures --redis redis://10.0.0.5/0`
    """
    settings = load_settings(redis_url=redis, database_url=database)
    if wait and not (database or os.environ.get("FACES_DATABASE_URL")):
        raise SettingsError("--wait reads the catalog: name it with --database URL")
    if missing:
        if sources or wait or by_reference:
            raise FacesError("--missing finds by itself what to send: give nothing else to send")
        raise typer.Exit(asyncio.run(_resend(settings, as_json=as_json)))
    if not sources:
        raise FacesError("what should be sent? Give pictures or folders, or --missing")
    if not by_reference:
        from shared.urls import is_bucket

        for source in sources:
            if not is_bucket(source) and not os.path.lexists(source):
                raise FacesError(f"there is no file or folder {source!r}; nothing was sent")
    if follow_links and not by_reference:
        raise FacesError(
            "--follow-links is for --by-reference: what is read here is what lies in the folder"
        )
    chosen = patterns(exclude, include)
    made = make_recipe(model or settings.model, recipe)
    from services.cli.sending.sender import Sender

    sender = Sender(
        settings,
        sources,
        by_reference=by_reference,
        quiet=quiet,
        follow_links=follow_links,
        patterns=chosen,
    )
    raise typer.Exit(asyncio.run(sender.run(made, name, wait=wait, as_json=as_json)))


async def _resend(settings: "Settings", *, as_json: bool) -> Exit:
    """Send again what is queued and not under way, and say what was found."""
    from shared.streams.keys import Keys
    from shared.verbs.resend import resend

    place = Place(
        redis=settings.redis_url.get_secret_value(),
        database=settings.database_url.get_secret_value(),
    )
    async with deployment(place) as opened:
        client, producer = await opened.redis(), await opened.producer()
        done = await resend(await opened.catalog(), client, producer, Keys(settings.prefix))
    if as_json:
        print(json.dumps(asdict(done)), flush=True)
    else:
        print(f"{done.sent:,} sent again, {done.lost:,} lost, {done.under_way:,} under way")
        if done.lost:
            print("what was lost had been sent along: submit it again from where it is")
        if done.unexpanded:
            say(
                f"{count(done.unexpanded, 'submission')} not fully expanded: "
                "submit their sources again"
            )
    return Exit.SOME_FAILED if done.lost or done.unexpanded else Exit.DONE
