"""The page in a real browser, with a real server."""

import base64
import json
import os
from pathlib import Path

import numpy as np
import pytest
import soundfile

from seqlab.media.audio import write_wav
from seqlab.recognizer import Recognizer
from seqlab.serve.models import named
from seqlab.verbs import serve as verb
from tests.report.chromium import PATH, Chromium
from tests.serve.service import SPEECH, build, ink, png, serving, wav
from tests.streaming.conftest import RATE

pytestmark = [pytest.mark.browser, pytest.mark.skipif(PATH is None, reason="no chromium")]
# three of one speaker's recordings of the Free Spoken Digit Dataset, none of them trained on (CC BY-SA 4.0)
SPOKEN = Path(__file__).parent / "spoken_digits.flac"
SHOTS = os.environ.get("SEQLAB_SCREENSHOTS")


class Page(Chromium):
    """The page of a service, with a microphone that beeps."""

    def fresh(self, folder, port, width=1280, dark=False):
        """Open the page anew."""
        self.send("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(folder))
        self.show_as(width, dark)
        self.events.clear()
        self.visit(f"http://localhost:{port}/")
        self.until("document.querySelectorAll('#model option').length")
        return self

    def choose(self, model):
        self.run(
            f"const m = document.getElementById('model'); m.value = '{model}'; m.dispatchEvent(new Event('change'))"
        )

    def drop(self, *files):
        """Drop files (name, content) on the page."""
        given = json.dumps([[name, base64.b64encode(content).decode()] for name, content in files])
        self.run(
            f"const files = new DataTransfer(); for (const [name, text] of {given})"
            " files.items.add(new File([Uint8Array.from(atob(text), c => c.charCodeAt(0))], name));"
            "document.dispatchEvent(new DragEvent('drop', { dataTransfer: files, bubbles: true, cancelable: true }))"
        )

    def articles(self, count):
        self.until(f"document.querySelectorAll('article').length === {count}")
        return self.run(
            "[...document.querySelectorAll('article')].map(a => a.querySelector('.words, .bad').textContent)"
        )

    def key(self, key, code=None, modifiers=0, text=None):
        given = {"key": key, "code": code or key, "modifiers": modifiers}
        keys = {"Tab": 9, "Enter": 13, " ": 32, "ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40}
        given["windowsVirtualKeyCode"] = keys[key]
        self.send("Input.dispatchKeyEvent", type="keyDown", **given, **({"text": text} if text else {}))
        self.send("Input.dispatchKeyEvent", type="keyUp", **given)

    def draw(self, points):
        """Draw one stroke with the mouse, in pixels of the canvas on screen."""
        box = self.run("(b => [b.left, b.top])(document.getElementById('ink').getBoundingClientRect())")
        kinds = ["mousePressed"] + ["mouseMoved"] * (len(points) - 2) + ["mouseReleased"]
        for kind, (x, y) in zip(kinds, points, strict=True):
            settings = {"x": box[0] + x, "y": box[1] + y, "button": "left", "buttons": 1, "clickCount": 1}
            self.send("Input.dispatchMouseEvent", type=kind, **settings)

    def shot(self, name):
        if SHOTS:
            size = self.send("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
            data = self.send("Page.captureScreenshot", clip=clip, captureBeyondViewport=True)["data"]
            Path(SHOTS, name).write_bytes(base64.b64decode(data))

    def faults(self):
        """Return errors, messages and requests to elsewhere."""
        return [x for x in self.troubles() if not str(x).startswith(("http://localhost", "blob:http://localhost"))]


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    fake = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
    with Page(tmp_path_factory.mktemp("profile"), extra=fake) as page:
        yield page


@pytest.fixture(scope="module")
def port(recognizers):
    with serving(build(recognizers)) as port:
        yield port


@pytest.fixture
def page(browser, port, tmp_path):
    return browser.fresh(tmp_path, port)


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "said.wav"
    write_wav(path, SPEECH, RATE)
    return path


def test_a_dropped_recording_is_read_and_its_words_light_up(page, recording, recognizers, tmp_path):
    expected = recognizers["ears"].transcribe(recording)
    page.drop(("said.wav", recording.read_bytes()))
    assert page.articles(1) == [" ".join(word.text for word in expected.words)]
    page.run("const audio = document.querySelector('audio'); audio.muted = true; audio.play()")
    page.until("document.querySelector('audio').currentTime > 0")
    page.run("document.querySelector('audio').pause()")
    word = expected.words[1]
    page.run(f"document.querySelector('audio').currentTime = {(word.start + word.end) / 2}")
    lit = "[...document.querySelectorAll('.words .now')].map(b => b.textContent).join()"
    page.until(f"{lit} === {json.dumps(word.text)}")
    label = page.run("document.querySelectorAll('.words button')[1].ariaLabel")
    assert label.startswith(f"{word.text}, {round(word.confidence * 100)} % sure, at {word.start:.2f} seconds")
    page.shot("audio.png")
    assert page.faults() == []


def test_every_format_is_downloaded(page, recording, recognizers, tmp_path):
    page.drop(("said.wav", recording.read_bytes()))
    page.articles(1)
    forms = page.run("[...document.querySelectorAll('.downloads button')].map(b => b.textContent)")
    assert {"txt", "json", "srt", "vtt", "ctm", "textgrid"} <= set(forms)
    for number in range(len(forms)):
        page.run(f"document.querySelectorAll('.downloads button')[{number}].click()")
        suffix = {"textgrid": "TextGrid"}.get(forms[number], forms[number])
        path = tmp_path / f"said.{suffix}"
        page.wait(path.exists)
    expected = recognizers["ears"].transcribe(recording).text
    page.wait(lambda: (tmp_path / "said.txt").read_text() == f"{expected}\n")
    assert page.faults() == []


def test_files_go_to_the_model_that_reads_them(page, recording):
    page.drop(("line.png", png()), ("ink.json", ink()), ("said.wav", recording.read_bytes()), ("bad.wav", b"hello"))
    texts = page.articles(4)
    assert "text, not audio" in texts[0]
    assert page.run("document.getElementById('status').textContent") == "1 of 4 could not be read."
    assert page.run("document.querySelectorAll('article img').length") == 1
    page.shot("several.png")
    assert [x for x in page.faults() if "422" not in str(x)] == []


def test_the_microphone_is_heard(page, recognizers):
    page.run("document.getElementById('record').click()")
    page.until("parseFloat(document.getElementById('clock').textContent) > 1.2")
    page.shot("recording.png")
    page.run("document.getElementById('record').click()")
    page.articles(1)
    page.until("document.querySelector('audio').duration > 1")
    assert "model ears" in page.run("document.querySelector('article').textContent")
    assert page.faults() == []


def test_strokes_are_read_while_they_are_written(page):
    page.choose("hand")
    page.draw([(100 + x, 60 + 30 * np.sin(x / 9)) for x in range(0, 120, 6)])
    first = page.until("document.getElementById('writing').textContent")
    page.draw([(260 + x, 60 + 30 * np.cos(x / 9)) for x in range(0, 120, 6)])
    page.until(f"document.getElementById('writing').textContent !== {json.dumps(first)}")
    page.run("document.getElementById('undo').click()")
    page.until(f"document.getElementById('writing').textContent === {json.dumps(first)}")
    page.run("document.getElementById('keep').click()")
    assert page.articles(1)[0].replace(" ", "") == first.replace(" ", "")
    assert page.run("document.querySelectorAll('article polyline').length") == 1
    assert page.run("document.getElementById('writing').textContent") == ""
    assert page.faults() == []


def test_the_page_works_by_keyboard_alone(page):
    page.choose("hand")
    reached = []
    for _ in range(12):
        page.key("Tab")
        reached.append(page.run("document.activeElement.id"))
    order = ["model", "files", "ink", "undo", "clear", "keep"]
    assert [id for id in reached if id in order][:6] == order
    page.run("document.getElementById('ink').focus()")
    page.key(" ")
    for key in ["ArrowRight"] * 10 + ["ArrowDown"] * 10:
        page.key(key, modifiers=8)
    page.key(" ")
    page.until("document.getElementById('writing').textContent")
    page.shot("keyboard.png")
    for _ in range(3):
        page.key("Tab")
    page.key("Enter", text="\r")
    page.articles(1)
    assert page.faults() == []


@pytest.mark.parametrize("model", ["ears", "hand"])
def test_a_phone_shows_all_of_it_in_the_dark(browser, port, tmp_path, recording, model):
    page = browser.fresh(tmp_path, port, 390, dark=True)
    page.choose(model)
    page.drop(("a-name-without-a-break-that-is-very-long-" * 4 + ".wav", recording.read_bytes()), ("b.png", png(900)))
    page.articles(2)
    if model == "hand":
        page.draw([(40 + x, 40 + 20 * np.sin(x / 9)) for x in range(0, 120, 6)])
        page.until("document.getElementById('writing').textContent")
    assert page.run("document.documentElement.scrollWidth <= innerWidth")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(21, 24, 28)"
    page.shot(f"phone-{model}.png")
    assert page.faults() == []


def test_a_token_is_asked_for_and_kept(browser, running):
    port = running(token="s3cret")
    page = browser
    page.visit(f"http://localhost:{port}/")
    page.until("document.getElementById('secret')?.hidden === false")
    page.run("document.querySelector('#secret [type=password]').value = 's3cret'")
    page.run("document.querySelector('#secret button').click()")
    page.until("document.querySelectorAll('#model option').length")
    assert page.run("document.getElementById('secret').hidden")
    page.run("location.reload()")
    page.until("document.querySelectorAll('#model option').length")


# Digits as strokes of a person's pen, in a box of 100 x 100.
SEVEN = [[(10, 10), (30, 10), (50, 10), (70, 10), (85, 10), (75, 28), (65, 46), (55, 65), (45, 82), (38, 98)]]
ONE = [[(50, 5), (50, 20), (50, 35), (50, 50), (50, 65), (50, 80), (50, 97)]]
ZERO = [[(50 + 33 * np.sin(a), 50 - 46 * np.cos(a)) for a in np.linspace(-0.2, -6.4, 28)]]


@pytest.fixture(scope="module")
def demo():
    """Return the port of a service of what seqlab serve serves when it is given no model."""
    with serving(build({name: Recognizer.load(path) for name, path in named(verb.default()).items()})) as port:
        yield port


def test_three_digits_are_written_and_read(browser, demo, tmp_path):
    page = browser.fresh(tmp_path, demo)
    page.choose("pen_digits")
    for number, digit in enumerate((SEVEN, ONE, ZERO)):
        for stroke in digit:
            page.draw([(60 + 110 * number + x, 50 + y) for x, y in stroke])
    page.until("document.getElementById('writing').textContent === '710'", 20)
    page.shot("digits.png")
    page.run("document.getElementById('keep').click()")
    assert page.articles(1) == ["710"]
    page.shot("kept.png")
    assert page.faults() == []


@pytest.mark.parametrize("width", [1280, 390])
def test_three_spoken_digits_are_read(browser, demo, tmp_path, width):
    samples, rate = soundfile.read(SPOKEN, dtype="float32")
    page = browser.fresh(tmp_path, demo, width, dark=width < 600)
    page.drop(("digits.wav", wav(samples, rate)))
    assert page.articles(1) == ["eight six four"]
    page.shot(f"spoken-{width}.png")
    assert page.faults() == []
