"""What a stranger who reaches Redis can do, and a note of what was sent, to find it again."""

import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.messages import ImageMessage, Message, Payload, ResultMessage, new_token
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.streams.keys import Keys

RECIPE = Recipe(model="haar", model_version=MODELS["haar"].version, min_score=0.6)
"""Of the real pictures, so that forged messages are about their rows."""

CROPS = RECIPE.model_copy(update={"crops": True})


@dataclass
class Sent:
    """One hostile thing that was done.

    Attributes:
        encoded: the message of the entry that was added; a dead letter would repeat it.
        image: the image that it is about, where nobody ever asked for that one.
    """

    kind: str
    encoded: bytes = b""
    image: str = ""


@dataclass
class Reach:
    """A stranger: a client of Redis, and the real pictures' ids."""

    client: Redis
    keys: Keys
    chance: random.Random
    real: list[str]
    sent: list[Sent] = field(default_factory=list)
    kind: str = ""

    async def add(self, stream: str, encoded: bytes, *, image: str = "", entry: str = "*") -> str:
        """Add an entry; returns its id."""
        added = await self.client.xadd(self.keys.stream(stream), {"m": encoded}, id=entry)
        self.sent.append(Sent(self.kind, encoded, image))
        return added.decode() if isinstance(added, bytes) else str(added)

    async def add_message(self, message: Message) -> str:
        """Add a message as it is, about an image that nobody asked for, or a real one."""
        image = message.id if isinstance(message, (ImageMessage, ResultMessage)) else ""
        unasked = "" if image in self.real else image
        return await self.add(message.stream, message.encode(), image=unasked)

    def did(self) -> None:
        """Note what added no entry."""
        self.sent.append(Sent(self.kind))

    async def payload(self, content: bytes, claimed: int | None = None) -> Payload:
        """Bytes beside entries, of which messages may claim another size."""
        payload = Payload(id=new_token(), size=len(content) if claimed is None else claimed)
        await self.client.set(self.keys.payload(payload.id), content, ex=600)
        return payload

    def image(self, payload: Payload | None = None, **changed: object) -> ImageMessage:
        """An image that nobody named."""
        given = {
            "submission": new_token(),
            "trace": new_token(),
            "recipe": RECIPE,
            "id": new_token(),
            "name": f"hostile-{new_token()}.jpg",
            "payload": payload,
            **changed,
        }
        return ImageMessage.model_validate(given)


Act = Callable[[Reach], Awaitable[None]]


@dataclass(frozen=True)
class Kind:
    """One kind of hostile thing: what is done, and how often in a run of any length at most."""

    act: Act
    most: int | None = None
