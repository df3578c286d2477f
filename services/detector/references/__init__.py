"""Opening a picture by reference, in the child: only what the settings allow, whole, unchanged.

Each kind of reference (`shared.references.SCHEMES`) has one opener, in a module of its own that is
imported where a reference needs it: a slot pays only for the libraries that it uses.
"""

from collections.abc import Callable

from services.detector.failures import Refused, TryAgain
from services.detector.references.opener import CHANGED, Opener, Rules
from shared.reasons import Reason
from shared.references import BUCKETS, FILES, Scheme, scheme_of, unknown

__all__ = ["CHANGED", "OPENERS", "Opener", "Refused", "Rules", "TryAgain", "open_reference"]


def _file() -> Opener:
    from services.detector.references.file import open_file  # noqa: PLC0415 - see above

    return open_file


def _bucket() -> Opener:
    from services.detector.references.bucket import open_object  # noqa: PLC0415 - see above

    return open_object


OPENERS: dict[Scheme, Callable[[], Opener]] = {FILES: _file, BUCKETS: _bucket}
"""How to get the opener of each kind."""


def open_reference(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of a picture by reference; errors as `Opener`."""
    scheme = scheme_of(uri)
    if scheme is None:
        raise Refused(Reason.NOT_ALLOWED, unknown(uri))
    return OPENERS[scheme]()(uri, version, rules)
