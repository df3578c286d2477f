"""Opening a picture by reference, in the child: only what the settings allow, whole, unchanged.

Each kind of `shared.references` has one opener, in a module of its own, imported where a reference
needs it: a slot pays only for the libraries that it uses.
"""

from collections.abc import Callable

from services.detector.failures import Refused, TryAgain
from services.detector.references.opener import CHANGED, Opener, Rules
from shared.reasons import Reason
from shared.references import BUCKETS, FILES

__all__ = ["CHANGED", "OPENERS", "Opener", "Refused", "Rules", "TryAgain", "open_reference"]


def _file() -> Opener:
    from services.detector.references.file import open_file  # noqa: PLC0415 - see above

    return open_file


def _bucket() -> Opener:
    from services.detector.references.bucket import open_object  # noqa: PLC0415 - see above

    return open_object


OPENERS: dict[str, Callable[[], Opener]] = {
    **dict.fromkeys(FILES.names, _file),
    **dict.fromkeys(BUCKETS.names, _bucket),
}
"""Scheme of a URI: how to get its opener."""


def open_reference(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of a picture by reference; errors as `Opener`."""
    scheme = uri.partition(":")[0].lower()
    opener = OPENERS.get(scheme)
    if opener is None:
        raise Refused(
            Reason.NOT_ALLOWED,
            f"references of the kind {scheme[:40]!r} cannot be opened; known: {', '.join(OPENERS)}",
        )
    return opener()(uri, version, rules)
