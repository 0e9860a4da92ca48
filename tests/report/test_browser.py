"""The page in a real browser, from the disk."""

import numpy as np
import pytest

from seqlab.report import EvaluatedLine, Evaluation, Exhibit, image_uri, sound_uri, write_report
from seqlab.report.exhibits import pack
from seqlab.report.tables import harmless
from tests.report.chromium import PATH, Chromium

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PATH is None, reason="no chromium")]

HOSTILE = [
    "<script>document.title='pwned'</script>",
    "</script><script>document.title='pwned'</script>",
    "<!--<script>",
    "\" onmouseover=\"document.title='pwned'\" x='",
    "<img src=x onerror=document.title='pwned'>",
    "هذا خط عربي",
    "e\u0301\u0323\u0302 a\u0308\u0308\u0308",
    "x" * 10_000,
    "w " * 5_000,
    "\u202eright to left override",
    "\u2028 \u2029 line and paragraph",
]


def heard(tmp_path):
    """Speech of two lines with times, the second one wrong; a tone stands for the sound."""
    rows = [
        EvaluatedLine("a-1", "anna", "one two", "one two", 1.0, [0.9, 0.8], [[0.1, 0.4], [0.5, 0.9]]),
        EvaluatedLine("b-2", "bert", "three four", "tree four", 2.0, [0.3, 0.9], [[0.2, 0.9], [1.1, 1.8]]),
        EvaluatedLine("b-10", "bert", "five", "five six", 1.5, [0.7, 0.2], [[0.1, 0.5], [0.6, 0.9]]),
    ]
    tone = (0.1 * np.sin(np.arange(16000) / 8)).astype(np.float32)
    posteriors = np.zeros((10, 3))
    posteriors[:, 0], posteriors[4, 1], posteriors[4, 0] = 1, 0.75, 0.25
    return Evaluation(
        "spoken",
        rows,
        media={"b-2": sound_uri(tone, 8000)},
        exhibits={"b-2": Exhibit([("t", 0.1, 0.4)], pack(posteriors, ["", "t", "r"], (0.0, 1.0)))},
    )


def ids(browser):
    return browser.run("[...document.querySelectorAll('.line th')].map(cell => cell.textContent)")


def press(browser, key):
    codes = {"Tab": 9, "Enter": 13, "End": 35, "Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
    text = {"text": "\r"} if key == "Enter" else {}
    for kind in ("keyDown", "keyUp"):
        browser.send("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=codes[key], **text)
        text = {}


def test_wide_pictures_do_not_widen_the_page(tmp_path):
    given = Evaluation("wide", [EvaluatedLine("1", "w", "un deux", "un doux")], kind="image")
    given.media["1"] = image_uri(np.full((60, 2400), 200, np.uint8))
    given.exhibits["1"] = Exhibit([("u", 0.0, 0.5), ("n", 0.5, 1.0)])
    page = write_report(tmp_path, given)["report.html"]
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        browser.run("document.querySelector('img').scrollIntoView({ behavior: 'instant' })")
        browser.until("document.querySelector('img').naturalWidth > 0")
        for width in (1280, 1100, 1000, 720, 390):
            browser.show_as(width, False)
            assert browser.run("document.documentElement.scrollWidth <= innerWidth"), width


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_lines_are_sorted_filtered_played_and_drawn(tmp_path, width, dark):
    page = write_report(tmp_path, heard(tmp_path))["report.html"]
    with Chromium(tmp_path / "profile", width, dark) as browser:
        browser.open(page)
        assert ids(browser) == ["b-10", "b-2", "a-1"]  # CER 4/4, 1/10, 0
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        sort = "[...document.querySelectorAll('.lines thead button')].find(b => b.textContent === '{}').click()"
        browser.run(sort.format("Line"))
        assert ids(browser) == ["a-1", "b-2", "b-10"]  # numbers in ids count as numbers
        assert browser.run("document.querySelector('[aria-sort]').ariaSort") == "ascending"
        browser.run(sort.format("Line"))
        assert ids(browser) == ["b-10", "b-2", "a-1"]
        browser.run(sort.format("Least sure"))
        assert ids(browser) == ["b-10", "b-2", "a-1"]  # 0.2, 0.3, 0.8
        choose = "(([value, number]) => {{ const box = document.querySelectorAll('.controls select')[number];"
        choose += " box.value = value; box.dispatchEvent(new Event('change')); }})({})"
        browser.run(choose.format('["I", 0]'))
        assert ids(browser) == ["b-10"]
        browser.run(choose.format('["", 0]'))
        browser.run(choose.format('["anna", 1]'))
        assert ids(browser) == ["a-1"]
        browser.run(choose.format('["", 1]'))
        browser.run(
            "const box = document.getElementById('find'); box.value = 'FOUR'; box.dispatchEvent(new Event('input'))"
        )
        browser.until("document.querySelectorAll('.line').length === 1")
        assert ids(browser) == ["b-2"]
        assert browser.run("document.querySelector('[role=status]').textContent") == "1 of 3 lines"
        browser.run("document.querySelector('.player').scrollIntoView({ behavior: 'instant' })")
        browser.until("document.querySelector('audio') !== null")  # made when it comes near
        browser.run("document.querySelector('audio').play()")
        browser.until("document.querySelector('audio').currentTime > 0")
        browser.run("document.querySelector('audio').pause()")
        # the second word lights up at its time, in hypothesis and reference alike
        browser.run("document.querySelector('audio').currentTime = 1.2")
        assert (
            browser.until("[...document.querySelectorAll('.token.now')].map(t => t.textContent).join()") == "fourfour"
        )
        browser.run("document.querySelector('.tools button').click()")
        assert browser.run("[...document.querySelectorAll('.posteriors text')].map(t => t.textContent)") == [
            *("0", "0.5", "1", "t", "2.00 s", "0")
        ]
        # the spike of 0.75 in frame 5 of 10 stands in the middle of 520 pixels, three quarters up 92
        spike = browser.run("document.querySelector('.posteriors .curve').getAttribute('points').split(' ')[1]")
        assert spike == f"{30 + 520 * 0.45:.1f},{34 + 92 * (1 - 191 / 255):.1f}"
        assert browser.troubles() == []


def test_words_are_played_by_keyboard_and_have_a_name(tmp_path):
    given = heard(tmp_path)
    given.rows[1].reference, given.rows[1].hypothesis = "ثلاثة four", "ثلاثة four"
    given.rows[1].reference += " x"
    page = write_report(tmp_path, given)["report.html"]
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        browser.run("document.querySelector('.player').scrollIntoView({ behavior: 'instant' })")
        browser.until("document.querySelector('button.heard') !== null")
        words = "[...document.querySelectorAll('button.heard')]"
        assert browser.run(f"{words}.map(w => [w.tabIndex, w.ariaLabel, w.closest('[aria-hidden]') === null])") == [
            [0, "ثلاثة: play from 0.20 s", True],
            [-1, "four: play from 1.10 s", True],
        ]
        assert browser.run("document.querySelector('.aligned[role=group]').ariaLabel").startswith("Words: arrow keys")
        press(browser, "Tab")
        while browser.run("document.activeElement !== document.querySelector('audio')"):
            press(browser, "Tab")  # through the controls above
        while not browser.run("document.activeElement.matches('button.heard')"):
            press(browser, "Tab")
        # the line runs from right to left, so the next word stands on the left
        for key, tabs in (("ArrowRight", [0, -1]), ("ArrowLeft", [-1, 0]), ("ArrowLeft", [-1, 0]), ("Home", [0, -1])):
            press(browser, key)
            assert browser.run(f"{words}.map(w => w.tabIndex)") == tabs
            assert browser.run("document.activeElement.tabIndex") == 0
        press(browser, "End")
        press(browser, "Enter")
        browser.until("document.querySelector('audio').currentTime >= 1.1")
        assert browser.troubles() == []


def test_lines_of_single_words_light_up_as_wholes(tmp_path):
    rows = [
        EvaluatedLine("1", None, "three", "tree", 1.0, [0.5], [[0.2, 0.9]]),
        EvaluatedLine("2", None, "a", "a bc", 1.0, [0.5, 0.5], [[0.0, 0.3], [0.5, 0.9]]),
        EvaluatedLine("3", None, "b", "b", 1.0, [0.5], [[0.0, 0.3]]),
    ]
    tone = sound_uri((0.1 * np.sin(np.arange(8000) / 8)).astype(np.float32), 8000)
    page = write_report(tmp_path, Evaluation("words", rows, media={row.id: tone for row in rows}))["report.html"]
    lit = "[...document.querySelectorAll('.line')].map(line => [...line.querySelectorAll('.token.now .heard')]"
    lit += ".map(t => t.textContent).join(''))"
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        assert ids(browser) == ["2", "1", "3"]  # 3 has no error: its recording is in the data
        for number in range(3):
            browser.run(f"document.querySelectorAll('.player')[{number}].scrollIntoView({{ behavior: 'instant' }})")
            browser.until(f"document.querySelectorAll('.player')[{number}].querySelector('audio') !== null")
            audio = f"document.querySelectorAll('.player')[{number}].querySelector('audio')"
            browser.run(f"{audio}.play()")
            browser.until(f"{audio}.currentTime > 0")
            browser.run(f"{audio}.pause(); {audio}.currentTime = 0.6")
        browser.until(f"{lit}.join() === 'bc,tree,'")
        browser.run("document.querySelectorAll('.player')[2].querySelector('audio').currentTime = 0.1")
        browser.until(f"{lit}.join() === 'bc,tree,b'")
        labels = "[...document.querySelectorAll('button.heard')].map(b => b.ariaLabel.split(':')[0])"
        assert browser.run(labels) == ["a", "bc", "tree", "b"]
        assert browser.troubles() == []


def test_a_count_leads_to_its_lines_and_back(tmp_path):
    page = write_report(tmp_path, heard(tmp_path))["report.html"]
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        browser.run("document.querySelector('tr[data-said=three][data-heard=tree] button').click()")
        assert ids(browser) == ["b-2"]
        assert browser.run("document.activeElement.textContent") == "Only lines with “three” read as “tree” ✕"
        browser.run("document.activeElement.click()")
        assert len(ids(browser)) == 3
        assert browser.troubles() == []


def test_pictures_show_their_characters_and_missing_files_a_sentence(tmp_path):
    rows = [EvaluatedLine("1", "w", "ab", "ax"), EvaluatedLine("2", "w", "c", "c")]
    picture = image_uri(np.full((40, 100), 255, np.uint8))
    given = Evaluation("written", rows, kind="image", media={"1": picture, "2": "./none.png"})
    peaks = np.zeros((10, 2))
    peaks[4, 1], peaks[:, 0] = 1, 0.5
    given.exhibits["1"] = Exhibit([("a", 0.0, 0.5), ("x", 0.5, 1.0)], pack(peaks, ["", "a"], (0.0, 1.0)))
    page = write_report(tmp_path, given)["report.html"]
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page)
        browser.run("document.querySelector('img').scrollIntoView({ behavior: 'instant' })")
        browser.until("document.querySelector('img').naturalWidth === 100")
        places = "[...document.querySelectorAll('.span')].map(s => [s.textContent, s.style.left, s.style.width])"
        assert browser.run(places) == [["a", "0%", "50%"], ["x", "50%", "50%"]]
        # the frames stand below their columns: that of the fifth of ten peaks at 45 of 100 pixels
        browser.run("document.querySelector('.tools button').click()")
        peak = "document.querySelector('.posteriors .curve').getAttribute('points').split(' ')[1].split(',')[0]"
        left = "document.querySelector('{}').getBoundingClientRect().left"
        at = browser.run(f"{left.format('.posteriors svg')} + Number({peak}) - {left.format('.plate img')}")
        assert at == pytest.approx(45, abs=0.5)
        browser.run("document.querySelector('img[alt*=\"Line 2\"]')?.scrollIntoView({ behavior: 'instant' })")
        browser.until("document.body.textContent.includes('The file is not there any more')")


def test_hostile_text_shows_as_text(tmp_path):
    rows = [EvaluatedLine(f"{n} {text[:40]}", text[:30], text, f"{text} y", 1.0) for n, text in enumerate(HOSTILE)]
    rows += [EvaluatedLine(f"single {n}", text[:30], "", text, 1.0) for n, text in enumerate(HOSTILE)]
    given = Evaluation(HOSTILE[1], rows, decoder=HOSTILE[0], rules=HOSTILE)
    with Chromium(tmp_path / "profile") as browser:
        browser.open(write_report(tmp_path, given)["report.html"])
        assert browser.run("document.title").startswith(HOSTILE[1])
        assert browser.run("document.scripts.length") == 2
        assert browser.run("document.images.length") == 0
        assert len(ids(browser)) == len(rows)
        shown = browser.run("[...document.querySelectorAll('.line bdi')].map(b => b.textContent)")
        assert all(harmless(row.id) in shown for row in rows)
        said = browser.run("[...document.querySelectorAll('.line .said')].map(s => s.textContent).join(' ')")
        for text in HOSTILE[:5]:
            assert all(word in said for word in text.split())
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.troubles() == []


def test_without_script_headline_tables_and_worst_lines_are_there(tmp_path):
    page = write_report(tmp_path, heard(tmp_path))["report.html"]
    with Chromium(tmp_path / "profile") as browser:
        browser.send("Emulation.setScriptExecutionDisabled", value=True)
        browser.open(page)
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
        text = browser.run("document.body.innerText")
        assert ids(browser) == ["b-10", "b-2"]
        assert "Kinds of errors" in text
        assert browser.run("document.querySelectorAll('.controls').length") == 0
        assert browser.run("document.querySelectorAll('audio[controls]').length") == 1
        assert browser.troubles() == []
