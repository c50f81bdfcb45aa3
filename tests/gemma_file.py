"""A `tokenizer.json` of Gemma's arrangement, trained in a moment, and where it may stand."""

import functools
import json
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import TemplateProcessing

PIECES = 900
# Gemma's have capitals, too: they are found before a text is lower-cased
SPECIAL = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>", "[@BOS@]", "<start_of_turn>"]
BYTES = [f"<0x{i:02X}>" for i in range(256)]
CORPUS = [
    "A photo of two red circles.", "a blue square, and a cat's tail", "the hot_dog (3.5 €)!",
    "Zwei rote Kreise über einem Quadrat", "deux cercles rouges", "一只猫 坐在 垫子上",
    "οδός, κόσμος", "кошка на коврике", "  two  spaces\tand\na line", "قطة على سجادة",
]  # fmt: skip


@functools.cache
def gemma_json(pieces: int = PIECES) -> str:
    """Byte-pair encoding with byte fallback, spaces as "▁", as transformers writes Gemma's."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    parts = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    tokenizer.decoder = decoders.Sequence(parts)
    trainer = trainers.BpeTrainer(
        vocab_size=PIECES, special_tokens=SPECIAL + BYTES, show_progress=False
    )
    tokenizer.train_from_iterator([text.lower() for text in CORPUS] * 9 + ["ABC"] * 9, trainer)
    tokenizer.post_processor = TemplateProcessing(
        single="$A <eos>", pair="$A <eos> $B <eos>", special_tokens=[("<eos>", 1)]
    )
    content = json.loads(tokenizer.to_str())
    # The bytes are pieces, and no special tokens
    content["added_tokens"] = [x for x in content["added_tokens"] if x["content"] not in BYTES]
    vocabulary = content["model"]["vocab"]
    for i in range(len(vocabulary), pieces):  # a corpus so small has fewer
        vocabulary[f"<filler {i}>"] = i
    return json.dumps(content, ensure_ascii=False)


def write_gemma(folder: Path, pieces: int = PIECES, **changes) -> Path:
    """The file, in a folder; `changes` are to its outermost entries."""
    path = folder / "tokenizer.json"
    text = gemma_json(pieces)
    path.write_text(json.dumps(json.loads(text) | changes) if changes else text, encoding="utf-8")
    return path


def token(content: str) -> dict:
    return {
        "content": content, "lstrip": False, "normalized": False, "rstrip": False,
        "single_word": False, "special": True,
    }  # fmt: skip


def hub_settings(processor: str) -> dict:
    """The `tokenizer_config.json` of the published folders, made from Gemma's.

    Source: transformers, ``models/siglip2/convert_siglip2_to_hf.py`` (``get_siglip2_tokenizer``).
    """
    return {
        "add_bos_token": False, "add_eos_token": True,
        "added_tokens_decoder": {str(i): token(name) for i, name in enumerate(SPECIAL)},
        "additional_special_tokens": ["<start_of_turn>"], "bos_token": "<bos>",
        "clean_up_tokenization_spaces": False, "eos_token": "<eos>", "extra_special_tokens": {},
        "model_input_names": ["input_ids"], "model_max_length": 1000000000000000019884624838656,
        "pad_token": "<pad>", "padding_side": "right", "processor_class": processor,
        "sp_model_kwargs": {}, "spaces_between_special_tokens": False,
        "tokenizer_class": "GemmaTokenizer", "unk_token": "<unk>",
        "use_default_system_prompt": False,
    }  # fmt: skip
