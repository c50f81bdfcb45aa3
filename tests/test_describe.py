"""Drawings of two kinds, pixel shuffle and the small language model that describes."""

import random

import pytest
import torch

import siglip_lab as sl
from siglip_lab.toy import describe
from siglip_lab.toy.describe import Describer, image_tokens, pixel_shuffle


def test_seen_and_unseen_drawings_do_not_mix():
    rng = random.Random(0)
    for unseen in (False, True):
        for _ in range(50):
            drawing = describe.random_drawing(rng, unseen)
            halves = zip(drawing[:2], describe.places(drawing), strict=True)
            assert any(describe.is_held_out(*half) for half in halves) == unseen


def test_pixel_shuffle_joins_squares_and_refuses_other_sides():
    grid = torch.arange(16).reshape(1, 16, 1)
    assert pixel_shuffle(grid, 2)[0].tolist()[0] == [0, 1, 4, 5]
    with pytest.raises(ValueError, match="729 tokens"):
        pixel_shuffle(torch.zeros(1, 729, 4), 2)


def test_a_word_sees_none_that_follows():
    model = Describer().eval()
    tokens, ids = torch.rand(1, 36, 72), torch.tensor([[0, 2, 5, 7]])
    with torch.no_grad():
        torch.testing.assert_close(model(tokens, ids)[:, :2], model(tokens, ids[:, :2]))


def test_the_stored_describer_describes():
    rng = random.Random("test")
    contents = [describe.random_drawing(rng) for _ in range(50)]
    pixels = sl.preprocess([describe.draw_two(content, rng) for content in contents], 40)
    tower = sl.SigLIP.from_pretrained("tiny").vision_model
    with torch.no_grad():
        texts = Describer.from_pretrained().generate(image_tokens(tower, pixels))
    pairs = zip(texts, contents, strict=True)
    relations = [text[3:4] == [content.relation] for text, content in pairs]
    assert sum(relations) >= 45
