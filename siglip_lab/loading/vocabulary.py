"""SentencePiece models, as checkpoint folders hold them."""

from __future__ import annotations

import os
from pathlib import Path

from sentencepiece import SentencePieceProcessor

from siglip_lab.checks import CheckpointError

__all__ = ["END", "END_ID", "UNKNOWN", "read_sentencepiece"]

END, UNKNOWN = "</s>", "<unk>"
END_ID = 1  # ends a text, and fills the row behind it


def read_sentencepiece(path: str | os.PathLike) -> tuple[SentencePieceProcessor, bytes]:
    """A SentencePiece model of SigLIP, and the bytes of its file, to be saved again.

    Raises:
        FileNotFoundError: If there is no such file.
        CheckpointError: If it is not such a model.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(
            f"there is no file {str(path)!r}; expected a SentencePiece model such as spiece.model"
        )
    if path.is_dir():
        raise CheckpointError(f"{str(path)!r} is a folder; pass the spiece.model in it")
    data, model = path.read_bytes(), SentencePieceProcessor()
    try:
        model.LoadFromSerializedProto(data)
    except RuntimeError as error:
        raise CheckpointError(
            f"{str(path)!r} ({len(data)} bytes) is not a SentencePiece model, or is damaged; "
            "fetch the file again"
        ) from error
    if model.get_piece_size() <= END_ID or model.id_to_piece(END_ID) != END:
        pieces = [model.id_to_piece(i) for i in range(min(3, model.get_piece_size()))]
        raise CheckpointError(
            f"{str(path)!r} has {model.get_piece_size()} pieces that begin with {pieces}; expected "
            f"{END!r} at id {END_ID}, as in SigLIP's own: train with pad_id=0, eos_id=1, unk_id=2"
        )
    if model.id_to_piece(model.unk_id()) != UNKNOWN:
        raise CheckpointError(
            f"{str(path)!r} names its unknown piece {model.id_to_piece(model.unk_id())!r}; "
            f"expected {UNKNOWN!r}"
        )
    return model, data
