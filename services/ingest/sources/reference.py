"""Sources by reference: the scheme of their URI says of which kind they are."""

from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.files import FileSource
from services.ingest.sources.source import Source, SourceRefused, Step
from shared.messages import SourceMessage
from shared.urls import is_bucket


class ReferenceSource:
    """Files and folders, and buckets."""

    def __init__(self, files: FileSource, buckets: BucketSource) -> None:
        self._files = files
        self._buckets = buckets

    async def step(self, message: SourceMessage) -> Step:
        """The next images of whichever kind it is."""
        return await self._kind(message.uri or "").step(message)

    def _kind(self, uri: str) -> Source:
        if uri.startswith("file:"):
            return self._files
        if is_bucket(uri):
            return self._buckets
        raise SourceRefused(
            f"{uri[:200]!r} cannot be read by reference: known are file:///, s3://, gs:// and az://"
        )
