"""Subtitles: captions worked by hand, the rules on any words, and text that means something to players."""

import re
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.outputs import Transcript, Word, srt, vtt
from seqlab.outputs.segments import captions, segments, width


def said(text: str, start: float = 0.0, step: float = 0.5, length: float = 0.4) -> Transcript:
    """Say words at a steady pace."""
    words = [Word(word, start + i * step, start + i * step + length) for i, word in enumerate(text.split())]
    return Transcript(text, words, duration=start + len(words) * step + 1)


def both(*transcripts: Transcript) -> Transcript:
    words = [word for transcript in transcripts for word in transcript.words]
    return Transcript(" ".join(t.text for t in transcripts), words, duration=words[-1].end + 1)


def test_srt_and_vtt_as_written_by_hand() -> None:
    # Yes: 0.4 s are said; it stays 5/6 s. Then a pause; 24 letters in 2.4 s want 24 / 17 s, so it ends with its words.
    transcript = both(said("Yes."), said("come here & bring <me> it", start=3661.25, step=0.4))
    assert list(srt.to_lines([transcript])) == [
        "1", "00:00:00,000 --> 00:00:00,833", "Yes.", "",
        "2", "01:01:01,250 --> 01:01:03,650", "come here & bring ＜me> it", "",
    ]  # fmt: skip
    assert list(vtt.to_lines([transcript])) == [
        "WEBVTT", "",
        "00:00:00.000 --> 00:00:00.833", "Yes.", "",
        "01:01:01.250 --> 01:01:03.650", "come here &amp; bring &lt;me&gt; it", "",
    ]  # fmt: skip


def test_fast_words_stay_twelve_frames_longer_and_end_two_frames_before_the_next() -> None:
    text = "extraordinarily complicated"  # 27 characters want 27 / 17 = 1.588 s
    fast = [Word("extraordinarily", 0.0, 0.5), Word("complicated", 0.5, 0.9)]
    assert captions(Transcript(text, fast)) == [(0.0, pytest.approx(0.9 + 12 / 24), [text])]
    later = Word("indeed", 1.95, 2.4)  # a pause of more than a second: a segment of its own
    (_, end, _), (start, _, _) = captions(Transcript(f"{text} indeed", [*fast, later]))
    assert (end, start) == (pytest.approx(1.4), 1.95)
    words = [Word("a" * 40, 0.0, 3.0), Word("b" * 42, 3.0, 6.0), Word("c" * 42, 6.0, 9.0)]
    first, second = captions(Transcript(" ".join(w.text for w in words), words))
    assert second[0] - first[1] == pytest.approx(2 / 24)


def test_captions_end_where_sentences_and_pauses_are() -> None:
    text = "We went out early. It was cold there, and nobody had come to meet us at the door"
    found = captions(said(text, step=0.4, length=0.3))
    assert [" ".join(lines) for *_, lines in found] == ["We went out early.", text.removeprefix("We went out early. ")]
    assert found[1][2] == ["It was cold there,", "and nobody had come to meet us at the door"]
    pause = both(said("one two three"), said("four five six", start=2.2))  # 0.8 s of silence, no sign
    assert [" ".join(lines) for *_, lines in captions(pause)] == ["one two three four five six"]
    long = both(said("one two three " * 4, step=0.3), said("four five six " * 4, start=4.3, step=0.3))
    assert [" ".join(lines).split()[0] for *_, lines in captions(long)] == ["one", "four"]


def test_the_lower_line_is_the_longer_one() -> None:
    (_, _, lines), *_ = captions(said("nine two five four five three nine eight", step=0.2, length=0.15))
    assert lines == ["nine two five four five three nine eight"]  # 40 columns: one line
    (_, _, lines), *_ = captions(said("nine two five four five three nine eight six", step=0.2, length=0.15))
    assert lines == ["nine two five four", "five three nine eight six"]


def test_segments_are_divided_at_pauses_of_a_second() -> None:
    words = [Word("a", 0.0, 0.5), Word("b", 1.4, 1.6), Word("c", 2.6, 3.0)]
    assert [[w.text for w in group] for group in segments(Transcript("a b c", words))] == [["a", "b"], ["c"]]
    assert segments(Transcript("")) == []


def test_text_without_spaces_is_cut_where_its_characters_are() -> None:
    text = "語" * 50  # two columns each: 21 a line
    characters = [Word(c, i * 0.2, i * 0.2 + 0.2) for i, c in enumerate(text)]
    whole = Transcript(text, [Word(text, 0.0, 10.0)], duration=10.0, characters=characters)
    found = captions(whole)
    assert "".join("".join(lines) for *_, lines in found) == text
    assert all(width(line) <= 42 for *_, lines in found for line in lines)
    assert found[1][0] == pytest.approx(0.2 * sum(len(line) for line in found[0][2]))
    whole.characters = []
    assert "".join("".join(lines) for *_, lines in captions(whole)) == text


HOSTILE = ["-->", "\n\n2\n00:00:00,000 --> 00:00:09,000\nfalse", "<script>", "</c>", "{\\an8}up", "\x1b[2J\x00", "&lt;"]
HOSTILE += ["\u202e\u2066abc", "\u2028\x85x", "שלום", "\ud800"]


@pytest.mark.parametrize("text", HOSTILE)
def test_text_cannot_write_captions_of_its_own(text: str) -> None:
    transcript = Transcript(text, [Word(text, 1.0, 2.0), Word("end", 2.1, 2.5)], duration=3.0)
    for form, count in ((srt, 1), (vtt, 1)):
        lines = list(form.to_lines([transcript]))
        assert not any(re.search("[\x00-\x1f\x7f-\x9f\u2028\u202a-\u202e\u2066-\u2069\ud800-\udfff]", x) for x in lines)
        assert sum("-->" in line for line in lines) == count
        assert not any(re.search(r"<[/a-z]", line) for line in lines)
        assert form is vtt or not any("{\\" in line for line in lines)
        assert sum(not line for line in lines) == (2 if form is vtt else 1)
    if text == "שלום":
        assert "שלום end" in list(srt.to_lines([transcript]))


def test_what_subtitles_cannot_hold_is_refused() -> None:
    for form in (srt, vtt):
        assert [line for line in form.to_lines([Transcript("", duration=1.0)]) if "-->" in line] == []
        with pytest.raises(DataError, match=r"a\.png: .*seconds, not px; use json"):
            list(form.to_lines([Transcript("a", [Word("a", 1, 2)], source="a.png", unit="px")]))
        with pytest.raises(DataError, match="one recording, got 2"):
            list(form.to_lines([Transcript(""), Transcript("")]))
        with pytest.raises(DataError, match="need times"):
            list(form.to_lines([Transcript("a")]))


WORDS = st.lists(
    st.tuples(
        st.text(st.sampled_from("abc,.?語é "), min_size=1, max_size=60),
        st.floats(0, 3),  # silence before it
        st.floats(0, 2),  # its length
    ),
    max_size=60,
)


@settings(deadline=None, max_examples=150)
@given(WORDS)
def test_rules_hold_whatever_is_said(given_words: list[tuple[str, float, float]]) -> None:
    words, at = [], 0.0
    for text, silence, length in given_words:
        words.append(Word(text, at + silence, at + silence + length))
        at = words[-1].end
    found = captions(Transcript(" ".join(w.text for w in words), words, duration=at))
    for start, end, lines in found:
        assert start < end
        assert 1 <= len(lines) <= 2
        assert all(0 < width(line) <= 42 for line in lines)
        assert end - start <= 7.001 or len("".join(lines).split()) == 1 or max(w.end - w.start for w in words) > 1
    for before, after in pairwise(found):
        assert after[0] - before[1] >= 2 / 24 - 1e-6
    shown = "".join("".join(lines).replace(" ", "") for *_, lines in found)
    assert shown == "".join("".join(w.text.split()) for w in words)
