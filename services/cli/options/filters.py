"""Options that choose pictures, and the ranges that people type in them."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from shared.errors import FacesError
from shared.messages import Kind
from shared.reasons import Reason

if TYPE_CHECKING:
    from shared.catalog import Filter

Taken = Annotated[
    str,
    typer.Option(
        "--taken",
        metavar="FROM..TO",
        help="Taken then, by the camera's clock: 2019, 2019-03, 2019-03-05, 2019-01..2019-06, "
        "..2010 or 2019.. (both ends included).",
    ),
]
Camera = Annotated[
    str | None,
    typer.Option(
        "--camera", metavar="PATTERN", help="Taken by a camera of this name: 'canon*'; any case."
    ),
]
KindOf = Annotated[
    Kind | None, typer.Option("--kind", help="Only pictures, or only documents of several pages.")
]
Because = Annotated[
    str | None,
    typer.Option(
        "--reason", metavar="CODE", help="Failed with this code, such as `damaged` or `timeout`."
    ),
]
Cut = Annotated[
    bool,
    typer.Option("--cut", help="Only files that end before their pictures do."),
]

_MOMENT = re.compile(r"(\d{4})(?:-(\d{2}))?(?:-(\d{2}))?")


def number_range(text: str) -> tuple[int | None, int | None]:
    """Least and most of `3`, `3..`, `..3` and `1..3`.

    Raises:
        FacesError: it is none of these.
    """
    found = re.fullmatch(r"(\d*)(\.\.)?(\d*)", text)
    if found is None:
        raise FacesError(f"--faces {text!r}: write 3, 3.., ..3 or 1..3")
    first, between, last = found.groups()
    least = int(first) if first else None
    return least, (int(last) if last else None) if between else least


def taken_range(text: str) -> tuple[str | None, str | None]:
    """First moment, and the first that is too late, of `2019-01..2019-06` and the like.

    Both are the beginning of a day, month or year as `ImageRow.taken_at` writes it, so that they
    compare with it letter by letter.

    Raises:
        FacesError: it is no range, or holds no moment.
    """
    if not text:
        return None, None
    first, between, last = text.partition("..")
    if not between:
        last = first
    if not (first or last):
        raise _not_a_range(text)
    start, end = _begins(first, text), _begins_after(last, text)
    if start is not None and end is not None and start >= end:
        raise FacesError(f"--taken {text}: it ends before it begins")
    return start, end


def _begins(moment: str, text: str) -> str | None:
    if not moment:
        return None
    _parts(moment, text)
    return moment


def _begins_after(moment: str, text: str) -> str | None:
    """The year, month or day behind this one."""
    if not moment:
        return None
    year, month, day = _parts(moment, text)
    if day is not None:
        from datetime import date, timedelta

        try:
            return (date(year, month or 1, day) + timedelta(days=1)).isoformat()
        except OverflowError:
            return None
    if month is not None:
        year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return f"{year:04}-{month:02}"
    return f"{year + 1:04}" if year < 9999 else None


def _parts(moment: str, text: str) -> tuple[int, int | None, int | None]:
    from datetime import date

    found = _MOMENT.fullmatch(moment)
    if found is None:
        raise _not_a_range(text)
    year, month, day = (None if part is None else int(part) for part in found.groups())
    assert year is not None
    try:
        date(year, month or 1, day or 1)
    except ValueError as error:
        raise FacesError(f"--taken {text}: {moment}: {error}") from None
    return year, month, day


def _not_a_range(text: str) -> FacesError:
    return FacesError(
        f"--taken {text!r}: write 2019, 2019-03, 2019-03-05, 2019-01..2019-06, ..2010 or 2019.."
    )


def reason_code(text: str | None) -> Reason | None:
    """The code that was typed.

    Raises:
        FacesError: there is no such code.
    """
    if text is None:
        return None
    for reason in Reason:
        if reason.value == text:
            return reason
    raise FacesError(
        f"--reason {text!r}: choose one of {', '.join(reason.value for reason in Reason)}"
    )


def by_name_or_id(pattern: str | None) -> "Filter":
    """The pictures of a pattern, or the one of an id; of None, all."""
    from services.cli.deployment import WHOLE_ID
    from shared.catalog import Filter

    if pattern is not None and WHOLE_ID.fullmatch(pattern):
        return Filter(image=pattern)
    return Filter(name=pattern)
