"""The picture of a line that a network reads: everything stands at its place in time."""

from xml.etree import ElementTree

import numpy as np
import pytest

from seqlab.report.inspection import Inspection, Panel, Place, draw_inspection

SVG = "{http://www.w3.org/2000/svg}"
FRAMES = 100  # 7 pixels each


def told(**changes: object) -> Inspection:
    """A line of 100 frames of 30 ms whose symbols a and b are spikes at frames 20 and 70."""
    posteriors = np.zeros((FRAMES, 3), np.float32)
    posteriors[:, 0] = 1.0
    posteriors[20], posteriors[70] = (0.1, 0.9, 0.0), (0.2, 0.0, 0.8)
    settings: dict[str, object] = {
        "title": "made up",
        "frames": FRAMES,
        "unit": "s",
        "scale": 0.03,
        "offset": 0.0,
        "panels": [
            Panel("features", np.arange(600.0).reshape(3, 200), 100.0, "range"),
            Panel("input gate", np.linspace(0, 0.5, 400).reshape(4, FRAMES), FRAMES),
            Panel("cell state", np.linspace(-3, 2, 400).reshape(4, FRAMES), FRAMES),
        ],
        "posteriors": posteriors,
        "symbols": ["<blank>", "a", "b"],
        "text": "ab",
        "decoded": [Place("a", 20, 21, 20), Place("b", 70, 71, 70)],
        "aligned": [Place("a", 18, 22, 20), Place("b", 69, 73, 70)],
        "notes": ["said below"],
    }
    return Inspection(**(settings | changes))  # type: ignore[arg-type]


def texts(root: ElementTree.Element) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for element in root.iter(f"{SVG}text"):
        found.setdefault(str(element.text), []).append(float(element.attrib["x"]))
    return found


def drawn(inspection: Inspection) -> ElementTree.Element:
    return ElementTree.fromstring(draw_inspection(inspection).svg())


@pytest.mark.parametrize("scale", [0.03, -0.03])
def test_spikes_alignment_and_axis_lie_at_their_frames(scale: float) -> None:
    inspection = told(scale=scale, offset=0.0 if scale > 0 else 3.0)  # below 0: read from the right
    root = drawn(inspection)
    left, width = next(
        (float(e.attrib["x"]), float(e.attrib["width"])) for e in root.iter(f"{SVG}rect") if e.get("class") == "frame"
    )
    assert width == 700

    def x(frame: float) -> float:
        return left + 7 * (frame if scale > 0 else FRAMES - frame)

    found = texts(root)
    assert found["a"] == pytest.approx([x(20.5), x(20.0)], abs=0.11)  # over the spike, and in the aligned box
    assert found["b"] == pytest.approx([x(70.5), x(71.0)], abs=0.11)
    assert found["1.5 s"] == pytest.approx([x(50)], abs=0.11)
    assert {"ab", "said below", "features", "input gate", "cell state"} <= set(found)
    curves = [e.attrib["points"].split() for e in root.iter(f"{SVG}polyline") if "curve" in e.get("class", "")]
    peaks = [min(c, key=lambda p: float(p.split(",")[1])) for c in curves]  # y grows downwards
    assert sorted(float(p.split(",")[0]) for p in peaks) == pytest.approx(sorted([x(20.5), x(70.5)]), abs=0.11)


def test_colours_stand_for_ranges_that_are_told() -> None:
    inspection = told()
    assert inspection.panels[0].ends == pytest.approx((5.99, 597.8), abs=0.1)
    assert inspection.panels[1].ends == (0.0, 1.0)
    low, high = inspection.panels[2].ends
    assert (low, high) == (-high, pytest.approx(2.75, abs=0.01))  # a twentieth, of 5 from -3 to 2, lies beyond
    assert Panel("exponential gate", np.full((2, 2), 9.0), 2).ends == (0.0, 9.0)
    assert Panel("output", np.array([[-0.5, 0.25]]), 2).ends == (-0.5, 0.5)
    assert {f"{high:.2g}", f"≤-{high:.2g}"} <= set(texts(drawn(inspection)))


def test_input_longer_than_the_output_is_cut_at_the_end_of_the_axis() -> None:
    panel = Panel("line", np.ones((8, 250)), 125.0, "paper")
    root = drawn(told(panels=[panel]))
    image = next(root.iter(f"{SVG}image"))
    assert float(image.attrib["width"]) == pytest.approx(700, abs=0.2)
    shorter = drawn(told(panels=[Panel("line", np.ones((8, 150)), 75.0, "paper")]))
    assert float(next(shorter.iter(f"{SVG}image")).attrib["width"]) == pytest.approx(525, abs=0.2)


def test_ink_keeps_its_shape_and_its_dots() -> None:
    ink = np.array([[0, 0, 0, 0], [10, 0, 0, 0], [10, 20, 0, 1], [30, 5, 0, 1]], np.float32)
    root = drawn(told(ink=ink))
    strokes = [e.attrib["points"] for e in root.iter(f"{SVG}polyline") if e.get("class") == "ink"]
    assert len(strokes) == 2
    line = np.array([[float(v) for v in p.split(",")] for p in strokes[0].split()])
    steps = np.abs(np.diff(line, axis=0)).max(1)
    assert steps[1] == pytest.approx(2 * steps[0], rel=0.01)
    assert len(set(strokes[1].split())) == 1  # a dot


def test_nothing_read_is_said() -> None:
    root = drawn(told(text="", decoded=[], aligned=[]))
    assert "(nothing)" in texts(root)
    assert "aligned text" not in texts(root)
