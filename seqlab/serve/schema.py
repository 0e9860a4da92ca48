"""What stands in requests and answers, for OpenAPI and to check what clients send."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from seqlab.outputs.transcript import Alternative, Transcript, Word

Text = Annotated[str, Field(max_length=100_000)]
Place = Annotated[float, Field(ge=0, le=1e7, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Unit = Literal["s", "px", "points", "frames"]
_MOST = 100_000  # words of a transcript


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid")


class AlternativeModel(_Model):
    """Another reading of a line or a word, and its share of the n-best list's probability."""

    text: Text
    confidence: Share


class WordModel(_Model):
    """A word or character, where it lies, and the probability that it is right."""

    text: Text
    start: Place
    end: Place
    confidence: Share | None = None
    alternatives: Annotated[list[AlternativeModel], Field(max_length=1000)] = []

    def word(self) -> Word:
        """Return it as seqlab.outputs has it; an end never lies before its start."""
        others = [Alternative(a.text, a.confidence) for a in self.alternatives]
        return Word(self.text, self.start, max(self.start, self.end), self.confidence, others)


class SegmentModel(_Model):
    """Words between pauses: their text, place, mean confidence and number."""

    text: Text
    start: Place
    end: Place
    confidence: Share | None = None
    words: Annotated[int, Field(ge=0, le=_MOST)]


class TranscriptModel(_Model):
    """What was read in one recording or line; starts, ends and duration are in the unit."""

    id: Text | None = None
    source: Text | None = None
    text: Text
    duration: Place | None = None
    confidence: Share | None = None
    unit: Unit = "s"
    segments: Annotated[list[SegmentModel], Field(max_length=_MOST, description="follow from the words")] = []
    words: Annotated[list[WordModel], Field(max_length=_MOST)] = []
    characters: Annotated[list[WordModel], Field(max_length=_MOST)] = []
    alternatives: Annotated[list[AlternativeModel], Field(max_length=1000)] = []

    def transcript(self) -> Transcript:
        """Return it as seqlab.outputs has it."""
        return Transcript(
            self.text,
            [word.word() for word in self.words],
            self.confidence,
            self.duration,
            self.source,
            self.id,
            [word.word() for word in self.characters],
            self.unit,
            [Alternative(a.text, a.confidence) for a in self.alternatives],
        )


class ModelInfo(BaseModel):
    """A model that serves."""

    name: str
    kind: Literal["audio", "image", "strokes", "features"]
    sample_rate: float
    parameters: int
    decoder: str
    streams: bool = Field(description="whether a stream answers before its end")
    latency: float | None = Field(description="seconds until a stream's sample is in its answers, if it streams")
    formats: list[str]


class ModelList(BaseModel):
    """All models that serve, and what requests may cost."""

    models: list[ModelInfo]
    limits: dict[str, float]
    suffixes: dict[str, list[str]] = Field(description="how names of files of each kind end")


class Health(BaseModel):
    """ok: all models serve; degraded: some do; which ones."""

    status: Literal["ok", "degraded"]
    version: str
    models: dict[str, Literal["serving", "failed"]]


class Problem(BaseModel):
    """Why a request was not served."""

    detail: Any
