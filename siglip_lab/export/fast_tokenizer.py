"""``tokenizer.json``: a tokenizer as one file, which transformers.js and `tokenizers` read.

SigLIP's is its SentencePiece model behind its cleaning, CLIP's the list of merges behind its own;
only the repair of broken encodings (`ftfy`) and of HTML has no form there. SigLIP 2 has such a
file, to which its lower case is added.
"""

from __future__ import annotations

import json
import re
import string
from pathlib import Path
from typing import Any

from siglip_lab import clip, gemma
from siglip_lab.clip.tokenizer import END as CLIP_END
from siglip_lab.clip.tokenizer import END_OF_WORD, START, WORDS
from siglip_lab.loading.vocabulary import END, END_ID, UNKNOWN
from siglip_lab.tokenizer import Tokenizer

__all__ = ["write_fast_tokenizer"]


def write_fast_tokenizer(tokenizer: Tokenizer, folder: Path, texts: list[str]) -> None:
    """Write ``tokenizer.json``, which cuts and pads to the context length, too.

    None is written for a SentencePiece model of another kind than SigLIP's (unigram), and none
    that gives other ids.

    Args:
        tokenizer: The model's.
        folder: Where to write.
        texts: What has to get the same ids as from `tokenizer`.
    """
    if isinstance(tokenizer, gemma.GemmaTokenizer):
        fast = _gemma(tokenizer)
    else:
        fast = _clip(tokenizer) if isinstance(tokenizer, clip.Tokenizer) else _siglip(tokenizer)
    if fast is None:
        return
    length, pad = tokenizer.context_length, tokenizer.pad_id
    fast.enable_truncation(length)
    fast.enable_padding(length=length, pad_id=pad, pad_token=fast.id_to_token(pad))
    if [row.ids for row in fast.encode_batch(texts)] == tokenizer(texts).tolist():
        fast.save(str(folder / gemma.FILE))


def _siglip(tokenizer: Tokenizer) -> Any:
    from sentencepiece import sentencepiece_model_pb2
    from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as Fast

    proto: Any = sentencepiece_model_pb2.ModelProto()  # type: ignore[attr-defined]
    proto.ParseFromString(tokenizer.model_bytes)
    if proto.trainer_spec.model_type != proto.trainer_spec.UNIGRAM:
        return None
    pieces = [(piece.piece, piece.score) for piece in proto.pieces[: tokenizer.vocab_size]]
    names = [name for name, _ in pieces]
    bytes_too = proto.trainer_spec.byte_fallback
    fast = Fast(models.Unigram(pieces, names.index(UNKNOWN), byte_fallback=bytes_too))
    one_space = normalizers.Replace(Regex(r"\s+"), " ")
    cleaning = [
        normalizers.Lowercase(),
        normalizers.Replace(Regex(f"[{re.escape(string.punctuation)}]"), ""),
        one_space,
    ]
    if letters := proto.normalizer_spec.precompiled_charsmap:  # which are written as which
        cleaning += [normalizers.Precompiled(letters), one_space]
    fast.normalizer = normalizers.Sequence([*cleaning, normalizers.Strip()])
    fast.pre_tokenizer = pre_tokenizers.Metaspace()
    fast.post_processor = processors.TemplateProcessing(f"$A {END}", None, [(END, END_ID)])
    fast.add_special_tokens([AddedToken(name, normalized=False) for name in (END, UNKNOWN)])
    return fast


def _clip(tokenizer: clip.Tokenizer) -> Any:
    from tokenizers import AddedToken, Regex, models, normalizers, pre_tokenizers, processors
    from tokenizers import Tokenizer as Fast

    files = {name: content.decode() for name, content in tokenizer.files().items()}
    ids = json.loads(files["vocab.json"])
    merges: Any = [tuple(line.split(" ")) for line in files["merges.txt"].splitlines()[1:]]
    fast = Fast(models.BPE(ids, merges, end_of_word_suffix=END_OF_WORD, unk_token=CLIP_END))
    fast.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    fast.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    ends = [(name, ids[name]) for name in (START, CLIP_END)]
    fast.post_processor = processors.TemplateProcessing(f"{START} $A {CLIP_END}", None, ends)
    fast.add_special_tokens([AddedToken(name, normalized=False) for name, _ in ends])
    return fast


def _gemma(tokenizer: gemma.GemmaTokenizer) -> Any:
    from tokenizers import processors

    fast = tokenizer.fast()
    end = "<eos>"
    ends = [(end, gemma.SPECIAL[end])]
    fast.post_processor = processors.TemplateProcessing(f"$A {end}", None, ends)
    return fast
