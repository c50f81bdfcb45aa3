import importlib
import json
import re
import sys
from html import unescape

import matplotlib
import numpy as np
import pytest
import torch
from parity import NoFloat64
from PIL import Image

from siglip_lab import clip, plots
from siglip_lab.configs import VisionConfig
from siglip_lab.counting import count_bytes, count_flops, count_parameters
from siglip_lab.patches import patchify
from siglip_lab.published import get_config

matplotlib.use("Agg")
RED = Image.new("RGB", (45, 30), "red")


def words(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.delitem(sys.modules, "siglip_lab.plots")
    with pytest.raises(
        ModuleNotFoundError, match=r"pip install 'siglip-lab\[notebooks\]'"
    ) as error:
        importlib.import_module("siglip_lab.plots")
    assert error.value.name == "matplotlib"


def test_walk_carries_the_shapes_of_its_config():
    found = words(plots.walk(get_config("siglip-so400m-patch14-224"), RED, ["a", "b", "c"]))
    for shape in ("[1, 3, 224, 224]", "[1, 256, 1152]", "[3, 16]", "[3, 16, 1152]", "[1, 3]"):
        assert shape in found
    assert "16 × 16 patches → tokens" in found
    assert "“c”" in found


def test_clips_walk_carries_the_shapes_of_its_config():
    found = words(plots.clip_walk(clip.get_config("ViT-L/14"), RED, ["a", "b", "c"]))
    for shape in ("[1, 3, 224, 224]", "[1, 257, 1024]", "[3, 77]", "[3, 77, 768]", "[3, 768]"):
        assert shape in found
    assert "class token + 256 patches" in found
    assert "[1, 3]" in found


def test_merge_steps_carry_the_states_and_show_one_word_without_scripts():
    words = {"at": ([(["a", "t</w>"], [7]), (["at</w>"], [])], [3]), "b": ([(["b</w>"], [])], [4])}
    html = plots.MergeSteps(words, "at")._repr_html_()
    data = json.loads(unescape(re.search(r'data-words="(.*?)"', html)[1]))
    assert data["at"] == {"states": [[["a", "t</w>"], [7]], [["at</w>"], []]], "ids": [3]}
    assert "<td>a t&lt;/w&gt;</td></tr><tr><th scope='row'>1</th><td>at&lt;/w&gt;</td>" in html
    assert "b&lt;/w&gt;" not in html.split(">", 1)[1]


def test_minimap_lights_one_step():
    boxes = plots.minimap("text").findobj(matplotlib.patches.FancyBboxPatch)
    filled = [box for box in boxes if box.get_facecolor()[3] == 1]
    assert len(boxes) == 6
    assert len(filled) == 1
    after = plots.minimap("loss")
    assert len(after.findobj(matplotlib.patches.FancyBboxPatch)) == 7
    assert words(after).count("loss") == 1
    with pytest.raises(ValueError, match="no step 'words'; the steps are preprocess"):
        plots.minimap("words")


def test_patch_grid_marks_what_is_dropped():
    figure = plots.patch_grid(Image.new("RGB", (384, 384)), patch_size=14)
    (axes,) = figure.axes
    verticals, horizontals = axes.collections
    assert len(verticals.get_segments()) == len(horizontals.get_segments()) == 28
    spans = [patch.get_extents().transformed(axes.transData.inverted()) for patch in axes.patches]
    assert (spans[0].x0, spans[0].x1) == pytest.approx((378, 384))
    assert sorted((spans[1].y0, spans[1].y1)) == pytest.approx([378, 384])


def test_probabilities_draws_every_value():
    values = torch.tensor([[0.25, 0.5], [0.75, 1.0]])
    figure = plots.probabilities([RED, RED], ["one", "two"], values)
    widths = [bar.get_width() for axes in figure.axes[1::2] for bar in axes.patches]
    assert widths == [0.25, 0.5, 0.75, 1.0]
    assert {"25.0%", "50.0%", "75.0%", "100.0%"} <= set(words(figure))


def test_histograms_count_every_pixel():
    figure = plots.histograms(
        {"a": torch.rand(3, 8, 8), "b": torch.rand(3, 8, 8)}, ["x", "y"], [(0, 1), (-1, 1)]
    )
    assert len(figure.axes) == 2
    for axes in figure.axes:
        assert len(axes.patches) == 3  # red, green, blue
    assert figure.axes[1].get_xlim() == (-1, 1)
    assert {"R", "G", "B"} <= set(words(figure))


def test_images_are_drawn_to_one_scale():
    assert len(plots.images([RED, RED, RED], list("abc"), columns=2).axes) == 4
    figure = plots.images([RED, RED.resize((60, 60))], ["a", "b"])
    figure.canvas.draw()
    widths = [axes.get_window_extent().width for axes in figure.axes]
    assert widths[1] / widths[0] == pytest.approx(60 / 45, rel=0.01)


def test_curves():
    x = np.arange(3)
    curves = plots.curves(x, {"one": x, "two": x**2}, "x", "y").axes[0]
    assert {"one", "two"} <= {line.get_label() for line in curves.lines}


def test_shares_tell_the_good_from_the_mistakes():
    axes = plots.shares({"fine": 0.5, "wrong": 0.125}, good="fine").axes[0]
    assert [bar.get_width() for bar in axes.patches] == [0.5, 0.125]
    assert axes.patches[0].get_facecolor() == matplotlib.colors.to_rgba(plots.NEUTRAL)
    assert axes.patches[1].get_facecolor() == matplotlib.colors.to_rgba(plots.MISTAKE)


def test_triangle_writes_levels_and_weights():
    found = words(plots.triangle([0, 0, 0, 80, 160, 240, 240, 240], centre=3, reach=2))
    assert [word for word in found if word.endswith("/8")] == ["1/8", "3/8", "3/8", "1/8"]
    assert found.count("240") == 3


def test_shares_with_several_good_names():
    axes = plots.shares({"a": 0.5, "b": 0.4, "c": 0.1}, good=("a", "b")).axes[0]
    grey = matplotlib.colors.to_rgba(plots.NEUTRAL)
    assert [bar.get_facecolor() == grey for bar in axes.patches] == [True, True, False]


def test_token_row_has_a_square_for_each_place():
    figure = plots.token_row("a cat", ["▁a", "▁cat", "</s>"], [3, 232, 1], length=16)
    assert len(figure.axes[0].patches) == 3 + 16 + 1  # pieces, places, the frame of the last
    assert {"“a cat”", "▁cat", "232", "16 places"} <= set(words(figure))


def test_cosine_map_shows_cosines_and_lengths():
    figure = plots.cosine_map(torch.tensor([[3.0, 4.0], [4.0, 3.0]]), label="place")
    left, right = figure.axes[:2]
    np.testing.assert_allclose(left.images[0].get_array(), [[1, 0.96], [0.96, 1]], atol=1e-6)
    assert [bar.get_height() for bar in right.patches] == [5, 5]
    assert words(figure).count("place") == 3


def test_columns_tell_the_good_from_the_mistakes():
    axes = plots.columns([9, 16], [0.2, 0.96], 16, "places").axes[0]
    assert [bar.get_height() for bar in axes.patches] == [0.2, 0.96]
    assert axes.patches[1].get_facecolor() == matplotlib.colors.to_rgba(plots.NEUTRAL)


def test_text_cleaner_carries_its_vocabulary():
    class Words:
        def pieces(self, text):
            return ["▁<b>", "</s>"]

        def encode(self, text):
            return [3, 1]

    cleaner = plots.TextCleaner({"▁<b>": -0.5, "x": -1 / 3}, Words(), "<b>")
    html = cleaner._repr_html_()
    assert 'data-vocabulary="▁&lt;b&gt; -0.5 x -0.333333333"' in html
    assert "<td>▁&lt;b&gt;</td><td>&lt;/s&gt;</td>" in html
    assert repr(cleaner) == "TextCleaner(2 pieces, '<b>')"


def test_attention_map_writes_weights_and_a_picture_for_readers_without_scripts():
    picture = Image.new("RGB", (20, 20), "red")  # patches of 6: 3 x 3, two pixels left over
    weights = torch.rand(2, 4, 9, 9, dtype=torch.float64).softmax(dim=-1)
    figure = plots.attention_map(picture, weights, patch_size=6, query=4)
    assert repr(figure) == "AttentionMap(2 layers, 4 heads, 9 queries, 9 keys)"
    html = figure._repr_html_()
    data = dict(re.findall(r'data-(\w+)="([^"]*)"', html))
    written = torch.tensor([int(n) for n in data["weights"].split()]).reshape(2, 4, 9, 9)
    assert (written - weights * 1000).abs().max() <= 0.5
    assert data["layers"] == "layer 0|layer 1"
    assert html.count('class="am-veil"') == html.count('class="am-number"') == 9
    assert 'd="M18 0H20V20H0V18H18Z"' in html
    single = plots.attention_map(picture, weights[:1, :, :1], 6, layers=["<head>"], asker="it")
    assert 'data-layers="&lt;head&gt;"' in single._repr_html_()
    for wrong in (weights[0], weights[:, :, :2], torch.rand(1, 1, 4, 4)):
        with pytest.raises(ValueError, match=r"expected \[layers, heads, 9 or 1, 9\]"):
            plots.attention_map(picture, wrong, patch_size=6)


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    plots.minimap("text")
    assert matplotlib.pyplot.get_fignums() == []


def test_angles_keeps_directions_and_marks_each_caption():
    figure = plots.angles([1.5, 2.0], [[0.8, 0.6], [0.0, 3.0]], ["image", "A", "B"], t=10, b=-9)
    dots = [line for line in figure.axes[1].lines if line.get_marker() == "o"]
    found = [(float(dot.get_xdata()[0]), float(dot.get_ydata()[0])) for dot in dots]
    assert found[0] == pytest.approx((0.96, 1 / (1 + np.exp(-0.6))))
    assert found[1] == pytest.approx((0.8, 1 / (1 + np.exp(1.0))))
    assert {"image", "A", "B"} <= set(words(figure))


def test_probability_curves_mark_one_half():
    figure = plots.probability_curves({"one": (100.0, -10.0), "far": (10.0, -10.0)}, (0, 0.25))
    (axes,) = figure.axes
    dots = [line for line in axes.lines if line.get_marker() == "o"]
    assert [(dot.get_xdata()[0], dot.get_ydata()[0]) for dot in dots] == [(0.1, 0.5)]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "far"]


def test_cosines_are_shares_of_each_kind():
    own, other = torch.full((4,), 0.15), torch.full((9, 9), -0.4)
    figure = plots.cosines(own, other, half=0.09, foreign=0.25)
    heights = sorted(bar.get_height() for bar in figure.axes[0].patches if bar.get_height() > 0)
    assert heights[-2:] == pytest.approx([1, 1])
    assert {"one half\nat 0.090", "0.25, made for\nanother model"} <= set(words(figure))


def test_two_answers_draws_both():
    values = torch.tensor([[0.25, 0.5]])
    figure = plots.two_answers([RED], ["one", "two"], values, values * 2)
    bars = [[bar.get_width() for bar in axes.patches] for axes in figure.axes[1:]]
    assert bars == [[0.25, 0.5], [0.5, 1.0]]
    assert {"25%", "50%", "100%"} <= set(words(figure))


def test_patch_to_token_shows_the_numbers_in_the_order_of_the_kernel():
    picture = Image.fromarray(np.arange(12 * 12 * 3, dtype=np.uint8).reshape(12, 12, 3))
    figure = plots.patch_to_token(picture, 4, row=1, column=2, token=torch.arange(7.0))
    numbers, token = (axes.images[0].get_array().flatten() for axes in figure.axes[-2:])
    patches = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None]
    assert numbers.tolist() == patchify(patches, 4)[0, 5].tolist()
    assert token.tolist() == list(range(7))
    assert {"one patch, 4 × 4", "one token, 7 numbers"} <= set(words(figure))


def test_cosine_maps_compare_every_place_with_the_chosen_ones():
    table = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    figure = plots.cosine_maps({"four": table, "again": table}, tiles=2)
    shown = np.asarray(figure.axes[0].images[0].get_array().filled(np.nan))
    assert shown.shape == (5, 5)
    np.testing.assert_allclose(shown[:2, :2], [[1, 0], [-1, 0.5**0.5]], atol=1e-6)
    np.testing.assert_allclose(shown[3:, :2], [[-1, 0], [1, -(0.5**0.5)]], atol=1e-6)
    assert np.isnan(shown[2]).all() and np.isnan(shown[:, 2]).all()


def test_heat_maps_write_the_largest_share():
    weights = torch.full((2, 3, 4), 0.25)
    weights[1, 2] = torch.tensor([0.1, 0.2, 0.1, 0.6])
    figure = plots.heat_maps([RED.resize((40, 40))] * 2, weights, 18, ["one", "two", "three"])
    assert len(figure.axes) == 8
    assert {"one", "two", "three", "25%", "60%"} <= set(words(figure))
    veil = figure.axes[-1].images[1].get_array()[..., 3]
    assert veil[1, 1] == 0 and veil.max() < 0.8


def test_tower_outputs_names_what_leaves_each_part():
    found = words(plots.tower_outputs(get_config("siglip-so400m-patch14-384").vision))
    for name in ("layer 27", "hidden_states[-2]", "[B, 729, 1152]", "pooler_output", "[B, 1152]"):
        assert name in found


def test_questions_fill_what_is_asked():
    cells = [[0, 1], [0, 1]]
    asked = {"a caption": cells, "none": [[0, 0], [0, 0]]}
    figure = plots.questions(["cat", "dog"], ["cat", "dog"], asked)
    faces = [[square.get_facecolor() for square in axes.patches] for axes in figure.axes]
    assert [[face[3] == 1 for face in panel] for panel in faces] == [[False, True] * 2, [False] * 4]
    assert faces[0][3] == matplotlib.colors.to_rgba(plots.JOINT)  # its own
    assert faces[0][1] == matplotlib.colors.to_rgba(plots.NEUTRAL)
    assert {"“cat”", "dog", "a caption", "own"} <= set(words(figure))


def test_pair_gradients_write_every_number():
    values = torch.tensor([[-0.5, 0.25], [0.1, -0.31]])
    figure = plots.pair_gradients(["cat", "dog"], ["cat", "dog"], {"SigLIP": values})
    assert {"−0.50", "+0.25", "+0.10", "−0.31", "SigLIP"} <= set(words(figure))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array(), values.numpy())


def test_first_losses_mark_the_least_and_the_starts():
    figure = plots.first_losses([128, 16_384], [-10, 0])
    assert {"−4.84", "−9.70", "b = −10: 10.7", "b = 0: 11,356.5"} <= set(words(figure))
    dashed = figure.axes[0].lines[0]
    b, loss = dashed.get_data()
    assert b[loss.argmin()] == pytest.approx(-np.log(127), abs=0.05)


def test_drift_draws_both_means():
    history = torch.tensor([[0.0, 0.0], [0.5, -0.5]])
    left, right = plots.drift({"one": history, "two": history}).axes
    curves = {line.get_label(): list(line.get_ydata()) for line in left.lines}
    assert curves["own"] == [0, 0.5] and curves["others"] == [0, -0.5]
    assert right.get_title() == "two"


def areas(figure, axes=0):
    axes = figure.axes[axes]
    return [patch.get_width() * patch.get_height() for patch in axes.patches]


def test_parameter_areas_are_proportional_to_the_numbers():
    config = get_config("siglip-base-patch16-224")
    count = count_parameters(config)
    figure = plots.parameter_areas({"base": count})
    found = areas(figure)
    assert len(found) == 2 * 12 * 3 + 4 + 2 + 4 + 1  # layers, embeddings, norms, MAP head, head
    numbers = [
        cell.total for tower in (count.vision, count.text) for part in tower
        for cell in (list(part) or [part])
    ]  # fmt: skip
    assert np.allclose(np.array(found) / sum(found), np.array(numbers) / sum(numbers), atol=1e-12)
    shown = words(figure)
    for label in ("image tower\n92.9 M", "text tower\n110.3 M", "token table", "MAP head"):
        assert label in shown
    assert shown.count("12 ×\nMLP") == 2


def test_parameter_areas_of_two_models_have_one_scale():
    counts = {
        "CLIP": count_parameters(clip.get_config("ViT-B/16")),
        "SigLIP": count_parameters(get_config("siglip-base-patch16-224")),
    }
    figure = plots.parameter_areas(counts)
    left, right = (sum(areas(figure, i)) for i in (0, 1))
    assert left / right == pytest.approx(149_620_737 / 203_155_970, rel=1e-6)
    assert words(figure).count("12 layers") == 4
    assert "MAP head" in words(figure) and "CLIP: 149.6 M" in words(figure)


def test_parameter_map_carries_shapes_and_a_table_for_readers_without_scripts():
    shown = plots.ParameterMap(
        {
            "siglip2-giant-opt-patch16-256": get_config("siglip2-giant-opt-patch16-256"),
            "ViT-B/16": clip.get_config("ViT-B/16"),
        },
        "siglip2-giant-opt-patch16-256",
    )
    assert repr(shown) == "ParameterMap(2 models, 'siglip2-giant-opt-patch16-256')"
    html = shown._repr_html_()
    models = json.loads(unescape(re.search(r'data-models="([^"]*)"', html)[1]))
    giant = models["siglip2-giant-opt-patch16-256"]
    assert giant["image"] == [256, 16, 1536, 40, 6144]
    assert giant["text"] == [256_000, 64, 1152, 27, 4304, 1536]
    assert (giant["clip"], models["ViT-B/16"]["clip"]) == (False, True)
    assert "1,871,393,906" in html and "text tower: embeddings" in html


def test_loss_to_scale_draws_areas_in_proportion():
    figure = plots.loss_to_scale(n=32_768, width=1152, chunk=512)
    logits, images, texts, block = (
        patch.get_width() * patch.get_height() for patch in figure.axes[0].patches[:4]
    )
    assert images == texts == pytest.approx(logits * 1152 / 32_768)
    assert block == pytest.approx(logits / 64**2)
    assert any("4.3 GB" in text for text in words(figure))


@pytest.mark.parametrize("world", [2, 4])
def test_ring_scores_every_block_once(world):
    figure = plots.ring(world)
    dark = matplotlib.colors.to_rgba(plots.JOINT)
    scored = []
    for axes in figure.axes[world:]:
        now = [p.get_xy() for p in axes.patches if p.get_facecolor() == dark]
        assert len(now) == world
        scored += [(round(x + 0.45), round(y + 0.45)) for x, y in now]
    assert sorted(scored) == [(i, j) for i in range(world) for j in range(world)]
    assert scored[:world] == [(i, i) for i in range(world)]


def test_memory_curves_end_where_nothing_fits():
    rows = [
        {"n": 1024, "extra_gb": {"siglip_lab": 0.01, "other": 0.1}},
        {"n": 2048, "extra_gb": {"siglip_lab": 0.02, "other": None}},
    ]
    ours, other = plots.memory_curves(rows).axes[0].lines
    assert list(ours.get_ydata()) == [0.01, 0.02] and list(other.get_xdata()) == [1024]
    assert ours.get_color() == plots.JOINT and other.get_color() == plots.NEUTRAL


def test_batch_sizes_leaves_out_what_was_not_measured():
    one = {512: (50.0, 40.0), 2**15: (60.0, None)}
    figure = plots.batch_sizes({"a": one, "b": {8: (1.0, 2.0)}})
    _, sigmoid, softmax = figure.axes[0].lines
    assert list(sigmoid.get_ydata()) == [50.0, 60.0] and list(softmax.get_xdata()) == [512]
    assert {"512", "32k"} <= set(words(figure))


def test_layer_costs_draws_areas_in_proportion():
    config = get_config("siglip-so400m-patch14-384")
    flops = count_flops(config)
    layers = {"image": (flops.vision["layer 0"], 729), "text": (flops.text["layer 0"], 64)}
    figure = plots.layer_costs(layers)
    areas = [box.get_width() * box.get_height() * 1e6 for box in figure.axes[0].patches]
    order = ("mlp", "attention", "attention map")
    expected = [layer[part].total for layer, _ in layers.values() for part in order]
    assert areas == pytest.approx(expected)
    assert "projections  31%" in words(figure)
    assert "text\n64 tokens\n2.0 GFLOPs" in words(figure)


def test_cost_curves_stack_their_parts():
    parts = {"MLP": [1.0, 4.0], "maps": [0.5, 8.0]}
    figure = plots.cost_curves([100, 200], parts, {150: "here"})
    (bottom, top) = figure.axes[0].collections
    assert bottom.get_paths()[0].vertices[:, 1].max() == 4
    assert top.get_paths()[0].vertices[:, 1].max() == 12
    assert {"MLP", "maps", "here"} <= set(words(figure))


def test_rooflines_put_parts_under_the_roof():
    parts = {"small": (1.0, plots.NEUTRAL), "large": (500.0, plots.IMAGE)}
    machines = {"a": (100e9, 1e9, parts), "b": (10e9, 1e9, {"one": (2.0, plots.TEXT)})}
    above, below = plots.rooflines(machines).axes
    roof, ridge, small, large = above.lines
    assert roof.get_ydata().max() == 100 and ridge.get_xdata()[0] == 100
    assert (small.get_ydata()[0], large.get_ydata()[0]) == (1, 100)
    assert below.lines[-1].get_ydata()[0] == 2 and below.get_title("left") == "b"


def test_training_memory_bars_end_at_the_total():
    counts = {
        name: count_bytes(get_config("tiny"), batch=8, training=True, checkpointing=name == "b")
        for name in "ab"
    }
    bars = plots.training_memory(counts).axes[0].patches
    ends = [max(bar.get_x() + bar.get_width() for bar in bars[i : i + 6]) for i in (0, 6)]
    assert ends == pytest.approx([count.total / 1e9 for count in counts.values()])
    assert bars[3].get_facecolor() == matplotlib.colors.to_rgba(plots.IMAGE)


def test_star_sweep_marks_the_best_of_each_budget():
    values = np.array([1.0, 2.0, 4.0])
    errors = np.array([[1.0, 0.5, 1.0], [1.0, 0.6, 0.2]])
    figure = plots.star_sweep({"width": (values, errors, np.array([2.0, 4.0]))})
    (axes,) = figure.axes
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in axes.lines[1::2]]
    assert np.allclose(dots, [(2.0, 0.5), (4.0, 0.2)])
    assert axes.get_xlabel() == "width"


def test_shape_explorer_carries_shapes_and_a_table():
    config = get_config("siglip-base-patch16-224")
    shapes = {"base <b>": config, "alone": VisionConfig(28, 14, 8, 2, 2, 16)}
    html = plots.ShapeExplorer(shapes, "alone")._repr_html_()
    data = json.loads(unescape(re.search('data-shapes="([^"]*)"', html)[1]))
    assert data["base <b>"]["image"] == [224, 16, 768, 12, 12, 3072]
    assert data["base <b>"]["text"] == [32000, 64, 768, 12, 3072, 768]
    assert data["alone"] == {"image": [28, 14, 8, 2, 2, 16], "text": None}
    assert "<td>92,884,224</td><td>35.42</td>" in html and "base &lt;b&gt;" in html
    assert repr(plots.ShapeExplorer(shapes, "alone")) == "ShapeExplorer(2 shapes, 'alone')"


def test_differences_shows_two_boxes_or_one():
    steps = {"mask": ("causal", "none", plots.TEXT), "layers": ("12", "12", plots.IMAGE)}
    figure = plots.differences(steps)
    boxes = figure.findobj(matplotlib.patches.FancyBboxPatch)
    assert len(boxes) == 3
    assert boxes[0].get_width() < boxes[2].get_width() / 2
    assert {"mask", "causal", "none", "layers", "12", "CLIP", "SigLIP"} <= set(words(figure))
    assert words(figure).count("12") == 1


def test_fair_race_has_error_bars_and_names_the_steps():
    losses = {"sigmoid": {16: (0.5, 0.1), 64: (0.25, 0.05)}, "softmax": {16: (0.4, 0.02)}}
    figure = plots.fair_race({"seen": losses, "held out": losses}, {16: 256, 64: 64})
    for axes in figure.axes[:2]:
        first, second = axes.containers
        assert first.lines[0].get_ydata() == pytest.approx([50, 25])
        bars = first.lines[2][0].get_segments()
        assert [bar[:, 1].tolist() for bar in bars] == [
            pytest.approx([40, 60]),
            pytest.approx([20, 30]),
        ]
        assert len(second.lines[0].get_ydata()) == 1
    assert {"16\n256", "64\n64", "seen", "held out", "sigmoid", "softmax"} <= set(words(figure))


def test_probability_curves_mark_captions_on_the_first_curve():
    marks = {"cats": 0.1, "dogs": 0.0}
    figure = plots.probability_curves({"a": (10.0, -1.0), "b": (5.0, 0.0)}, (0, 0.2), marks)
    assert {"cats  50.0%", "dogs  26.9%"} <= set(words(figure))
    assert len(plots.probability_curves({"a": (10.0, -1.0)}, (0, 0.2)).axes[0].lines) == 3


def test_reliability_needs_no_float64_on_the_device():
    with NoFloat64():
        plots.reliability({"one": torch.tensor([[100, 0.05, 0.0]], requires_grad=True)})


def test_reliability_puts_each_bin_at_its_score_and_share():
    bins = torch.tensor([[100, 0.05, 0.0], [25, 0.55, 0.2], [4000, 0.95, 1.0]])
    figure = plots.reliability({"before": bins, "after": bins[:1], "third": bins})
    assert [axes.get_title() for axes in figure.axes] == ["before", "after", "third"]
    dots = figure.axes[0].collections[-1]
    np.testing.assert_allclose(dots.get_offsets(), bins[:, 1:].numpy(), atol=1e-6)
    np.testing.assert_allclose(dots.get_sizes(), [50, 25, 5 * 1000**0.5])
    assert {"score", "share that is true"} <= set(words(figure))
