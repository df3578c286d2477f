"""What of a bucket is passed over: the rules of folders, where there are only keys."""

from collections import Counter
from collections.abc import Iterator, Mapping

from services.ingest.sources.walk import EXCLUDED, is_input
from shared.catalog import PassedOver
from shared.folders.patterns import Choice
from shared.folders.rules import OWN_MARK, OWN_OUTPUT, rule_of
from shared.identity import display_name


class Keys:
    """Chooses among keys, which come in the order of their bytes, each relative to the folder that
    was given and with `/` between its parts.

    As in `Walk`, a folder that is passed over counts once. In that order `.faces/` comes before
    all that a run put beside it, so an OUT is known by the time its pictures come. A listing may
    begin behind any key that was taken: none of those lies in what is passed over.

    Attributes:
        passed_over: how much of each kind was passed over, and the first folder of it.
    """

    def __init__(self, choice: Choice) -> None:
        self._choice = choice
        self._folder: bytes | None = None
        self._left_out = b""
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    @property
    def passed_over(self) -> Mapping[str, PassedOver]:
        return {
            kind: PassedOver(number, self._examples.get(kind, ""))
            for kind, number in self._counts.items()
        }

    def takes(self, key: str) -> bool:
        """Whether it is an input; what is not taken for a reason to be told is counted."""
        path = key.encode()
        if self._left_out and path.startswith(self._left_out):
            return False
        folder, _, name = path.rpartition(b"/")
        if folder != self._folder:
            self._left_out = b""
            if self._passes_over(folder):
                return False
            self._folder = folder
        if not is_input(name):
            return False
        if self._choice.takes(path):
            return True
        self._counts[EXCLUDED] += 1
        return False

    def _passes_over(self, folder: bytes) -> bool:
        """Whether a folder, or one above it, is not searched; it is counted, and remembered while
        keys of it come."""
        for path in _from_the_top(folder):
            above, _, name = path.rpartition(b"/")
            if self._choice.excludes(path, is_folder=True):
                kind, left_out = EXCLUDED, path
            elif name == OWN_MARK:
                whole_output = bool(above) and not self._choice.names(above)
                kind, left_out = (OWN_OUTPUT, above) if whole_output else ("", path)
            elif (rule := rule_of(name)) and not self._choice.names(path):
                kind, left_out = rule.kind, path
            else:
                continue
            self._left_out, self._folder = left_out + b"/", None
            if kind:
                self._counts[kind] += 1
                self._examples.setdefault(kind, display_name(self._left_out))
            return True
        return False


def _from_the_top(folder: bytes) -> Iterator[bytes]:
    """The folders above one, and itself."""
    parts = folder.split(b"/") if folder else []
    for number in range(1, len(parts) + 1):
        yield b"/".join(parts[:number])
