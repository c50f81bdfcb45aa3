"""Tokenizer: the ids of transformers on the same model file; every error."""

import io
import string
import warnings

import pytest
import sentencepiece
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sentencepiece import sentencepiece_model_pb2
from transformers import SiglipTokenizer, logging

from siglip_lab.tokenizer import Tokenizer, canonicalize

logging.set_verbosity_error()
quick = settings(max_examples=300, deadline=None, derandomize=True)

COLOURS = ["red", "green", "blue", "yellow", "purple", "white", "black", "orange"]
THINGS = ["circle", "square", "triangle", "cat", "dog", "plane", "mountain", "bicycle", "café"]
TEMPLATES = [
    "a photo of a {} {}",
    "this is a photo of two {} {}s.",
    "the {0} {1} is next to another {1}, not <b>{0}</b>",
    "3 {} {}s in zürich & 4 in são paulo!",
]
CORPUS = [t.format(c, x) for t in TEMPLATES for c in COLOURS for x in THINGS]

# The first is SigLIP's own way; the others differ in each setting that could matter.
SETTINGS = {
    "nmt_nfkc": {},
    "identity": {"normalization_rule_name": "identity"},
    "case_folding": {"normalization_rule_name": "nmt_nfkc_cf"},
    "no_dummy_prefix": {"add_dummy_prefix": False},
    "spaces_kept": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "bpe": {"model_type": "bpe"},
}


def train(**options):
    layout = {"pad_id": 0, "eos_id": 1, "unk_id": 2, "bos_id": -1, "pad_piece": "<pad>"}
    buffer = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_writer=buffer,
        minloglevel=2,
        num_threads=1,
        **{"vocab_size": 75, **layout, **options},
    )
    return buffer.getvalue()


@pytest.fixture(scope="session")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentencepiece")
    for name, options in SETTINGS.items():
        (folder / name).write_bytes(train(**options))
    return {name: folder / name for name in SETTINGS}


@pytest.fixture(scope="session")
def pairs(files):
    return {name: (Tokenizer(f), SiglipTokenizer(str(f))) for name, f in files.items()}


@pytest.fixture(scope="session")
def tokenizer(pairs):
    return pairs["nmt_nfkc"][0]


def padded(peer, texts, length=64):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "This sequence already has </s>"
        rows = peer(texts, padding="max_length", truncation=True, max_length=length)
    return torch.tensor(rows["input_ids"])


def unpadded(peer, text):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return peer(text)["input_ids"]


PLAIN = [
    "",
    " ",
    "a photo of 2 cats",
    "This is a photo of 2 cats.",
    "  leading and trailing   spaces  ",
    "\ttabs\nand\r\nlines\x0b\x0c",
    "hot_dog hot-dog hot dog",
    "UPPER CASE",
    "CamelCase's don't-stop.",
    "3.14159 1,000,000 1e-5",
    "word " * 1000,
    "x" * 1000,
    "é" * 200,
    string.printable,
    string.punctuation,
]
PUNCTUATION = [c for c in string.punctuation] + ["...", "?!", "a.b", "(a)", "“quoted”", "—", "«»"]
SCRIPTS = [
    "Zürich",
    "Straße STRASSE ẞ",
    "İstanbul IĞDIR ı",
    "ΑΒΓ ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ",
    "Привет, мир",
    "שלום עולם",
    "مرحبا بالعالم",
    "नमस्ते दुनिया",
    "สวัสดีชาวโลก",
    "你好，世界。",
    "こんにちは世界 ｶﾀｶﾅ",
    "안녕하세요",
    "한국어",
    "ԲԱՐԵՒ",
    "ᲒᲐᲛᲐᲠᲯᲝᲑᲐ",
    "ᏣᎳᎩ ꮳꮃꭹ",
    "𐐔𐐯𐑅𐐨𐑉𐐯𐐻",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚",
    "Ａ ｆｕｌｌ ｗｉｄｔｈ！",
    "ﬁ ﬂ ½ ™ ℃ ⅷ Ⅷ",
    "＜/s＞ ＜unk＞",
]
MARKS = ["e\u0301", "cafe\u0301", "caf\u00e9", "a\u0308\u0323", "Z\u0351\u036balgo", "\u0301alone"]
EMOJI = ["🐈", "a 🐈 and a 🐕", "👩\u200d🔬", "👍🏽", "🇨🇭", "❤\ufe0f", "1\ufe0f\u20e3", "🫠🫡"]
SPACES = [
    f"a{chr(c)}b" for c in (0x85, 0xA0, 0x1680, 0x2003, 0x2028, 0x202F, 0x3000, 0x200B, 0xFEFF)
]
CONTROLS = [f"a{chr(c)}b{chr(c)}" for c in [*range(0x20), 0x7F, 0x80, 0x9F, 0xAD, 0x202E, 0xFFFD]]
MARKER = ["▁", "▁▁", "a▁b", "▁a", "a▁", " ▁ a", "▁</s>", "▁<unk>▁", "_▁_"]
SPECIAL = [
    "</s>",
    "</s></s>",
    "hello</s>",
    "hello </s> world",
    "hello</s>world",
    " </s> ",
    "</s>hello",
    "<unk>",
    "a<unk>b",
    "<unk> <unk></s>",
    "<unk></s>x",
    "<pad>",
    "<s>",
    "</S>",
    "<UNK>",
    "< /s>",
    "<</s>>",
    "</</s>s>",
    "<u<unk>nk>",
    "</s",
    "/s>",
    "</s>漢字",
    "漢字<unk>漢字",
    "word " * 100 + "</s>",
    "</s> word " * 100,
]
LENGTHS = [" ".join(["cat"] * n) for n in range(1, 70)]
TEXTS = [
    *(PLAIN + PUNCTUATION + SCRIPTS + MARKS + EMOJI),
    *(SPACES + CONTROLS + MARKER + SPECIAL + LENGTHS + CORPUS[::30]),
]


def test_there_are_enough_texts():
    assert len(set(TEXTS)) >= 200


# Equality with transformers


@pytest.mark.parametrize("length", [64, 16, 1])
@pytest.mark.parametrize("name", SETTINGS)
def test_same_ids_as_transformers(files, pairs, name, length):
    ours, theirs = Tokenizer(files[name], length)(TEXTS), padded(pairs[name][1], TEXTS, length)
    differing = [TEXTS[i] for i in (ours != theirs).any(dim=1).nonzero().flatten()]
    assert differing == []


@pytest.mark.parametrize("name", SETTINGS)
def test_encode_neither_cuts_nor_pads(pairs, name):
    tokenizer, peer = pairs[name]
    assert [t for t in TEXTS if tokenizer.encode(t) != unpadded(peer, t)] == []


fragments = st.sampled_from(
    [
        "</s>",
        "<unk>",
        "▁",
        " ",
        "<",
        ">",
        "/s",
        "unk",
        "red",
        "a",
        "漢",
        "\u0301",
        "_",
        "\t",
        "Σ",
        "🐈",
    ]
)
texts = st.one_of(st.text(), st.lists(fragments | st.characters(codec="utf-8")).map("".join))


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_same_ids_for_any_text(pairs, name):
    tokenizer, peer = pairs[name]

    @quick
    @given(text=texts)
    @example("</s>▁<unk>")
    def check(text):
        assert tokenizer.encode(text) == unpadded(peer, text)
        assert tokenizer(text).tolist() == padded(peer, [text]).tolist()

    check()


@quick
@given(text=texts)
def test_canonicalize_equals_transformers(pairs, text):
    assert canonicalize(text) == pairs["nmt_nfkc"][1].canonicalize_text(text)
    assert canonicalize(canonicalize(text)) == canonicalize(text) or text.lower() != text


def test_vocabulary_size_equals_transformers(pairs):
    for tokenizer, peer in pairs.values():
        assert tokenizer.vocab_size == peer.vocab_size


def test_pieces_equal_transformers(pairs):
    for tokenizer, peer in pairs.values():
        for text in TEXTS:
            tokens = peer.tokenize(text)
            assert tokenizer.pieces(text) == (
                tokens if tokens[-1:] == ["</s>"] else tokens + ["</s>"]
            )


# What the rows look like


def test_shape_and_dtype(tokenizer):
    assert tokenizer("a cat").shape == (1, 64)
    assert tokenizer(["a cat", "a dog"]).shape == tokenizer(("a cat", "a dog")).shape == (2, 64)
    assert tokenizer("a cat").dtype == torch.int64


def test_padding_is_the_end_token(tokenizer):
    row, ids = tokenizer("a photo of a cat")[0].tolist(), tokenizer.encode("a photo of a cat")
    assert ids[-1] == 1 and 1 not in ids[:-1]
    assert row == ids + [1] * (64 - len(ids))


def test_an_empty_text_is_all_end_tokens(tokenizer):
    for text in ("", "   ", "?!", "</s>", "▁"):
        assert tokenizer.encode(text) == [1]
        assert tokenizer(text).tolist() == [[1] * 64]


def test_the_end_token_survives_truncation(files, tokenizer):
    long = "a red circle " * 100
    row = tokenizer(long)[0].tolist()
    assert row[:-1] == tokenizer.encode(long)[:63] and row[-1] == 1 and 1 not in row[:-1]
    assert Tokenizer(files["nmt_nfkc"], 1)(long).tolist() == [[1]]


def test_case_and_punctuation_do_not_count(tokenizer):
    assert torch.equal(tokenizer("A Photo, of a CAT!"), tokenizer("a photo of a cat"))


def test_an_underscore_is_no_space(tokenizer):
    assert canonicalize("hot_dog") == "hotdog"
    assert tokenizer.encode("red_cat") != tokenizer.encode("red cat")


def test_a_row_does_not_depend_on_its_neighbours(tokenizer):
    together = tokenizer(TEXTS)
    assert all(torch.equal(together[i], tokenizer(t)[0]) for i, t in enumerate(TEXTS))


def test_pieces_stand_for_ids(tokenizer):
    for text in TEXTS:
        assert len(tokenizer.pieces(text)) == len(tokenizer.encode(text))
    pieces = tokenizer.pieces("a red 漢字")
    assert "".join(pieces) == "▁a▁red▁漢字</s>"
    assert tokenizer.encode("a red 漢字")[-2:] == [2, 1]


def test_decode_gives_the_canonical_text(tokenizer):
    for text in CORPUS:
        assert tokenizer.decode(tokenizer(text)[0]) == canonicalize(text)
        assert tokenizer.decode(tokenizer.encode(text)) == canonicalize(text)
    assert tokenizer.decode([]) == tokenizer.decode([1, 1]) == ""
    assert tokenizer.decode(tokenizer.encode("red 漢 cat")) == "red  ⁇  cat"


# Errors


def raises(error, message, call, *arguments):
    with pytest.raises(error) as caught:
        call(*arguments)
    assert message in str(caught.value), str(caught.value)


@pytest.mark.parametrize("thing", [None, 3, b"a cat", {"a": "cat"}, (t for t in ["a"])])
def test_not_a_string(tokenizer, thing):
    name = type(thing).__name__
    raises(TypeError, f"got {name}; expected a string or a list of strings", tokenizer, thing)
    raises(TypeError, f"the text is a {name}; expected a string", tokenizer.encode, thing)
    raises(TypeError, f"the text is a {name}; expected a string", tokenizer.pieces, thing)


def test_not_a_string_in_a_list(tokenizer):
    raises(TypeError, "texts[1] is a NoneType; expected a string", tokenizer, ["a", None])
    raises(TypeError, "texts[0] is a list; expected a string", tokenizer, [["a"]])


def test_an_empty_list(tokenizer):
    raises(ValueError, "the list of texts is empty", tokenizer, [])


def test_half_a_surrogate_pair(tokenizer):
    message = "holds half of a surrogate pair at position 3"
    raises(ValueError, "the text " + message, tokenizer.encode, "cat\ud800")
    raises(ValueError, "texts[1] " + message, tokenizer, ["cat", "cat\udc00 dog"])


def test_decode_wants_the_ids_of_one_text(tokenizer):
    size = tokenizer.vocab_size
    raises(ValueError, f"id {size} is not in the vocabulary of {size}", tokenizer.decode, [size])
    raises(ValueError, "id -1 is not in the vocabulary", tokenizer.decode, [-1])
    raises(TypeError, "expected the ids of one text", tokenizer.decode, tokenizer(["a", "b"]))
    raises(TypeError, "expected the ids of one text", tokenizer.decode, "a cat")
    raises(TypeError, "expected the ids of one text", tokenizer.decode, [1.0])
    raises(TypeError, "got 5; expected the ids of one text", tokenizer.decode, 5)
    raises(TypeError, "got 5; expected the ids of one text", tokenizer.decode, torch.tensor(5))


@pytest.mark.parametrize("length", [0, -1])
def test_a_context_length_below_1(files, length):
    message = f"context_length is {length}; expected at least 1"
    raises(ValueError, message, Tokenizer, files["bpe"], length)


@pytest.mark.parametrize("length", [64.0, "64", None])
def test_a_context_length_that_is_no_integer(files, length):
    raises(TypeError, f"context_length is {length!r}; expected an integer", Tokenizer, "", length)


def test_a_missing_model_file(tmp_path):
    raises(FileNotFoundError, "gone.model'; expected a Sent", Tokenizer, tmp_path / "gone.model")
    raises(ValueError, "is a folder; pass the spiece.model in it", Tokenizer, tmp_path)


def test_a_corrupt_model_file(files, tmp_path):
    whole, path = files["nmt_nfkc"].read_bytes(), tmp_path / "bad.model"
    for data in (b"", b"hello", b"\0" * 100, whole[: len(whole) // 2], whole[:-1], whole[100:]):
        path.write_bytes(data)
        message = f"bad.model' ({len(data)} bytes) is not a SentencePiece model, or is damaged"
        raises(ValueError, message, Tokenizer, path)


def test_a_model_file_with_another_layout(tmp_path):
    path = tmp_path / "llama.model"
    path.write_bytes(train(pad_id=-1, unk_id=0, bos_id=1, eos_id=2))
    message = "has 75 pieces that begin with ['<unk>', '<s>', '</s>']; expected '</s>' at id 1"
    raises(ValueError, message, Tokenizer, path)
    path.write_bytes(train(unk_piece="[UNK]"))
    raises(ValueError, "names its unknown piece '[UNK]'; expected '<unk>'", Tokenizer, path)


def test_a_model_file_with_too_few_pieces(files, tmp_path):
    proto = sentencepiece_model_pb2.ModelProto.FromString(files["nmt_nfkc"].read_bytes())
    proto.trainer_spec.model_type = proto.trainer_spec.CHAR  # the one type that may be so short
    del proto.pieces[3:], proto.pieces[:2]
    path = tmp_path / "short.model"
    path.write_bytes(proto.SerializeToString())
    message = "has 1 pieces that begin with ['<unk>']; expected '</s>' at id 1"
    raises(ValueError, message, Tokenizer, path)


def test_sentinels_at_the_end_are_no_part_of_the_vocabulary(files, tmp_path):
    """mT5's file has 250,000 pieces and a hundred of these; the model's table has 250,000 rows."""
    proto = sentencepiece_model_pb2.ModelProto.FromString(files["nmt_nfkc"].read_bytes())
    size = len(proto.pieces)
    for number in (1, 0):
        kind = sentencepiece_model_pb2.ModelProto.SentencePiece.USER_DEFINED
        proto.pieces.add(piece=f"\u2581<extra_id_{number}>", score=0.0, type=kind)
    path = tmp_path / "spiece.model"
    path.write_bytes(proto.SerializeToString())
    tokenizer = Tokenizer(path)
    assert tokenizer.vocab_size == size
    assert int(tokenizer("a photo of <extra_id_0> <extra_id_1>").max()) < size
