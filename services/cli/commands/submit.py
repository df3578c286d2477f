"""`faces submit SOURCE...`: give pictures to a running deployment."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from services.cli.deployment import Place, deployment, load_settings
from services.cli.options.common import AsJson, DatabaseUrl, Model, Quiet, RedisUrl
from services.cli.options.recipe import make_recipe, takes_recipe
from services.cli.talk import say
from shared.errors import Exit, FacesError, SettingsError, Unreachable
from shared.printing import count

if TYPE_CHECKING:
    from services.cli.sending.parts import Submission
    from shared.catalog import SubmissionStatus
    from shared.recipe import Recipe
    from shared.settings import Settings

SHOW_SECONDS = 0.3
PLAIN_SECONDS = 5.0


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
    made = make_recipe(model or settings.model, recipe)
    sender = _Sender(settings, sources, by_reference=by_reference, quiet=quiet)
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


class _Sender:
    """One `submit`: sends batch after batch, closes the submission, and may wait for its end."""

    def __init__(
        self, settings: "Settings", sources: Sequence[str], *, by_reference: bool, quiet: bool
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._by_reference = by_reference
        self._quiet = quiet
        self._stop = asyncio.Event()
        self.sent = 0
        self.refused = 0

    async def run(self, recipe: "Recipe", name: str, *, wait: bool, as_json: bool) -> Exit:
        from services.cli.sending.parts import Submission

        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stop.set)
        place = Place(redis=self._settings.redis_url.get_secret_value())
        async with deployment(place) as opened:
            title = name or ", ".join(self._sources[:5])
            submission = Submission(await opened.producer(), recipe, title)
            showing = loop.create_task(self._show())
            try:
                await (self._name_all if self._by_reference else self._send_all)(submission)
            finally:
                showing.cancel()
                # Also when stopped half way: what was sent then has an end in the ledger.
                await submission.close()
        self._tell(submission.id, as_json=as_json)
        if wait and not self._stop.is_set():
            standing = await self._wait(submission.id, as_json=as_json)
            if standing and (standing.failed or standing.failed_parts):
                return Exit.SOME_FAILED
        if self._stop.is_set():
            return Exit.INTERRUPTED
        return Exit.SOME_FAILED if self.refused else Exit.DONE

    async def _name_all(self, submission: "Submission") -> None:
        """Only names; ingest opens them."""
        from shared.references import reference_to

        for source in self._sources:
            if self._stop.is_set():
                return
            await submission.add_uri(reference_to(source))
            self.sent += 1

    async def _send_all(self, submission: "Submission") -> None:
        """Names and bytes, a few pictures a message; waits where the stream is full."""
        from services.cli.sending.reading import in_batches, pictures

        sources = [os.fsencode(source) for source in self._sources]
        found = pictures(sources, self._settings.inline_limit_bytes, self._refuse)
        batches = in_batches(found)
        while not self._stop.is_set():
            batch = await asyncio.to_thread(next, batches, None)
            if batch is None:
                return
            await submission.add_pictures(batch)
            self.sent += len(batch)

    def _refuse(self, what: str) -> None:
        self.refused += 1
        say(f"faces: not sent: {what}")

    async def _show(self) -> None:
        """How many were sent, on standard error, until cancelled."""
        if self._quiet or self._by_reference:
            return
        live = sys.stderr.isatty()
        while True:
            await asyncio.sleep(SHOW_SECONDS if live else PLAIN_SECONDS)
            start, end = ("\r", "") if live else ("", "\n")
            print(f"{start}{self.sent:,} pictures sent", end=end, file=sys.stderr, flush=True)

    def _tell(self, submission: str, *, as_json: bool) -> None:
        if as_json:
            told = {"submission": submission, "sent": self.sent, "refused": self.refused}
            print(json.dumps(told), flush=True)
            return
        what = "sources named" if self._by_reference else "pictures sent"
        cut = "; stopped before the end: submit again to send the rest" * self._stop.is_set()
        if not self._quiet:
            start = "\r" if sys.stderr.isatty() else ""
            print(f"{start}{self.sent:,} {what}{cut}", file=sys.stderr)
        print(submission, flush=True)

    async def _wait(self, submission: str, *, as_json: bool) -> "SubmissionStatus | None":
        """Follow the submission in the catalog until it is complete, or somebody interrupts."""
        from services.cli.local.progress import Pace, last_line, reporter
        from shared.catalog import Catalog

        catalog = await Catalog.open(self._settings.database_url.get_secret_value())
        shown = reporter(quiet=self._quiet)
        pace, rate, standing = Pace(), 0.0, None
        try:
            while not self._stop.is_set():
                try:
                    standing = await catalog.reader.submission(submission)
                except Unreachable as error:
                    shown.note(f"waiting: {error}")
                except FacesError:
                    pass  # ingest has not come to it yet
                if standing is not None:
                    rate = pace.at(standing.ended)
                    shown.show(standing)
                    if standing.complete:
                        break
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._stop.wait(), SHOW_SECONDS)
        finally:
            shown.close()
            await catalog.close()
        if standing is not None and not as_json:
            print(last_line(standing, rate), flush=True)
        return standing
