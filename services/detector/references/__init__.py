"""Opening a picture by reference, in the child: only what the settings allow, whole, unchanged.

Each kind of reference that a child opens has one opener. Those that need a network are fetched by
its parent: see `services.detector.contents`.
"""

from services.detector.failures import Refused, TryAgain
from services.detector.references.file import open_file
from services.detector.references.opener import CHANGED, Opener, Rules
from shared.reasons import Reason
from shared.references import FILES, Scheme, scheme_of, unknown

__all__ = ["CHANGED", "OPENERS", "Opener", "Refused", "Rules", "TryAgain", "open_reference"]

OPENERS: dict[Scheme, Opener] = {FILES: open_file}
"""The opener of each kind."""


def open_reference(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of a picture by reference; errors as `Opener`."""
    scheme = scheme_of(uri)
    if scheme is None or scheme not in OPENERS:
        raise Refused(Reason.NOT_ALLOWED, unknown(uri))
    return OPENERS[scheme](uri, version, rules)
