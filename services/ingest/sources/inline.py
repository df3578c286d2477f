"""Pictures whose bytes were sent along: the message itself names them."""

from services.ingest.sources.source import FoundImage, Listing
from shared.messages import SourceMessage


class InlineSource:
    """All pictures of the message, in one step."""

    def needs(self, message: SourceMessage) -> str:
        """Nothing: its bytes are in Redis."""
        return ""

    async def step(self, message: SourceMessage) -> Listing:
        """Name them; their payloads stay where they are."""
        images = [
            FoundImage(
                id=image.id, name=image.name, bytes=image.payload.size, payload=image.payload
            )
            for image in message.images
        ]
        return Listing(images, next_position=None)
