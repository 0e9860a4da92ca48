"""The reliability diagram: how often words of a confidence are right, as SVG."""

from xml.etree import ElementTree

from seqlab.report.curves import Chart, add_text, short
from seqlab.scoring import Reliability

WIDTH, HEIGHT = 360, 300
LEFT, RIGHT, TOP, BOTTOM = 46, 14, 30, 40
TITLE = "Confidence of words"


def draw_reliability(calibration: Reliability) -> Chart:
    """Draw the share of right words against their confidence.

    A bar reaches up to the share right in its bin, a square stands at the bin's mean confidence, and a line leads from
    it to the diagonal on which the two agree: its length, weighted by the count above the bar, makes up the ECE.
    Colours are left to the page's style sheet; nothing is told by colour alone.
    """
    svg = ElementTree.Element("svg", viewBox=f"0 0 {WIDTH} {HEIGHT}", role="img")
    ElementTree.SubElement(svg, "title").text = f"{TITLE}: share of right words by confidence, in bins"

    def x_of(value: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * value

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value

    def line(style: str, start: tuple[float, float], end: tuple[float, float]) -> None:
        ends = {"x1": x_of(start[0]), "y1": y_of(start[1]), "x2": x_of(end[0]), "y2": y_of(end[1])}
        ElementTree.SubElement(svg, "line", {"class": style} | {key: f"{value:.1f}" for key, value in ends.items()})

    for tick in (0.0, 0.2, 0.4, 0.6, 0.8, 1.0):
        line("grid", (0, tick), (1, tick))
        add_text(svg, LEFT - 5, y_of(tick) + 4, "end", f"{100 * tick:.0f} %")
        add_text(svg, x_of(tick), HEIGHT - BOTTOM + 15, "middle", f"{tick:.1f}")
    add_text(svg, (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle", "confidence")
    add_text(svg, 4, 11, "start", "share of words that are right; above it, how many words")
    for part in calibration.bins:
        if part.confidence is None or part.correct is None:
            continue
        x, y, width = x_of(part.low), y_of(part.correct), x_of(part.high) - x_of(part.low)
        box = {"x": x + 1, "y": y, "width": width - 2, "height": y_of(0) - y}
        bar = {"class": "bar"} | {key: f"{value:.1f}" for key, value in box.items()}
        ElementTree.SubElement(svg, "rect", bar)
        add_text(svg, x + width / 2, y_of(max(part.correct, part.high)) - 6, "middle", short(part.count))
    line("diagonal", (0, 0), (1, 1))
    for part in calibration.bins:
        if part.confidence is not None and part.correct is not None:
            line("gap", (part.confidence, part.correct), (part.confidence, part.confidence))
            place = f"M{x_of(part.confidence) - 3:.1f} {y_of(part.correct) - 3:.1f}h6v6h-6z"
            ElementTree.SubElement(svg, "path", {"class": "mark curve-1", "d": place})
    return Chart(TITLE, ElementTree.tostring(svg, encoding="unicode"), _notes(calibration))


def _notes(calibration: Reliability) -> list[str]:
    means = [b.confidence * b.count for b in calibration.bins if b.confidence is not None]
    notes = [
        f"Expected calibration error (ECE) {calibration.ece:.4f}: on average over the words, this is how far the mean "
        "confidence of a bin lies from its share of right words.",
        f"Of {calibration.count:,} words recognised {100 * calibration.correct:.2f} % are right; their mean confidence "
        f"is {sum(means) / calibration.count:.4f}.",
    ]
    if calibration.nce is not None:
        notes.append(
            f"Normalised cross entropy (NCE) {calibration.nce:.3f}: 1 would tell right words from wrong ones without "
            "fail, 0 is as good as knowing the share of right words only."
        )
    return notes
