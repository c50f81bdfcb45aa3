import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image

from siglip_lab import plots
from siglip_lab.configs import get_config

matplotlib.use("Agg")
RED = Image.new("RGB", (45, 30), "red")


def words(figure):
    figure.canvas.draw()
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text)]


def test_walk_carries_the_shapes_of_its_config():
    found = words(plots.walk(get_config("siglip-so400m-patch14-224"), RED, ["a", "b", "c"]))
    for shape in ("[1, 3, 224, 224]", "[1, 256, 1152]", "[3, 16]", "[3, 16, 1152]", "[1, 3]"):
        assert shape in found
    assert "16 × 16 patches → tokens" in found
    assert "“c”" in found


def test_minimap_lights_one_step():
    boxes = plots.minimap("text").findobj(matplotlib.patches.FancyBboxPatch)
    filled = [box for box in boxes if box.get_facecolor()[3] == 1]
    assert len(boxes) == 6
    assert len(filled) == 1
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


def test_figures_are_closed_so_that_a_notebook_shows_them_once():
    plots.minimap("text")
    assert matplotlib.pyplot.get_fignums() == []
