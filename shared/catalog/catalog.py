"""Opening the catalog, and its three faces: ledger, reader, curator."""

from shared.catalog.curator import Curator
from shared.catalog.database import Database
from shared.catalog.ledger import Ledger
from shared.catalog.reader import Reader


class Catalog:
    """An open database.

    Attributes:
        ledger: what services write.
        reader: what people ask.
        curator: what people do afterwards.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self.ledger = Ledger(database)
        self.reader = Reader(database)
        self.curator = Curator(database)

    @classmethod
    async def open(cls, url: str) -> "Catalog":
        """Open, create or upgrade the catalog at a `sqlite:///` or `postgresql://` URL.

        Raises:
            SettingsError: the URL cannot be used, or a newer program made the catalog.
            LoginRefused: the server lets nobody in with this URL, or lacks the database.
            Unreachable: the server or the disk does not answer.
        """
        return cls(await Database.open(url))

    async def check(self) -> None:
        """Whether work can be done now, said within seconds, whatever the server does.

        Raises:
            Unreachable: it cannot, and why.
        """
        await self._database.check()

    async def leave_no_trace(self) -> None:
        """See that the file of a SQLite catalog holds nothing of what was deleted in it.

        Raises:
            Unreachable: the disk is full, or others work with the catalog.
        """
        await self._database.leave_no_trace()

    async def close(self) -> None:
        """Close all connections."""
        await self._database.close()
