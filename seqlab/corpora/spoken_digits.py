"""Spoken digits: connected English digits, synthesised here. A speech corpus that needs no download.

Lines of one to eight digits ("three one four") spoken by the espeak-ng synthesiser, 16 kHz mono FLAC. Made for first
runs, tests and demonstrations. **It is synthetic: a result on it says that training works, and nothing about real
speech**; every line carries ``"synthetic": "espeak-ng <version>"``, so that a report can say so too.

**How to get it.** ``pip install "seqlab[synth]"`` brings espeak-ng in the wheel espeakng-loader (GPL-3, loaded at run
time; what it speaks is not covered by that licence). Synthesis then takes well under a minute.

**Splits by voice.** A voice is an accent and a variant (male, female, older, ...). The 145 training voices, 5 dev
voices and 12 test voices share neither accents nor variants, and test variants have no near copy in training: error
rates are those of voices never heard. The unseen accents have seen relatives; with Caribbean left out of training,
three times as many test words were wrong. Voices take turns, digits are drawn evenly. Speed, pitch, intonation, a comma
now and then, level (26 dB wide), brightness, silence at both ends and background noise (14 to 40 dB below the speech)
vary from line to line.

**Determinism.** Each line depends on the option seed, its split and its number alone. espeak-ng keeps the phase of its
pitch flutter in static variables and seeds its noise by the clock, so for every line the library is loaded afresh
(under a millisecond) and given a seed. An interrupted run goes on where it stopped, and ends with the same corpus.

**Why 16 kHz FLAC.** The rate of LibriSpeech, so frontends and models carry over; lossless and smaller than WAV.
"""

import _ctypes
import ctypes
import json
import logging
import os
import random
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soxr

from seqlab.corpora._common import DIGITS, track, write_manifests
from seqlab.errors import DataError, UserError
from seqlab.files import write_lines
from seqlab.manifest import Line
from seqlab.media import audio_info, write_flac

SAMPLE_RATE = 16000
ACCENTS = {
    "train": ("en-us", "en", "en-gb-scotland", "en-029", "en-gb-x-gbcwmd"),  # 029: Caribbean, gbcwmd: West Midlands
    "dev": ("en-gb-x-rp",),  # Received Pronunciation
    "test": ("en-us-nyc", "en-gb-x-gbclan"),  # New York City, Lancaster
}
VARIANTS = {
    "train": (
        *("m1", "m2", "m3", "m4", "m6", "Alex", "Andy", "Diogo", "Gene", "Jacky", "Michael", "antonio", "ed"),
        *("grandpa", "klatt4", "max", "norbert", "pablo", "rob", "travis"),
        *("f1", "f3", "Alicia", "Annie", "anika", "grandma", "linda", "shelby", "steph"),
    ),
    "dev": ("m5", "Denis", "quincy", "f2", "f5"),
    "test": ("m7", "m8", "victor", "f4", "aunty", "Andrea"),
}
_FORM = 1  # of the corpus; raised when the same options would give other audio
_log = logging.getLogger(__name__)


def voices(split: str) -> list[str]:
    """Return the voices of a split, "accent+variant"; neighbours differ in accent."""
    return [f"{accent}+{variant}" for variant in VARIANTS[split] for accent in ACCENTS[split]]


def prepare(
    root: str | None,
    out: str,
    num_train: int = 2000,
    num_dev: int = 150,
    num_test: int = 200,
    seed: int = 1,
) -> dict[str, Path]:
    """Synthesise the corpus and write its manifests. What is there already is not made again.

    Args:
        root: must be None; there is nothing to read.
        out: folder of the manifests and of audio/<split>/<id>.flac. It remembers the options in prepare.json.
        num_train: lines for training.
        num_dev: for dev.
        num_test: for test.
        seed: draws everything.

    Returns:
        Manifests of the splits that have lines.

    Raises:
        UserError: espeakng-loader is not installed, or an option makes no sense.
        DataError: out holds something else, or this corpus made with other options.
    """
    numbers = {"train": num_train, "dev": num_dev, "test": num_test}
    if root is not None:
        raise UserError(f"spoken_digits is synthesised and reads no corpus: leave root empty (null), got {root!r}")
    if wrong := [f"num_{split}={n}" for split, n in numbers.items() if not 0 <= n <= 99_999]:
        raise UserError(f"spoken_digits: {', '.join(wrong)} must lie between 0 and 99999")
    folder = Path(out)
    engine = _Espeak()
    plans = [_Plan.draw(split, number, seed) for split, n in numbers.items() for number in range(n)]
    if not plans:
        raise UserError("spoken_digits: num_train, num_dev and num_test are all 0, nothing to make")
    _claim(folder, {f"num_{split}": n for split, n in numbers.items()} | {"seed": seed}, engine.version)
    missing = [plan for plan in plans if not (folder / plan.audio).exists()]
    paths = {split: folder / f"{split}.jsonl" for split, n in numbers.items() if n}
    if not missing and all(path.exists() for path in paths.values()):
        _log.info("%s is complete, nothing to do", folder)
        return paths
    for plan in track(missing, "spoken_digits"):
        write_flac(folder / plan.audio, plan.record(engine), SAMPLE_RATE)
    manifests: dict[str, list[Line]] = {split: [] for split in numbers}
    for plan in plans:
        line = Line(
            id=plan.id,
            text=" ".join(DIGITS[int(digit)] for digit in plan.digits),
            audio=plan.audio,
            speaker=plan.voice,
            sample_rate=SAMPLE_RATE,
            duration_s=round(audio_info(folder / plan.audio).duration, 4),
            extra={"digits": plan.digits, "synthetic": f"espeak-ng {engine.version}"},
        )
        manifests[plan.split].append(line)
    return write_manifests(folder, manifests)


def _claim(folder: Path, options: dict[str, int], version: str) -> None:
    """Note in the folder how its corpus is made; refuse a folder that holds another one."""
    note = {"corpus": "spoken_digits", "form": _FORM, "espeak_ng": version, "options": options}
    path = folder / "prepare.json"
    if path.exists():
        try:
            old = json.loads(path.read_text(encoding="utf-8"))
            before = {**old["options"], "form": old["form"], "espeak_ng": old["espeak_ng"]}
        except (ValueError, KeyError, TypeError):
            raise DataError(f"{path} is damaged; delete {folder}, or give another folder as out") from None
        now = {**options, "form": _FORM, "espeak_ng": version}
        if differing := [f"{key} {before.get(key)}, now {now[key]}" for key in now if before.get(key) != now[key]]:
            raise DataError(
                f"{folder} holds spoken_digits made with other options ({'; '.join(differing)}); give another folder "
                "as out, or delete this one to make it anew"
            )
        return
    if others := [split for split in ACCENTS if (folder / f"{split}.jsonl").exists()]:
        raise DataError(f"{folder} holds manifests of something else ({', '.join(others)}); give another folder as out")
    write_lines(path, [json.dumps(note, indent=1)])


@dataclass(frozen=True, slots=True)
class _Plan:
    """Everything drawn for one line."""

    id: str
    split: str
    audio: str
    voice: str
    digits: str
    spoken: str  # the text given to espeak, with commas
    rate: int  # words per minute
    pitch: int  # 0-100 within the voice's own range
    pitch_range: int  # 0 is monotone
    brightness: float  # coefficient of a one-tap filter: below 0 dull, above 0 sharp
    lead: float  # seconds of silence
    tail: float
    rms: float  # of the speech
    snr: float  # dB
    noise_colour: float  # power falls with frequency to this power: 0 white, 1 pink
    noise_seed: int

    @classmethod
    def draw(cls, split: str, number: int, seed: int) -> "_Plan":
        rng = random.Random(f"spoken_digits {seed} {split} {number}")
        name = f"{split}-{number:05d}"
        digits = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, 8)))
        words = [DIGITS[int(digit)] for digit in digits]
        spoken = words[0] + "".join((", " if rng.random() < 0.12 else " ") + word for word in words[1:])
        speakers = voices(split)
        return cls(
            id=name,
            split=split,
            audio=f"audio/{split}/{name}.flac",
            voice=speakers[number % len(speakers)],
            digits=digits,
            spoken=spoken,
            rate=round(rng.triangular(110, 240, 165)),
            pitch=rng.randint(25, 75),
            pitch_range=rng.randint(20, 80),
            brightness=rng.uniform(-0.5, 0.3),
            lead=rng.uniform(0.05, 0.4),
            tail=rng.uniform(0.05, 0.4),
            rms=10 ** (rng.uniform(-40, -14) / 20),
            snr=rng.uniform(14, 40),
            noise_colour=rng.uniform(0, 1.5),
            noise_seed=rng.getrandbits(64),
        )

    def record(self, engine: "_Espeak") -> np.ndarray:
        """Return the audio of the line, (S,)."""
        speech, rate = engine.speak(self.spoken, self.voice, self.rate, self.pitch, self.pitch_range)
        speech = soxr.resample(speech, rate, SAMPLE_RATE, quality="HQ")
        loud = np.flatnonzero(np.abs(speech) > 0.002 * np.abs(speech).max())
        speech = speech[loud[0] : loud[-1] + 1]
        speech = speech - self.brightness * np.append(np.float32(0), speech[:-1])
        speech *= self.rms / np.sqrt(np.mean(speech**2))
        padding = (round(self.lead * SAMPLE_RATE), round(self.tail * SAMPLE_RATE))
        signal = np.pad(speech, padding)
        signal += self.rms * 10 ** (-self.snr / 20) * _noise(len(signal), self.noise_colour, self.noise_seed)
        return signal * min(1.0, 0.99 / np.abs(signal).max())


def _noise(size: int, colour: float, seed: int) -> np.ndarray:
    """Gaussian noise of RMS 1 whose power falls as frequency ** -colour above 50 Hz, (S,)."""
    quick = 1 << (size - 1).bit_length()
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal(quick))
    frequency = np.maximum(np.fft.rfftfreq(quick, 1 / SAMPLE_RATE), 50.0)
    noise = np.fft.irfft(spectrum * frequency ** (-colour / 2))[:size]
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


class _Espeak:
    """The espeak-ng library of the wheel espeakng-loader, one line at a time.

    It is a global, non-reentrant machine: a lock keeps threads apart, and each line gets a library in its first state.
    Calls follow espeak-ng's speak_lib.h.
    """

    _lock = threading.Lock()
    _SYNCHRONOUS, _DONT_EXIT, _UTF8 = 2, 0x8000, 1
    _RATE, _PITCH, _RANGE = 1, 3, 4
    _CALLBACK = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)

    def __init__(self) -> None:
        try:
            import espeakng_loader  # an extra
        except ImportError:
            raise UserError(
                'spoken_digits needs the espeak-ng synthesiser, which is not installed: pip install "seqlab[synth]"'
            ) from None
        self._library = espeakng_loader.get_library_path()
        self._data = Path(espeakng_loader.get_data_path())
        absent = [v for vs in VARIANTS.values() for v in vs if not (self._data / "voices" / "!v" / v).is_file()]
        if absent:
            raise UserError(f"this espeakng-loader lacks the voices {', '.join(absent)}; install espeakng-loader 0.2.4")
        with self._lock:
            library = self._load()
            library.espeak_Info.restype = ctypes.c_char_p
            self.version = library.espeak_Info(None).decode().split()[0]
            self._unload(library)

    def _load(self) -> ctypes.CDLL:
        try:
            return ctypes.CDLL(self._library)
        except OSError as error:
            raise UserError(f"espeak-ng in the wheel espeakng-loader does not load on this machine: {error}") from None

    @staticmethod
    def _unload(library: ctypes.CDLL) -> None:
        unload: Any = getattr(_ctypes, "dlclose", None) or getattr(_ctypes, "FreeLibrary", None)
        unload(library._handle)

    def speak(self, text: str, voice: str, rate: int, pitch: int, pitch_range: int) -> tuple[np.ndarray, int]:
        """Synthesise a text; returns float32 audio (S,) and its sample rate."""
        chunks: list[bytes] = []

        @self._CALLBACK
        def collect(samples: int | None, count: int, events: int) -> int:
            if samples and count > 0:
                chunks.append(ctypes.string_at(samples, 2 * count))
            return 0

        with self._lock:
            library = self._load()
            try:
                sample_rate = library.espeak_Initialize(
                    self._SYNCHRONOUS, 0, os.fsencode(self._data.parent), self._DONT_EXIT
                )
                if sample_rate <= 0:
                    raise UserError(f"espeak-ng did not start with its data in {self._data}; reinstall espeakng-loader")
                library.espeak_ng_SetRandSeed(ctypes.c_long(1))  # else the clock seeds the noise of breathy voices
                library.espeak_SetSynthCallback(collect)
                if library.espeak_SetVoiceByName(voice.encode()) != 0:
                    raise UserError(f"espeak-ng has no voice {voice}; install espeakng-loader 0.2.4")
                for parameter, value in ((self._RATE, rate), (self._PITCH, pitch), (self._RANGE, pitch_range)):
                    library.espeak_SetParameter(parameter, value, 0)
                data = text.encode() + b"\0"
                library.espeak_Synth(data, ctypes.c_size_t(len(data)), 0, 1, 0, self._UTF8, None, None)
                library.espeak_Terminate()
            finally:
                self._unload(library)
        return np.frombuffer(b"".join(chunks), np.int16).astype(np.float32) / 32768, sample_rate
