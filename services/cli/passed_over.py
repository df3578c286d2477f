"""What was passed over, in lines for people."""

from collections.abc import Mapping

from services.ingest.sources.walk import EXCLUDED, LINK, LINK_TO_PICTURE
from shared.catalog import PassedOver
from shared.folders.rules import RULES
from shared.printing import count, printable

_WHAT = {rule.kind: rule.what for rule in RULES}


def passed_over_lines(passed_over: Mapping[str, PassedOver]) -> list[str]:
    """One of what was left out, and one of links to folders, which only `--by-reference` and
    `faces run` can follow; none where there is nothing to say."""
    lines = [line] if (line := passed_over_line(passed_over)) else []
    if links := passed_over.get(LINK):
        named = f" ({printable(links.example)})" if links.example else ""
        lines.append(
            f"not followed: {count(links.count, 'link')} to folders{named}; name what they lead to "
            "as well, or send with --by-reference --follow-links"
        )
    return lines


def passed_over_line(passed_over: Mapping[str, PassedOver]) -> str:
    """All but links, which have a line of their own; empty where there is nothing to say."""
    excluded = passed_over.get(EXCLUDED)
    told = [f"{excluded.count:,} excluded by a pattern"] if excluded else []
    by_rule = [
        f"{_WHAT.get(kind, kind)} {passed.count:,}"
        + (f" ({printable(passed.example)})" * bool(passed.example))
        for kind, passed in sorted(passed_over.items())
        if kind not in (EXCLUDED, LINK, LINK_TO_PICTURE)
    ]
    if by_rule:
        told.append(f"by rule: {', '.join(by_rule)}; --include NAME/ searches one")
    return f"passed over: {'; '.join(told)}" if told else ""
