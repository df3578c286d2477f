"""What runs in a slot's process: `python -m services.detector.child`, fed through a pipe.

It gets a picture's bytes (or reads an open file that it is handed), searches it and answers with
what was drawn; one at a time, until its parent closes the pipe. It opens no picture and needs no
network and no store: its parent does and has those.
"""

import os
import socket
import sys
import time
from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any, BinaryIO, Literal

import cv2

from services.detector.cell import address_space, begin, close_cell, lacking, take_pipes
from services.detector.failures import Refused, TryAgain
from services.detector.handing import childs_end, taken
from services.detector.models import Model, import_ahead
from services.detector.picture import Limits, Processed, nothing
from services.detector.pipe import (
    PIPE_BYTES,
    Config,
    Ready,
    Reply,
    Request,
    read_frame,
    write_credit,
    write_frame,
)
from services.detector.reading import read_whole
from shared import fields
from shared.errors import FacesError, ModelMissing
from shared.messages import Status
from shared.model_table import MODELS
from shared.printing import without_words
from shared.reasons import Reason
from shared.recipe import Recipe

Process = Callable[[bytes, Recipe, Model, Limits, Callable[[], None]], Processed]
"""A picture's bytes to what became of it, as `services.detector.picture.process`."""

MODELS_KEPT = 2
"""Models held at once: the service's own, and one more while recipes change."""

LEAST_ROOM_BYTES = 128 << 20
"""Address space that must be left for a picture, or the slot's limit is a mistake."""


class Worker:
    """Answers requests with one process function and its models."""

    def __init__(self, config: Config, grant_credit: Callable[[], None] = nothing) -> None:
        """Load everything that pictures need. `grant_credit` asks for one more request.

        Raises:
            FacesError: the model is missing, or a setting cannot be used.
        """
        self._config = config
        self._grant_credit = grant_credit
        self._process: Process = _named(config.process)
        self._load = _named(config.load)
        self._limits = Limits(config.max_pixels, config.pages_seconds)
        self._models: dict[str, Model] = {}
        self._model(config.model)

    def answer(
        self, request: Request, content: bytes, descriptor: int | None = None
    ) -> tuple[Reply, tuple[bytes, ...]]:
        """One picture's reply, and the pictures that go with it. Never raises.

        A `descriptor`, of a picture that was handed over, is closed.
        """
        start = time.perf_counter()
        try:
            reply, pictures = self._searched(request, content, descriptor)
        except Refused as refused:
            reply, pictures = _answer("done", refused.reason, refused), ()
        except TryAgain as failed:
            reply, pictures = _answer("retry", failed.reason, failed), ()
        except ModelMissing as missing:
            reply, pictures = _answer("retry", Reason.NO_MODEL, missing), ()
        except FacesError as error:
            reply, pictures = _answer("retry", Reason.ERROR, error), ()
        except MemoryError:
            reply, pictures = _answer("memory", Reason.MEMORY, ""), ()
        except Exception as error:  # noqa: BLE001 - a fault of a library: this picture's alone
            if _lacks_memory(error):
                reply, pictures = _answer("memory", Reason.MEMORY, ""), ()
            else:
                print(without_words(error), file=sys.stderr, flush=True)
                text = f"{type(error).__name__}: {error}"
                reply, pictures = _answer("retry", Reason.ERROR, text), ()
        return reply.model_copy(update={"to": request.number, "total_ms": _since(start)}), pictures

    def _searched(
        self, request: Request, content: bytes, descriptor: int | None
    ) -> tuple[Reply, tuple[bytes, ...]]:
        steps: dict[str, float] = {}
        if descriptor is not None:
            start = time.perf_counter()
            try:
                content = read_whole(descriptor, request.version, self._config.max_file_bytes)
            finally:
                os.close(descriptor)
            steps["open"] = _since(start)
        model = self._model_of(request.recipe)
        processed = self._process(content, request.recipe, model, self._limits, self._grant_credit)
        steps |= processed.steps_ms
        annotated = () if processed.annotated is None else (processed.annotated,)
        pictures = (*annotated, *processed.crops)
        reply = Reply(
            kind="done",
            reason=processed.reason[: fields.SHORT_TEXT_LIMIT],
            code=processed.code,
            status=Status(processed.status),
            size=len(content),
            width=processed.width,
            height=processed.height,
            format=processed.format,
            taken=processed.taken,
            media=processed.kind,
            pages=processed.pages,
            searched=processed.searched,
            cut=processed.cut,
            faces=processed.faces,
            annotated=bool(annotated),
            suffix=processed.suffix,
            annotated_page=processed.annotated_page,
            crops=len(processed.crops),
            parts=tuple(map(len, pictures)),
            steps_ms=steps,
        )
        return reply, pictures

    def _model_of(self, recipe: Recipe) -> Model:
        """The model of a recipe, which may be another than the service's own."""
        entry = MODELS.get(recipe.model)
        if entry is None or entry.version != recipe.model_version:
            known = f"knows version {entry.version}" if entry else "does not know this model"
            raise ModelMissing(
                f"model {recipe.model} version {recipe.model_version} is asked for; this "
                f"detector {known}: run detectors of the version that submitted it"
            )
        return self._model(recipe.model)

    def _model(self, name: str) -> Model:
        if name in self._models:
            model = self._models.pop(name)
        else:
            model = self._load(name, self._config.models_dir)
        self._models[name] = model  # the last used is the last of the dict
        while len(self._models) > MODELS_KEPT:
            self._models.pop(next(iter(self._models)))
        return model


def _named(path: str) -> Any:  # Any: whatever the module holds under that name
    module, _, name = path.partition(":")
    return getattr(import_module(module), name)


def _answer(kind: Literal["done", "retry", "memory"], code: Reason, told: object) -> Reply:
    """An answer without a result; `told` is the sentence."""
    reason = str(told)[: fields.SHORT_TEXT_LIMIT] or "no reason given"
    return Reply(kind=kind, code=code, reason=reason)


def _since(start: float) -> float:
    return round((time.perf_counter() - start) * 1000, 3)


def _lacks_memory(error: Exception) -> bool:
    """OpenCV and onnxruntime say in errors of their own that an allocation failed."""
    if isinstance(error, cv2.error) and error.code == cv2.Error.StsNoMem:
        return True
    return "bad_alloc" in str(error) or "Failed to allocate memory" in str(error)


def _start(config: Config, grant_credit: Callable[[], None]) -> tuple[Worker | None, Ready]:
    try:
        worker = Worker(config, grant_credit)
    except FacesError as error:
        return None, Ready(refused=str(error), model_missing=isinstance(error, ModelMissing))
    held = address_space()
    if held + LEAST_ROOM_BYTES > config.memory_bytes:
        return None, Ready(
            refused=f"FACES_SLOT_MEMORY_BYTES: {config.memory_bytes >> 20} MiB are too few: a "
            f"detector process holds {held >> 20} MiB of address space before its first picture"
        )
    import_ahead(config.models_dir)
    missing = close_cell(config.memory_bytes, [config.models_dir])
    if config.cell_required and missing:
        return None, Ready(refused=f"FACES_CELL_REQUIRED: {lacking(missing)}")
    return worker, Ready(memory_bytes=held, missing_layers=missing)


def serve(incoming: BinaryIO, outgoing: BinaryIO, files: socket.socket) -> None:
    """Answer requests until the parent closes the pipe."""
    first = read_frame(incoming, Config)
    if first is None:
        return
    worker, ready = _start(first[0], partial(write_credit, outgoing))
    write_frame(outgoing, ready)
    while worker is not None and (frame := read_frame(incoming, Request)) is not None:
        descriptor = taken(files) if frame[0].handed else None
        reply, pictures = worker.answer(*frame, descriptor)
        del frame
        write_frame(outgoing, reply, pictures)


def main() -> None:
    """Confine this process, then serve its parent."""
    begin()
    incoming, outgoing = take_pipes(PIPE_BYTES)
    files = childs_end(int(sys.argv[1]))
    cv2.setNumThreads(1)
    try:
        serve(incoming, outgoing, files)
    except BrokenPipeError:
        sys.exit(0)  # the parent is gone: nobody reads the answer


if __name__ == "__main__":
    main()
