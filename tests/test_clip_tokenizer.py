import gzip
import importlib.util
import json
import pickle
import random
import string
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from transformers import CLIPTokenizer

import siglip_lab as sl
from siglip_lab.clip import tokenizer as module
from siglip_lab.clip.tokenizer import END, OPENAI_FILE, START, Tokenizer, clean, tokenize

OPENAI = Path(importlib.util.find_spec("clip").origin).with_name(OPENAI_FILE)

# openai/CLIP, notebooks/Interacting_with_CLIP.ipynb and README; the rest from its list of merges.
IDS = {
    "a diagram": [49406, 320, 22697, 49407],
    "a dog": [49406, 320, 1929, 49407],
    "a cat": [49406, 320, 2368, 49407],
    "Hello World!": [49406, 3306, 1002, 256, 49407],
    "a photo of a cat": [49406, 320, 1125, 539, 320, 2368, 49407],
    "a photo of a dog": [49406, 320, 1125, 539, 320, 1929, 49407],
    "a photo of 2 cats": [49406, 320, 1125, 539, 273, 3989, 49407],
    "a photo of 2 dogs": [49406, 320, 1125, 539, 273, 3255, 49407],
    "This is a photo of 2 cats.": [49406, 589, 533, 320, 1125, 539, 273, 3989, 269, 49407],
}


@pytest.fixture(scope="module")
def tokenizer():
    return Tokenizer()


@pytest.fixture(scope="module")
def folder(tmp_path_factory, tokenizer):
    """The vocabulary as Hugging Face keeps it."""
    folder = tmp_path_factory.mktemp("clip")
    for name, content in tokenizer.files().items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    merges = (folder / "merges.txt").read_text().splitlines()[1:]
    return CLIPTokenizer(
        json.loads((folder / "vocab.json").read_text()), [tuple(m.split()) for m in merges]
    )


# ---- ids -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", IDS)
def test_published_ids(text):
    row = tokenize(text)[0].tolist()
    assert row == IDS[text] + [0] * (77 - len(IDS[text]))


def test_rows(tokenizer):
    ids = sl.clip.tokenize(["a diagram", "a dog", "a cat"])
    assert ids.shape == (3, 77)
    assert ids.dtype == torch.int64
    assert tokenizer.vocab_size == 49_408
    assert ids.argmax(dim=-1).tolist() == [3, 3, 3]


def strings(count: int) -> list[str]:
    """Words, numbers, contractions, punctuation, accents and other scripts, from a fixed seed."""
    rng = random.Random(0)
    words = (
        "a photo of the cat's DOG I'll they've we're it'd don't 2 1984 3.14 café naïve Straße "
        "ÜBER москва Ελλάδα 日本語 中文 한국어 العربية हिन्दी 😀 👍🏽 ★ → € £5 #tag @user "
        "http://a.b/c?d=e x2 2x e-mail foo_bar ... !? -- ½ ² Ⅷ ＡＢＣ supercalifragilistic zzzz"
    ).split()
    letters = string.ascii_letters + string.digits + string.punctuation + "    éüñß漢字кг"
    texts = [" ".join(rng.choices(words, k=rng.randint(1, 12))) for _ in range(250)]
    return texts + ["".join(rng.choices(letters, k=rng.randint(1, 40))) for _ in range(count - 250)]


def test_equal_to_transformers_on_500_strings(tokenizer, theirs):
    # transformers neither mends encodings nor undoes HTML; what it is given is clean already.
    texts = [clean(text) for text in strings(500)]
    assert len(set(texts)) > 450
    for text in texts:
        assert tokenizer.encode(text) == theirs(text)["input_ids"], text


def test_a_folder_gives_the_same_ids(tokenizer, folder):
    other = Tokenizer(folder)
    for text in strings(300)[::10]:
        assert other.encode(text) == tokenizer.encode(text)
    assert torch.equal(other(list(IDS)), tokenizer(list(IDS)))


@pytest.mark.parametrize("strings", [False, True], ids=["pairs", "strings"])
def test_tokenizer_json_alone_gives_the_same_ids(tokenizer, theirs, tmp_path, strings):
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    assert not (tmp_path / "vocab.json").exists()
    if strings:  # as older versions wrote merges
        content = json.loads(path.read_text())
        content["model"]["merges"] = [" ".join(pair) for pair in content["model"]["merges"]]
        path.write_text(json.dumps(content))
    found = Tokenizer(tmp_path)
    assert found.files() == tokenizer.files()


def test_a_tokenizer_json_of_another_kind(theirs, tmp_path):
    theirs.save_pretrained(tmp_path)
    path = tmp_path / "tokenizer.json"
    good = json.loads(path.read_text())
    for changes in (
        {"model": {"type": "WordPiece", "vocab": {"a": 0}}},
        {"model": good["model"] | {"vocab": {START: 0, END: 1}}},
        {"model": good["model"] | {"merges": [["a", "b", "c"]]}},
        {"model": good["model"] | {"merges": [5]}},
        {"model": good["model"] | {"vocab": 5}},
        {"normalizer": None},
        {"added_tokens": [*good["added_tokens"], {"content": "<a>"}]},
    ):
        path.write_text(json.dumps(good | changes))
        with pytest.raises(ValueError, match="vocabulary") as error:
            Tokenizer(tmp_path)
        assert len(str(error.value).replace(str(tmp_path), "")) <= 300
    for content in ("[]", "{}", "{"):
        path.write_text(content)
        with pytest.raises(ValueError, match="vocabulary"):
            Tokenizer(tmp_path)


def test_openais_file_can_be_named(tokenizer):
    assert Tokenizer(str(OPENAI)).encode("a diagram") == tokenizer.encode("a diagram")


@given(st.text(max_size=40))
def test_any_text_has_ids_that_read_back(tokenizer, text):
    ids = tokenizer.encode(text)
    assert ids[0] == 49406 and ids[-1] == 49407
    words = "".join(clean(text).split())
    if START not in words and END not in words:
        assert "".join(tokenizer.decode(ids).split()) == words


def test_pieces_show_where_words_end(tokenizer):
    assert tokenizer.pieces("a diagram") == [START, "a</w>", "diagram</w>", END]
    assert len(tokenizer.pieces("tokenization")) > 3


def test_decode_takes_a_row(tokenizer):
    assert tokenizer.decode(tokenize("A photo of 2 Cafés!")[0]) == "a photo of 2 cafés !"


def test_a_tokenizer_can_be_pickled(tokenizer):
    tokenizer("a diagram")
    assert torch.equal(pickle.loads(pickle.dumps(tokenizer))(list(IDS)), tokenizer(list(IDS)))


def test_only_so_many_words_are_kept(monkeypatch):
    tokenizer = Tokenizer()
    monkeypatch.setattr(module, "KNOWN_WORDS", 20)
    words = ["".join(random.Random(i).choices(string.ascii_lowercase, k=9)) for i in range(50)]
    first = [tokenizer.pieces(f"{START} {word}") for word in words]
    size = len(pickle.dumps(tokenizer))
    assert [tokenizer.pieces(f"{START} {word}") for word in words] == first
    tokenizer.pieces("x" * 100_000)
    assert len(pickle.dumps(tokenizer)) < size + 10_000


def test_one_vocabulary_serves_every_context_length(monkeypatch):
    tokenize("a diagram")
    monkeypatch.setattr(module, "find_spec", lambda name: None)  # nothing can be read any more
    for length in (8, 16, 8):
        assert tokenize("a diagram", context_length=length).shape == (1, length)
    assert tokenize("a diagram").shape == (1, 77)


# ---- cleaning ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Fish &amp;amp; Chips", "fish & chips"),
        ("&lt;b&gt;", "<b>"),
        ("sch\u00c3\u00b6n", "schön"),  # UTF-8 read as Latin-1
        ("  two\n\t words \u00a0 here ", "two words here"),
        ("\u2018quotes\u2019", "'quotes'"),
    ],
)
def test_clean(text, expected):
    assert clean(text) == expected


# ---- errors --------------------------------------------------------------------------------------


def test_a_long_text_is_cut_before_its_end_or_refused(tokenizer):
    texts = ["a cat", "cat " * 76]
    for refuse in (partial(tokenizer, truncate=False), tokenize):  # the function is as OpenAI's
        with pytest.raises(ValueError, match=r"texts\[1\] has 78 tokens.* 77"):
            refuse(texts)
    expected = [49406] + [2368] * 75 + [49407]
    assert tokenizer(texts)[1].tolist() == tokenize(texts, truncate=True)[1].tolist() == expected
    assert tokenizer("cat " * 75, truncate=False)[0].tolist() == expected  # 77 tokens fit


def test_context_length():
    assert tokenize("a diagram", context_length=4).tolist() == [[49406, 320, 22697, 49407]]
    for length, error in ((3, ValueError), (1, ValueError), ("77", TypeError), ([77], TypeError)):
        with pytest.raises(error, match="reads 3" if length == 3 else "context_length"):
            tokenize("a diagram", length)


@pytest.mark.parametrize(
    "texts, error, message",
    [
        ([], ValueError, "empty"),
        (3, TypeError, "int"),
        (["a", None], TypeError, r"texts\[1\] is a NoneType"),
    ],
)
def test_no_texts(tokenizer, texts, error, message):
    with pytest.raises(error, match=message):
        tokenizer(texts)


def test_ids_out_of_range(tokenizer):
    with pytest.raises(ValueError, match="49408"):
        tokenizer.decode([49406, 49408])


@pytest.mark.parametrize("ids", [tokenize(["a", "b"]), [[320]], torch.tensor(320), None])
def test_ids_that_are_no_row(tokenizer, ids):
    with pytest.raises(TypeError, match="ids of one text"):
        tokenizer.decode(ids)


def test_no_vocabulary_installed(monkeypatch):
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(FileNotFoundError, match=r"\(no package has it\): run pip install"):
        Tokenizer()


def test_another_package_of_the_name_is_named(monkeypatch, tmp_path):
    (tmp_path / "clip.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "clip", raising=False)
    with pytest.raises(FileNotFoundError, match=rf"clip at '{tmp_path}/clip.py' has none"):
        Tokenizer()


def test_without_ftfy(monkeypatch, tokenizer):
    monkeypatch.setitem(sys.modules, "ftfy", None)
    with pytest.raises(ModuleNotFoundError, match="ftfy"):
        tokenizer("a cat")


def test_other_files(tmp_path, folder):
    with pytest.raises(FileNotFoundError, match="nothing"):
        Tokenizer(tmp_path / "nothing")
    with pytest.raises(FileNotFoundError, match="no vocab.json"):
        Tokenizer(tmp_path)
    for content in (OPENAI.read_bytes()[:1000], gzip.compress(b"head\na b c\n")):
        (tmp_path / OPENAI_FILE).write_bytes(content)
        with pytest.raises(ValueError, match="damaged|'a b c'"):
            Tokenizer(tmp_path / OPENAI_FILE)
    ids = json.loads((folder / "vocab.json").read_text())
    gap = {piece: i + (i > 7) for piece, i in ids.items()}
    unmarked = {piece: i for i, piece in enumerate(p for p in ids if not p.endswith("</w>"))}
    (tmp_path / "vocab.json").write_text(json.dumps(ids))
    with pytest.raises(FileNotFoundError, match="no merges.txt"):
        Tokenizer(tmp_path)
    (tmp_path / "merges.txt").write_bytes((folder / "merges.txt").read_bytes())
    for content in ('{"a": 0}', "{", "[]", '{"a": []}', json.dumps(gap), json.dumps(unmarked)):
        (tmp_path / "vocab.json").write_text(content)
        with pytest.raises(ValueError, match="vocabulary"):
            Tokenizer(tmp_path)


# ---- processor -----------------------------------------------------------------------------------


def test_the_processor_does_what_siglips_does(tmp_path):
    processor = sl.clip.Processor.from_pretrained("ViT-B/32")
    image, long = Image.new("RGB", (40, 30), "red"), "cat " * 100
    pairs = [(image, "a cat"), (image, long)]
    inputs = processor(text=[text for _, text in pairs], images=[image, image])
    assert torch.equal(inputs["pixel_values"], sl.clip.preprocess([image, image], 224))
    assert torch.equal(inputs["input_ids"], tokenize(["a cat", long], truncate=True))
    assert torch.equal(processor.transform(image), inputs["pixel_values"][0])
    for name, tensor in processor.collate(pairs).items():
        assert torch.equal(tensor, inputs[name])
    with pytest.raises(ValueError, match="tokens"):
        processor(text=long, truncate=False)

    processor.save_pretrained(tmp_path)
    other = sl.clip.Processor.from_pretrained(tmp_path)
    assert (type(other), other.image_size) == (sl.clip.Processor, 224)
    assert torch.equal(other(text=["a cat", long])["input_ids"], inputs["input_ids"])
