"""mLSTM: an LSTM whose memory is a matrix, in a form for training and one for reading (Beck et al. 2024)."""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._scan import exact
from seqlab.cells.cell import Cell, State

EPS = 1e-6


class MLSTM(Cell):
    """Matrix LSTM: Beck et al. 2024, "xLSTM", equations 19 to 27, per head of d = N / K features.

        i_t = exp(i~_t), i~_t = w_i x_t + b_i;    f_t = sigmoid(f~_t) or exp(f~_t), f~_t = w_f x_t + b_f
        C_t = f_t C_{t-1} + i_t v_t k_t^T;    n_t = f_t n_{t-1} + i_t k_t
        h_t = o_t C_t q_t / max(|n_t . q_t|, 1),    o_t = sigmoid(W_o x_t)

    with q_t = W_q x_t, v_t = W_v x_t and k_t = W_k x_t / sqrt(d). C and n are kept divided by exp(m_t), m_t = max(log
    f_t + m_{t-1}, i~_t) (equation 15): no exponential overflows, and the bound 1 becomes exp(-m_t). 1e-6 is added to
    the greater of the two. m takes no gradient: what it does cancels out, but for these 1e-6.

    No gate sees a state, so ``forward`` reads chunks of frames in matrix products and hands C, n and m on between them;
    with chunk_size=0 the whole sequence is one chunk, the paper's parallel form.

    Args:
        input_size: features per frame, D.
        hidden_size: size of the output, N; 4 D N + 2 D K weights, and 2 K biases.
        num_heads: memories, K, which divide N.
        bias: whether the gates i and f have biases. b_f starts evenly spread from 3 to 6 over the heads, b_i near 0.
        forget: the function of the forget gate.
        norm: whether each head's output is normalised (layer norm with N weights) before o multiplies it, as in the
            paper's blocks.
        chunk_size: frames per chunk, 0 for all; changes the speed, not the result.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int = 320,
        num_heads: int = 4,
        bias: bool = True,
        forget: Literal["sigmoid", "exp"] = "sigmoid",
        norm: bool = False,
        chunk_size: int = 64,
    ) -> None:
        super().__init__(input_size, hidden_size)
        if num_heads < 1 or hidden_size % num_heads:
            raise ValueError(f"num_heads must divide hidden_size = {hidden_size}, got {num_heads}")
        if forget not in ("sigmoid", "exp"):
            raise ValueError(f"forget must be sigmoid or exp, got {forget!r}")
        if chunk_size < 0:
            raise ValueError(f"chunk_size must be 0 or more, got {chunk_size}")
        self.num_heads, self.forget, self.chunk_size = num_heads, forget, chunk_size
        self.linear = nn.Linear(input_size, 4 * hidden_size, bias=False)  # q, k, v, o
        self.gate = nn.Linear(input_size, 2 * num_heads, bias)  # i, f
        self.norm = HeadNorm(hidden_size, num_heads) if norm else None
        nn.init.normal_(self.gate.weight, std=0.1 * input_size**-0.5)
        if bias:
            nn.init.normal_(self.gate.bias[:num_heads], std=0.1)
            with torch.no_grad():
                self.gate.bias[num_heads:] = torch.linspace(3, 6, num_heads)

    def initial(self, lines: int, like: Tensor) -> State:
        """Return C = 0 (B, K, d, d), rows of v and columns of k; n = 0 (B, K, d); m = -infinity (B, K)."""
        heads, size = self.num_heads, self.num_features // self.num_heads
        return (
            like.new_zeros(lines, heads, size, size),
            like.new_zeros(lines, heads, size),
            like.new_full((lines, heads), -math.inf),
        )

    def _project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Return q, k (divided by sqrt(d)) and v (..., K, d), o (..., N), i~ and log f (..., K)."""
        q, k, v, o = exact(self.linear(x)).chunk(4, -1)
        i, f = exact(self.gate(x)).chunk(2, -1)
        q, k, v = (part.unflatten(-1, (self.num_heads, -1)) for part in (q, k, v))
        log_f = functional.logsigmoid(f) if self.forget == "sigmoid" else f
        return q, k / k.shape[-1] ** 0.5, v, o.sigmoid(), i, log_f

    def _finish(self, h: Tensor, o: Tensor) -> Tensor:
        """Return the output (..., N) of what the heads read (..., K, d)."""
        h = h.flatten(-2)
        return o * (h if self.norm is None else self.norm(h))

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        q, k, v, o, i, log_f = self._project(x)
        c, n, m_before = state[0], state[1], state[2].detach()
        m = torch.maximum(log_f + m_before, i).detach()
        f, i = (log_f + m_before - m).exp(), (i - m).exp()
        c = f[..., None, None] * c + i[..., None, None] * (v[..., :, None] * k[..., None, :])
        n = f[..., None] * n + i[..., None] * k
        h = (c @ q[..., None])[..., 0] / _bound((n * q).sum(-1), m)[..., None]
        return self._finish(h, o), (c, n, m)

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        if state is None:
            state = self.initial(x.shape[1], x)
        if not len(x):
            return x.new_zeros(0, x.shape[1], self.num_features), state
        q, k, v, o, i, log_f = self._project(x)
        with torch.autocast(x.device.type, enabled=False):
            h, state = read_chunks(q, k, v, i, log_f, state, self.chunk_size or len(x))
        return self._finish(h, o), state

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "output gate" and "output" (T, B, N); i~ as "input gate (log)" and "forget gate" (T, B, K)."""
        _, _, _, o, i, log_f = self._project(x)
        return {"input gate (log)": i, "forget gate": log_f.exp(), "output gate": o, "output": self(x)[0]}


class HeadNorm(nn.Module):
    """Layer norm of each head by itself, with a weight for each feature.

    Args:
        size: features of all heads, N.
        num_heads: heads, K.
    """

    def __init__(self, size: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.weight = nn.Parameter(torch.ones(size))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (..., N)."""
        heads = x.unflatten(-1, (self.num_heads, -1))
        return functional.layer_norm(heads, heads.shape[-1:]).flatten(-2) * self.weight


def read_chunks(
    q: Tensor, k: Tensor, v: Tensor, i: Tensor, log_f: Tensor, state: State, size: int
) -> tuple[Tensor, State]:
    """Run mLSTM memories over a sequence, chunk by chunk.

    With a_t the sum of log f from the chunk's first frame to t, frame t sees frame s of its chunk with the weight
    exp(a_t - a_s + i~_s - m_t), and what came before the chunk with exp(a_t + m' - m_t), m' being that state's m.
    O(T size d + T d^2) operations.

    Args:
        q, k, v: queries, keys (divided by sqrt(d)) and values, (T, B, K, d), T of 1 or more.
        i: i~, the logarithm of the input gate, (T, B, K).
        log_f: logarithm of the forget gate, (T, B, K).
        state: C, n and m, as :meth:`MLSTM.initial`.
        size: frames per chunk.

    Returns:
        C_t q_t / max(|n_t . q_t|, exp(-m_t)) (T, B, K, d) and the state after the last frame.
    """
    frames = len(q)
    size = min(size, frames)
    # Frames that fill the last chunk up write nothing (i = 0) and forget nothing (f = 1).
    q, k, v, log_f = (_cut(x, size, 0.0) for x in (q, k, v, log_f))  # (chunks, B, K, size, ...)
    i = _cut(i, size, -math.inf)
    a = log_f.cumsum(-1)
    total = a[..., -1]
    late = torch.ones(size, size, dtype=torch.bool, device=q.device).triu(1)
    weight = (a[..., :, None] + (i - a)[..., None, :]).masked_fill(late, -math.inf)  # log, (..., t, s)
    to_end = total[..., None] - a + i
    inside, own = weight.detach().amax(-1), to_end.detach().amax(-1)  # the m that a chunk by itself would have

    m = state[2].detach().to(q.dtype)
    before = []
    for chunk in range(len(q)):
        before.append(m)
        m = torch.maximum(total[chunk].detach() + m, own[chunk])
    m_before = torch.stack(before)
    m_after = torch.stack([*before[1:], m])
    writes = v.transpose(-1, -2) @ (k * (to_end - m_after[..., None]).exp()[..., None])  # (chunks, B, K, d, d)
    sums = (k * (to_end - m_after[..., None]).exp()[..., None]).sum(-2)
    kept = (total + m_before - m_after).exp()
    c, n = state[0].to(q.dtype), state[1].to(q.dtype)
    memories, norms = [], []
    for chunk in range(len(q)):
        memories.append(c)
        norms.append(n)
        c = kept[chunk, ..., None, None] * c + writes[chunk]
        n = kept[chunk, ..., None] * n + sums[chunk]

    m_t = torch.maximum(a.detach() + m_before[..., None], inside)
    scores = (q @ k.transpose(-1, -2)) * (weight - m_t[..., None]).exp()
    old = (a + m_before[..., None] - m_t).exp()[..., None]
    h = scores @ v + old * (q @ torch.stack(memories).transpose(-1, -2))
    dot = scores.sum(-1) + (old * (q @ torch.stack(norms)[..., None]))[..., 0]
    h = h / _bound(dot, m_t)[..., None]
    return h.permute(0, 3, 1, 2, 4).flatten(0, 1)[:frames], (c, n, m)


def _bound(dot: Tensor, m: Tensor) -> Tensor:
    """Return max(|n . q|, exp(-m)) + eps; exp(80) stands for all that is larger, and keeps float32 finite."""
    return torch.maximum(dot.abs(), (-m).clamp(max=80).exp()) + EPS


def _cut(x: Tensor, size: int, fill: float) -> Tensor:
    """Cut (T, B, K, ...) into (chunks, B, K, size, ...), filled up at the end."""
    gap = -len(x) % size
    if gap:
        x = torch.cat([x, x.new_full((gap, *x.shape[1:]), fill)])
    return x.unflatten(0, (-1, size)).movedim(1, 3)
