"""metrics.csv: one row per logging step, one column per metric, kept across resumes."""

import csv
import errno
import logging
from argparse import Namespace
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger
from lightning.pytorch.utilities import rank_zero_only

logger = logging.getLogger(__name__)

FULL = (errno.ENOSPC, errno.EDQUOT)  # no room on the disk, or for this user


class MetricsCSV(Logger):
    """Append metrics to metrics.csv; a resumed run goes on in the same file.

    Rows beyond the step at which a run is resumed are dropped when it starts again, so no step stands twice.

    Args:
        save_dir: folder of the file.
    """

    def __init__(self, save_dir: str) -> None:
        super().__init__()
        self.path = Path(save_dir) / "metrics.csv"
        self.columns = ["epoch", "step"]
        self._started = False

    @property
    def name(self) -> str:
        """Name of the logger."""
        return ""

    @property
    def version(self) -> str:
        """Version of the logger."""
        return ""

    @property
    def log_dir(self) -> str:
        """Folder of the file."""
        return str(self.path.parent)

    @rank_zero_only
    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Do nothing: config.yaml lies beside the file."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Append one row; a new metric adds a column. On a full disk rows are missing, and a warning says so."""
        row = {k: f"{v:.6g}" for k, v in metrics.items()} | {"step": str(step if step is not None else 0)}
        if "epoch" in row:
            row["epoch"] = str(int(metrics["epoch"]))
        try:
            self._append(row)
        except OSError as error:
            if error.errno not in FULL:
                raise
            logger.warning("%s: %s; rows are missing, training goes on. Make room", self.path, error.strerror)

    def _append(self, row: dict[str, str]) -> None:
        if not self._started:
            self._start(int(row["step"]))
        if any(key not in self.columns for key in row):
            rows = self._read()
            self.columns += sorted(key for key in row if key not in self.columns)
            self._write([*rows, row])
            return
        with self.path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self.columns, restval="").writerow(row)

    def _start(self, step: int) -> None:
        self._started = True
        rows = self._read()
        if rows:
            self.columns = list(rows[0])
        self._write([r for r in rows if int(r["step"]) < step])

    def _read(self) -> list[dict[str, str]]:
        if not self.path.exists():
            return []
        with self.path.open(newline="", encoding="utf-8") as file:
            # a run that was killed may leave half a row at the end
            return [r for r in csv.DictReader(file) if (r.get("step") or "").isdigit() and None not in r.values()]

    def _write(self, rows: list[dict[str, str]]) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".part")
        with temporary.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self.columns, restval="")
            writer.writeheader()
            writer.writerows(rows)
        temporary.replace(self.path)
