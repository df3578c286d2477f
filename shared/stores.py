"""Opening buckets by URL, and what their errors mean: does not answer now, or refuses.

Used for the object store and for buckets that pictures are read from.
"""

import os
import re
from contextlib import suppress
from datetime import timedelta
from urllib.parse import urlsplit

from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
from obstore.store import ObjectStore, from_url

from shared.errors import FacesError, SettingsError, Unreachable

PASSING_OS_ERRORS = {
    4,  # EINTR
    5,  # EIO
    12,  # ENOMEM
    16,  # EBUSY
    23,  # ENFILE
    24,  # EMFILE
    28,  # ENOSPC: a disk that is full is waited for
    107,  # ENOTCONN: a network file system that is away
    110,  # ETIMEDOUT
    116,  # ESTALE
    122,  # EDQUOT
}
"""Error numbers of Linux for what may pass by itself: nobody's input is to blame."""

PASSING_STATUSES = {"408", "429", "500", "502", "503", "504", "507"}

NO_STORE = ("NoSuchBucket", "ContainerNotFound")
"""Error codes of S3 and Azure for a bucket that does not exist."""

CONNECT_SECONDS = 5
REQUEST_SECONDS = 60
RETRIES = 3

_OS_ERROR = re.compile(r"([^:\n]+) \(os error (\d+)\)")
_STATUS = re.compile(r"status code: ((\d{3})[^:\n]*)")
_CODE = re.compile(r"<Code>(\w+)</Code>")


class ObjectRefused(FacesError):
    """The store answers, and refuses: no permission, read-only, no such bucket."""


def open_bucket(url: str, setting: str) -> ObjectStore:
    """The store at a bucket's URL. Errors name `setting`.

    Credentials and endpoints come from the usual variables of each provider (`AWS_*`, ...).

    Raises:
        SettingsError: the URL cannot be used.
    """
    if "@" in urlsplit(url).netloc:
        raise SettingsError(
            f"{setting}: no user or password belongs into it; give credentials in the "
            "provider's variables, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    try:
        return from_url(
            url,
            client_options={
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() in ("1", "true"),
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
            },
            retry_config={
                "max_retries": RETRIES,
                "retry_timeout": timedelta(seconds=REQUEST_SECONDS),
            },
        )
    except (BaseError, ValueError, OSError) as error:
        raise SettingsError(f"{setting}: {first_line(error)}") from None


def explain(error: Exception, action: str) -> FacesError:
    """`Unreachable` where it may pass, else `ObjectRefused`.

    `action` begins the sentence: what cannot be done, and where. Of the error's own text only known
    parts follow, since the rest may hold signed URLs.
    """
    text = str(error)
    if isinstance(error, OSError) and error.errno is not None:
        reason = os.strerror(error.errno)
        passing = error.errno in PASSING_OS_ERRORS
    elif found := _STATUS.search(text):
        code = _CODE.search(text)
        reason = f"{found[1].strip()}{f' ({code[1]})' if code else ''}"
        passing = found[2] in PASSING_STATUSES
    elif found := _OS_ERROR.search(text):
        reason = found[1].strip()
        passing = int(found[2]) in PASSING_OS_ERRORS
    else:
        refusals = (PermissionDeniedError, UnauthenticatedError, PermissionError)
        passing = not isinstance(error, refusals)
        reason = "it does not answer" if passing else "permission denied"
    return (Unreachable if passing else ObjectRefused)(f"{action}: {reason}")


def absent(error: Exception) -> bool:
    """Whether the object is not there, though its bucket is."""
    text = str(error)
    return isinstance(error, FileNotFoundError) and not any(code in text for code in NO_STORE)


def first_line(error: BaseException) -> str:
    """The first line of an error's text."""
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
