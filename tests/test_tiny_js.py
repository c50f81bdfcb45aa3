"""The model that runs in the page against PyTorch with the same rounded weights."""

import base64
import functools
import http.server
import importlib.util
import json
import shutil
import struct
import threading

import numpy as np
import PIL
import pytest
import torch
from PIL import Image

import siglip_lab as sl
from siglip_lab.toy import shapes_world

pytestmark = [pytest.mark.browser]

CAPTIONS = [
    "", "   ", "a", "a red circle", "This is a photo of 2 red circles.", "3 blue stars",
    "hot_dog", "an orange heart and two small green squares", "the evening hearth", "🐈",
    "a 🐈🐕 and 👩‍🔬 x", "漢字 and кот", "Zürich ÜBER cafés, Straße", "ﬁ ½ ™ Ⅷ ｗｉｄｅ ～ e\u0301",
    "tabs\tand\u00a0odd\u3000spaces\u200b.", "cat</s>dog", "<unk> a <unk>漢", "!?.,;",
    " ".join(["a red circle"] * 14)[:-7], "supercalifragilisticexpialidocious" * 4,
]  # fmt: skip
assert len(CAPTIONS) == 20 and len(CAPTIONS[-2].split()) == 41


def pictures(root):
    """RGBA pictures: 44 scenes, and nine that the model has never met."""
    noise = np.random.default_rng(0).integers(0, 256, (40, 40, 4), np.uint8)
    fade = np.zeros((30, 50, 4), np.uint8)
    fade[..., 3] = np.arange(50) * 5
    photo = Image.open(root / "siglip_lab/data/chelsea.png").convert("RGBA")
    tall = photo.crop((100, 0, 107, 300))  # Pillow 12 rounds such a picture differently
    odd = [
        Image.new("RGBA", (40, 40), "white"), Image.new("RGBA", (40, 40), "black"),
        Image.fromarray(noise), Image.fromarray(fade), photo, photo.crop((0, 0, 451, 20)),
        photo.crop((150, 100, 163, 111)), photo.crop((0, 0, 40, 40)),
        tall if int(PIL.__version__.split(".")[0]) >= 13 else photo.rotate(90),
    ]  # fmt: skip
    scenes = [shapes_world.draw(shapes_world.random_scene(seed)) for seed in range(44)]
    return [scene.convert("RGBA") for scene in scenes] + odd


@pytest.fixture(scope="module")
def tiny_model(root):
    """The site's extension that writes the files."""
    spec = importlib.util.spec_from_file_location("tiny_model", root / "book/_ext/tiny_model.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def served(root, tiny_model, tmp_path_factory):
    """A site of the model alone: (its folder, its address)."""
    folder = tmp_path_factory.mktemp("tiny")
    shutil.copytree(root / "book/_static/js", folder / "_static/js")
    tiny_model.write(folder / "_static/tiny", tiny_model.files())
    html = "<!doctype html><html data-content_root='../'><link rel=icon href=data:,><body>"
    (folder / "pages").mkdir()
    (folder / "pages/page.html").write_text(html)
    handler = functools.partial(Quiet, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield folder, f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


# ask(picture, captions, wanted): the answer, its tensors as bytes in base64, one after the other.
ASK = """
const { tiny } = await import("../_static/js/tiny.js");
globalThis.model = await tiny();
globalThis.decode = ({ width, height, data }) =>
  ({ width, height, data: Uint8ClampedArray.from(atob(data), (c) => c.charCodeAt(0)) });
const plain = (value) => (ArrayBuffer.isView(value) ? [...value] : value);
globalThis.ask = async (picture, captions, wanted) => {
  const { tensors, ...answer } = await model.run({ image: decode(picture), captions, wanted });
  const shapes = Object.fromEntries(Object.entries(tensors).map(([k, t]) => [k, t.shape]));
  const reader = new FileReader();
  reader.readAsDataURL(new Blob(Object.values(tensors).map((t) => Float32Array.from(t.data))));
  await new Promise((done) => (reader.onload = done));
  for (const name in answer) answer[name] = plain(answer[name]);
  for (const name of ["textEmbeds", "ids"]) answer[name] = answer[name].map(plain);
  return { ...answer, shapes, data: reader.result.split(",")[1] ?? "" };
};
"""


@pytest.fixture(scope="module")
def asking(browser, served):
    page = browser.new_page()
    wrong = []
    page.on("console", lambda message: wrong.append(message.text))
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto(f"{served[1]}/pages/page.html")
    page.evaluate(f"(async () => {{ {ASK} }})()")
    yield page
    page.close()
    assert wrong == []


def packed(picture):
    data = base64.b64encode(picture.tobytes()).decode()
    return {"width": picture.width, "height": picture.height, "data": data}


def ask(page, picture, captions, wanted=()):
    """The answer, with its tensors as arrays."""
    answer = page.evaluate(
        "([picture, captions, wanted]) => ask(picture, captions, wanted)",
        [packed(picture), captions, list(wanted)],
    )
    numbers = np.frombuffer(base64.b64decode(answer["data"]), np.float32)
    sizes = [int(np.prod(shape)) for shape in answer["shapes"].values()]
    parts = np.split(numbers, np.cumsum(sizes))
    answer["tensors"] = {
        name: part.reshape(shape)
        for (name, shape), part in zip(answer["shapes"].items(), parts, strict=False)
    }
    return answer


@pytest.fixture(scope="module")
def model():
    """Trained weights, rounded to float16 and computed with in float32."""
    model = sl.SigLIP.from_pretrained("tiny")
    model.load_state_dict({name: x.half().float() for name, x in model.state_dict().items()})
    return model


def traced(model, inputs):
    """All that `trace` sees, and the attention weights."""
    found = {row.name: row.value for row in sl.trace(model, **inputs, keep_tensors=True)}

    def weights(q, k, heads):
        q, k = (x.unflatten(-1, (heads, -1)).transpose(1, 2) for x in (q, k))
        return (q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5).softmax(dim=-1)

    for name in [name for name in found if name.endswith(".self_attn")]:
        q, k = (found[f"{name}.{which}_proj"] for which in "qk")
        found[f"{name}.weights"] = weights(q, k, model.config.vision.num_heads)
    head, tokens = model.vision_model.head, found["vision_model.post_layernorm"]
    matrices, biases = head.attention.in_proj_weight.chunk(3), head.attention.in_proj_bias.chunk(3)
    q, k = (
        torch.nn.functional.linear(x, matrices[i], biases[i])
        for i, x in enumerate((head.probe, tokens))
    )
    found["vision_model.head.attention.weights"] = weights(q, k, head.attention.num_heads)
    return {name: value.detach().numpy() for name, value in found.items()}


def test_every_intermediate_of_every_pair_equals_pytorch(asking, model, root):
    processor = sl.Processor.from_pretrained("tiny")
    input_ids = processor(text=CAPTIONS)["input_ids"]
    images = pictures(root)
    assert len(images) == 53
    for i, picture in enumerate(images):
        pixel_values = processor(images=picture)["pixel_values"]
        expected = traced(model, {"pixel_values": pixel_values, "input_ids": input_ids})
        of_texts = {name for name in expected if name.startswith("text_model.")}
        answer = ask(asking, picture, CAPTIONS, expected if i == 0 else set(expected) - of_texts)
        found = answer["tensors"]
        assert set(found) == set(expected) - (of_texts if i else set())
        for name, values in found.items():
            assert values.shape == expected[name].shape, name
            difference = np.abs(values - expected[name]).max()
            assert difference < 1e-3, (i, name, difference)
        assert (found["pixel_values"] == pixel_values.numpy()).all(), i
        assert answer["ids"] == input_ids.tolist()
        assert np.abs(answer["logits"] - expected["logits_per_image"][0]).max() < 1e-3
        assert np.abs(answer["probabilities"] - expected["probabilities"][0]).max() < 1e-3
        cosines = expected["image_embeds"] @ expected["text_embeds"].T
        assert np.abs(answer["cosines"] - cosines[0]).max() < 1e-5
        assert np.abs(answer["imageEmbeds"] - expected["image_embeds"][0]).max() < 1e-4
        assert np.abs(answer["textEmbeds"] - expected["text_embeds"]).max() < 1e-4
    assert answer["pieces"] == [processor.tokenizer.pieces(caption) for caption in CAPTIONS]
    assert answer["logitScale"] == pytest.approx(model.logit_scale.exp().item(), rel=1e-6)
    assert answer["logitBias"] == model.logit_bias.item()


def test_the_file_is_tiny_rounded_and_below_a_megabyte(served, tiny_model, model):
    path = served[0] / "_static/tiny/model.safetensors"
    data = path.read_bytes()
    assert len(data) <= 1_000_000
    assert data == tiny_model.weights(), "not the same twice"
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    config = json.loads(header.pop("__metadata__")["config"])
    assert config["vision"]["patch_size"] == model.config.vision.patch_size
    expected = model.state_dict()
    assert set(header) == set(expected)
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        numbers = np.frombuffer(data[begin:end], np.float16).astype(np.float32)
        assert entry["dtype"] == "F16"
        assert (numbers.reshape(entry["shape"]) == expected[name].numpy()).all(), name
    assert {path.name for path in path.parent.iterdir()} == {"model.safetensors", "vocabulary.txt"}


def test_rounding_the_weights_moves_a_logit_by_little(model, root):
    """What the page's model differs in from the library's: half precision, nothing else."""
    inputs = sl.Processor.from_pretrained("tiny")(text=CAPTIONS, images=pictures(root))
    with torch.no_grad():
        exact = sl.SigLIP.from_pretrained("tiny")(**inputs).logits_per_image
        rounded = model(**inputs).logits_per_image
    difference = (exact - rounded).abs()
    assert 0.01 < difference.max() < 0.03


def test_captions_are_remembered_and_may_change_their_order(asking, root):
    picture = pictures(root)[0]
    many = [f"{n} red circles" for n in range(100)]  # more than are remembered
    first = ask(asking, picture, many)["logits"]
    assert ask(asking, picture, many[::-1])["logits"] == first[::-1]
    nothing = ask(asking, picture, [], ["text_embeds", "image_embeds"])
    assert nothing["logits"] == [] and nothing["tensors"]["text_embeds"].shape == (0,)


def test_a_new_pair_is_answered_while_the_hand_moves(asking, root):
    """15 times what it takes; a machine that is busy with something else has room."""
    picture = pictures(root)[0]
    times = [ask(asking, picture, [f"{n} blue stars"])["milliseconds"] for n in range(9)]
    assert sorted(times)[4] < 250


def test_of_the_questions_of_a_moving_hand_the_last_is_answered(asking, root):
    shown = asking.evaluate(
        """async (picture) => {
          const ask = (caption) => model.newest({ image: decode(picture), captions: [caption] });
          const answers = await Promise.all(["a", "b", "c", "a red circle"].map(ask));
          const later = await ask("later");
          return [...answers, later].map((answer) => answer?.pieces[0]);
        }""",
        packed(pictures(root)[0]),
    )
    assert shown[-2:] == [["▁a", "▁red", "▁circle", "</s>"], ["▁la", "ter", "</s>"]]
    assert shown[1:3] == [None, None]


def test_errors_are_words_for_the_reader(browser, served, asking, root, book_site, tmp_path):
    with pytest.raises(Exception, match="The model has no vision_model.foot"):
        ask(asking, pictures(root)[0], ["a"], ["vision_model.foot"])
    page = browser.new_page()
    script = book_site.one_script("tiny") + "globalThis.tiny = tiny;"
    (tmp_path / "page.html").write_text(f'<script type="module">{script}</script>')
    page.goto((tmp_path / "page.html").as_uri())
    ask_in_words = "() => tiny().then(() => 'no error', (error) => error.message)"
    assert "run `make serve`" in page.evaluate(ask_in_words)

    page.goto(f"{served[1]}/pages/page.html")
    page.evaluate("import('../_static/js/tiny.js').then((m) => (globalThis.tiny = m.tiny))")
    weights = served[0] / "_static/tiny/model.safetensors"
    away = weights.rename(weights.with_suffix(".away"))
    message = page.evaluate(ask_in_words)
    away.rename(weights)
    assert "no model.safetensors" in message
    assert page.evaluate(ask_in_words) == "no error"
    page.close()


@pytest.mark.site
def test_the_site_has_the_model_and_pages_load_it_only_when_asked(site, browser, url, tiny_model):
    assert (site / "_static/tiny/model.safetensors").read_bytes() == tiny_model.weights()
    assert (site / "_static/tiny/vocabulary.txt").read_bytes() == tiny_model.vocabulary()
    page = browser.new_page()
    page.goto(f"{url}/notebooks/03_text.html")
    page.wait_for_load_state("networkidle")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((e) => e.name)")
    assert not [name for name in loaded if "/tiny/" in name or "/js/model/" in name]
    page.evaluate("import('../_static/js/tiny.js').then((m) => m.tiny())")
    page.close()
