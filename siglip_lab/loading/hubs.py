"""Folders from Hugging Face and ModelScope, by the hubs' own clients.

Chapter "The real model". Caches, endpoints and pauses are the clients' (``HF_HOME``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``, ``HF_TOKEN``; ``MODELSCOPE_CACHE``, ``MODELSCOPE_ENDPOINT``).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.loading.weights import INDEX

__all__ = ["HUBS", "REPOSITORY", "PushToHub", "fetch"]

HUBS = {"hf": "Hugging Face", "modelscope": "ModelScope"}
REPOSITORY = re.compile(r"\w[\w.-]{0,95}/\w[\w.-]{0,95}")
SMALL = (
    "config.json", "preprocessor_config.json", "processor_config.json", "tokenizer_config.json",
    "added_tokens.json", "spiece.model", "tokenizer.json", "vocab.json", "merges.txt",
)  # fmt: skip
WEIGHTS = ("model.safetensors", INDEX, "model-*.safetensors")


def fetch(repo: str, hub: str = "hf", revision: str | None = None, weights: bool = True) -> Path:
    """Fetch the files of a checkpoint that are not in the client's cache yet.

    Args:
        repo: ``OWNER/NAME``.
        hub: One of `HUBS`.
        revision: Branch, tag or commit; None: the hub's default.
        weights: Whether to fetch the weights too, not only what a processor reads.

    Returns:
        The folder in the client's cache that holds them.

    Raises:
        CheckpointError: If the client is not installed, or the files do not arrive.
    """
    files = [*SMALL, *WEIGHTS] if weights else [*SMALL]
    try:
        folder = _snapshot(repo, hub, revision=revision, allow_patterns=files)
    except ImportError as error:
        raise CheckpointError(
            f"cannot fetch {repo} from {HUBS[hub]} without {error.name}: pip install "
            "'siglip-lab[hubs]'"
        ) from error
    except Exception as error:  # the clients raise dozens of kinds
        cached = _cached(repo, revision) if hub == "modelscope" else None
        if cached is None or _missing(cached, weights):
            raise CheckpointError(
                f"cannot fetch {shown(repo)} from {HUBS[hub]}: {_advice(error)}; or give a folder "
                f"[{shown(repr(error), 120)}]"
            ) from error
        warnings.warn(f"using what is in {cached}: {shown(repr(error))}", stacklevel=5)
        folder = cached
    if missing := _missing(folder, weights):
        raise CheckpointError(
            f"{shown(repo)} of {HUBS[hub]} has no {missing}, or it is not in the cache and the hub "
            "cannot be reached: check the name and the network"
        )
    return folder


def _snapshot(repo: str, hub: str, **options: Any) -> Path:
    if hub == "modelscope":
        from modelscope import snapshot_download
    else:
        from huggingface_hub import snapshot_download
    return Path(snapshot_download(repo, **options))


def _cached(repo: str, revision: str | None) -> Path | None:
    """ModelScope's cache, where its client, unlike the other, does not look without a network."""
    with contextlib.suppress(Exception):
        return _snapshot(repo, "modelscope", revision=revision, local_files_only=True)
    return None


def _missing(folder: Path, weights: bool) -> str:
    """What loading would look for in vain."""
    wanted = ["config.json"]
    if weights and not (folder / INDEX).exists():
        wanted.append("model.safetensors")
    return " and no ".join(name for name in wanted if not (folder / name).exists())


def _advice(error: BaseException, writing: bool = False) -> str:
    """What to do, by the first answer or error number that led to an error."""
    error = next(iter(getattr(error, "failed_files", {}).values()), error)  # modelscope's
    for _ in range(20):  # the chain can bite its own tail
        answer = getattr(error, "response", None) or error
        status = getattr(answer, "status_code", None)
        if writing and status in (401, 403, 404):
            return f"HTTP {status}: check USER, and pass a token of theirs that may write"
        if status in (401, 403):
            return f"HTTP {status}: check the name, accept the licence on its page, and log in"
        if status == 404:
            return "no such repository or revision there, and no such folder here: check the name"
        if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            return "the disk is full: make room in the client's cache"
        if isinstance(error, PermissionError | NotADirectoryError):
            return "its cache cannot be written: change its permissions or place"
        error = error.__cause__ or error.__context__ or error
    return "check the network and the endpoint, and try again: complete files are kept"


class PushToHub:
    """What can be saved into a folder can be uploaded to Hugging Face."""

    def save_pretrained(self, folder: str | os.PathLike) -> None:
        raise NotImplementedError

    def push_to_hub(
        self,
        repo: str,
        *,
        private: bool | None = None,
        token: str | None = None,
        commit_message: str = "Upload by siglip-lab",
    ) -> str:
        """Save into a repository on Hugging Face, which is made if need be.

        Args:
            repo: ``USER/NAME``.
            private: Whether a new repository is private; None: the account's default.
            token: An access token that may write; None: the one of the machine's login.
            commit_message: What the commit says.

        Returns:
            The address of the commit.

        Raises:
            CheckpointError: If there is nothing to save, the client is not installed, or the
                upload fails.
            ValueError: If `repo` is no ``USER/NAME``.
        """
        if not isinstance(repo, str) or not REPOSITORY.fullmatch(repo):
            raise ValueError(f"repo is {shown(repr(repo))}; expected 'USER/NAME'")
        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            try:
                from huggingface_hub import HfApi

                api = HfApi(token=token)
                repo = api.create_repo(repo, private=private, exist_ok=True).repo_id
                commit = api.upload_folder(
                    repo_id=repo, folder_path=folder, commit_message=commit_message
                )
            except ImportError as error:
                raise CheckpointError(
                    f"cannot push without {error.name}: pip install 'siglip-lab[hubs]'"
                ) from error
            except Exception as error:  # the client raises dozens of kinds
                raise CheckpointError(
                    f"cannot push {shown(repo)}: {_advice(error, writing=True)} "
                    f"[{shown(repr(error), 120)}]"
                ) from error
        return str(commit)
