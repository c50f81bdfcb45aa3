"""SigLIP 2's tokenizer against transformers', on a vocabulary of Gemma's arrangement."""

import builtins
import json
import random

import pytest
import torch
from gemma_file import BYTES, CORPUS, PIECES, SPECIAL, gemma_json, hub_settings, write_gemma
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import Siglip2Tokenizer, logging

import siglip_lab as sl
from siglip_lab import siglip2
from siglip_lab.gemma import GemmaTokenizer

logging.set_verbosity_error()
LENGTH = 16

ODD = [
    "", " ", "   ", "\n", "\t", "a", " a", "a ", " a  b ", "A PHOTO", "hot_dog",
    "Hot-Dog!?", "▁", "▁a▁b", "ΟΔΟΣ ΣΟΦΟΣ", "Σ", "İstanbul", "ǅungla", "STRASSE ẞ ß",
    "ﬁne ﬀ", "K Å", "e\u0301 é", "\u0130\u0307", "😀", "👩‍👩‍👧‍👦", "🇩🇪", "\u200b", "\ufeff",
    "a\u0000b", "\x07", "\x7f", "\u2028", "\u00a0x", "a\u3000b", "\ue000", "\U0010ffff",
    "漢字かな交じり文", "한국어", "עברית", "ไทย", "١٢٣", "½ ² Ⅷ", "\u202eabc", "ℵ₀", "𝔄𝔅", "<eos>",
    "a<eos>b", "<EOS>", "<Pad>", "<pad><pad>", "x <bos> y", "<unk>", "<mask>", "[@BOS@]",
    "[@bos@]", "<start_of_turn>user", "<start_of_turn", "<0x41>", "<0xE2><0x82>", "<eos",
    "eos>", "< eos >", "x" * 300, "cat " * 100, "😀" * 40, "<eos>" * 30, "\r\n", "a\r\nb",
    "don't", "'s", "\"q\"", "\\n", "{}",
]  # fmt: skip


def drawn(number=500):
    """Words of the corpus, letters of anywhere, and special tokens, in no order."""
    rng = random.Random(0)
    words = " ".join(CORPUS).split() + SPECIAL + BYTES[60:70]
    for _ in range(number):
        parts = []
        for _ in range(rng.randrange(1, 12)):
            letters = "".join(
                chr(rng.choice([rng.randrange(32, 127), rng.randrange(0xA0, 0xD800),
                                rng.randrange(0xE000, 0x30000)])) for _ in range(rng.randrange(4))
            )  # fmt: skip
            parts.append(rng.choice([rng.choice(words), rng.choice(words).upper(), letters]))
        yield rng.choice(["", " "]).join(parts)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("gemma")
    write_gemma(folder)
    config = hub_settings("Siglip2Processor") | {"tokenizer_class": "Siglip2Tokenizer"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture(scope="module")
def theirs(folder):
    tokenizer = Siglip2Tokenizer.from_pretrained(folder)

    def ids(texts):
        options = {"padding": "max_length", "max_length": LENGTH, "truncation": True}
        return torch.tensor(tokenizer(texts, **options)["input_ids"])

    return ids


@pytest.fixture(scope="module")
def ours(folder):
    return siglip2.Tokenizer(folder / "tokenizer.json", LENGTH)


def test_ids_equal_those_of_transformers(ours, theirs):
    texts = [*ODD, *drawn()]
    assert len(texts) > 550
    expected = theirs(texts)
    assert len(expected.unique()) > 250
    for text, row, wanted in zip(texts, ours(texts), expected, strict=True):
        assert torch.equal(row, wanted), (text, row, wanted)


@settings(max_examples=200, derandomize=True)
@given(text=st.text())
def test_ids_of_any_text(ours, theirs, text):
    assert torch.equal(ours(text), theirs([text]))


def test_a_row(ours):
    """No start; the end, then padding that is another token; what is too long keeps its end."""
    row = ours("a cat")[0].tolist()
    end = row.index(1)
    assert row[end:] == [1] + [0] * (LENGTH - 1 - end) and 2 not in row
    assert torch.equal(ours("A CAT"), ours("a cat")) and not torch.equal(
        ours("a cat!"), ours("a cat")
    )
    long = ours("cat " * 50)[0].tolist()
    assert long[-1] == 1 and 0 not in long and len(long) == LENGTH
    with pytest.raises(ValueError, match=r"texts\[1\] has \d+ tokens"):
        ours(["a", "cat " * 50], truncate=False)


def test_pieces_and_back(ours):
    assert ours.vocab_size == PIECES
    pieces = ours.pieces("Two €")
    assert pieces[-1] == "<eos>" and "".join(pieces[:-1]).replace("▁", " ") == "two €"
    assert ours.pieces("😀") == ["<0xF0>", "<0x9F>", "<0x98>", "<0x80>", "<eos>"]
    for text in ("a photo of two red circles.", "😀 𝔄", "  two  spaces"):
        assert ours.decode(ours.encode(text)) == text.lower()
        assert ours.decode(ours(text)[0]) == text[: len(ours.decode(ours(text)[0]))]


def test_what_an_earlier_use_left_in_the_file_changes_nothing(ours, tmp_path):
    """transformers saves how a tokenizer last cut and padded."""
    cut = {"direction": "Right", "max_length": 3, "strategy": "LongestFirst", "stride": 0}
    fill = {
        "strategy": {"Fixed": 9}, "direction": "Left", "pad_to_multiple_of": None, "pad_id": 0,
        "pad_type_id": 0, "pad_token": "<pad>",
    }  # fmt: skip
    used = siglip2.Tokenizer(write_gemma(tmp_path, truncation=cut, padding=fill), LENGTH)
    texts = ["a photo of two red circles", "a"]
    assert torch.equal(used(texts), ours(texts))


def test_a_file_that_lower_cases_already(ours, tmp_path):
    """As transformers saves a `Siglip2Tokenizer`."""
    replace = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    both = {"type": "Sequence", "normalizers": [{"type": "Lowercase"}, replace]}
    path = write_gemma(tmp_path, normalizer=both)
    assert torch.equal(siglip2.Tokenizer(path, LENGTH)(ODD), ours(ODD))


def test_the_file_is_kept_as_it_was(ours):
    assert ours.files() == {"tokenizer.json": gemma_json().encode()}


def other_vocabulary():
    model = json.loads(gemma_json())["model"]
    swapped = {"<pad>": 1, "<eos>": 0}
    vocabulary = {piece: swapped.get(piece, i) for piece, i in model["vocab"].items()}
    return model | {"vocab": vocabulary}


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda text: text[: len(text) // 2], "is no tokenizer.json, or is damaged"),
        (lambda text: "", "is no tokenizer.json, or is damaged"),
        (lambda text: "{}", "is no tokenizer.json, or is damaged"),
        (
            lambda text: json.dumps(
                json.loads(text) | {"model": other_vocabulary(), "added_tokens": []}
            ),
            "'<pad>': 1, '<eos>': 0",
        ),
        (
            lambda text: json.dumps(
                json.loads(text)
                | {"model": json.loads(text)["model"] | {"byte_fallback": False}}
            ),
            "expected a BPE with byte fallback",
        ),
        (
            lambda text: json.dumps(
                {"version": "1.0", "added_tokens": [], "model": {
                    "type": "WordLevel", "vocab": {"<pad>": 0, "<eos>": 1}, "unk_token": "<pad>"}}
            ),
            "is a WordLevel with",
        ),
    ],
    ids=["half", "empty", "nothing", "swapped", "no fallback", "words"],
)  # fmt: skip
def test_other_files_are_refused(tmp_path, change, message):
    path = tmp_path / "tokenizer.json"
    path.write_text(change(gemma_json()), encoding="utf-8")
    with pytest.raises(sl.CheckpointError, match=message):
        siglip2.Tokenizer(path)


def test_what_is_no_text_or_no_file(ours, tmp_path):
    with pytest.raises(FileNotFoundError, match="tokenizer.json"):
        siglip2.Tokenizer(tmp_path / "nowhere")
    with pytest.raises(TypeError, match="expected a string"):
        ours.encode(5)
    with pytest.raises(ValueError, match="surrogate"):
        ours("a\ud800")
    with pytest.raises(ValueError, match="vocabulary of 900"):
        ours.decode([900])
    with pytest.raises(ValueError, match="at least 1"):
        siglip2.Tokenizer(write_gemma(tmp_path), 0)


def test_without_the_library_it_says_what_to_install(monkeypatch, tmp_path):
    before = builtins.__import__

    def without(name, *arguments):
        if name == "tokenizers":
            raise ModuleNotFoundError("No module named 'tokenizers'")
        return before(name, *arguments)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'siglip-lab\[siglip2\]'"):
        GemmaTokenizer(write_gemma(tmp_path))
