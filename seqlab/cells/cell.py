"""What every recurrent cell is: one layer that reads one way, a frame at a time or a sequence at once."""

import torch
from torch import Tensor, nn

State = tuple[Tensor, ...]  # what a cell carries from frame to frame, each (B, ...)


class Cell(nn.Module):
    """One recurrent layer in one direction.

    A cell says what one frame does (``step``, the paper's equations in torch operations) and what it carries
    (``initial``). The sequence form that is inherited repeats the step; cells override it by something quicker that
    gives the same numbers and the same gradients.

    Args:
        input_size: features per frame, D.
        num_features: size of the output, H.
    """

    def __init__(self, input_size: int, num_features: int) -> None:
        super().__init__()
        for name, value in (("input_size", input_size), ("hidden_size", num_features)):
            if value < 1:
                raise ValueError(f"{name} must be 1 or more, got {value}")
        self.input_size = input_size
        self.num_features = num_features

    def initial(self, lines: int, like: Tensor) -> State:
        """Return the state before the first frame, with the type and on the device of `like`."""
        raise NotImplementedError

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Read one frame.

        Args:
            x: features of one frame of each line, (B, D).
            state: from the frame before, or ``initial``.

        Returns:
            Output (B, H) and the state after the frame.
        """
        raise NotImplementedError

    def forward(self, x: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read a sequence.

        Args:
            x: features, time first, (T, B, D).
            state: from what came before; None: ``initial``.

        Returns:
            Outputs (T, B, H) and the state after the last frame.
        """
        if state is None:
            state = self.initial(x.shape[1], x)
        outputs = []
        for frame in x:
            output, state = self.step(frame, state)
            outputs.append(output)
        return torch.stack(outputs) if outputs else x.new_zeros(0, x.shape[1], self.num_features), state

    def activity(self, x: Tensor) -> dict[str, Tensor]:
        """Return what goes on inside over a sequence (T, B, D): name ("input gate", "cell state") to (T, B, any).

        Cells with gates add theirs; the output is always there.
        """
        return {"output": self(x)[0]}
