"""Opening buckets by URL, and what their errors mean: an outage, or a refusal.

Used for the object store and for buckets that pictures are read from.
"""

import os
import re
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from obstore.exceptions import BaseError
from obstore.store import ObjectStore, from_url

from shared.errors import FacesError, SettingsError, Unreachable

if TYPE_CHECKING:
    from obstore.store import ClientConfig

PASSING_OS_ERRORS = {
    4,  # EINTR
    5,  # EIO
    12,  # ENOMEM
    16,  # EBUSY
    23,  # ENFILE
    24,  # EMFILE
    28,  # ENOSPC: a disk that is full is waited for
    30,  # EROFS: it takes no file at all
    107,  # ENOTCONN: a network file system that is away
    108,  # ESHUTDOWN
    110,  # ETIMEDOUT
    112,  # EHOSTDOWN
    113,  # EHOSTUNREACH
    116,  # ESTALE
    121,  # EREMOTEIO
    122,  # EDQUOT
}
"""Error numbers of Linux for what may pass by itself: nobody's input is to blame."""

PASSING_STATUSES = {"408", "429", "502", "503", "504", "507"}
"""Not among them is 500, which servers also say where one object is broken."""

BUSY_STATUSES = {"502", "503", "504"}
"""Those of them that may be said of one object alone; 507, like a disk that is full, may not: what
is smaller is taken there."""

ABSENT_CODES = {"NoSuchKey", "BlobNotFound"}
"""What S3, GCS and Azure say of an object that does not exist, to a caller they know."""

OUTAGE_CODES = {
    # No such bucket, or not any more.
    *("NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted", "ContainerDisabled"),
    # Who we are.
    *("ExpiredToken", "ExpiredTokenException", "TokenRefreshRequired", "InvalidToken"),
    *("InvalidAccessKeyId", "InvalidClientTokenId", "RequestExpired", "RequestTimeTooSkewed"),
    *("AccountProblem", "AllAccessDisabled", "NotSignedUp", "AccountIsDisabled"),
    *("AuthenticationFailed", "InvalidAuthenticationInfo", "NoAuthenticationInformation"),
    # Too much of it.
    *("SlowDown", "Throttling", "ThrottlingException", "TooManyRequests", "RequestTimeout"),
    *("BandwidthLimitExceeded", "ServerBusy", "OperationTimedOut"),
    *("ServiceUnavailable", "QuotaExceeded", "XMinioAdminBucketQuotaExceeded"),
    *("XMinioStorageFull", "InsufficientAccountPermissions"),
}
"""Error codes of S3, GCS, Azure and their like which say that any object would be refused."""

NO_STORE = ("NoSuchBucket", "ContainerNotFound")
"""Those of a bucket that does not exist: its 404 says nothing of an object."""

CONNECT_SECONDS = 5
SILENCE_SECONDS = 10
"""How long a read waits for the first byte of an answer, and for each that follows."""

REQUEST_SECONDS = 3600
"""Longest time of one request whose bytes keep coming."""

RETRIES = 2
RETRY_SECONDS = 2
"""A connection that was cut is tried again at once, and only within this time: whoever calls knows
better how to wait for a server that is away."""

NO_CREDENTIALS = "no credentials are set, and this machine is given none"

_TEXTS = (
    # Services that machines of the providers ask for credentials that no variable gives.
    ("//169.254.", NO_CREDENTIALS, True),
    ("//metadata.google.internal", NO_CREDENTIALS, True),
    ("HTTP error:", "it does not answer", True),
    ("redirect without LOCATION", "it is in another region", False),
)
"""What obstore says where there was no answer, or none with a status: part of its text, the reason
in words, and whether it is plainly an outage."""

_OS_ERROR = re.compile(r"([^:\n]+) \(os error (\d+)\)")
_STATUS = re.compile(r"status code: ((\d{3})[^:\n]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class Gone(FacesError):
    """There is no such object, though there is its bucket."""


class ObjectRefused(FacesError):
    """The store answers, and refuses. Whether only this object, `shared.stores.judge` finds out."""

    def __init__(self, sentence: str, of_all: str = "") -> None:
        """`of_all` is told where all objects are refused, and is logged: it names none of them."""
        super().__init__(sentence)
        self.of_all = of_all or sentence


class NotNow(Unreachable):
    """The server's own answer is that it cannot do it now. Mostly it says so of all objects, but it
    may say so of one for ever."""


def open_bucket(url: str, setting: str, *, reads: bool = True) -> ObjectStore:
    """The store at a bucket's URL. Errors name `setting`.

    Credentials and endpoints come from the usual variables of each provider (`AWS_*`, ...). One
    that only `reads` gives up a server that is silent for SILENCE_SECONDS; a request that sends
    much may have to wait longer for its answer, and is watched by its caller.

    Raises:
        SettingsError: the URL cannot be used.
    """
    if "@" in urlsplit(url).netloc:
        raise SettingsError(
            f"{setting}: no user or password belongs into it; give credentials in the "
            "provider's variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    silence: ClientConfig = {"read_timeout": timedelta(seconds=SILENCE_SECONDS)} if reads else {}
    try:
        return from_url(
            url,
            client_options={
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
                **silence,
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=RETRY_SECONDS),
            },
        )
    except (BaseError, ValueError, OSError) as error:
        raise SettingsError(f"{setting}: {first_line(error)}") from None


def explain(error: Exception, action: str, of_all: str) -> FacesError:
    """`Unreachable` where it is plain that any object would fare alike, else `ObjectRefused`.

    `action` begins the sentence: what cannot be done, and where; `of_all` that of an outage, which
    names no object. Of the error's own text only known parts follow, since the rest may hold signed
    URLs.
    """
    reason, outage = _meaning(error)
    if outage:
        kind = NotNow if reason[:3] in BUSY_STATUSES else Unreachable
        return kind(f"{of_all}: {reason}")
    return ObjectRefused(f"{action}: {reason}", f"{of_all}: {reason}")


def _meaning(error: Exception) -> tuple[str, bool]:
    """The reason in words, and whether it is plainly an outage."""
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        return error.strerror or os.strerror(error.errno), error.errno in PASSING_OS_ERRORS
    if found := _STATUS.search(text):
        code = _code_of(text)
        reason = f"{found[1].strip()}{f' ({code})' if code else ''}"
        return reason, found[2] in PASSING_STATUSES or code in OUTAGE_CODES
    if found := _OS_ERROR.search(text):
        return found[1].strip(), int(found[2]) in PASSING_OS_ERRORS
    for part, reason, outage in _TEXTS:
        if part in text:
            return reason, outage
    return "its answer cannot be understood", False


def absent(error: Exception) -> bool:
    """Whether the object is not there, though its bucket is."""
    text = str(error)
    return isinstance(error, FileNotFoundError) and not any(code in text for code in NO_STORE)


def plainly_absent(error: Exception) -> bool:
    """Whether the store says in its own words that there is no such object.

    Without them a 404 may come from anyone who answers at the address.
    """
    return isinstance(error, FileNotFoundError) and _code_of(str(error)) in ABSENT_CODES


def _code_of(text: str) -> str:
    found = _CODE.search(text)
    return found[1] if found else ""


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
