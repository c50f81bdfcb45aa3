"""The figures of the chapter "Twenty mistakes"."""

import torch
from matplotlib import pyplot as plt
from torch import Tensor

import siglip_lab as sl
from siglip_lab.clip.preprocessing import MEAN, STD
from siglip_lab.figures.style import (
    INK,
    JOINT,
    NEUTRAL,
    PERCENT,
    WIDTH,
    Drawing,
    probability_bars,
    styled,
)
from siglip_lab.toy.shapes_world import Combination, draw, random_scene

__all__ = ["eight_answers", "two_measures"]

CAPTION = "This is a photo of 2 red circles."


def eight_answers() -> Drawing:
    """Ask tiny about one drawing and a true caption, once rightly, then with seven mistakes."""
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    drawing = draw(random_scene(1, Combination(2, "red", "circle")))
    ids, pixels = processor.tokenizer(CAPTION), sl.preprocess(drawing, 40)
    cleaned = processor.tokenizer("This is a photo of 2_red_circles.")
    shouted = processor.tokenizer._model.encode(CAPTION[:-1].upper())[:15]
    shouted = torch.tensor([shouted + [1] * (16 - len(shouted))])
    mean, std = torch.tensor(MEAN)[:, None, None], torch.tensor(STD)[:, None, None]

    @torch.no_grad()
    def ask(ids=ids, pixels: Tensor = pixels, pool=False, log=False) -> float:
        tokens, x, _ = model.vision_model(pixels, False, pixels.shape[-1] != 40)
        x = sl.model.l2_normalize(tokens.mean(dim=1) if pool else x)
        scale = model.logit_scale if log else model.logit_scale.exp()
        return (x @ model.encode_text(ids).T * scale + model.logit_bias).sigmoid().item()

    answers = {
        "as it should be": ask(),
        "1 · padding=True": ask(ids[:, :9]),
        "2 · CAPITALS": ask(shouted),
        "3 · 2_red_circles": ask(cleaned),
        "6 · CLIP's mean, std": ask(pixels=((pixels + 1) / 2 - mean) / std),
        "7 · 60 px, interpolated": ask(pixels=sl.preprocess(drawing, 60)),
        "8 · mean of tokens": ask(pool=True),
        "10 · exp forgotten": ask(log=True),
    }
    values = torch.tensor([list(answers.values())])
    return probability_bars([drawing], list(answers), values, good="as it should be")


@styled
def two_measures(rows: dict[str, tuple[float, float]]) -> plt.Figure:
    """Draw, for each mistake, the accuracy (filled) and the mean probability of the truth (hollow).

    Args:
        rows: Words to the two shares.
    """
    figure, axes = plt.subplots(figsize=(WIDTH, 0.33 * len(rows) + 0.9), layout="constrained")
    places = range(len(rows))
    accuracy, probability = zip(*rows.values(), strict=True)
    axes.hlines(places, probability, accuracy, color=NEUTRAL, linewidth=1)
    for x, face, words in (
        (accuracy, JOINT, "top-1 accuracy"),
        (probability, "white", "probability of the true caption"),
    ):
        axes.scatter(x, places, 34, facecolor=face, edgecolor=JOINT, label=words, zorder=3)
    axes.set_yticks(places, list(rows))
    axes.tick_params(axis="y", length=0, colors=INK)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xticks(*PERCENT)
    figure.legend(loc="outside upper center", ncols=2)
    return figure
