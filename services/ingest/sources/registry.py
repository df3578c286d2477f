"""Which source expands a message; each kind of reference has one entry in `BY_REFERENCE`."""

from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.files import FileSource
from services.ingest.sources.inline import InlineSource
from services.ingest.sources.source import ReferenceSource, Source, SourceRefused
from shared.messages import SourceKind, SourceMessage
from shared.reasons import Reason
from shared.references import scheme_of, unknown
from shared.settings import Settings

BY_REFERENCE: tuple[type[ReferenceSource], ...] = (FileSource, BucketSource)


class Sources:
    """The sources that these settings allow."""

    def __init__(self, settings: Settings) -> None:
        self._inline = InlineSource()
        self._by_scheme = {
            kind.scheme: kind(kind.scheme.allow_list(settings)) for kind in BY_REFERENCE
        }

    def of(self, message: SourceMessage) -> Source:
        """The source that expands this message.

        Raises:
            SourceRefused: its URI is of a kind that is not known here.
        """
        if message.kind is SourceKind.INLINE:
            return self._inline
        uri = message.uri or ""
        scheme = scheme_of(uri)
        if scheme is None:
            raise SourceRefused(Reason.NOT_ALLOWED, unknown(uri))
        return self._by_scheme[scheme]
