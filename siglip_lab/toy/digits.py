"""Handwritten digits, 8 x 8, from scikit-learn's wheel: what tiny has not met."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

__all__ = ["Digits", "load_digits"]


class Digits(NamedTuple):
    """1,797 pictures of digits, each written once, and which of them are for what.

    Args:
        pictures: Black ink on white paper, 8 x 8 pixels, RGB.
        labels: What is written, `[1797]`.
        train: Numbers of 1,000 pictures to learn from.
        validation: Numbers of 297 others, to choose settings with.
        test: Numbers of the other 500.
    """

    pictures: list[Image.Image]
    labels: Tensor
    train: Tensor
    validation: Tensor
    test: Tensor

    def few(self, n: int, seed: int) -> Tensor:
        """Numbers of n training pictures of each digit, or of all that there are if it has less."""
        order = torch.randperm(len(self.train), generator=torch.Generator().manual_seed(seed))
        shuffled = self.train[order]
        return torch.cat([shuffled[self.labels[shuffled] == digit][:n] for digit in range(10)])


def load_digits() -> Digits:
    """Read the digits; the same split on every machine.

    They are the test set of "Optical Recognition of Handwritten Digits" (E. Alpaydin, UCI, 1998),
    of which scikit-learn brings a copy.

    >>> digits = load_digits()
    >>> len(digits.pictures), [len(part) for part in digits[2:]], digits.few(4, seed=0).shape
    (1797, [1000, 297, 500], torch.Size([40]))
    """
    from sklearn import datasets  # of the notebooks' extra

    data = datasets.load_digits()
    levels = 255 - np.rint(data.images * (255 / 16)).astype(np.uint8)  # ink was 16, paper 0
    pictures = [Image.fromarray(each).convert("RGB") for each in levels]
    order = torch.randperm(len(pictures), generator=torch.Generator().manual_seed(0))
    test, validation, train = order.split([500, 297, 1000])
    return Digits(pictures, torch.tensor(data.target), train, validation, test)
