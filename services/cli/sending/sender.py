"""One `faces submit`: a submission from its first message, or its first bytes, to its end."""

import asyncio
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from services.cli.deployment import Place, deployment
from services.cli.not_read import not_read_by_kind
from services.cli.options.patterns import Patterns
from services.cli.sending.largest import Largest
from services.cli.sending.parts import NO_PATTERNS, Submission
from services.cli.sending.reading import in_batches, pictures
from services.cli.talk import say
from shared.errors import Exit, FacesError, Unreachable
from shared.printing import count
from shared.recipe import Recipe
from shared.references import reference_to
from shared.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from shared.catalog import SubmissionStatus

SHOW_SECONDS = 0.3
PLAIN_SECONDS = 5.0


class Sender:
    """Sends batch after batch, closes the submission, and waits for its end where that is asked."""

    def __init__(
        self,
        settings: Settings,
        sources: Sequence[str],
        *,
        by_reference: bool,
        quiet: bool,
        follow_links: bool = False,
        patterns: Patterns = NO_PATTERNS,
    ) -> None:
        self._settings = settings
        self._sources = sources
        self._by_reference = by_reference
        self._quiet = quiet
        self._follow_links = follow_links
        self._patterns = patterns
        self._stop = asyncio.Event()
        self.sent = 0
        self.refused = 0

    async def run(self, recipe: Recipe, name: str, *, wait: bool, as_json: bool) -> Exit:
        """Send all, print the id of the submission, and give the exit status."""
        loop = asyncio.get_running_loop()
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, self._stop.set)
        place = Place(redis=self._settings.redis_url.get_secret_value())
        async with deployment(place) as opened:
            await self._forget_lost(await opened.redis())
            title = name or ", ".join(self._sources[:5])
            submission = Submission(await opened.producer(), recipe, title)
            showing = loop.create_task(self._show())
            try:
                await (self._name_all if self._by_reference else self._send_all)(submission)
            except Unreachable as error:
                raise Unreachable(self._cut_off(error, submission.id)) from None
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

    async def _forget_lost(self, client: "Redis") -> None:
        """What Redis has lost must not keep the same pictures, sent once more, from being done.

        A user who may only add sources cannot look; whoever may does, or `faces submit --missing`.
        """
        from redis.exceptions import NoPermissionError

        from shared.streams.carried import forget_lost_in_flight, more_in_flight_than_carried
        from shared.streams.keys import Keys

        keys = Keys(self._settings.prefix)
        try:
            if not await more_in_flight_than_carried(client, keys):
                return
            lost = await forget_lost_in_flight(client, keys)
        except NoPermissionError:
            told = "Redis may have lost images, and does not let this user look: `faces submit "
            told += "--missing` of one who may sends them again"
        else:
            told = f"{count(lost, 'image')} that Redis had lost can be sent again" if lost else ""
        if told and not self._quiet:
            say(told)

    def _cut_off(self, error: Unreachable, submission: str) -> str:
        """What is said where sending ends before all was sent."""
        if not self.sent:
            return str(error)
        return (
            f"{error}; before that {self.sent:,} were sent as submission {submission}: submit "
            "again to send the rest"
        )

    async def _name_all(self, submission: Submission) -> None:
        """Only names; ingest opens them."""
        for source in self._sources:
            if self._stop.is_set():
                return
            await submission.add_uri(
                reference_to(source), follow_links=self._follow_links, patterns=self._patterns
            )
            self.sent += 1

    async def _send_all(self, submission: Submission) -> None:
        """Names and bytes, a few pictures a message; waits where the stream is full."""
        sources = [os.fsencode(source) for source in self._sources]
        largest = Largest.of(self._settings, await submission.most_at_once())
        not_read: Counter[str] = Counter()
        choice = self._patterns.choice
        found = pictures(sources, largest, self._refuse, choice, self._tell_passed_over, not_read)
        batches = in_batches(found)
        while not self._stop.is_set():
            batch = await asyncio.to_thread(next, batches, None)
            if batch is None:
                break
            await submission.add_pictures(batch)
            self.sent += len(batch)
        if not_read:
            self.refused += not_read.total()
            kinds = not_read_by_kind(not_read)
            say(f"faces: not sent: {kinds}, not read; --exclude '*.EXTENSION' leaves them out")

    def _refuse(self, what: str) -> None:
        self.refused += 1
        say(f"faces: not sent: {what}")

    def _tell_passed_over(self, told: str) -> None:
        if not self._quiet:
            say(told)

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
        if standing is not None:
            for part in standing.failed_parts:
                say(f"faces: {part.uri}: {part.reason}")
            if not as_json:
                print(last_line(standing, rate), flush=True)
        return standing
