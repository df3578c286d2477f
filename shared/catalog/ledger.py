"""What services write: submissions, the images that they name, and what became of each."""

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import committing, queueing, same
from shared.catalog.transactions import Access, reads, writes
from shared.catalog.values import CommitReport, Decision, Expansion
from shared.identity import reference_id
from shared.messages import ResultMessage, SourceFailedMessage, now


class Ledger(Access):
    """Each method is one transaction, and may be repeated.

    All raise `Unreachable` if the database does not answer, and `Refused` if it refuses a value.
    """

    @writes
    async def open_submission(
        self,
        connection: AsyncConnection,
        submission: str,
        name: str,
        created_at: datetime,
        parts: int | None = None,
    ) -> None:
        """Make a submission known; `parts` as in `seal`. Repeating it changes nothing."""
        key, _ = await queueing.submission_key(connection, submission, name, created_at)
        if parts is not None:
            await queueing.seal(connection, key, parts)

    @writes
    async def queue(self, connection: AsyncConnection, expansion: Expansion) -> list[Decision]:
        """Write one step of an expansion; one decision an image, in order."""
        return await queueing.queue(connection, expansion)

    async def seal(
        self, submission: str, parts: int, name: str = "", created_at: datetime | None = None
    ) -> None:
        """Say how many parts a submission has: without that it is never complete.

        `name` and `created_at` are used if the end arrives before any of the parts did.
        """
        await self.open_submission(submission, name, created_at or now(), parts)

    @writes
    async def fail_part(
        self, connection: AsyncConnection, submission: str, part: int, uri: str | None, reason: str
    ) -> None:
        """Close a part that cannot be expanded; a part that was closed before stays as it is."""
        key, _ = await queueing.submission_key(connection, submission, "", now())
        await queueing.fail_part(connection, key, part, uri, reason)

    @writes
    async def commit(
        self,
        connection: AsyncConnection,
        results: Sequence[ResultMessage],
        failures: Sequence[SourceFailedMessage] = (),
        uri_of: Callable[[str], str] = str,
        *,
        take_unknown: bool = False,
    ) -> CommitReport:
        """Write results and failed parts: all of them, or none.

        A row ends by the first result of its own generation; any other is late and changes
        nothing. `uri_of` makes of an object's key what the row keeps: a URI to open.

        Whatever is asked for has its row before anything is handed on. So what no row asked for
        is left unwritten, and is in the report; with `take_unknown` its row is made, since a
        database restored from a backup lacks some.
        """
        return await committing.commit(
            connection, results, failures, uri_of, take_unknown=take_unknown
        )

    @writes
    async def expect_version(
        self, connection: AsyncConnection, image: str, uri: str, version: str
    ) -> None:
        """A file is about to get this version, and stays this picture: it is found as searched."""
        await same.expect(connection, reference_id(uri, version), image)

    @writes
    async def set_version(
        self, connection: AsyncConnection, image: str, version: str, size: int
    ) -> None:
        """The file of a picture has got the version that was expected, and this size in bytes."""
        await same.set_version(connection, image, version, size)

    @reads
    async def is_picture(
        self, connection: AsyncConnection, image: str, uri: str, version: str
    ) -> bool:
        """Whether this version of a file is this picture."""
        return await same.is_picture(connection, reference_id(uri, version), image)
