"""What a run writes down while it runs: a CSV file, and TensorBoard's if it is asked for."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

from siglip_lab.loading.folder import write_files

__all__ = ["Log"]


class Log:
    """Rows of numbers by step; those after the step at which a run goes on are taken out.

    Args:
        folder: Where ``NAME.csv`` is.
        name: Of the file.
        step: At which the run begins, or goes on.
        tensorboard: Whether to write TensorBoard's files, too, into ``tensorboard``.

    Raises:
        ImportError: If TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, name: str, step: int = 0, tensorboard: bool = False):
        self.path, self.name, self._board = folder / f"{name}.csv", name, None
        self.last_step: int | None = None
        if self.path.exists():
            rows = list(csv.DictReader(io.StringIO(self.path.read_text(encoding="utf-8"))))
            rows = [row for row in rows if None not in row.values()]  # cut off by a kill
            kept = [row for row in rows if row["step"].isdecimal() and int(row["step"]) <= step]
            text = io.StringIO()
            if kept:
                self.last_step = int(kept[-1]["step"])
                writer = csv.DictWriter(text, list(kept[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(kept)
            write_files(folder, {self.path.name: text.getvalue().encode()})
        if tensorboard:
            try:
                from torch.utils.tensorboard import SummaryWriter
            except ImportError as error:
                raise ImportError(
                    "TensorBoard is not installed: pip install 'siglip-lab[training]'"
                ) from error
            self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def add(self, step: int, **values: float) -> None:
        """Write a row, at once."""
        self.last_step = step
        row: dict[str, Any] = {"step": step} | {k: f"{v:.6g}" for k, v in values.items()}
        new = not self.path.exists() or not self.path.stat().st_size
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(row), lineterminator="\n")
            if new:
                writer.writeheader()
            writer.writerow(row)
        if self._board is not None:
            for key, value in values.items():
                self._board.add_scalar(f"{self.name}/{key}", value, step)
            self._board.flush()
