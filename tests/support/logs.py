"""What one module logs, whatever logging other tests have set up before."""

from typing import Any

import pytest


class Recorder:
    """Stands in for a module's `log`."""

    def __init__(self) -> None:
        self.said: list[tuple[str, dict[str, Any]]] = []  # Any: whatever is logged

    def info(self, event: str, **fields: Any) -> None:
        self.said.append((event, fields))

    debug = warning = error = exception = info

    @property
    def text(self) -> str:
        """All of it, as text."""
        return "\n".join(f"{event} {fields}" for event, fields in self.said)


def recorded(monkeypatch: pytest.MonkeyPatch, module: str) -> Recorder:
    """From now on, what the module logs."""
    recorder = Recorder()
    monkeypatch.setattr(f"{module}.log", recorder)
    return recorder
