"""The Lua scripts, loaded once for a client. What each takes is said in its own file."""

from collections.abc import Sequence
from importlib import resources
from typing import Any, Protocol, cast

from redis.asyncio import Redis

Value = str | bytes | int


class Script(Protocol):
    """One script; sends its digest, and its text where the server does not know it yet."""

    async def __call__(
        self, keys: Sequence[Value], args: Sequence[Value]
    ) -> Any:  # Any: each script's answer has its own shape
        """Run it: `keys` and `args` in the order that the script's first lines give."""


def _text(name: str) -> str:
    return resources.files("shared.streams").joinpath("lua", f"{name}.lua").read_text("utf-8")


class Scripts:
    """All scripts that touch the streams' state; nothing else changes it."""

    def __init__(self, client: Redis) -> None:
        self.client = client
        common = _text("common")

        def load(name: str) -> Script:
            return cast(Script, client.register_script(common + _text(name)))

        self.add = load("add")
        self.claim = load("claim")
        self.renew = load("renew")
        self.handoff = load("handoff")
        self.fail = load("fail")
        self.tidy = load("tidy")
        self.leave = load("leave")
        self.revive = load("revive")
        self.drop = load("drop")
