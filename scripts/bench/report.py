"""The report in a browser: how long report.html of 3,000 lines takes to open, to sort and to filter.

python scripts/bench/report.py [REPORT.json] [--lines N] [--kind audio|image] [--rounds N] [--phone]

The lines are those of REPORT.json, over and over, else made up as in scoring.py; the fifty worst carry a recording of
five seconds of noise (or a picture of it, 800 pixels wide) and posteriors inside the page, the others link to a file.
Chromium, headless and freshly started each round with an empty profile, opens the page from the disk.

Printed are medians of wall seconds and of the CPU seconds of all processes of the browser: from the navigation to the
frame that shows the table with its controls; from a click on a head, and from a word typed, to the frame that shows
the other lines. Exits 1 if opening takes 2 CPU s or more: on an idle machine the wall time is no longer than that.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
from scoring import utterances
from timing import start

sys.path.insert(0, str(Path(__file__).parents[2]))
from seqlab.report import EvaluatedLine, Evaluation, Exhibit, image_uri, sound_uri, worst_lines, write_report
from seqlab.report.exhibits import pack
from tests.report.chromium import Chromium

LIMIT = 2.0  # CPU seconds to open
FRAME = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(true))))"
SORT = "document.querySelector('.lines thead button').click()"
FIND = "const box = document.getElementById('find'); box.value = 'the'; box.dispatchEvent(new Event('input'))"
FOUND = "(async () => { const told = () => document.querySelector('[role=status]').textContent, before = told();"
FOUND += " while (told() === before) await new Promise(requestAnimationFrame); return true; })()"


def evaluation(lines: int, kind: str, report: str | None) -> Evaluation:
    generator = np.random.default_rng(0)
    texts = list(utterances(lines))
    if report:
        with open(report, encoding="utf-8") as file:
            known = [(line["reference"], line["hypothesis"]) for line in json.load(file)["lines"]]
        texts = (known * (lines // len(known) + 1))[:lines]
    rows = []
    for number, (said, heard) in enumerate(texts):
        ends = np.linspace(0, 5, len(heard.split()) + 1).round(2).tolist()
        places = [[a, b] for a, b in pairwise(ends)]
        sure = generator.random(len(places)).round(4).tolist()
        row = EvaluatedLine(f"line-{number:05d}", f"s{number % 40}", said, heard, 5.0, sure)
        if kind == "audio":
            row.word_places, row.measures = places, {"level_db": -20.0 - number % 17, "range_db": 40.0 + number % 23}
        rows.append(row)
    given = Evaluation("3,000 lines", rows, kind="audio" if kind == "audio" else "image")
    symbols = ["", *"abcdefghijklmnopqrstuvwxyz "]
    for row in rows:
        given.media[row.id] = f"./media/{row.id}.{'wav' if kind == 'audio' else 'png'}"
    for line in worst_lines(rows, given.score()):
        noise = generator.normal(0, 0.1, 5 * 16_000)
        picture = generator.integers(0, 255, (64, 800)).astype(np.uint8)
        given.media[line.row.id] = sound_uri(noise, 16_000) if kind == "audio" else image_uri(picture)
        peaks = generator.random((250, len(symbols))) ** 40
        spans = [(sign, n / 60, (n + 0.5) / 60) for n, sign in enumerate(line.row.hypothesis[:60])]
        given.exhibits[line.row.id] = Exhibit(spans, pack(peaks / peaks.sum(1, keepdims=True), symbols, (0.0, 1.0)))
    return given


def cpu(browser: Chromium) -> float:
    """Return the CPU seconds that all processes of the browser have taken."""
    session, browser._session = browser._session, None  # asked of the browser, not of the page
    told = browser.send("SystemInfo.getProcessInfo")["processInfo"]
    browser._session = session
    return float(sum(process["cpuTime"] for process in told))


def opened(page: Path, width: int) -> dict[str, tuple[float, float]]:
    """Open a page once; returns wall and CPU seconds of each step."""
    found = {}
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile, Chromium(profile, width) as browser:

        def step(name: str, *scripts: str) -> None:
            before, begun = cpu(browser), time.perf_counter()
            if name == "open":
                browser.open(page)
            for script in (*scripts, FRAME):
                browser.run(script)
            wall = time.perf_counter() - begun
            found[name] = wall, cpu(browser) - before

        step("open")
        assert browser.run("document.querySelectorAll('.lines thead button').length") > 3
        step("sort", SORT)
        step("find", FIND, FOUND)
        if troubles := browser.troubles():
            sys.exit(f"the page complains: {troubles[:2]}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", nargs="?")
    parser.add_argument("--lines", type=int, default=3000)
    parser.add_argument("--kind", choices=["audio", "image"], default="audio")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--phone", action="store_true", help="a width of 390 pixels")
    given = parser.parse_args()
    start()
    with tempfile.TemporaryDirectory() as folder:
        made = evaluation(given.lines, given.kind, given.report)
        begun = time.process_time()
        page = write_report(Path(folder), made)["report.html"]
        size = page.stat().st_size / 1e6
        spent = time.process_time() - begun
        print(f"{given.lines:,} lines of {given.kind}: {size:.1f} MB, written in {spent:.1f} CPU s")
        rounds = [opened(page, 390 if given.phone else 1280) for _ in range(given.rounds)]
    print("| step | wall s | slowest | CPU s |\n|---|---|---|---|")
    for name in rounds[0]:
        walls, cpus = zip(*(times[name] for times in rounds), strict=True)
        print(f"| {name} | {statistics.median(walls):.2f} | {max(walls):.2f} | {statistics.median(cpus):.2f} |")
    slow = statistics.median(times["open"][1] for times in rounds) >= LIMIT
    sys.exit("\nthe page opens too slowly" if slow else 0)


if __name__ == "__main__":
    main()
