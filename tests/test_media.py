import os
import random
import stat
import struct
import tracemalloc

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from seqlab.errors import DataError
from seqlab.manifest import Line
from seqlab.media import audio_info, read_audio, read_line, write_flac, write_wav


def sine(frequency, rate, seconds):
    return 0.5 * np.sin(2 * np.pi * frequency * np.arange(round(rate * seconds)) / rate)


def rough(samples=4000, seed=0):
    """Noise, which no codec squeezes away."""
    return np.random.default_rng(seed).uniform(-0.5, 0.5, samples)


def wav_bytes(data, rate=8000, channels=1, bits=16, data_size=None, kind=1):
    """A RIFF file by hand, with any number wrong."""
    size = len(data) if data_size is None else data_size
    frame = channels * bits // 8
    form = struct.pack("<HHIIHH", kind, channels, rate, rate * frame & 0xFFFFFFFF, frame & 0xFFFF, bits)
    body = b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + struct.pack("<I", size) + data
    return b"RIFF" + struct.pack("<I", min(len(body), 0xFFFFFFFF)) + body


def with_flac_total(data, total):
    """Set the 36-bit sample count of a FLAC header."""
    field = int.from_bytes(data[18:26], "big") >> 36 << 36 | total
    return data[:18] + field.to_bytes(8, "big") + data[26:]


@pytest.fixture
def no_ffmpeg(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("name", "subtype", "tolerance"),
    [
        ("a.wav", "PCM_U8", 0.01),
        ("a.wav", "PCM_16", 4e-5),
        ("a.wav", "PCM_24", 1e-6),
        ("a.wav", "FLOAT", 1e-7),
        ("a.wav", "ULAW", 0.02),
        ("a.flac", "PCM_16", 4e-5),
        ("a.aiff", "PCM_16", 4e-5),
        ("a.ogg", "VORBIS", 0.05),
    ],
)
def test_formats_decode_to_the_samples_written(tmp_path, name, subtype, tolerance):
    signal = sine(300, 11025, 0.5)
    soundfile.write(tmp_path / name, signal, 11025, subtype=subtype)
    read, rate = read_audio(tmp_path / name)
    assert rate == 11025
    assert read.dtype == np.float32
    assert read.shape == signal.shape
    assert np.abs(read - signal).max() < tolerance


def test_mp3_is_read(tmp_path):
    soundfile.write(tmp_path / "a.mp3", sine(300, 16000, 1.0), 16000)
    read, rate = read_audio(tmp_path / "a.mp3")
    assert rate == 16000
    assert np.sqrt(np.mean(read**2)) == pytest.approx(0.5 / np.sqrt(2), rel=0.05)


def test_channels_are_averaged(tmp_path):
    frames = np.array([[0.5, -0.25, 0.5], [1.0, 0.0, -0.25]])
    soundfile.write(tmp_path / "a.wav", frames, 8000, subtype="FLOAT")
    read, _ = read_audio(str(tmp_path / "a.wav"))
    assert read.tolist() == [0.25, 0.25]


def test_resampling_keeps_a_sine(tmp_path):
    soundfile.write(tmp_path / "a.wav", sine(440, 8000, 1.0), 8000, subtype="FLOAT")
    read, rate = read_audio(tmp_path / "a.wav", 16000)
    assert rate == 16000
    assert len(read) == 16000
    assert np.abs(read - sine(440, 16000, 1.0))[200:-200].max() < 1e-3


@pytest.mark.parametrize("target", [8000, 16000, 44100])
def test_resampling_by_blocks_equals_resampling_at_once(tmp_path, target):
    signal = rough(150_001).astype(np.float32)  # three blocks
    soundfile.write(tmp_path / "a.wav", signal, 22050, subtype="FLOAT")
    read, _ = read_audio(tmp_path / "a.wav", target)
    np.testing.assert_allclose(read, soxr.resample(signal, 22050, target, quality="HQ"), atol=1e-6)


def test_audio_info_reads_the_header(tmp_path):
    soundfile.write(tmp_path / "a.flac", np.zeros((12000, 2)), 8000)
    info = audio_info(tmp_path / "a.flac")
    assert (info.samples, info.sample_rate, info.channels, info.duration) == (12000, 8000, 2, 1.5)


# what is wrong, and what the message must say


def _cut(data, share=0.6):
    return data[: int(len(data) * share)]


def _file(tmp_path, name, samples=None, **options):
    path = tmp_path / f"source.{name.rsplit('.')[-1]}"
    soundfile.write(path, rough() if samples is None else samples, 8000, **options)
    return path.read_bytes()


FAULTY = {
    "empty file": ("a.wav", lambda t: b"", "empty"),
    "text": ("a.wav", lambda t: b"<html>not found</html>\n", "is text, not audio.*<html>"),
    "blanks": ("a.wav", lambda t: b" \n \n", "is text"),
    "git lfs pointer": ("a.flac", lambda t: b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
    "random bytes": ("a.mp3", lambda t: random.Random(1).randbytes(3000), "cannot be read as audio"),
    "no sample": ("a.wav", lambda t: wav_bytes(b""), "holds no samples"),
    "never finished": ("a.wav", lambda t: wav_bytes(b"\1\0" * 500, data_size=0), "never finished"),
    "cut WAV": ("a.wav", lambda t: _cut(_file(t, "a.wav")), "cut off: 3218 of 8044 bytes"),
    "cut FLAC": ("a.flac", lambda t: _cut(_file(t, "a.flac", rough(40_000))), "cut off or damaged.*5.0 s"),
    "cut OGG": ("a.ogg", lambda t: _cut(_file(t, "a.ogg")), "cut off"),
    "FLAC header alone": ("a.flac", lambda t: _file(t, "a.flac")[:60], "FLAC"),
    "FLAC claims too much": ("a.flac", lambda t: with_flac_total(_file(t, "a.flac"), 2**36 - 1), "cut off or damaged"),
    "WAV claims 2 GB": ("a.wav", lambda t: wav_bytes(b"\1\0" * 500, data_size=2_000_000_000), "cut off"),
    "NaN": ("a.wav", lambda t: _file(t, "a.wav", np.array([0.0, 0.1, np.nan]), subtype="FLOAT"), "nan"),
    "infinity": ("a.wav", lambda t: _file(t, "a.wav", np.array([0.0, np.inf]), subtype="FLOAT"), "inf"),
    "1e30": ("a.wav", lambda t: _file(t, "a.wav", np.array([0.0, 1e30]), subtype="FLOAT"), r"1e\+30"),
    "65 channels": ("a.wav", lambda t: wav_bytes(bytes(130 * 9), channels=65), "65 channels"),
    "rate 50": ("a.wav", lambda t: wav_bytes(b"\1\0" * 500, rate=50), "sample rate of 50 Hz"),
    "rate 2 MHz": ("a.wav", lambda t: wav_bytes(b"\1\0" * 500, rate=2_000_000), "sample rate of 2000000 Hz"),
    "headerless": ("a.raw", lambda t: b"\1\0" * 500, "cannot be read as audio"),
}


@pytest.mark.parametrize("fault", FAULTY)
def test_faulty_files_are_named_with_their_fault(tmp_path, no_ffmpeg, fault):
    name, make, message = FAULTY[fault]
    path = tmp_path / name
    path.write_bytes(make(tmp_path))
    with pytest.raises(DataError, match=f"(?s){name}.*{message}"):
        read_audio(path)


@pytest.mark.parametrize("read", [read_audio, audio_info])
def test_missing_file_and_folder(tmp_path, read):
    with pytest.raises(FileNotFoundError, match=r"gone\.wav"):
        read(tmp_path / "gone.wav")
    with pytest.raises(DataError, match="is a folder"):
        read(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes on this system")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "a.wav")
    with pytest.raises(DataError, match="no regular file"):
        read_audio(tmp_path / "a.wav")


def test_damage_inside_a_flac_is_found(tmp_path):
    data = bytearray(_file(tmp_path, "a.flac", rough(40_000)))
    data[len(data) // 2 : len(data) // 2 + 40] = bytes(40)
    (tmp_path / "a.flac").write_bytes(data)
    with pytest.raises(DataError, match=r"a\.flac.*(damaged|cut off)"):
        read_audio(tmp_path / "a.flac")


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_wav_streams_of_unknown_length_are_read(tmp_path, size):
    (tmp_path / "a.wav").write_bytes(wav_bytes(struct.pack("<3h", 0, 16384, -16384), data_size=size))
    assert read_audio(tmp_path / "a.wav")[0].tolist() == [0, 0.5, -0.5]
    assert audio_info(tmp_path / "a.wav").samples == 3


def test_flac_streams_of_unknown_length_are_read(tmp_path):
    (tmp_path / "a.flac").write_bytes(with_flac_total(_file(tmp_path, "a.flac"), 0))
    assert len(read_audio(tmp_path / "a.flac")[0]) == 4000
    assert audio_info(tmp_path / "a.flac").samples == 4000


def test_wav_whose_size_counts_its_header_is_read(tmp_path):
    (tmp_path / "a.wav").write_bytes(wav_bytes(b"\0\x40" * 100, data_size=244))
    assert len(read_audio(tmp_path / "a.wav")[0]) == 100


def test_too_short_to_resample(tmp_path):
    soundfile.write(tmp_path / "a.wav", np.ones(1), 44100)
    with pytest.raises(DataError, match="leave none"):
        read_audio(tmp_path / "a.wav", 8000)


@pytest.mark.parametrize("rate", [0, -1, 10**9])
def test_senseless_target_rate(tmp_path, rate):
    with pytest.raises(ValueError, match="sample_rate must lie"):
        read_audio(tmp_path / "a.wav", rate)


def test_memory_follows_the_mono_signal(tmp_path):
    samples = 1_000_000
    data = wav_bytes(b"", channels=8, data_size=samples * 16)
    with open(tmp_path / "a.wav", "wb") as file:
        file.write(data)
        file.truncate(len(data) + samples * 16)
    tracemalloc.start()
    try:
        read, _ = read_audio(tmp_path / "a.wav")
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert len(read) == samples
    assert peak < 4 * samples + 4_000_000  # the eight channels alone would be 32 MB


SEEDS = ("wav", "flac", "ogg", "aiff")


@pytest.fixture(scope="module")
def healthy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("healthy")
    for kind in SEEDS:
        soundfile.write(folder / f"a.{kind}", rough(2000), 8000)
    return {kind: (folder / f"a.{kind}").read_bytes() for kind in SEEDS}


@settings(max_examples=250, deadline=None, derandomize=True)
@given(
    kind=st.sampled_from(SEEDS),
    changes=st.lists(st.tuples(st.integers(0, 90), st.integers(0, 255)), max_size=6),
    ones=st.none() | st.integers(0, 60),
    length=st.none() | st.integers(1, 3000),
)
def test_hostile_headers_end_in_audio_or_in_a_data_error(healthy, tmp_path_factory, kind, changes, ones, length):
    data = bytearray(healthy[kind])
    for position, value in changes:
        data[position] = value
    if ones is not None:
        data[ones : ones + 4] = b"\xff\xff\xff\xff"
    path = tmp_path_factory.getbasetemp() / f"hostile.{kind}"
    path.write_bytes(data[:length])
    tracemalloc.start()
    try:
        signal, rate = read_audio(path)
        assert signal.ndim == 1
        assert np.isfinite(signal).all()
        assert 100 <= rate <= 1_000_000
        audio_info(path)
    except DataError:
        pass
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert peak < 100_000_000


# other formats through ffmpeg


def _fake_ffmpeg(folder, script):
    folder.mkdir()
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return str(folder)


ALIEN = b"\0\0\0\x20ftypM4A \0\0\0\0" + bytes(range(200))


@pytest.mark.skipif(os.name != "posix", reason="the fake program is a shell script")
def test_other_formats_go_through_ffmpeg(tmp_path, monkeypatch):
    soundfile.write(tmp_path / "decoded.wav", sine(300, 8000, 0.5), 8000)
    script = f'for target; do :; done\n/bin/cp "{tmp_path}/decoded.wav" "$target"'
    monkeypatch.setenv("PATH", _fake_ffmpeg(tmp_path / "bin", script))
    (tmp_path / "-a b.m4a").write_bytes(ALIEN)
    monkeypatch.chdir(tmp_path)
    read, rate = read_audio("-a b.m4a", 16000)
    assert (len(read), rate) == (8000, 16000)
    assert audio_info("-a b.m4a").samples == 4000


@pytest.mark.skipif(os.name != "posix", reason="the fake program is a shell script")
def test_what_ffmpeg_says_reaches_the_user(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", _fake_ffmpeg(tmp_path / "bin", "echo 'moov atom not found' >&2; exit 1"))
    (tmp_path / "a.m4a").write_bytes(ALIEN)
    with pytest.raises(DataError, match=r"a\.m4a.*moov atom not found"):
        read_audio(tmp_path / "a.m4a")


def test_without_ffmpeg_the_message_says_what_helps(tmp_path, no_ffmpeg):
    (tmp_path / "a.m4a").write_bytes(ALIEN)
    with pytest.raises(DataError, match=r"a\.m4a.*WAV, FLAC, OGG, MP3.*install the program ffmpeg"):
        read_audio(tmp_path / "a.m4a")


# lines


def _line(tmp_path, **fields):
    return Line(id="x-1", text="one", root=tmp_path, where="m.jsonl:7", **fields)


def test_parts_are_joined_with_silence(tmp_path):
    soundfile.write(tmp_path / "1.wav", np.array([0.5, 0.25]), 1000, subtype="FLOAT")
    soundfile.write(tmp_path / "2.wav", np.array([-0.5]), 1000, subtype="FLOAT")
    signal, rate = read_line(_line(tmp_path, parts=["1.wav", "2.wav"], silence_ms=[1, 2, 3]), None)
    assert rate == 1000
    assert signal.dtype == np.float32
    assert signal.tolist() == [0, 0.5, 0.25, 0, 0, -0.5, 0, 0, 0]


def test_silence_follows_the_rate_in_use(tmp_path):
    soundfile.write(tmp_path / "1.wav", np.zeros(80), 8000)
    signal, rate = read_line(_line(tmp_path, parts=["1.wav"], silence_ms=[10, 5]), 16000)
    assert (len(signal), rate) == (160 + 160 + 80, 16000)


def test_parts_of_unequal_rates_take_the_highest(tmp_path):
    soundfile.write(tmp_path / "1.wav", np.zeros(800), 8000)
    soundfile.write(tmp_path / "2.wav", np.zeros(1600), 16000)
    signal, rate = read_line(_line(tmp_path, parts=["1.wav", "2.wav"], silence_ms=[0, 0, 0]))
    assert (len(signal), rate) == (3200, 16000)


def test_single_file_and_another_loader(tmp_path):
    asked = []

    def load(path, rate, span):
        asked.append((path, rate))
        return np.ones(3, np.float32), 8000

    signal, rate = read_line(_line(tmp_path, audio="a.wav"), 8000, load)
    assert (signal.tolist(), rate) == ([1, 1, 1], 8000)
    assert asked == [(tmp_path / "a.wav", 8000)]


@pytest.mark.parametrize("fields", [{"audio": "gone.wav"}, {"parts": ["gone.wav"], "silence_ms": [0, 0]}])
def test_errors_name_the_line(tmp_path, fields):
    with pytest.raises(FileNotFoundError, match=r"line x-1 \(m\.jsonl:7\): .*gone\.wav"):
        read_line(_line(tmp_path, **fields))
    (tmp_path / "gone.wav").write_text("hello")
    with pytest.raises(DataError, match=r"line x-1 \(m\.jsonl:7\): .*is text"):
        read_line(_line(tmp_path, **fields))


# writing


@pytest.mark.parametrize(("write", "name"), [(write_wav, "a.wav"), (write_flac, "a.flac")])
def test_written_audio_is_16_bit_and_clipped(tmp_path, write, name):
    path = tmp_path / "new" / name
    write(path, np.array([0.0, 0.5, -0.25, 2.0, -2.0]), 8000)
    assert soundfile.info(path).subtype == "PCM_16"
    read, rate = read_audio(path)
    assert rate == 8000
    np.testing.assert_allclose(read, [0, 0.5, -0.25, 1, -1], atol=5e-5)
    assert [p.name for p in path.parent.iterdir()] == [name]


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    write_wav(tmp_path / "a.wav", np.zeros(10), 8000)
    before = (tmp_path / "a.wav").read_bytes()

    def fail(path, *_args, **_options):
        path.write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(soundfile, "write", fail)
    with pytest.raises(OSError, match="disk full"):
        write_wav(tmp_path / "a.wav", np.ones(10), 8000)
    assert (tmp_path / "a.wav").read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.wav"]


@pytest.mark.parametrize("samples", [np.zeros((2, 2)), np.array([np.nan])])
def test_unwritable_samples(tmp_path, samples):
    with pytest.raises(ValueError, match="finite"):
        write_wav(tmp_path / "a.wav", samples, 8000)


@pytest.mark.parametrize(
    ("name", "subtype"),
    [
        *(("a.wav", subtype) for subtype in ("PCM_16", "FLOAT", "IMA_ADPCM")),
        *(("a.sph", subtype) for subtype in ("PCM_16", "ULAW")),
        *(("a.flac", "PCM_16"), ("a.aiff", "PCM_24"), ("a.ogg", "VORBIS")),
    ],
)
@pytest.mark.parametrize(("rate", "target"), [(8000, None), (44100, 16000), (8000, 16000), (16001, 8000), (48000, 100)])
def test_span_is_what_is_cut_out_of_the_whole(tmp_path, name, subtype, rate, target):
    path = tmp_path / name
    samples = rough(round(2.3 * rate))
    soundfile.write(path, samples, rate, subtype, format={"a.sph": "NIST"}.get(name))
    whole, at = read_audio(path, target)
    for begin, end in ((0.0, 0.5), (0.0, 2.3), (1.013, 1.77), (2.1, 9.0)):
        part, same = read_audio(path, target, (begin, end))
        assert same == at
        np.testing.assert_allclose(part, whole[round(begin * at) : round(end * at)], atol=0 if target is None else 2e-6)
    with pytest.raises(DataError, match=r"the span begins at 2\.50 s, .* ends at 2\.3"):
        read_audio(path, target, (2.5, 2.6))


def test_span_reads_nothing_else(tmp_path):
    samples = rough(80000)
    samples[60000] = np.nan
    soundfile.write(tmp_path / "1.wav", samples, 8000, "FLOAT")
    with pytest.raises(DataError, match=r"nan at 7\.50 s"):
        read_audio(tmp_path / "1.wav")
    part = read_line(_line(tmp_path, audio="1.wav", spans=[[2.0, 3.0]]))[0]
    np.testing.assert_array_equal(part, samples[16000:24000].astype(np.float32))
    with pytest.raises(DataError, match=r"nan at 7\.50 s"):
        read_audio(tmp_path / "1.wav", 16000, (7.4, 7.6))


def test_span_of_a_cut_file_is_named(tmp_path):
    write_flac(tmp_path / "1.flac", rough(80000), 8000)
    data = (tmp_path / "1.flac").read_bytes()
    (tmp_path / "1.flac").write_bytes(data[: len(data) // 2])
    assert len(read_audio(tmp_path / "1.flac", None, (1.0, 2.0))[0]) == 8000
    with pytest.raises(DataError, match=r"1\.flac is cut off or damaged"):
        read_audio(tmp_path / "1.flac", None, (8.0, 9.0))


def test_spans_take_a_stretch_of_each_recording(tmp_path):
    soundfile.write(tmp_path / "1.wav", np.array([0.5, 0.25, 0.125, 0]), 1000, subtype="FLOAT")
    assert read_line(_line(tmp_path, audio="1.wav", spans=[[0.001, 0.003]]))[0].tolist() == [0.25, 0.125]
    parts = _line(tmp_path, parts=["1.wav"] * 2, silence_ms=[0, 1, 0], spans=[[0, 0.001], [0.002, 9.0]])
    assert read_line(parts)[0].tolist() == [0.5, 0, 0.125, 0]
    with pytest.raises(DataError, match=r"line x-1 .*begins at 0\.00 s, .*1\.wav ends at 0\.00 s"):
        read_line(_line(tmp_path, audio="1.wav", spans=[[0.004, 0.005]]))
