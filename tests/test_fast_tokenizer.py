"""``tokenizer.json`` of an exported folder: the same ids as the library's tokenizers."""

import random
import string

import pytest
import sentencepiece
from gemma_file import write_gemma

import siglip_lab as sl
from siglip_lab import clip, siglip2
from siglip_lab.export.fast_tokenizer import write_fast_tokenizer
from siglip_lab.loading.pretrained import EMBEDDED

tokenizers = pytest.importorskip("tokenizers", reason="the extra export is not installed")

TEXTS = [
    "A photo of 2 circles!", "", " ", "  Hot_Dog  ", "!a", ". 3", "(parens) [x] {y} ^`~|\\-/'\"",
    "tab\tnew\nline\r", "Ünïcödé Café", "日本語 cats 🐱🐱", "a\u00a0b\u3000c",
    "Straße İ ẞ Σς",
    "one word after the other, until nothing of the row is left for the words that come then",
]  # fmt: skip


def written(tokenizer, folder):
    write_fast_tokenizer(tokenizer, folder, TEXTS[:4])
    return tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))


def random_texts(letters: str, number: int = 300) -> list[str]:
    rng = random.Random(0)
    return ["".join(rng.choices(letters, k=rng.randint(1, 30))) for _ in range(number)]


@pytest.mark.parametrize("length", [2, 6, 64])
def test_siglip(tmp_path, length):
    tokenizer = sl.Tokenizer(EMBEDDED["tiny"] / "spiece.model", length)
    compatible = "½ﬁ①Ａ™…ｶ"  # letters that SentencePiece turns into others
    texts = TEXTS + random_texts(string.printable + "éÜñçøß日本カ🐱" + compatible)
    rows = written(tokenizer, tmp_path).encode_batch(texts)
    assert [row.ids for row in rows] == tokenizer(texts).tolist()


def test_clip(tmp_path):
    tokenizer = clip.Tokenizer(context_length=12)
    # Without what ftfy and HTML would repair
    letters = "".join(sorted(set(string.printable) - set("&\v\f"))) + "éÜñçøß日本カ🐱"
    texts = TEXTS + random_texts(letters)
    rows = written(tokenizer, tmp_path).encode_batch(texts)
    assert [row.ids for row in rows] == tokenizer(texts).tolist()
    assert clip.Tokenizer(tmp_path, 12)(texts).tolist() == tokenizer(texts).tolist()


def test_siglip_2(tmp_path):
    tokenizer = siglip2.Tokenizer(write_gemma(tmp_path), 6)
    texts = [*TEXTS, *random_texts(string.printable + "éÜñçøß日本カ🐱")]
    rows = written(tokenizer, tmp_path).encode_batch(texts)
    assert [row.ids for row in rows] == tokenizer(texts).tolist()
    again = siglip2.Tokenizer(tmp_path / "tokenizer.json", 6)
    assert again(texts).tolist() == tokenizer(texts).tolist()


def test_none_is_written_that_gives_other_ids(tmp_path):
    """Pairs joined, instead of the likeliest pieces."""
    model = tmp_path / "pairs.model"
    with model.open("wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(TEXTS * 20), model_writer=file, model_type="bpe", vocab_size=90,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
        )  # fmt: skip
    write_fast_tokenizer(sl.Tokenizer(model, 6), tmp_path, TEXTS)
    assert not (tmp_path / "tokenizer.json").exists()
