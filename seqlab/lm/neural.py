"""A neural language model: an LSTM over the labels of a tokenizer, one line at a time.

model = NeuralLM.load("runs/char_lm")                  # trained by: seqlab train experiment=char_lm
log_p = model.score(*model.encode(["the cat sat"]))    # (1,), natural log, the end of the line counted
log_probs, state = model.step(labels, state)           # one symbol more for each of many prefixes
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from seqlab.checkpoints import find_checkpoint, read_checkpoint, reason
from seqlab.config import Config, build
from seqlab.errors import DataError
from seqlab.files import replacing

EDGE = 0  # the label of blank, which no text has: read it is the begin of a line, predicted its end
State = tuple[Tensor, Tensor]  # of each layer, (num_layers, B, H): hidden and cell


class NeuralLM(nn.Module):
    """p(symbol | all symbols before it in the line) by an LSTM (Sundermeyer et al. 2012, equation 1).

    Dropout acts on what enters the layers and what leaves the last, never between time steps (Zaremba et al. 2014).

    Args:
        num_symbols: labels, the edge of lines at 0 included: as many as the tokenizer has symbols.
        embedding_size: numbers that stand for a symbol.
        hidden_size: cells per layer.
        num_layers: layers.
        dropout: share set to 0, while training.

    Attributes:
        tokenizer: text to labels; set where the model is loaded from a file.
        node: what it was built from; likewise.

    Raises:
        ValueError: a size is below 1 or the share of dropout not in [0, 1).
    """

    def __init__(
        self,
        num_symbols: int,
        embedding_size: int = 64,
        hidden_size: int = 256,
        num_layers: int = 1,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        sizes = {"embedding_size": embedding_size, "hidden_size": hidden_size, "num_layers": num_layers}
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"{name} must be 1 or more, got {size}")
        if not 0 <= dropout < 1:
            raise ValueError(f"dropout must lie in [0, 1), got {dropout}")
        self.tokenizer: Any = None
        self.node: Config = {}
        self.embedding = nn.Embedding(num_symbols, embedding_size)
        self.dropout = nn.Dropout(dropout)
        between = dropout if num_layers > 1 else 0.0  # torch warns about dropout that has no gap to act in
        self.lstm = nn.LSTM(embedding_size, hidden_size, num_layers, batch_first=True, dropout=between)
        self.head = nn.Linear(hidden_size, num_symbols)
        with torch.no_grad():  # the forget gate starts open: torch adds two biases, so one of them holds the 1
            for layer in range(num_layers):
                for name, value in (("bias_ih", 1.0), ("bias_hh", 0.0)):
                    getattr(self.lstm, f"{name}_l{layer}")[hidden_size : 2 * hidden_size] = value

    @classmethod
    def load(cls, path: str | Path) -> "NeuralLM":
        """Load a run folder or a checkpoint, in evaluation mode; nothing in the file is executed.

        Raises:
            FileNotFoundError: there is no such path.
            DataError: it is no language model of seqlab.
        """
        file = find_checkpoint(path)
        try:
            config, weights = read_checkpoint(file)
            tokenizer = build(config["tokenizer"], "tokenizer")
            with torch.device("meta"):  # takes no memory, so that false sizes are found before they cost any
                model: NeuralLM = build(config["lm"], "lm", num_symbols=len(tokenizer.symbols))
            model.load_state_dict(weights, assign=True)
            model = model.float().eval().requires_grad_(False)
        except OSError:
            raise
        except Exception as error:  # whatever a damaged or hostile file leads to
            why = "it is a recogniser" if reason(error) == "'lm'" else reason(error)
            raise DataError(
                f"{file} is no neural language model of seqlab: {why}; seqlab train experiment=char_lm trains one"
            ) from None
        model.tokenizer, model.node = tokenizer, config["lm"]
        return model

    def save(self, path: str | Path) -> None:
        """Write a loaded model as a checkpoint of its own, without what its training needed.

        Raises:
            OSError: the file could not be written.
        """
        kind = type(self.tokenizer)
        tokenizer = {"_target_": f"{kind.__module__}.{kind.__name__}", **self.tokenizer.state()}
        weights = {f"model.{key}": value for key, value in self.state_dict().items()}
        config = {"tokenizer": tokenizer, "lm": self.node}
        with replacing(path) as temporary:
            torch.save({"hyper_parameters": {"config": config}, "state_dict": weights}, temporary)

    def forward(self, labels: Tensor) -> Tensor:
        """Compute log-probabilities of each next symbol.

        Args:
            labels: label ids (B, L), padded with anything: what follows a line never changes what stands before.

        Returns:
            (B, L + 1, V), float32, natural log; at l those of the symbol after the first l, EDGE for the end.
        """
        read = nn.functional.pad(labels, (1, 0), value=EDGE)
        states, _ = self.lstm(self.dropout(self.embedding(read)))
        return self.head(self.dropout(states)).float().log_softmax(2)

    def score(self, labels: Tensor, lengths: Tensor) -> Tensor:
        """Return the log-probability of each line, its end included, (B,), natural log.

        Args:
            labels: label ids (B, L), padded with 0.
            lengths: labels per line, (B,).
        """
        targets = nn.functional.pad(labels, (0, 1), value=EDGE)
        log_probs = self(labels).gather(2, targets[:, :, None])[:, :, 0]
        counts = torch.arange(targets.shape[1], device=targets.device)[None, :] <= lengths[:, None]
        return log_probs.masked_fill(~counts, 0.0).sum(1)

    def step(self, labels: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """Read one symbol more of each of N lines.

        Args:
            labels: label ids (N,).
            state: what was returned for the symbols before; None at the begin of a line, where EDGE is to be read.

        Returns:
            Log-probabilities of the next symbol (N, V), natural log, EDGE for the end; and the state.
        """
        states, state = self.lstm(self.dropout(self.embedding(labels[:, None])), state)
        return self.head(self.dropout(states[:, 0])).float().log_softmax(1), state

    def encode(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return texts as labels (B, L), padded with 0, and lengths (B,); unknown characters are left out."""
        rows = [torch.tensor(self.tokenizer.encode(text, skip_unknown=True), dtype=torch.int64) for text in texts]
        lengths = torch.tensor([len(row) for row in rows], dtype=torch.int64)
        return nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths
