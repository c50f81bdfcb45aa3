"""The elements that cells show: what their scripts are given, what readers without scripts see."""

import base64
import json
import re
from html import unescape
from io import BytesIO

import numpy as np
import pytest
import torch
from PIL import Image

import siglip_lab as sl
from siglip_lab import clip
from siglip_lab.configs import VisionConfig
from siglip_lab.figures import ch24, touch
from siglip_lab.published import get_config
from siglip_lab.toy.shapes_world import Combination, draw, random_scene


def parts(element):
    """Its tag, its data and what is inside."""
    html = element._repr_html_()
    tag, data, inside = re.fullmatch(
        r'<siglip-([a-z-]+) class="touchable" data-json="([^"]*)">(.*)</siglip-\1>', html, re.DOTALL
    ).groups()
    return tag, json.loads(unescape(data)), inside


def test_text_cleaner_carries_its_vocabulary():
    class Words:
        def pieces(self, text):
            return ["▁<b>", "</s>"]

        def encode(self, text):
            return [3, 1]

    cleaner = touch.TextCleaner({"▁<b>": -0.5, "x": -1 / 3}, Words(), "<b>")
    tag, data, inside = parts(cleaner)
    assert tag == "text-cleaner"
    assert data == {"vocabulary": "▁<b> -0.5 x -0.333333333", "text": "<b>"}
    assert "“&lt;b&gt;”" in inside and "<td>▁&lt;b&gt;</td><td>&lt;/s&gt;</td>" in inside
    assert repr(cleaner) == "TextCleaner(2 pieces, '<b>')"


def test_merge_steps_carry_all_words_and_show_one_without_scripts():
    words = {"at": ([(["a", "t</w>"], [7]), (["at</w>"], [])], [3]), "b": ([(["b</w>"], [])], [4])}
    tag, data, inside = parts(touch.MergeSteps(words, "at"))
    assert (tag, data["word"]) == ("merge-steps", "at")
    assert data["words"]["at"] == {"states": [[["a", "t</w>"], [7]], [["at</w>"], []]], "ids": [3]}
    assert "<td>a t&lt;/w&gt;</td></tr><tr><th scope='row'>1</th><td>at&lt;/w&gt;</td>" in inside
    assert "b&lt;/w&gt;" not in inside


def test_causal_mask_carries_its_captions_and_draws_the_first():
    shown = touch.CausalMask({"<b> cat": ["<b></w>", "cat</w>"], "q": ["q</w>"]}, places=9)
    assert repr(shown) == "CausalMask(2 captions, '<b> cat')"
    tag, data, inside = parts(shown)
    assert (tag, data["places"]) == ("causal-mask", 9)
    assert data["captions"] == {"<b> cat": ["<b></w>", "cat</w>"], "q": ["q</w>"]}
    assert 'class="drawn" role="img" aria-label="Two grids, row by row' in inside
    assert "“&lt;b&gt; cat”" in inside and inside.count(">cat</text>") == 3 and "</w>" not in inside


def test_mixed_tokens_carry_their_weights_and_draw_all_lines():
    weights = torch.tensor([[0.75, 0.25], [1 / 3, 2 / 3]])
    shown = touch.MixedTokens(torch.eye(2), weights, weights, ["<a>", "b"])
    assert repr(shown) == "MixedTokens(<a>, b)"
    tag, data, inside = parts(shown)
    assert (tag, data["names"]) == ("mixed-tokens", ["<a>", "b"])
    assert data["before"] == [[1, 0], [0, 1]] and data["weights"][1] == [0.3333, 0.6667]
    assert "&lt;a&gt; 0.75 0.25; b 0.33 0.67." in inside and "(0.33, 0.67)" in inside


def test_two_softmaxes_carry_logits_and_draw_both():
    logits = torch.tensor([[2.0, 0.12345], [0.0, -1.0]], requires_grad=True)
    shown = touch.TwoSoftmaxes(logits)
    assert repr(shown) == "TwoSoftmaxes(2 pairs)"
    tag, data, inside = parts(shown)
    assert (tag, data["logits"]) == ("two-softmaxes", [[2.0, 0.123], [0.0, -1.0]])
    assert 'class="drawn" role="img" aria-label="Two grids of 2 by 2 shares' in inside
    assert inside.count(">loss ") == 2


def test_attention_map_writes_weights_and_a_picture():
    picture = Image.new("RGB", (20, 20), "red")  # patches of 6: 3 x 3, two pixels left over
    weights = torch.rand(2, 4, 9, 9, dtype=torch.float64).softmax(dim=-1)
    figure = touch.AttentionMap(picture, weights, patch_size=6, query=4)
    assert repr(figure) == "AttentionMap(2 layers, 4 heads, 9 queries, 9 keys)"
    tag, data, inside = parts(figure)
    written = torch.tensor(data["weights"]).reshape(2, data["heads"], 9, 9)
    assert (written - weights * 1000).abs().max() <= 0.5
    assert (tag, data["layers"], data["query"]) == ("attention-map", ["layer 0", "layer 1"], 4)
    assert not data["own"]  # other weights than tiny's, no other drawing
    assert inside.count('class="am-veil"') == inside.count('class="am-number"') == 9
    assert 'd="M18 0H20V20H0V18H18Z"' in inside
    single = touch.AttentionMap(picture, weights[:1, :, :1], 6, layers=["<head>"], asker="it")
    assert parts(single)[1]["layers"] == ["<head>"] and parts(single)[1]["asker"] == "it"
    for wrong in (weights[0], weights[:, :, :2], torch.rand(1, 1, 4, 4)):
        with pytest.raises(ValueError, match="weights"):
            touch.AttentionMap(picture, wrong, patch_size=6)


def test_parameter_map_carries_shapes_and_a_table():
    giant = "siglip2-giant-opt-patch16-256"
    configs = {giant: get_config(giant), "ViT-B/16": clip.get_config("ViT-B/16")}
    shown = touch.ParameterMap(configs, giant)
    assert repr(shown) == f"ParameterMap(2 models, '{giant}')"
    tag, data, inside = parts(shown)
    assert (tag, data["model"]) == ("parameter-map", giant)
    shape = data["models"][giant]
    assert shape["vision"]["patch_size"] == 16 and shape["text"]["vocab_size"] == 256_000
    assert "embed_dim" not in shape and data["models"]["ViT-B/16"]["embed_dim"] == 512
    assert "1,871,393,906" in inside and "text tower: embeddings" in inside
    assert "149,620,737" in parts(touch.ParameterMap(configs, "ViT-B/16"))[2]


def test_shape_explorer_carries_shapes_and_a_table():
    config = get_config("siglip-base-patch16-224")
    alone = VisionConfig(28, 14, width=8, depth=2, num_heads=2, mlp_dim=16)
    explorer = touch.ShapeExplorer({"base <b>": config, "alone": alone}, "alone")
    tag, data, inside = parts(explorer)
    assert (tag, data["shape"]) == ("shape-explorer", "alone")
    assert data["shapes"]["base <b>"]["vision"]["mlp_dim"] == 3072
    assert data["shapes"]["base <b>"]["text"]["context_length"] == 64
    assert data["shapes"]["alone"]["vision"]["patch_size"] == 14
    assert list(data["shapes"]["alone"]) == ["vision"]
    assert "<td>92,884,224</td><td>35.42</td>" in inside and "base &lt;b&gt;" in inside
    assert repr(explorer) == "ShapeExplorer(2 shapes, 'alone')"


def test_explorer_brings_tinys_answer_to_its_first_scene():
    explorer = touch.Explorer()
    assert repr(explorer) == "Explorer(4 captions)"
    compact = touch.Explorer(compact=True)._repr_html_()
    assert compact == explorer._repr_html_().replace('"touchable"', '"touchable ex-compact"', 1)
    tag, data, inside = parts(explorer)
    assert tag == "explorer" and data["captions"] == [*explorer.captions]
    answer = data["answer"]
    model = sl.SigLIP.from_pretrained("tiny")
    processor = sl.Processor.from_pretrained("tiny")
    with torch.no_grad():
        out = model(**processor(text=[*explorer.captions], images=[draw(explorer.scene)]))
    logits = out.logits_per_image[0]
    assert answer["logits"] == pytest.approx(logits.tolist(), abs=0.05)  # float16 weights
    assert inside.count("<circle") == len(data["scene"]["items"]) == 2
    for p in answer["probabilities"]:
        assert f"<td>{100 * p:.1f}\u00a0%</td>" in inside
    # One byte a number: to half a step of what the model computes.
    for name, tensor in explorer.tensors().items():
        packed = answer["tensors"][name]
        levels = torch.frombuffer(bytearray(base64.b64decode(packed["bytes"])), dtype=torch.uint8)
        values = packed["least"] + packed["step"] * levels.reshape(packed["shape"])
        assert (values - tensor).abs().max() <= 0.51 * packed["step"]
    for name in ("vision_model.encoder.layers.0.self_attn", "vision_model.head.attention"):
        weights = explorer.tensors()[f"{name}.weights"]
        assert torch.allclose(weights.sum(-1), torch.ones_like(weights[..., 0]))


def test_emoji_search_brings_its_first_answer_and_a_picture_of_it():
    figure = touch.EmojiSearch()
    assert repr(figure) == "EmojiSearch(1570 pictures, 'dog')"
    tag, data, inside = parts(figure)
    assert tag == "emoji-search" and data["words"] == [*figure.words] and len(data["found"]) == 12
    processor = sl.Processor.from_pretrained("emoji")
    probabilities, places = sl.retrieve(figure.model, processor, "dog", figure.images, k=12)
    assert [each["place"] for each in data["found"]] == places[0].tolist()
    found = [each["probability"] for each in data["found"]]
    assert found == pytest.approx(probabilities[0].tolist(), abs=0.0006)
    assert data["sheet"] == [40, 40] and len(data["called"]) == 6
    picture = base64.b64decode(re.search(r"base64,([^\"]*)", inside)[1])
    strip = np.asarray(Image.open(BytesIO(picture)).convert("RGB"))
    for i, each in enumerate(data["found"]):
        drawing = figure.drawings[each["place"]]
        assert (strip[:, 40 * i : 40 * (i + 1)] == drawing.pixels).all()
        assert f"{each['name']} ({100 * each['probability']:.0f}" in inside
    assert "Twitter, Inc" in inside


def test_loaders_carry_times_and_a_table():
    loaders = touch.Loaders({"a <b>": (3000, 1000), "quick": (10.5, 40.0)})
    tag, data, inside = parts(loaders)
    assert (tag, repr(loaders)) == ("loaders", "Loaders(a <b>, quick)")
    assert data == {"presets": [["a <b>", 3000, 1000], ["quick", 10.5, 40.0]]}
    assert "a &lt;b&gt;</th><td>3,000 ms</td><td>1,000 ms</td><td>33\u00a0%</td><td>3<" in inside
    assert "<td>100\u00a0%</td><td>1</td>" in inside


def test_naflex_grid_carries_towers_and_a_table():
    grid = touch.NaFlexGrid({"a <b>": (640, 480)}, [64, 256])
    tag, data, inside = parts(grid)
    assert (tag, repr(grid)) == ("naflex-grid", "NaFlexGrid(a <b>)")
    assert data["shapes"] == [["a <b>", 640, 480]] and data["budgets"] == [64, 256]
    assert data["towers"]["so400m"]["width"] == 1152
    assert "a &lt;b&gt;</th><td>640 × 480</td><td>14 × 18</td><td>4<" in inside


def test_checkpoint_chooser_carries_all_that_are_published():
    rows = ch24.checkpoints()
    chooser = touch.CheckpointChooser(rows)
    tag, data, inside = parts(chooser)
    assert (tag, repr(chooser)) == ("checkpoint-chooser", "CheckpointChooser(27 checkpoints)")
    assert data == {"checkpoints": rows}
    known = [*sl.list_models(), *sl.list_models(version=2), *sl.siglip2.list_models()]
    assert {row["name"] for row in rows} == set(known) - {"tiny", "emoji"}
    assert inside.count("<tr>") == 28 and ">siglip2-giant-opt-patch16-384</th><td>85.0" in inside
    assert ">siglip-base-patch16-224</th><td>76.2</td><td>47.2</td><td>35</td>" in inside


def test_digit_pad_brings_digits_and_captions_before_and_after_the_lesson():
    pad = touch.DigitPad(steps=2)
    assert repr(pad) == "DigitPad(160 known digits)"
    tag, data, inside = parts(pad)
    assert tag == "digit-pad" and len(pad._repr_html_()) < 40_000
    assert len(data["known"]["pixels"]) == 160 * 64 and len(data["presets"]["labels"]) == 6
    ink = [ord(sign) - ord("a") for sign in data["known"]["pixels"][:64]]
    first = np.asarray(pad.digits.pictures[pad.known[0]])[..., 0].flatten()
    assert (255 - np.rint(np.array(ink) * (255 / 16)) == first).all()
    assert data["known"]["labels"] == "".join(16 * str(digit) for digit in range(10))
    tiny, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    texts = sl.embed_texts(tiny, processor, [f"the digit {digit}" for digit in range(10)])
    assert torch.tensor(data["asIs"]["texts"]) == pytest.approx(texts.numpy(), abs=2e-3)
    assert data["asIs"]["texts"] != data["taught"]["texts"]
    assert data["right"][0] == 0.112 and data["right"][2] == 0.952
    assert "<td>11\u00a0%</td>" in inside and 'alt="A handwritten 7' in inside


def test_what_is_drawn_has_a_name_before_anything_is_fetched(root):
    """A page is whole only when its data have arrived, which may take a while."""
    found = []
    for path in (root / "book/_static/js").glob("*.js"):
        source = path.read_text(encoding="utf-8")
        for tag in re.findall(r'<\w+[^<>]*role="(?:img|application)"[^<>]*>', source):
            found.append("aria-label=" in tag)
            assert found[-1], f"{path.name}: {tag}"
    assert len(found) > 10


def test_a_where_map_carries_the_library_s_maps():
    from siglip_lab.toy.two_kinds import draw_two_kinds

    drawing = draw_two_kinds(0)
    element = touch.WhereMap(drawing, drawing.captions[0])
    tag, data, inside = parts(element)
    assert (tag, repr(element)) == ("where-map", "WhereMap('a brown circle')")
    assert len(data["scene"]["items"]) == sum(scene.count for scene in drawing.scenes)
    assert len(data["falls"]) == len(data["attention"]) == 36
    assert sum(data["attention"]) == pytest.approx(1, abs=1e-3)
    assert max(data["falls"]) == pytest.approx(8.9, abs=0.05)
    assert inside.count("<tr>") == 7


def test_tile_shuffle_carries_logits_that_only_positions_move():
    scene = random_scene(1, Combination(3, "red", "star"))
    element = touch.TileShuffle(scene, ["3 red stars", "<1> red star"], shuffles=3)
    tag, data, inside = parts(element)
    assert (tag, repr(element)) == ("tile-shuffle", "TileShuffle(5 orders, '3 red stars')")
    assert data["orders"][0] == list(range(36)) and data["orders"][1][:6] == list(range(30, 36))
    assert all(sorted(order) == list(range(36)) for order in data["orders"])
    without, positions = data["logits"]
    assert all(row == without[0] for row in without) and len(without) == 5
    assert all(row != positions[0] for row in positions[1:])
    model = sl.SigLIP.from_pretrained("tiny", dtype=torch.float16).double()
    given = sl.Processor.from_pretrained("tiny")(text=["3 red stars"], images=[draw(scene)])
    tiles = sl.patchify(given["pixel_values"].double(), 6)[0, data["orders"][2]]
    image = torch.zeros(1, 3, 40, 40, dtype=torch.float64)
    image[..., :36, :36] = (
        tiles.view(6, 6, 3, 6, 6).permute(2, 0, 3, 1, 4).reshape(3, 36, 36)  # laid anew
    )
    with torch.no_grad():
        logit = model(image, given["input_ids"]).logits_per_image.item()
    assert float(positions[2][0]) == pytest.approx(logit, abs=0.0051)
    assert "&lt;1&gt; red star" in inside and inside.count("→") == 5


def test_position_map_carries_cosines_of_tables_on_one_grid():
    table = torch.tensor([[1.0, 0.0], [0.0, 2.0], [-3.0, 0.0], [1.0, 1.0]])
    element = touch.PositionMap({"a": table, "<b>": -table}, position=3)
    tag, data, inside = parts(element)
    assert (tag, repr(element)) == ("position-map", "PositionMap('a', '<b>')")
    assert (data["side"], data["position"]) == (2, 3)
    assert data["cosines"]["a"].split()[12:] == ["0.71", "0.71", "-0.71", "1.00"]
    assert inside.count("<rect") == 16 and "&lt;b&gt;" in inside
    near, far = (
        re.findall(rf'"{c}" [^/]*opacity="([^"]*)"', inside) for c in ("po-near", "po-far")
    )
    assert near[:4] == ["0.71", "0.71", "0.00", "1.00"]
    assert far[:4] == ["0.00", "0.00", "0.71", "0.00"]
    for wrong in ({"a": table, "b": table[:1]}, {"a": table[:3]}):
        with pytest.raises(ValueError, match="one square number"):
            touch.PositionMap(wrong)


def test_first_loss_carries_sizes_and_starts_and_draws_both():
    element = touch.FirstLoss([9, 100], {0.0: (69.3, 0.5, 49.5), -4.0: (5.8, 0.98, 1.78)})
    tag, data, inside = parts(element)
    assert (tag, data) == ("first-loss", {"sizes": [9, 100], "starts": [0.0, -4.0]})
    assert repr(element).splitlines()[1].split() == ["b", "=", "0", "69.30", "0.50", "49.50"]
    assert "<td" in inside and "69.30</td>" in inside and "b = −4: 5.8" in inside
    assert 'class="drawn" role="img" aria-label="Two curves' in inside
