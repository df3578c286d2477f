"""The names of all Redis keys of one suite. They share a hash tag, so scripts may touch several."""

from collections.abc import Iterable
from dataclasses import dataclass

SOURCES = "sources"
IMAGES = "images"
RESULTS = "results"
DEAD = "dead"


@dataclass(frozen=True)
class Keys:
    """Keys below one prefix: with the prefix `faces`, the image stream is `{faces}:images`."""

    prefix: str

    def stream(self, name: str) -> str:
        """A stream: `sources`, `images`, `results` or `dead`."""
        return f"{{{self.prefix}}}:{name}"

    def payload(self, identity: str) -> str:
        """Bytes beside an entry, such as a picture; they expire until an entry owns them.

        (The key says `body`, as it always did: versions side by side share it.)
        """
        return f"{{{self.prefix}}}:body:{identity}"

    def once(self, token: str) -> str:
        """Marks one `add` as done, so that resending it adds nothing."""
        return f"{{{self.prefix}}}:once:{token}"

    def history(self, name: str) -> str:
        """Hash of entry id to the JSON list of that entry's failed attempts."""
        return f"{{{self.prefix}}}:history:{name}"

    def due(self, name: str) -> str:
        """Sorted set of the entries that were put off: their old ids, by when they come back."""
        return f"{{{self.prefix}}}:later:{name}:due"

    def waiting(self, name: str) -> str:
        """Hash of such an entry's old id to the entry, as JSON."""
        return f"{{{self.prefix}}}:later:{name}:entries"

    def waiting_of_key(self, name: str) -> str:
        """Hash of what entries wait for (a bucket, a host) to how many do."""
        return f"{{{self.prefix}}}:later:{name}:keys"

    def waiting_reasons(self, name: str) -> str:
        """Hash of what entries wait for to why that cannot be used, in words for people."""
        return f"{{{self.prefix}}}:later:{name}:reasons"

    def waiting_asked(self, name: str) -> str:
        """Sorted set of what entries wait for and somebody asks about, by until when that is known
        to go on."""
        return f"{{{self.prefix}}}:later:{name}:asked"

    def aside(self, name: str) -> str:
        """List of the entries of a stream that are given other ids (see `mending`), packed."""
        return f"{{{self.prefix}}}:aside:{name}"

    def bookkeeping(self, streams: Iterable[str]) -> dict[str, str]:
        """Every key beside the streams themselves that is not of one entry alone, and the type that
        it has."""
        of_streams = (
            (self.history, "hash"),
            (self.due, "zset"),
            (self.waiting, "hash"),
            (self.waiting_of_key, "hash"),
            (self.waiting_reasons, "hash"),
            (self.waiting_asked, "zset"),
            (self.aside, "list"),
        )
        return {
            self.bytes: "hash",
            self.in_flight: "set",
            self.rate: "hash",
            self.dead_shed: "hash",
            **{key(name): kind for name in streams for key, kind in of_streams},
        }

    @property
    def dead_shed(self) -> str:
        """Hash of what dead letters lost at their bound: `last`, the id up to which all lost their
        bytes, and how many did (`bytes`) or went altogether (`letters`)."""
        return f"{{{self.prefix}}}:dead:shed"

    @property
    def bytes(self) -> str:
        """Hash of stream key to the bytes of its entries and their payloads."""
        return f"{{{self.prefix}}}:bytes"

    @property
    def in_flight(self) -> str:
        """Set of what is under way between ingest and commit; the key says `flights`, as above."""
        return f"{{{self.prefix}}}:flights"

    @property
    def rate(self) -> str:
        """Hash of recent counts of finished entries, in slots of 5 seconds."""
        return f"{{{self.prefix}}}:rate"
