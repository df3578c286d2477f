"""The parts of a submission as ingest is told of them: one message each, and one at the end."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from services.cli.options.patterns import Patterns
from shared.identity import display_name, inline_id
from shared.messages import InlineImage, Payload, SourceKind, SourceMessage, new_token, now
from shared.recipe import Recipe
from shared.streams.producer import Producer
from shared.urls import file_uri

NO_PATTERNS = Patterns()


class Submission:
    """A submission that is being sent: parts are added one by one, and `close` ends them."""

    def __init__(self, producer: Producer, recipe: Recipe, name: str) -> None:
        self.id = new_token()
        self.name = display_name(os.fsencode(name))[:1000]
        self.created_at = now()
        self.parts = 0
        self._producer = producer
        self._recipe = recipe

    async def add_path(
        self,
        path: Path,
        excluded: Sequence[Path] = (),
        *,
        follow_links: bool = False,
        patterns: Patterns = NO_PATTERNS,
    ) -> None:
        """A file or folder, by reference."""
        uris = tuple(file_uri(_bytes(folder)) for folder in excluded)
        await self.add_uri(
            file_uri(_bytes(path)), uris, follow_links=follow_links, patterns=patterns
        )

    async def add_uri(
        self,
        uri: str,
        excluded: Sequence[str] = (),
        *,
        follow_links: bool = False,
        patterns: Patterns = NO_PATTERNS,
    ) -> None:
        """What ingest will open by itself."""
        fields: dict[str, object] = {
            "uri": uri,
            "excluded": tuple(excluded),
            "follow_links": follow_links,
        }
        fields |= {"exclude": patterns.exclude, "include": patterns.include}
        await self._producer.add(self._message(SourceKind.FILES, fields))
        self.parts += 1

    async def add_pictures(self, pictures: Sequence[tuple[str, bytes]]) -> None:
        """Names and contents of pictures that are sent along."""
        made = [Payload.of(content) for _, content in pictures]
        images = tuple(
            InlineImage(id=inline_id(name, content), name=name, payload=payload)
            for (name, content), payload in zip(pictures, made, strict=True)
        )
        payloads = {payload: content for payload, (_, content) in zip(made, pictures, strict=True)}
        await self._producer.add(self._message(SourceKind.INLINE, {"images": images}), payloads)
        self.parts += 1

    async def most_at_once(self) -> int:
        """Bytes that Redis can ever take with one message; as `Producer.most_at_once`."""
        return await self._producer.most_at_once()

    async def close(self) -> None:
        """Say that no part follows."""
        await self._producer.add(self._message(SourceKind.END, {}))

    def _message(self, kind: SourceKind, fields: Mapping[str, object]) -> SourceMessage:
        return SourceMessage.model_validate(
            {
                "submission": self.id,
                "trace": new_token(),
                "recipe": self._recipe,
                "kind": kind,
                "part": self.parts,
                "submission_name": self.name,
                "submitted_at": self.created_at,
                **fields,
            }
        )


def _bytes(path: Path) -> bytes:
    return os.fsencode(path.absolute())
