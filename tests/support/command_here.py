"""The `faces` command inside the test's own process: as people start it, but in milliseconds."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import pytest

from services.cli.__main__ import status_of_command
from shared.catalog import Catalog, ImageRow, QueuedImage
from shared.messages import ResultMessage
from tests.support.catalogs import step_of

T = TypeVar("T")


@dataclass(frozen=True)
class Answer:
    """What a command said, and its exit status."""

    status: int
    out: str
    err: str


class Here:
    """Runs `faces` for a catalog below a folder, like that of a run."""

    def __init__(
        self,
        folder: Path,
        patch: pytest.MonkeyPatch,
        capture: pytest.CaptureFixture[str],
    ) -> None:
        self.out = folder / "out"
        (self.out / ".faces").mkdir(0o700, parents=True)
        (self.out / "objects").mkdir(0o700)
        self.url = f"sqlite:///{self.out}/faces.db"
        self._patch = patch
        self._capture = capture

    def __call__(self, *arguments: str | Path) -> Answer:
        """Run it to its end."""
        self._capture.readouterr()
        self._patch.setattr(sys, "argv", ["faces", *map(str, arguments)])
        status = status_of_command()
        said = self._capture.readouterr()
        return Answer(status, said.out, said.err)

    def on(self, *arguments: str | Path) -> Answer:
        """Run it with `-o OUT`."""
        return self(*arguments, "-o", self.out)

    def ask(self, work: Callable[[Catalog], Awaitable[T]]) -> T:
        """Do something with the catalog."""

        async def opened() -> T:
            catalog = await Catalog.open(self.url)
            try:
                return await work(catalog)
            finally:
                await catalog.close()

        return asyncio.run(opened())

    def show(self, name: str) -> list[ImageRow]:
        """The rows of a picture."""
        return self.ask(lambda catalog: catalog.reader.show(name))

    def queue(
        self, images: list[QueuedImage], submission: str = "5" * 32, *, sealed: bool = True
    ) -> None:
        """A submission of these images."""

        async def work(catalog: Catalog) -> None:
            await catalog.ledger.queue(step_of(images, submission))
            if sealed:
                await catalog.ledger.seal(submission, 1)

        self.ask(work)

    def end(self, *results: ResultMessage) -> None:
        """Commit results, as the writer does."""

        async def work(catalog: Catalog) -> None:
            folder = (self.out / "objects").as_uri()
            await catalog.ledger.commit(results, uri_of=lambda key: f"{folder}/{key}")

        self.ask(work)

    def draw(self, image: QueuedImage, recipe: str) -> Path:
        """An annotated picture in the object store; what a result of it may name."""
        path = self.out / "objects" / recipe / f"{image.id}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"drawn " + image.id.encode())
        return path


@pytest.fixture
def here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Here:
    """The command, and an OUT with an empty catalog."""
    for name in ("FACES_DATABASE_URL", "FACES_OBJECTS_URL", "FACES_REDIS_URL", "FACES_PREFIX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    command = Here(tmp_path, monkeypatch, capsys)

    async def nothing(_: Catalog) -> None:
        """Opening it has made it."""

    command.ask(nothing)
    return command
