"""Each figure draws, and shows the numbers that it is given; all is read from its SVG."""

import base64
import importlib
import inspect
import io
import json
import re
import sys
import xml.etree.ElementTree as xml

import matplotlib
import numpy as np
import pytest
import torch
from parity import NoFloat64
from PIL import Image

import siglip_lab.figures
from siglip_lab import clip
from siglip_lab.clip.counting import count_parameters as count_clip
from siglip_lab.counting import count_flops, count_parameters
from siglip_lab.figures import (
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch10,
    ch11,
    ch12,
    ch13,
    ch14,
    ch15,
    ch16,
    ch17,
    ch18,
    ch19,
    ch20,
    ch21,
    ch22,
    ch23,
    ch24,
    ch25,
    ch26,
    ch27,
    ch28,
    style,
    svg,
)
from siglip_lab.memory import count_bytes
from siglip_lab.patches import patchify
from siglip_lab.published import get_config

matplotlib.use("Agg")
SVG = "{http://www.w3.org/2000/svg}"
MODULES = [ch01, ch02, ch03, ch04, ch05, ch06, ch07, ch08, ch09, ch10, ch11, ch12, ch13, ch14, ch15,
           ch16, ch17, ch18, ch19, ch20, ch21, ch22, ch23, ch24, style]  # fmt: skip
DRAW = torch.Generator().manual_seed(0)


def random(*shape):
    return torch.rand(*shape, generator=DRAW)


PHOTO = Image.fromarray((random(30, 45, 3) * 255).byte().numpy())
SQUARE = PHOTO.resize((40, 40))
MAP = torch.arange(4096.0).view(64, 8, 8)
BASE, SO400M = get_config("siglip-base-patch16-224"), get_config("siglip-so400m-patch14-384")
FLOPS = count_flops(SO400M)
LAYERS = {"image": (FLOPS.vision["layer 0"], 729), "text": (FLOPS.text["layer 0"], 64)}
MEMORY = {
    name: count_bytes(get_config("tiny"), batch=8, training=True, grad_checkpointing=name == "b")
    for name in "ab"
}
PAIR = ["cat", "dog"]
SIZES = {512: (50.0, 40.0), 2**15: (60.0, None), 2**18: (61.0, 58.0)}
LOSSES = {"sigmoid": {16: (0.5, 0.1), 64: (0.25, 0.05)}, "softmax": {16: (0.4, 0.02)}}
BINS = torch.tensor([[100, 0.05, 0.0], [25, 0.55, 0.2], [4000, 0.95, 1.0]])
SAME = "12 layers: norm, attention, norm, MLP"
ROWS = [
    {"n": 1024, "extra_gb": {"siglip_lab": 0.01, "other": 0.1}},
    {"n": 2048, "extra_gb": {"siglip_lab": 0.02, "other": None}},
]
WAYS = {"right": (1.5, 0.0, 0.0), "no text": (1.5, 0.25, 0.84), "all_wrong": (6.0, 3.0, 3.0)}
PARTS = {"small": (1.0, style.NEUTRAL), "near": (1.2, style.TEXT), "large": (500.0, style.IMAGE)}

CLASSES = torch.eye(5) - 0.25
WRITTEN = [dict(zip(names, CLASSES, strict=False)) for names in ("abcd", "xyz")]
WRITTEN += [SQUARE, CLASSES[1]]
EXAMPLES = [  # one call at least of every function that draws
    (ch01.siglip_walk, SO400M, PHOTO, ["a cat", "a dog", "a boat"]),
    (ch01.walk_map, PHOTO, PAIR, [("cut", [1, 2])] * 4, [("look", [3])] * 4, "meet", "end"),
    (ch01.odds_before_and_after, 1e-4, {"one": 0.5, "two": 1e-4}),
    (ch01.patch_grid, SQUARE, 14),
    (ch01.mixed_tokens, torch.eye(3, 2), torch.eye(3), random(3, 2), [*"abc"]),
    (ch01.arrows_on_circles, torch.tensor([0.6, 0.8]), torch.tensor([[0.8, 0.6]]), PAIR),
    (ch01.probe_gathers, PHOTO.resize((42, 42)), 7, random(36).softmax(dim=0), random(72) - 0.5),
    (ch01.two_streams, {"pixels": MAP}, {"ids": random(2, 3)}),
    (ch01.answers_side_by_side, PHOTO, PAIR, {"one": random(2), "two": random(2)}),
    (ch01.encoder_layer, random(6, 8), random(6, 8), -random(6, 8), 32),
    (ch01.read_positions, 3, {6: 0.96, 4: 0.2}),
    (ch02.channel_histograms, {name: random(3, 8, 8) for name in "ab"}, ["x", "y"], [(0, 1)] * 2),
    (ch02.triangle_filter, [0, 0, 0, 80, 160, 240, 240, 240], 3, 2),
    (ch03.token_row, "a cat", ["▁a", "▁cat", "</s>"], [3, 232, 1], 16),
    (ch03.cuts, [["a", "b"], ["ab"]], {"a": -1.0, "b": -2.0, "ab": -2.5}),
    (ch03.cosine_map, random(16, 8), "place"),
    (ch03.accuracy_columns, range(9, 17), random(8).tolist(), 16, "places"),
    (ch04.patch_to_token, PHOTO, 14, 1, 2, random(72)),
    (ch04.four_patches, torch.arange(16.0).view(4, 4), torch.arange(16.0).view(4, 4)),
    (ch04.four_orders, {"a": random(6)}, {"a": torch.arange(6) // 2}, {"a": 0.5}),
    (ch04.two_squares, torch.eye(6)[:3, None] - torch.eye(6), [*"abc"]),
    (ch04.published_shapes, [(384, 14), (512, 16)]),
    (ch04.told_places, torch.ones(3, 36, 36), torch.arange(36).flip(0), [0.9, 0.8, 0.7], 0.01),
    (ch04.side_asked, torch.ones(3, 40, 40), ["left", "right"], 0.6, 0.5),
    (ch04.image_sizes, {8: random(3, 8, 8)}, {8: {"with": 0.9, "without": 0.1}}, 3),
    (ch04.said_numbers, {"true": [144, 112, 72, 72], "small": [400, 0, 0, 0]},
     {"small": torch.ones(3, 20, 20)}, {"true": 3, "small": 1}),
    (ch05.two_additions, 1152, 4304),
    (ch06.heat_maps, [SQUARE, SQUARE], random(2, 3, 36), 6, list("abc")),
    (ch07.unit_vectors, [1.5, 2.0], [[0.8, 0.6], [0.0, 3.0]], ["image", "A", "B"], 10, -9),
    (ch07.cosine_groups, {"a": (random(9) / 3, random(9, 9) - 0.7, 0.09), "b": (BINS, BINS, 0.1)}),
    (ch07.two_answers, [PHOTO, SQUARE], PAIR, random(2, 2), random(2, 2)),
    (ch07.tower_outputs, SO400M.vision),
    (ch08.asked_pairs, PAIR, PAIR, {"a caption": [[0, 1], [0, 1]], "none": [[0, 0], [0, 0]]}),
    (ch08.pair_answers, PAIR, PAIR, *random(3, 2, 2)),
    (ch08.six_questions, PAIR, PAIR, *random(2, 2, 2)),
    (ch08.force_curves, 4 * random(3, 3), random(3, 3), {(0, 1): "one", (2, 2): "two"}),
    (ch08.pair_gradients, PAIR, PAIR, {"SigLIP": random(2, 2) - 0.5}),
    (ch08.scale_losses, torch.logspace(0, 2, 9), random(9), 0.9),
    (ch08.first_losses, [128, 16_384], [-10, 0]),
    (ch08.cosine_drift, {"one": random(9, 2), "two": random(9, 2)}, ("two", 5)),
    (ch08.start_clouds, {"one": (random(9, 9), 0.5, 1.0, "all"), "two": (-random(9, 9), 2, 0, "")}),
    (ch08.score_clouds, {"one": random(9, 9) - 0.5, "two": random(9, 9)}, "two"),
    (ch08.three_rules, torch.tensor([-3.0, -9.0, -6.0]), -4.0, 0.9),
    (ch08.gradient_lengths, {"sum / n": 16.0, "mean": 0.5}),
    (ch09.loss_to_scale, 32_768, 1152, 2048),
    (ch09.memory_curves, ROWS),
    (ch10.own_block, 1, 4, 3),
    (ch10.gradient_errors, WAYS),
    (ch10.step_cost, 661, 159, {"n = 32,768": 0.23, "n = 1,048,576": 7.2}),
    (ch10.batch_size_curves, {"a": SIZES, "b": SIZES, "c": {8: (1.0, 2.0), 512: (3.0, 4.0)}}),
    (ch11.parameter_areas, {"base": count_parameters(BASE)}),
    (ch11.parameter_areas, {n: count_clip(clip.get_config("ViT-B/16")) for n in "ab"}),
    (ch12.layer_costs, LAYERS),
    (ch12.cost_curves, [140, 1036], {"MLP": [1.0, 4.0], "maps": [0.5, 8.0]}, {384: "here"}),
    (ch12.rooflines, {"a": (100e9, 1e9, PARTS), "b": (10e9, 1e9, {"one": (2.0, style.TEXT)})}),
    (ch12.training_memory, MEMORY),
    (ch13.clip_walk, clip.get_config("ViT-L/14"), PHOTO, ["a", "b", "c"]),
    (ch13.page_map, "ids"),
    (ch13.causal_mask, ["start", "cat", "end", "0"], 2),
    (ch13.image_tower, clip.get_config("ViT-B/16"), SQUARE, random(768), random(512)),
    (ch13.middle_square, PHOTO, 24),
    (ch13.id_ruler, 48_894, {"a": 64, "cat</w>": 2368}),
    (ch13.texts_as_ids, {"a": [("start", 49406), ("a</w>", 320), ("end", 49407)]}),
    (ch13.shares_step_by_step, random(128), {"a cat": random(128), "a dog": -random(128)}, 0.5,
     {"a dog": 0.99, "a cat": 0.01}, 100.0),
    (ch13.two_softmaxes, random(3, 3)),
    (ch13.two_ways_to_pool, clip.get_config("ViT-B/16"), clip.get_config("RN50x4")),
    (ch13.shrinking_maps, SQUARE, {"stage 1": MAP}, 16),
    (ch13.written_classifier, *WRITTEN),
    (ch14.step_by_step, {"mask": ("causal", "none", style.TEXT), "layers": (SAME, SAME, "")}),
    (ch14.fair_race, {"seen": LOSSES, "held out": LOSSES}, {16: 256, 64: 64}),
    (ch15.fingerprints,),
    (ch15.apple_answers,),
    (ch17.merged_blocks, [[0.9, 0.1, 0.5], [0.7, 0.8, 0.2]], 2),
    (ch18.eight_answers,),
    (ch20.gains_and_losses, {"new": {"probe": {1: 0.2, 4: 0.4}, "LoRA": {1: 0.1, 4: 0.3}},
                             "old": {"LoRA": {1: 0.9, 4: 0.5}}}),
    (ch20.trade_offs, (0.1, 0.9), {"averages": {"": (0.2, 0.8), "half": (0.4, 0.3)}}),
    (ch18.two_measures, {"no mistake": (0.96, 0.92), "exp forgotten": (0.96, 0.04)}),
    (ch19.drawn_by, {"one": [PHOTO, SQUARE], "two": [SQUARE, PHOTO]}, PAIR, [True, False]),
    (ch19.true_pairs, [SQUARE, PHOTO], PAIR, torch.tensor([[True, True], [False, True]])),
    (ch19.three_splits,),
    (ch19.asked_along_the_way, [25, 50], {"kind": [0.1, 0.4]}, {"chance": 0.1}, True),
    (ch16.reliability_diagrams, {"before": BINS, "after": BINS[:1], "third": BINS}, "before"),
    (ch21.orders, {"as it was": range(64), "turned": range(63, -1, -1)}),
    (ch21.holdings, 3),
    (ch21.cores, {"one": {"small": 0.4, "large": 146.0}, "two": {"small": 2, "large": 16}}, 16),
    (ch21.restarts, {"again": [[0, 1], [0, 1]], "on": [[3, 1], [2]]}, 4),
    (ch22.recipe,),
    (ch24.gain, ch24.checkpoints(), 220),
    (ch25.candidates, {2: 0.99, 30: 0.9, 849: 0.67}),
    (ch26.maps_in_a_row, [[SQUARE, SQUARE]], ["a", "b"]),
    (ch27.described, [SQUARE, SQUARE], ["one red star", "two red stars"], [True, False]),
    (ch28.kinds, {"a": (16, 0.9, 0.2), "b": (128, 1, 1)}),
    (ch28.probed_cells, torch.rand(20, 2), torch.rand(3, 2), torch.tensor([0.5, 0.5]), 1),
    (ch23.kept_and_squashed, [SQUARE, SQUARE.resize((80, 20))], ["1 : 1", "4 : 1"]),
    (ch23.budgets, [16, 36], {"a": [0.2, 0.9], "b": [0.5, 0.6]}, {"flat": 0.4}),
    (ch23.padding, {64: style.IMAGE}, 4),
    *[(style.minimap, step) for step in ("preprocess", "towers", "loss")],
    (style.image_grid, [PHOTO, SQUARE, PHOTO.convert("L")], list("abc"), 2),
    (style.probability_bars, [PHOTO, SQUARE], PAIR, random(2, 2)),
    (style.probability_bars, [PHOTO], PAIR, torch.tensor([[0.9, 0.8]]), None, [["cat"]]),
    (style.share_bars, {"fine": 0.5, "good": 1.0, "wrong": 0.125}, ("fine", "good")),
    (style.line_chart, range(3), {name: range(3) for name in "abcd"}, "x", "y"),
    (style.probability_curves, {"one": (100.0, -10.0), "two": (9, -9)}, (0, 0.25), {"cats": 0.1}),
]  # fmt: skip


def elements(drawing, kind: str) -> list:
    return list(xml.fromstring(drawing._repr_svg_()).iter(SVG + kind))


@pytest.mark.filterwarnings("error::UserWarning")  # matplotlib's, of layouts and missing glyphs
@pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example[0].__name__)
def test_a_figure_draws_without_warning_and_takes_the_pages_looks(example):
    draw, *arguments = example
    drawing = draw(*arguments)
    markup = drawing._repr_svg_()
    drawn = re.sub('base64,[^"]+', "", markup)
    assert words(drawing) and "nan" not in drawn and "$" not in "".join(words(drawing))
    for colour in ("image", "text", "joint", "mistake", "neutral"):  # none without its variable
        hexadecimal = getattr(style, colour.upper())
        assert hexadecimal not in re.sub(rf"var\(--{colour},{hexadecimal}\)", "", markup)
    for text in elements(drawing, "text"):  # at least as large as the page's letters
        assert float(text.get("font-size", "1em").removesuffix("em")) >= 1
    assert draw(*arguments)._repr_svg_() == markup


def test_every_figure_has_an_example():
    drawn = {example[0] for example in EXAMPLES}
    for module in MODULES:
        for name in module.__all__:
            function = getattr(module, name)
            if getattr(function, "__annotations__", {}).get("return") is svg.Drawing:
                assert function in drawn, name


def test_a_figure_is_closed_and_leaves_others_open():
    mine = matplotlib.pyplot.figure()
    style.minimap("text")  # a notebook would show twice what stays open
    assert matplotlib.pyplot.get_fignums() == [mine.number]
    matplotlib.pyplot.close(mine)


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match=r"siglip-lab\[notebooks\]") as error:
        importlib.reload(siglip_lab.figures)
    assert error.value.name == "matplotlib"


def test_minimap_names_its_steps():
    with pytest.raises(ValueError, match="preprocess"):
        style.minimap("words")


def test_every_picture_needs_a_title():
    with pytest.raises(ValueError):
        style.image_grid([PHOTO, SQUARE], ["one"])


def test_a_walk_through_a_resnet_is_refused():
    with pytest.raises(ValueError, match="ResNet"):
        ch13.clip_walk(clip.get_config("RN50"), PHOTO, PAIR)


def test_a_map_of_a_page_without_such_a_section_is_refused():
    with pytest.raises(ValueError, match="ids, numbers, image tower"):
        ch13.page_map("token")


def test_the_apples_are_the_published_ones(root):
    rows = json.loads((root / "tests/published.json").read_text("utf-8"))["rows"]
    found = {row["id"][7:]: row["value"] for row in rows if row["id"].startswith("apples_")}
    assert list(found) == list(ch15.APPLES)
    for name, (first, second) in found.items():
        np.testing.assert_allclose(ch15.APPLES[name], first + second, atol=5e-5)


def test_reliability_needs_no_float64_on_the_device():
    with NoFloat64():
        ch16.reliability_diagrams({"one": BINS.clone().requires_grad_()})


# ------------------------------------------------------------------- what is shown is what is given


def words(drawing) -> list[str]:
    """Each text, its lines as lines."""
    return ["\n".join(text.itertext()) for text in elements(drawing, "text")]


@pytest.mark.parametrize(
    ("figure", "expected"),
    [
        (
            lambda: ch01.siglip_walk(get_config("siglip-so400m-patch14-224"), PHOTO, PAIR),
            {"[1, 3, 224, 224]", "[1, 256, 1152]", "[2, 16]", "[2, 16, 1152]", "[1, 2]", "“cat”"},
        ),
        (
            lambda: ch13.clip_walk(clip.get_config("ViT-L/14"), PHOTO, PAIR),
            {
                "[1, 3, 224, 224]",
                "[1, 257, 1024]",
                "[2, 77]",
                "[2, 77, 768]",
                "[2, 768]",
                "[1, 2]",
                "different in SigLIP",
            },
        ),
        (
            lambda: ch13.two_ways_to_pool(clip.get_config("ViT-B/16"), clip.get_config("RN50x4")),
            {
                "196 patches and a class token",
                "all 197 tokens ask all,\nin 12 layers: 197 tokens of 768",
                "class token × matrix\n[1, 512]",
                "a map of 9 × 9, and its mean",
                "only the mean asks,\nin 1 layer: 1 vector of 2560",
                "vector × matrix\n[1, 640]",
            },
        ),
        (
            lambda: ch13.middle_square(PHOTO, 20),
            {"resized to 30 × 20", "20 × 20", "5 cut"},
        ),
        (
            lambda: ch13.two_softmaxes(torch.tensor([[0.0, 2], [0, 0]])),
            {"12", "50", "loss 1.41", "rows: which text?", "columns: which image?"},
        ),
        (
            lambda: ch13.shrinking_maps(SQUARE, {"stage 1": MAP}, 16),
            {"photo", "stage\n1", "channels 3", "side 40", "64", "8", "16"},
        ),
        (
            lambda: ch13.written_classifier(*WRITTEN),
            {
                "4 prompts",
                "minus their mean",
                "distance",
                "a",
                "d",
                "mean, scaled to length 1",
                "y",
                "× drawing",
                "= products, number by number",
                "sum",
                "0.81",
                "−0.19",
            },
        ),
        (
            lambda: ch13.shares_step_by_step(
                torch.eye(1, 64)[0],
                {"a": torch.eye(1, 64)[0], "b": -torch.eye(1, 64)[0]},
                0.5,
                {"a": 0.96, "b": 0.04},
                100.0,
            ),
            {"× 0.50", "1.0000", "−1.0000", "−0.50", "1.65", "0.61", "a\n73%", "b\n27%"}
            | {"divided by their sum, 2.26: the shares", "a\n96.00%", "b 4.00%"}
            | {"OpenAI's README: cosines 0.032 apart, t = 100"},
        ),
        (
            lambda: ch13.image_tower(
                clip.get_config("ViT-B/32"), SQUARE, torch.ones(768), torch.ones(512)
            ),
            {"49 patches of 32 × 32", "12 layers:", "norm: 768 numbers", "512 numbers"}
            | {"projection: × a matrix [768, 512]"},
        ),
        (
            lambda: ch02.triangle_filter([0, 0, 0, 80, 160, 240, 240, 240], centre=3, reach=2),
            {"1/8", "3/8", "80", "160", "240"},
        ),
        (
            lambda: ch03.token_row("a cat", ["▁a", "▁cat", "</s>"], [3, 232, 1], length=16),
            {"“a cat”", "▁cat", "232", "16 positions"},
        ),
        (lambda: ch03.accuracy_columns([9, 16], [0.2, 0.96], 16, "places"), {"20", "96"}),
        (
            lambda: ch06.heat_maps([SQUARE], torch.tensor([[[0.1, 0.2, 0.1, 0.6]]]), 18, ["one"]),
            {"60%"},
        ),
        (
            lambda: ch07.cosine_groups({"large": (random(4) / 3, random(9) / 3, 0.107)}),
            {"large", "½ at 0.107", "matching pairs", "unrelated pairs"},
        ),
        (
            lambda: ch07.two_answers([PHOTO], PAIR, BINS[1:2, 1:], BINS[1:2, 1:] / 5),
            {"55%", "20%", "11%", "4%"},
        ),
        (
            lambda: ch07.tower_outputs(SO400M.vision),
            {
                "layers 0 … 24",
                "layer 26",
                "hidden_states[-2]",
                "[B, 729, 1152]",
                "pooler_output",
                "[B, 1152]",
            },
        ),
        (
            lambda: ch08.pair_answers(
                PAIR, PAIR, *torch.tensor([[[0.875, 0.12], [0.01, 0.5]]] * 3)
            ),
            {"CLIP: each row", "CLIP: each column", "SigLIP: each cell", "88", "12", "1", "50"},
        ),
        (
            lambda: ch08.six_questions(
                PAIR, PAIR, *torch.tensor([[[0.875, 0.12], [0.5, 0.5]]] * 2)
            ),
            {"a photo asked", "88%", "0.13", "dog", "mean of the six costs: CLIP's loss, 0.413"},
        ),
        (
            lambda: ch08.force_curves(
                torch.zeros(2, 2), torch.tensor([[-0.5, 0.5], [0.5, -0.5]]), {(0, 1): "cat, “dog”"}
            ),
            {"cat, “dog” +0.50", "logit", "force"},
        ),
        (
            lambda: ch08.pair_gradients(
                PAIR, PAIR, {"SigLIP": torch.tensor([[-0.5, 0.28], [0.02, -0.31]])}
            ),
            {"−0.5", "+0.3", "0", "−0.3"},
        ),
        (
            lambda: ch08.first_losses([128, 16_384], [-10, 0]),
            {"−4.84", "−9.70", "b = −10: 10.7", "b = 0: 11,356.5"},
        ),
        (
            lambda: ch09.loss_to_scale(32_768, 1152, 512),
            {"all logits\n32,768 × 32,768\n4.3 GB", "texts  32,768 × 1,152  0.15 GB"},
        ),
        (
            lambda: ch11.parameter_areas({"base": count_parameters(BASE)}),
            {"image tower\n92.9 M", "text tower\n110.3 M", "token table", "MAP head"},
        ),
        (lambda: ch12.layer_costs(LAYERS), {"projections  31%", "text\n64 tokens\n2.0 GFLOPs"}),
        (
            lambda: ch14.fair_race({"seen": LOSSES}, {16: 256, 64: 64}),
            {"16\n256", "64\n64", "seen", "sigmoid", "softmax"},
        ),
        (
            lambda: style.probability_bars([PHOTO], PAIR, torch.tensor([[0.25, 1.0]])),
            {"25.0%", "100.0%", "cat"},
        ),
        (lambda: ch01.patch_grid(SQUARE, 14, row=1), {"1 of 4 tokens", "12 pixels left over"}),
        (lambda: style.share_bars({"fine": 0.5, "wrong": 0.125}, "fine"), {"50.0%", "12.5%"}),
        (
            lambda: style.line_chart(range(3), {name: range(3) for name in "abcd"}, "x", "y"),
            {"a", "b", "c", "d"},  # none is left out
        ),
        (
            lambda: style.probability_curves(
                {"a": (10.0, -1.0), "b": (5.0, 0.0)}, (0, 0.2), {"cats": 0.1, "dogs": 0.0}
            ),
            {"cats  50.0%", "dogs  26.9%"},
        ),
    ],
    ids=lambda case: inspect.isfunction(case) and case.__code__.co_names[1],
)
def test_the_numbers_that_are_given_are_written(figure, expected):
    assert expected <= set(words(figure()))


def test_a_bar_on_the_wrong_side_of_one_half_is_red_and_a_long_one_says_so():
    values, true = torch.tensor([[0.9, 0.8], [0.9, 0.1]]), [["cat"], ["cat", "dog"]]
    drawing = style.probability_bars([PHOTO, SQUARE], PAIR, values, true=true)
    bars = re.findall(r'fill="var\(--(joint|mistake|neutral)[^"]*\)" d="M[^"]*Z"', drawing.svg)
    assert bars == ["joint", "mistake", "joint", "mistake"]
    assert words(drawing).count("wrong") == 1


def pixels(image) -> np.ndarray:
    """What an <image> shows, `[H, W, 3]` or, in a mask, `[H, W]`."""
    data = image.get("href").split(",")[1]
    with Image.open(io.BytesIO(base64.b64decode(data))) as picture:
        return np.asarray(picture)


def tints(drawing) -> list[tuple[str, np.ndarray]]:
    """Each mask's colour, and how much of it every pixel has, 0 to 1."""
    root = xml.fromstring(drawing._repr_svg_())
    grounds = {rect.get("mask"): rect.get("fill") for rect in root.iter(SVG + "rect")}
    return [
        (grounds[f"url(#{mask.get('id')})"], pixels(mask[0]) / 255)
        for mask in root.iter(SVG + "mask")
    ]


def corners(path) -> np.ndarray:
    return np.array(re.findall(r"-?[\d.]+", path.get("d")), float).reshape(-1, 2)


def boxes(drawing, colour: str, opacity: str | None = None) -> list[np.ndarray]:
    """Lowest and highest corner of each rectangle that is filled with a colour."""
    found = [p for p in elements(drawing, "path") if colour in p.get("fill", "")]
    found = [p for p in found if p.get("fill-opacity") == opacity and "C" not in p.get("d")]
    return [np.array([corners(p).min(0), corners(p).max(0)]) for p in found]


def areas(drawing, colour: str, opacity: str | None = None) -> list[float]:
    return [float(np.prod(high - low)) for low, high in boxes(drawing, colour, opacity)]


def test_patch_to_token_shows_the_numbers_in_the_order_of_the_kernel():
    picture = Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3))
    drawing = ch04.patch_to_token(picture, 4, row=1, column=2, token=torch.arange(7.0))
    patches = patchify(torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None], 4)
    strips = [pixels(image) for image in elements(drawing, "image")]
    strip = next(strip for strip in strips if strip.shape[:2] == (1, 48))
    assert strip.sum(axis=-1).flatten().tolist() == patches[0, 5].tolist()
    assert {f"number {16 * channel + 5}" for channel in range(3)} <= set(words(drawing))
    for channel in range(3):  # each in its own colour
        assert not np.delete(strip[0, 16 * channel : 16 * channel + 16], channel, axis=1).any()
    ((colour, shares),) = tints(drawing)
    assert "--image" in colour
    np.testing.assert_allclose(shares[0], np.arange(7) / 6, atol=0.01)


def test_four_orders_shows_each_number_in_the_colour_of_its_channel():
    numbers, channels = torch.tensor([0.2, 1.0, 0.0, 0.6]), torch.tensor([2, 0, 1, 0])
    drawing = ch04.four_orders({"mixed": numbers}, {"mixed": channels}, {"mixed": 0.125})
    assert "12.5%" in words(drawing)
    weights, strip = [pixels(image)[0] for image in elements(drawing, "image")]
    assert np.array_equal(weights, 255 * np.eye(3))
    assert strip.tolist() == [[0, 0, 51], [255, 0, 0], [0, 0, 0], [153, 0, 0]]


def test_two_squares_shows_where_black_and_white_are():
    pictures = torch.tensor([[0.0, -1.0], [1.0, 0.0]]).repeat(2, 1, 1)
    drawing = ch04.two_squares(pictures, ["right, above"] * 2)
    ((left, top), _), ((x, y), _) = (boxes(drawing, c.lower())[0] for c in (svg.DARK, svg.LIGHT))
    assert left > x and top < y


def test_published_shapes_count_tokens_and_what_is_left_over():
    shown = words(ch04.published_shapes([(384, 14), (512, 16)]))
    assert {"384 / 14", "729 tokens", "6 px left over", "1,024 tokens"} <= set(shown)
    assert sum("left over" in word for word in shown) == 1


def test_told_places_lays_the_tiles_out():
    picture, order = random(3, 36, 36), torch.arange(36).flip(0)
    drawing = ch04.told_places(picture, order, [0.96, 0.5, 0.25], 0.01)
    assert {"96.0%", "50.0%", "25.0%"} <= set(words(drawing))
    right, heap, wrong = [pixels(image) for image in elements(drawing, "image")]
    side = len(right) // 6
    first, last = right[:side, :side], wrong[-side:, -side:]
    assert np.array_equal(first, last) and not np.array_equal(right, wrong)
    assert heap.shape == right.shape


def test_side_asked_writes_both_shares():
    shown = " ".join(words(ch04.side_asked(random(3, 40, 40), ["a left", "a right"], 0.522, 0.5)))
    assert all(word in shown for word in ("52.2%", "50%", "a left", "a right"))


def test_said_numbers_shows_one_drawing_beside_its_answers():
    counts = {"true": [1, 1, 1, 1], "small": [4, 0, 0, 0]}
    drawing = ch04.said_numbers(counts, {"small": random(3, 20, 20)}, {"true": 3, "small": 1})
    assert {"shows 3", "says 1", "small"} <= set(words(drawing))
    assert len(elements(drawing, "image")) == 1


def test_image_sizes_draws_to_scale():
    pictures = {8: random(3, 8, 8), 16: random(3, 16, 16)}
    drawing = ch04.image_sizes(pictures, {8: {"": 0.03}, 16: {"": 0.96}}, 4)
    small, large = [float(image.get("width")) for image in elements(drawing, "image")]
    assert large / small == pytest.approx(2, rel=0.01)
    assert {"4 tokens", "16 tokens", "3%", "96%"} <= set(words(drawing))


def test_cosine_map_shows_cosines():
    drawing = ch03.cosine_map(torch.tensor([[3.0, 4.0], [4.0, 3.0]]), label="place")
    colour, shares = tints(drawing)[0]
    assert "--text" in colour
    np.testing.assert_allclose(shares, [[1, 0.96], [0.96, 1]], atol=0.01)


def test_pictures_are_drawn_to_one_scale_with_their_own_pixels():
    drawing = style.image_grid([PHOTO, PHOTO.resize((60, 60))], ["a", "b"])
    left, right = elements(drawing, "image")
    assert float(right.get("width")) / float(left.get("width")) == pytest.approx(60 / 45, rel=0.01)
    assert np.array_equal(pixels(left), np.asarray(PHOTO)) and pixels(right).shape == (60, 60, 3)


def test_no_picture_has_more_pixels_than_a_screen_shows():
    large = Image.effect_noise((3000, 2000), 50).convert("RGB")
    (image,) = elements(style.image_grid([large], ["noise"]), "image")
    width = pixels(image).shape[1]
    assert width == pytest.approx(2 * float(image.get("width")) * 600 / 403.2, abs=1)


def test_a_white_picture_stays_a_picture():
    (image,) = elements(style.image_grid([Image.new("RGB", (9, 9), "white")], ["white"]), "image")
    assert (pixels(image) == 255).all()


def test_a_formula_is_refused():
    with pytest.raises(ValueError, match="without dollars"):
        style.line_chart([0, 1], {"a": [0, 1]}, "$x$", "y")


def test_stations_lead_to_their_chapters(root):
    for drawing, count in [
        (style.minimap("loss"), 7),
        (style.minimap("text"), 6),
        (ch01.siglip_walk(SO400M, PHOTO, PAIR), 6),
    ]:
        links = {link.get("href") for link in elements(drawing, "a")}
        assert len(links) == count
        assert all((root / "notebooks" / link).exists() for link in links)


def test_stations_lead_to_the_first_chapters_sections(root):
    drawing = ch01.siglip_walk(SO400M, PHOTO, PAIR, here=True)
    written = (root / "notebooks/01_start_here.ipynb").read_text("utf-8").lower()
    links = {link.get("href") for link in elements(drawing, "a")}
    assert len(links) == 6
    for link in links:
        words = link[1:].replace("-", " ").replace("other 27", "other, 27")
        assert re.search(rf'"## (\d+ )?{words}', written)


def test_the_walk_beside_the_readme_is_the_first_chapters(root):
    def without_photo(markup):
        return re.sub(r'href="data:[^"]*"', "", markup)

    photo = Image.open(root / "siglip_lab/data/chelsea.png")
    drawing = ch01.siglip_walk(SO400M, photo, ["a photo of a cat", "a photo of a dog"])
    stored = (root / "book/_static/walk.svg").read_text("utf-8")
    assert without_photo(stored) == without_photo(drawing._repr_svg_()) + "\n"


def test_areas_are_parameters_and_flops():
    counts = {"CLIP": count_clip(clip.get_config("ViT-B/16")), "SigLIP": count_parameters(BASE)}
    drawing = ch11.parameter_areas(counts)
    found = {"CLIP": 0.0, "SigLIP": 0.0}
    middle = drawing.size[0] / 2
    for path in elements(drawing, "path"):
        if path.get("stroke-width") == "0.5" and path.get("fill") != "none":
            low, high = corners(path).min(0), corners(path).max(0)
            found["CLIP" if high[0] < middle else "SigLIP"] += np.prod(high - low)
    assert found["CLIP"] / found["SigLIP"] == pytest.approx(149_620_737 / 203_155_970, rel=0.01)
    parts = [FLOPS.vision["layer 0"][part].total for part in ("mlp", "attention")]
    drawing = ch12.layer_costs(LAYERS)
    mlp, attention = (max(areas(drawing, "--image", shade)) for shade in ("0.87", "0.33"))
    assert mlp / attention == pytest.approx(parts[0] / parts[1], rel=0.01)


def test_areas_of_a_step_are_operations():
    drawing = ch10.step_cost(661, 159, {"a": 0.5, "b": 8.0})
    image, text = (max(areas(drawing, name)) for name in ("--image", "--text"))
    losses = sorted(areas(drawing, "--joint"))
    assert image / text == pytest.approx(661 / 159, rel=0.01)
    assert image / losses[1] == pytest.approx(661 / 8, rel=0.02)
    assert losses[1] / losses[0] == pytest.approx(16, rel=0.03)


def test_bars_of_gradients_are_as_long_as_their_errors():
    drawing = ch10.gradient_errors(WAYS)
    for colour, errors in (("--image", [0.25, 3.0]), ("--text", [0.84, 3.0])):
        found = sorted(high[0] - low[0] for low, high in boxes(drawing, colour))
        assert found[-2] / found[-1] == pytest.approx(errors[0] / errors[1], rel=0.02)


def test_a_causal_mask_shows_what_each_token_sees():
    drawing = ch13.causal_mask(["start", "a", "cat", "end", "0", "0"], end=3)
    text, padding = len(boxes(drawing, "--text", "0.8")), len(boxes(drawing, "--neutral", "0.47"))
    assert text == (1 + 2 + 3 + 4 + 4 + 4) + 6 * 4
    assert padding == (1 + 2) + 6 * 2


def test_bars_of_memory_end_at_the_total():
    drawing = ch12.training_memory(MEMORY)
    ends = {}
    for path in elements(drawing, "path"):
        low, high = corners(path).min(0), corners(path).max(0)
        if high[1] - low[1] > 20 and path.get("d").endswith("Z"):
            ends.setdefault(round(low[1]), []).extend([low[0], high[0]])
    lengths = [max(found) - min(found) for found in ends.values()]
    totals = [count.total for count in MEMORY.values()]
    assert lengths[0] / lengths[1] == pytest.approx(totals[0] / totals[1], rel=0.01)


def marks(drawing, colour: str) -> int:
    """How many dots and squares; ticks are open lines."""
    closed = [p for p in elements(drawing, "path") if p.get("d").endswith("Z")]
    return sum(colour in p.get("fill", "") and "transform" in p.attrib for p in closed)


def test_what_was_not_measured_is_left_out():
    drawing = ch10.batch_size_curves({"a": SIZES, "b": SIZES})
    assert (marks(drawing, "--joint"), marks(drawing, "--neutral")) == (3 + 3 + 1, 2 + 2 + 1)
    drawing = ch09.memory_curves(ROWS)  # each with its mark in the legend
    assert (marks(drawing, "--joint"), marks(drawing, "--neutral")) == (2 + 1, 1 + 1)


def test_reliability_puts_each_bin_at_its_score_and_share():
    drawing = ch16.reliability_diagrams({"one": BINS})
    paths = elements(drawing, "path")
    dots = [p for p in paths if "--joint" in p.get("fill", "") and "C" in p.get("d")]
    centres = np.array([(corners(p).min(0) + corners(p).max(0)) / 2 for p in dots])
    diagonal = next(p for p in paths if p.get("stroke-width") == "1" and len(corners(p)) == 2)
    origin, one = corners(diagonal)
    np.testing.assert_allclose((centres - origin) / (one - origin), BINS[:, 1:], atol=0.005)
