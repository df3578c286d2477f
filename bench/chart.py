"""The bars of the README: an SVG for light and dark pages."""

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape

FILE = Path(__file__).with_name("results.svg")

WIDTH = 720
LABEL_WIDTH = 270
VALUE_WIDTH = 60
ROW = 30
BAR = 18
TOP = 40

STYLE = """\
text { font: 14px -apple-system, "Segoe UI", Helvetica, Arial, sans-serif; fill: #1f2328 }
.title { font-weight: 600 }
.bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3 }
  .bar { fill: #6e7681 } .ours { fill: #4493f8 }
}"""


def svg(bars: Sequence[tuple[str, float]], title: str) -> str:
    """One bar a row, the longest first; the one whose name begins with `faces` has a colour."""
    ordered = sorted(bars, key=lambda bar: -bar[1])
    most = max((value for _, value in ordered), default=1.0) or 1.0
    room = WIDTH - LABEL_WIDTH - VALUE_WIDTH
    height = TOP + ROW * len(ordered) + 8
    told = "; ".join(f"{name}: {value:.1f}" for name, value in ordered)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
        f'viewBox="0 0 {WIDTH} {height}" role="img">',
        f"<title>{escape(title)}</title>",
        f"<desc>{escape(told)}</desc>",
        f"<style>{STYLE}</style>",
        f'<text class="title" x="0" y="20">{escape(title)}</text>',
    ]
    for row, (name, value) in enumerate(ordered):
        top = TOP + ROW * row
        middle = top + BAR - 4
        length = max(1.0, room * value / most)
        kind = "ours" if name.startswith("faces") else "bar"
        lines += [
            f'<text x="{LABEL_WIDTH - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LABEL_WIDTH}" y="{top}" width="{length:.1f}" '
            f'height="{BAR}" rx="3"/>',
            f'<text x="{LABEL_WIDTH + length + 8:.1f}" y="{middle}">{value:.1f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])


def write(bars: Sequence[tuple[str, float]], title: str, file: Path = FILE) -> None:
    """Write the chart to `file`."""
    file.write_text(svg(bars, title))
