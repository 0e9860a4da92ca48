"""How gates start: which lags a cell can bridge before it has learnt anything."""

from typing import Literal

import torch
from torch import Tensor

Init = Literal["zero", "one", "chrono", "cec"]
INITS = ("zero", "one", "chrono", "cec")
OPEN = 20.0  # in float32 sigmoid(20) is exactly 1, and its slope exactly 0


def check(init: str, longest_lag: int | None) -> None:
    """Tell if a choice of initialisation is not complete.

    Raises:
        ValueError: `init` is unknown, or `chrono` lacks a longest_lag of 3 or more.
    """
    if init not in INITS:
        raise ValueError(f"init must be one of {', '.join(INITS)}, got {init!r}")
    if init == "chrono" and (longest_lag is None or longest_lag < 3):
        raise ValueError(
            f"init=chrono needs longest_lag, the longest lag expected, of 3 frames or more, got {longest_lag}"
        )


@torch.no_grad()
def start_gates(
    init: str, longest_lag: int | None, forget: Tensor, input_: Tensor | None, weights: tuple[Tensor, ...] = ()
) -> None:
    """Set the biases of forget and input gates, in place.

    - ``zero``: nothing, biases stay as they are (0); half of a cell's content is gone after one frame.
    - ``one``: forget bias 1 (Gers et al. 2000; Jozefowicz et al. 2015).
    - ``chrono``: forget bias log(u) with u uniform on [1, T - 1], input bias its negative, T the longest lag (Tallec
      and Ollivier 2018, "Can recurrent neural networks warp time?"): the cells forget over times spread over all lags.
    - ``cec``: forget gates held at 1 at the start, the constant error carousel of 1997, by a bias of 20 and weights of
      0; input gates at -3. In float32 they stay at exactly 1, for their slope there is 0.

    Args:
        init: one of the four.
        longest_lag: T of `chrono`, in frames.
        forget: biases of the forget gates, (N,).
        input_: those of the input gates, or None where these are tied to the forget gates (GRU, coupled gates).
        weights: those of the forget gates, which `cec` sets to 0.

    Raises:
        ValueError: see ``check``; or `cec` for tied gates, which would let nothing in.
    """
    check(init, longest_lag)
    if init == "cec" and input_ is None:
        raise ValueError("init=cec: where one gate both keeps and lets in, held open it lets nothing in; take chrono")
    if init == "one":
        forget.fill_(1.0)
    elif init == "chrono":
        assert longest_lag is not None
        forget.uniform_(1.0, longest_lag - 1.0).log_()
        if input_ is not None:
            input_.copy_(-forget)
    elif init == "cec" and input_ is not None:
        forget.fill_(OPEN)
        input_.fill_(-3.0)
        for weight in weights:
            weight.zero_()
