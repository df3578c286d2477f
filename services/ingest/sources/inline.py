"""Pictures whose bytes were sent along: they are named in the message itself."""

from services.ingest.sources.source import FoundImage, Step
from shared.messages import SourceMessage


class InlineSource:
    """All pictures of the message, in one step."""

    async def step(self, message: SourceMessage) -> Step:
        """Names them; their payloads stay where they are."""
        found = tuple(
            FoundImage(id=image.id, name=image.name, size=image.payload.size, payload=image.payload)
            for image in message.images
        )
        return Step(found, next_position=None)
