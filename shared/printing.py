"""Text from strangers on a terminal or in a log: file names may hold line ends and escapes."""


def printable(text: str) -> str:
    """Text as one line: what would end it, move the cursor or colour it is written out."""
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() else letter.encode("unicode_escape").decode()
        for letter in text
    )
