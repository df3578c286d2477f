"""Opening a picture by reference: only what the settings allow, and in the version submitted.

The detector's own process opens, and a child is handed the open file (`services.detector.handing`):
a child can reach no other. Each kind of reference that is opened has one opener. Those that need a
network are fetched: see `services.detector.contents`.
"""

from services.detector.failures import Refused, TryAgain
from services.detector.references.file import open_file
from services.detector.references.opener import Opened, Opener, Rules
from shared.reasons import Reason
from shared.references import FILES, Scheme, scheme_of, unknown

__all__ = ["OPENERS", "Opened", "Opener", "Refused", "Rules", "TryAgain", "open_reference"]

OPENERS: dict[Scheme, Opener] = {FILES: open_file}
"""The opener of each kind."""


def open_reference(uri: str, version: str, rules: Rules) -> Opened:
    """The open file of a picture by reference; errors as `Opener`."""
    scheme = scheme_of(uri)
    if scheme is None or scheme not in OPENERS:
        raise Refused(Reason.NOT_ALLOWED, unknown(uri))
    return OPENERS[scheme](uri, version, rules)
