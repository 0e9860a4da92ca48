"""The confusion matrix of characters, as SVG: the signs that are confused most, and nothing."""

import unicodedata
from collections import Counter
from xml.etree import ElementTree

from seqlab.report.curves import Chart, add_text, short
from seqlab.report.drawing import printable
from seqlab.report.tables import Tally

SIGNS = 16  # rows and columns at most, nothing not counted
CELL, LEFT, TOP = 30, 60, 50
TITLE = "Confused characters"
_LEVELS = 6  # of the cells' darkness


def draw_matrix(tally: Tally) -> Chart | None:
    """Draw how often each sign (row) was recognised as each other (column); None without any error.

    The signs are those in most errors. A cell holds its count, so its shade tells nothing that its number does not;
    the last row holds insertions, the last column deletions. Right ones, which would outshine all, are left out.

    Args:
        tally: of characters.
    """
    counts = Counter({(said, heard): count for (_, said, heard), count in tally.edits.items()})
    if not counts:
        return None
    weights: Counter[str] = Counter()
    for edit, count in counts.items():
        for sign in edit:
            if sign is not None:
                weights[sign] += count
    kept = sorted(weights, key=lambda sign: (-weights[sign], sign))[:SIGNS]
    signs: list[str | None] = [*sorted(kept, key=lambda sign: (not sign.isalnum(), sign.casefold(), sign)), None]
    shown = sum(counts[said, heard] for said in signs for heard in signs)
    size = LEFT + CELL * len(signs) + 4
    svg = ElementTree.Element("svg", viewBox=f"0 0 {size} {size - LEFT + TOP}", role="img")
    ElementTree.SubElement(svg, "title").text = f"{TITLE}: rows are references, columns what was recognised"
    add_text(svg, LEFT, 14, "start", "recognised as →")
    add_text(svg, 2, TOP - 8, "start", "reference ↓")
    most = max(counts.values())
    for i, said in enumerate(signs):
        middle = CELL * i + CELL / 2
        add_text(svg, LEFT - 10, TOP + middle + 4, "end", _name(said))
        add_text(svg, LEFT + middle, TOP - 8, "middle", _name(said))
        for j, heard in enumerate(signs):
            count = counts[said, heard]
            level = -(-_LEVELS * count // most)
            box = {"x": LEFT + CELL * j, "y": TOP + CELL * i, "width": CELL, "height": CELL}
            style = {"class": f"cell level-{level}" if said != heard else "cell same"}
            ElementTree.SubElement(svg, "rect", style | {key: str(value) for key, value in box.items()})
            if count:
                x, y = LEFT + CELL * j + CELL / 2, TOP + middle + 4
                add_text(svg, x, y, "middle", short(count))
                svg[-1].set("class", f"count-{level}")
    total = counts.total()
    notes = [
        f"The {len(kept)} characters with most errors; ∅ is nothing: its row holds what was made up, its column what "
        f"was left out. {shown:,} of {total:,} errors are shown."
    ]
    return Chart(TITLE, ElementTree.tostring(svg, encoding="unicode"), notes)


def _name(sign: str | None) -> str:
    if sign is None:
        return "∅"
    return "◌" + sign if unicodedata.category(sign)[0] == "M" else printable(sign)
