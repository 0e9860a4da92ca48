"""The network: frontend, normalisation, stem, encoder, linear layer, log-softmax. A plain nn.Module."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seqlab.batch import pad
from seqlab.config import build
from seqlab.errors import ConfigError
from seqlab.frontends.vocal_tract import VocalTract, check_factors


class CTCModel(nn.Module):
    """Signals to log-probabilities of symbols.

    Args:
        config: nodes ``frontend``, ``normalize``, ``stem``, ``encoder`` and optionally ``augment.features``.
        num_symbols: size of the output, blank included.

    Attributes:
        vocal_tracts: warps of the filterbank with which ``log_probs_of`` reads each line, to average what it reads
            (``hear_as``); none: it reads once, as the signal is.
    """

    vocal_tracts: Sequence[float] = ()

    def __init__(self, config: dict[str, Any], num_symbols: int) -> None:
        super().__init__()
        self.frontend = build(config["frontend"], "frontend")
        self.normalize = build(config["normalize"], "normalize", input_size=self.frontend.num_features)
        masks = (config.get("augment") or {}).get("features") or {}
        changes = [build(node, "augment") for node in masks.values()]
        self.augment = nn.ModuleList(c for c in changes if not isinstance(c, VocalTract))
        voices = [c for c in changes if isinstance(c, VocalTract)]
        if len(voices) > 1:
            raise ConfigError("augment.features: two nodes change the vocal tract; leave one out")
        self.voices = voices[0] if voices else None
        if self.voices:
            _check_warps((self.voices.low, self.voices.high), self.frontend, "augment.features")
        self.stem = build(config["stem"], "stem", input_size=self.frontend.num_features)
        self.encoder = build(config["encoder"], "encoder", input_size=self.stem.num_features)
        self.head = nn.Linear(self.encoder.num_features, num_symbols)

    def features(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Turn signals (B, S, ...) into features (B, T, F) as the frontend makes them, not yet normalised."""
        return self.frontend(signal, lengths)

    def forward(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities.

        Args:
            signal: audio (B, S), images (B, S, Y), or features (B, T, F), padded.
            lengths: valid samples per line, (B,).

        Returns:
            Log-probabilities (B, T, V), float32, and frames per line (B,).
        """
        return self.read(*self.frames(signal, lengths))

    def frames(
        self, signal: Tensor, lengths: Tensor, views: int = 1, warp: float | None = None
    ) -> tuple[Tensor, Tensor]:
        """Compute what the encoder reads: the stem's frames (B, T, F) and their number per line.

        Args:
            signal: as for ``forward``.
            lengths: as for ``forward``.
            views: how often each line is to come, each time masked apart; all lines, then all of them again.
            warp: of the filterbank; None: drawn for each line in training, else as it is.
        """
        warps = self._voices(len(signal)) if warp is None else ([warp] * len(signal),)
        x, lengths = self.normalize(*self.frontend(signal, lengths, *warps))
        for change in self.augment:
            if change.shared:
                x, lengths = change(x, lengths)
        if views > 1:
            x, lengths = x.repeat(views, 1, 1), lengths.repeat(views)
        for change in self.augment:
            if not change.shared:
                x, lengths = change(x, lengths)
        x, lengths = self.stem(x, lengths)
        return x, lengths

    def _voices(self, lines: int) -> tuple[list[float], ...]:
        """Draw the vocal tracts of a batch, for a frontend that bends its filters; nothing where none is wanted."""
        return (self.voices.draw(lines),) if self.voices and self.training else ()

    def read(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities of the stem's frames (B, T, F)."""
        x, lengths = self.encoder(x, lengths)
        return self.head(x).float().log_softmax(2), lengths

    def read_layers(self, x: Tensor, lengths: Tensor, layers: Sequence[int]) -> tuple[Tensor, list[Tensor], Tensor]:
        """Compute log-probabilities of the stem's frames (B, T, F), and what the same head reads from lower layers.

        Args:
            x: the stem's frames.
            lengths: frames per line, (B,).
            layers: of the encoder, from 1.

        Returns:
            Log-probabilities (B, T, V), those of each of the layers, and frames per line.
        """
        if not layers:
            log_probs, lengths = self.read(x, lengths)
            return log_probs, [], lengths
        x, below, lengths = self.encoder.intermediate(x, lengths, layers)
        log_probs, *lower = (self.head(states).float().log_softmax(2) for states in (x, *below))
        return log_probs, lower, lengths

    def hear_as(self, warps: Sequence[float]) -> None:
        """Read each line once with every warp of the filterbank, and average: a voice like one that was learned.

        The average is that of log-probabilities, normalised again, the geometric mean; it costs as many passes.

        Args:
            warps: factors by which frequencies shall seem to be multiplied, as 0.88, 1 and 1.12; none: read once.

        Raises:
            ConfigError: they are no numbers, the frontend has no filterbank to bend, or not one that bends so far.
        """
        if isinstance(warps, float | int | str) or not all(isinstance(warp, float | int) for warp in warps):
            raise ConfigError(f"vocal_tracts: needs a list of factors, as [0.88,1,1.12], got {warps}")
        if warps:
            _check_warps(warps, self.frontend, "vocal_tracts")
        self.vocal_tracts = [float(warp) for warp in warps]

    def _heard(self, signal: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute log-probabilities as ``forward``, averaged over the vocal tracts."""
        if not self.vocal_tracts:
            return self.forward(signal, lengths)
        each = [self.read(*self.frames(signal, lengths, warp=warp)) for warp in self.vocal_tracts]
        return average([log_probs for log_probs, _ in each]), each[0][1]

    @torch.inference_mode()
    def log_probs_of(self, signals: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return log-probabilities (T, V) of signals (S, ...), run as one batch; too short ones give T = 0."""
        answer = [np.zeros((0, self.head.out_features), np.float32) for _ in signals]
        sizes = torch.tensor([len(s) for s in signals])
        long = [i for i, n in enumerate(self.num_frames(sizes).tolist()) if n > 0]
        if not long:
            return answer
        device = self.head.weight.device
        signal, lengths = pad([torch.from_numpy(np.ascontiguousarray(signals[i])) for i in long])
        log_probs, frames = self._heard(signal.to(device), lengths.to(device))
        for i, line, length in zip(long, log_probs.cpu().numpy(), frames.tolist(), strict=True):
            answer[i] = line[:length]
        return answer

    @property
    def num_weights(self) -> int:
        """Number of weights."""
        return sum(p.numel() for p in self.parameters())

    def num_frames(self, lengths: Tensor) -> Tensor:
        """Return output frames for signal lengths (B,); lines too short for the frontend get 0."""
        return self.encoder.num_frames(self.stem.num_frames(self.frontend.num_frames(lengths))).clamp(min=0)

    @property
    def frame_shift(self) -> float:
        """Seconds (columns of an image, points of ink) from one output frame to the next."""
        return self.frontend.frame_shift * self.stem.stride * getattr(self.encoder, "stride", 1)

    @property
    def sample_rate(self) -> float:
        """Sample rate of the signals in Hz; 1 where there is no time."""
        return self.frontend.sample_rate


def average(log_probs: Sequence[Tensor]) -> Tensor:
    """Return the mean of log-probabilities (..., V) of the same frames, normalised again; one alone as it is."""
    return log_probs[0] if len(log_probs) == 1 else torch.stack(list(log_probs)).mean(0).log_softmax(-1)


def build_on_meta(config: dict[str, Any], num_symbols: int = 2) -> CTCModel:
    """Build the network without memory for its weights: finds refused values before any data is read."""
    with torch.device("meta"):
        return CTCModel(config, num_symbols)


def _check_warps(warps: Sequence[float], frontend: Any, name: str) -> None:
    """Refuse vocal tracts that a frontend cannot imitate; `name` is the setting that asks for them."""
    if not hasattr(frontend, "check_warp"):
        raise ConfigError(f"{name}: vocal tracts are changed in a filterbank, frontend=log_mel or mfcc")
    for warp in warps:
        try:
            check_factors(warp, warp)
            frontend.check_warp(warp)
        except ValueError as error:
            raise ConfigError(f"{name}: a vocal tract warped by {warp}: {error}") from None


def check_layers(encoder: nn.Module, layers: Sequence[int]) -> None:
    """Refuse a loss on layers that an encoder does not show.

    Raises:
        ConfigError: the encoder shows none, or a number lies beyond its last but one.
    """
    if not layers:
        return
    if not hasattr(encoder, "intermediate"):
        raise ConfigError(
            f"loss.intermediate_layers: {type(encoder).__name__} does not show its layers; of conf/encoder, blstm, "
            "recurrent, xlstm, transformer and conformer do"
        )
    count: Any = encoder.num_layers
    if max(layers) >= count:
        raise ConfigError(f"loss.intermediate_layers: {list(layers)} must lie below the last of {count} layers")


def freeze(model: CTCModel, parts: Sequence[str]) -> None:
    """Keep the weights of parts as they are.

    Args:
        model: the network.
        parts: names of its parts.

    Raises:
        ConfigError: there is no such part, or nothing would be left to learn.
    """
    names = [name for name, part in model.named_children() if any(True for _ in part.parameters())]
    unknown = [part for part in parts if part not in names]
    if unknown:
        raise ConfigError(
            f"init.freeze: no part {', '.join(map(repr, unknown))} with weights; there are {', '.join(names)}"
        )
    for part in parts:
        getattr(model, part).requires_grad_(False)
    if not any(p.requires_grad for p in model.parameters()):
        raise ConfigError("init.freeze leaves no weight to learn; leave one part out, head at least")
