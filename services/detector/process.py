"""One child process as its parent sees it: started, asked, killed, and why it ended."""

import asyncio
import signal
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal, Self

import structlog

from services.detector.cell import Layer
from services.detector.handing import hand_over
from services.detector.pipe import (
    Config,
    ProtocolError,
    Ready,
    Reply,
    frame_start,
    receive,
    receive_pictures,
)
from services.detector.references import Opened
from services.detector.spawning import close_pipes, spawn
from shared.errors import FacesError, ModelMissing, Unreachable
from shared.reasons import Reason
from shared.streams.cancellation import happens_within

Cause = Literal["crash", "memory", "timeout", "protocol", "cancelled", "idle", "start"]

START_SECONDS = 60
"""A child that has not loaded its model by then is given up."""

GRACE_SECONDS = 2.0
"""A child whose pipe is closed and that has not ended by then is killed."""

LAST_WORDS_BYTES = 4096
LISTEN_AGAIN_SECONDS = 0.05
"""What a child prints is read once in this time, and so many bytes of it: one that prints without
end costs its parent next to nothing, and waits for it."""

log = structlog.get_logger()


_REASONS: dict[Cause, Reason] = {
    "memory": Reason.MEMORY,
    "timeout": Reason.TIMEOUT,
    "protocol": Reason.NONSENSE,
}


class SlotCrashed(Exception):
    """One picture cost its process; the text is a sentence for people, `reason` its code."""

    def __init__(self, sentence: str, cause: Cause) -> None:
        super().__init__(sentence)
        self.cause = cause
        self.reason = _REASONS.get(cause, Reason.CRASH)


class NotBegun(Exception):
    """The process ended with the picture before: this one waited in its pipe, and costs nothing."""


@dataclass(frozen=True)
class SlotAnswer:
    """A reply and its files: the annotated picture (where there is one), then the crops."""

    reply: Reply
    pictures: tuple[bytes, ...]


class ChildProcess:
    """A fresh interpreter with a pipe; it answers one request at a time.

    Once it has granted a credit, one more request may be sent, which waits in the pipe. Whatever
    ends the process is blamed on the picture at work alone.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, files: socket.socket, config: Config
    ) -> None:
        """`files` is the parent's end of `services.detector.handing`."""
        assert process.stdin and process.stdout and process.stderr
        self._process = process
        self._files = files
        self._config = config
        self._stdin, self._stdout, self._stderr = process.stdin, process.stdout, process.stderr
        self._last_words = b""
        self._cause: Cause | None = None
        self.at_work = False
        """Whether it has a picture. Stays so when the picture ends it."""
        self._turn = asyncio.Lock()
        self.spent = False
        """Whether it takes no more requests, and ends with the one at work."""
        self.gone = asyncio.Event()
        """Set when it has ended or been killed: from then on it takes no request."""
        self.missing_layers: Mapping[Layer, str] = {}
        """What its cell lacks, and why."""
        self._tasks = [
            asyncio.create_task(self._watch()),
            asyncio.create_task(self._listen()),
        ]

    @classmethod
    async def start(cls, config: Config, environment: Mapping[str, str]) -> Self:
        """A child that has loaded its model.

        Raises:
            ModelMissing: its weights are not there.
            FacesError: it cannot work, and why.
        """
        child = cls(*await spawn(environment), config)
        try:
            await child._wait_until_ready()
        except BaseException:  # also a cancellation: leave no process behind
            child.kill("start")
            await child.close()
            raise
        return child

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def reaped(self) -> bool:
        """Whether the kernel has told how it ended."""
        return self._process.returncode is not None

    @property
    def cause(self) -> Cause:
        """Why it ended."""
        return self._cause or ("crash" if self.at_work else "idle")

    async def _wait_until_ready(self) -> None:
        try:
            async with asyncio.timeout(START_SECONDS):
                self._stdin.write(frame_start(self._config, 0))
                ready, payload = await receive(self._stdout, Ready)
            if payload:
                raise ProtocolError("a payload before there was a picture")
        except TimeoutError:
            raise FacesError(f"a detector process was not ready in {START_SECONDS} s") from None
        except (asyncio.IncompleteReadError, ProtocolError, OSError, RuntimeError):
            reason, _ = await self._why_it_ended()
            raise FacesError(f"a detector process could not start: {reason}") from None
        if ready.refused:
            raise (ModelMissing if ready.model_missing else FacesError)(ready.refused)
        self.missing_layers = ready.missing_layers
        log.debug("slot ready", child=self.pid, address_space_mib=ready.memory_bytes >> 20)

    async def ask(
        self,
        frame: bytes,
        number: int,
        content: bytes | Opened,
        timeout: float,  # noqa: ASYNC109
        credited: Callable[[], None],
    ) -> SlotAnswer:
        """One picture's answer, within `timeout` seconds of its turn; `frame` is of `frame_start`,
        with a request of this number.
        An open file stays open: a picture that has not begun is asked about at another child.

        `credited` is called when the child grants a credit: another may then ask, beside this one.

        Raises:
            SlotCrashed: this picture cost the process; it is gone, with no one else to blame.
            NotBegun: the picture before this one did.
            Unreachable: the system hands over no open files now.
        """
        if isinstance(content, Opened):
            self._hand_over(content)
            content = b""
        with suppress(OSError, RuntimeError):  # whose turn it is hears of it when it receives
            self._stdin.write(frame)
            if content:
                self._stdin.write(content)
        try:
            await self._turn.acquire()
        except asyncio.CancelledError:
            self._take_no_more("cancelled")  # its answer would come, and be taken for another's
            raise
        try:
            if self.spent:
                raise NotBegun
            return await self._answer(number, timeout, credited)
        finally:
            if self.spent:
                self.kill("cancelled")
            self._turn.release()

    def _hand_over(self, opened: Opened) -> None:
        try:
            hand_over(self._files, opened.descriptor)
        except BrokenPipeError:  # it has ended, or closed what it has no reason to close
            self._take_no_more("idle")
            raise NotBegun from None
        except Unreachable:
            self._take_no_more("idle")
            raise

    async def _answer(
        self,
        number: int,
        timeout: float,  # noqa: ASYNC109
        credited: Callable[[], None],
    ) -> SlotAnswer:
        """The answer of the picture at work; whatever goes wrong now is its doing."""
        self.at_work = True
        try:
            async with asyncio.timeout(timeout):
                await self._stdin.drain()
                reply, payload = await receive(self._stdout, Reply, credited)
                if reply.to != number:
                    raise ProtocolError("an answer that nobody asked for")
                answer = SlotAnswer(reply, await receive_pictures(self._stdout, reply, payload))
        except TimeoutError:
            self._spend("timeout")
            raise SlotCrashed(f"took longer than {timeout:g} s", "timeout") from None
        except ProtocolError as error:
            self._spend("protocol")
            raise SlotCrashed(f"its process answered nonsense: {error}", "protocol") from None
        except (asyncio.IncompleteReadError, OSError, RuntimeError):
            reason, cause = await self._why_it_ended()
            self._spend(cause)
            raise SlotCrashed(reason, cause) from None
        except BaseException:  # cancelled in the middle of a frame: the pipe is of no more use
            self._spend("cancelled")
            raise
        if reply.kind == "memory":  # its heap is in pieces: a fresh process takes over
            self._spend("memory")
            raise SlotCrashed(self._too_much_memory, "memory")
        self.at_work = False
        return answer

    def _spend(self, cause: Cause) -> None:
        """End it after its picture failed; a request that waits in its pipe has not begun."""
        self.spent = True
        self.kill(cause)

    def _take_no_more(self, cause: Cause) -> None:
        """End it when its picture has ended; at once where there is none."""
        self.spent = True
        if not self._turn.locked():
            self.kill(cause)

    def kill(self, cause: Cause) -> None:
        """SIGKILL, without waiting: a process in an uninterruptible read may take its time."""
        self._cause = self._cause or cause
        with suppress(ProcessLookupError):
            self._process.kill()
        self.gone.set()

    async def close(self) -> None:
        """Close its pipe, which ends it when it is idle; kill it if it is not gone soon."""
        grace = GRACE_SECONDS
        self._stdin.close()
        try:
            await asyncio.wait_for(self._process.wait(), grace)
        except TimeoutError:
            self.kill("cancelled")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._process.wait(), grace)
        await asyncio.wait(self._tasks, timeout=grace)
        for task in self._tasks:
            task.cancel()
        close_pipes(self._process)

    async def _watch(self) -> None:
        with self._files:
            await self._process.wait()
            self.gone.set()

    async def _listen(self) -> None:
        """Log what the child and its libraries print, and remember the end of it."""
        while printed := await self._stderr.read(LAST_WORDS_BYTES):
            self._last_words = (self._last_words + printed)[-LAST_WORDS_BYTES:]
            log.debug("slot says", child=self.pid, text=printed.decode("utf-8", "replace").rstrip())
            await happens_within(self.gone, LISTEN_AGAIN_SECONDS)

    async def _why_it_ended(self) -> tuple[str, Cause]:
        """The reason, once its pipe is closed."""
        try:
            status = await asyncio.wait_for(self._process.wait(), 5)
        except TimeoutError:
            return "its process closed its pipe", "protocol"
        await asyncio.wait(self._tasks[1:], timeout=1)  # its last words
        words = self._last_words.decode("utf-8", "replace").strip()
        if "bad_alloc" in words or "MemoryError" in words:
            return self._too_much_memory, "memory"
        log.warning("slot crashed", child=self.pid, status=status, text=words[-2000:])
        if status < 0:
            return f"its process was killed by signal {_signal(-status)}", "crash"
        last_line = words.rpartition("\n")[2][-300:]
        return f"its process ended with status {status}: {last_line}".rstrip(": "), "crash"

    @property
    def _too_much_memory(self) -> str:
        limit = self._config.memory_bytes / (1 << 30)
        return f"needed more than the {limit:.3g} GiB of memory a slot may use"


def _signal(number: int) -> str:
    hint = ": by the kernel when memory ran out, or by a person" if number == signal.SIGKILL else ""
    with suppress(ValueError):
        return f"{number} ({signal.Signals(number).name}{hint})"
    return str(number)
