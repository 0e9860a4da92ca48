"""EXPERIMENTAL: a memory that learns while it reads, by gradient descent on what it recalls (Behrouz et al. 2025)."""

import torch
from torch import Tensor, nn
from torch.nn import functional

from seqlab.cells._scan import exact
from seqlab.cells.cell import Cell, State


class NeuralMemory(Cell):
    """Neural long-term memory with a linear map as memory; experimental: no result of this project stands on it yet.

    Behrouz et al. 2025, "Titans: learning to memorize at test time", equations 8 to 15, per head of d = N / K
    features. The loss is how badly the memory M recalls the value of a key, l = |M k_t - v_t|^2 / 2:

        k_t, q_t = SiLU(W x_t) scaled to length 1;    v_t = SiLU(W_v x_t)
        S_t = eta_t S_{t-1} - theta_t (M_{t-1} k_t - v_t) k_t^T    (surprise, with momentum eta and rate theta)
        M_t = (1 - alpha_t) M_{t-1} + S_t                          (alpha forgets)
        h_t = o_t (M_t q_t)

    eta, theta, alpha are sigmoids of a linear map of x_t, one of each per head, o_t = sigmoid(W_o x_t) as in a gated
    block. As |k| = 1 and theta < 1, a step without momentum at most replaces what a key recalls. The loss sees M_{t-1},
    so the sequence form is a loop over frames, in which the projections alone are taken all at once.

    Args:
        input_size: features per frame, D.
        hidden_size: size of the output, N; 4 D N weights and 3 K (D + 1) for the rates.
        num_heads: memories, K, which divide N.
    """

    def __init__(self, input_size: int, hidden_size: int = 128, num_heads: int = 4) -> None:
        super().__init__(input_size, hidden_size)
        if num_heads < 1 or hidden_size % num_heads:
            raise ValueError(f"num_heads must divide hidden_size = {hidden_size}, got {num_heads}")
        self.num_heads = num_heads
        self.linear = nn.Linear(input_size, 4 * hidden_size, bias=False)  # k, q, v, o
        self.rates = nn.Linear(input_size, 3 * num_heads)  # eta, theta, alpha
        with torch.no_grad():  # start with little momentum and a long memory: eta = 0.27, theta = 0.5, alpha = 0.007
            self.rates.bias.copy_(torch.tensor([-1.0, 0.0, -5.0]).repeat_interleave(num_heads))

    def initial(self, lines: int, like: Tensor) -> State:
        """Return M = 0 and S = 0, each (B, K, d, d), rows of v and columns of k."""
        size = self.num_features // self.num_heads
        zeros = like.new_zeros(lines, self.num_heads, size, size)
        return zeros, zeros

    def _project(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return k, q, v (..., K, d), o (..., N), and eta, theta, alpha (..., K, 1), at least float32."""
        k, q, v, o = exact(self.linear(x)).chunk(4, -1)
        k, q, v = (functional.silu(part).unflatten(-1, (self.num_heads, -1)) for part in (k, q, v))
        rates = exact(self.rates(x)).sigmoid().unflatten(-1, (3, -1, 1)).unbind(-3)
        return functional.normalize(k, dim=-1), functional.normalize(q, dim=-1), v, o.sigmoid(), *rates

    @staticmethod
    def _update(parts: tuple[Tensor, ...], state: State) -> tuple[Tensor, Tensor, State]:
        """Return the output (B, N), the error of recall M k - v (B, K, d) and the state after one frame."""
        k, q, v, o, eta, theta, alpha = parts
        memory, surprise = state
        error = (memory @ k[..., None])[..., 0] - v
        surprise = eta[..., None] * surprise - (theta * error)[..., :, None] * k[..., None, :]
        memory = (1 - alpha[..., None]) * memory + surprise
        return o * (memory @ q[..., None]).flatten(1), error, (memory, surprise)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame, as :meth:`Cell.step`."""
        output, _, state = self._update(self._project(x), state)
        return output, state

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence, as :meth:`Cell.forward`."""
        output, _, state = self._read(x, state)
        return output, state

    def _read(self, x: Tensor, state: State | None) -> tuple[Tensor, Tensor, State]:
        """Return outputs (T, B, N), errors of recall (T, B, K, d) and the state after the last frame."""
        if state is None:
            state = self.initial(x.shape[1], x)
        outputs, errors = [], []
        with torch.autocast(x.device.type, enabled=False):
            for parts in zip(*self._project(x), strict=True):
                output, error, state = self._update(parts, state)
                outputs.append(output)
                errors.append(error)
        if not outputs:
            empty = x.new_zeros(0, x.shape[1], self.num_features)
            return empty, empty.unflatten(2, (self.num_heads, -1)), state
        return torch.stack(outputs), torch.stack(errors), state

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return "momentum", "learning rate", "forget gate" (alpha) and "surprise" (|M k - v|), (T, B, K); "output"."""
        output, errors, _ = self._read(x, None)
        eta, theta, alpha = (part[..., 0] for part in self._project(x)[4:])
        surprise = errors.norm(dim=-1)
        return {
            "momentum": eta,
            "learning rate": theta,
            "forget gate": alpha,
            "surprise": surprise,
            "output": output,
        }
