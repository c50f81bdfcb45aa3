"""The handwritten digits: every picture once, and the same parts everywhere."""

import torch

from siglip_lab.toy.digits import load_digits


def test_each_picture_is_for_one_thing():
    digits = load_digits()
    parts = torch.cat([digits.train, digits.validation, digits.test])
    assert parts.sort().values.tolist() == list(range(1797))
    assert digits.pictures[0].size == (8, 8) and digits.pictures[0].mode == "RGB"
    assert digits.pictures[0].getpixel((0, 0)) == (255, 255, 255)  # paper
    assert digits.test[:3].tolist() == [362, 1568, 1440]  # the same on every machine


def test_few_takes_as_many_of_each_digit_from_those_to_learn_from():
    digits = load_digits()
    few = digits.few(4, seed=1)
    assert digits.labels[few].bincount().tolist() == [4] * 10
    assert set(few.tolist()) <= set(digits.train.tolist())
    assert few.tolist() != digits.few(4, seed=2).tolist()
    assert len(digits.few(10**6, seed=0)) == 1000
