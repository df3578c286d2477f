"""How people read things: text from strangers as one line, and figures with their units."""

import traceback


def printable(text: str) -> str:
    """Text as one line: what would end it, move the cursor or colour it is written out.

    File names may hold line ends and escape sequences.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )


def without_words(error: BaseException) -> str:
    """The traceback of an error for logs: without its words, which may quote the name of a file."""
    return "".join([*traceback.format_tb(error.__traceback__), type(error).__name__])


def count(number: int, one: str, many: str = "") -> str:
    """A number of things: `1 picture`, `2,000 pictures`; `many` where that is not `one` + s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def duration(seconds: float) -> str:
    """A time to wait: `42 s`, `7 min`, `3 h 20 min`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    if seconds < 6000:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.0f} h {seconds % 3600 / 60:.0f} min"


def size(number: float) -> str:
    """Bytes, in powers of 1,000: `3.1 MB`."""
    for unit in ("B", "kB", "MB"):
        if number < 1000:
            return f"{number:.0f} B" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} GB"
