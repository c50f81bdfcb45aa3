"""Published checkpoints from Hugging Face or ModelScope, through the hubs' own clients.

Chapter "The real model". The clients' caches and environment variables hold (``HF_HOME``,
``HF_ENDPOINT``, ``HF_HUB_OFFLINE``; ``MODELSCOPE_CACHE``, ``MODELSCOPE_ENDPOINT``). What they leave
undone is done here: huggingface_hub compares sizes, not checksums, and takes some busy answers as
final; modelscope does not turn to its cache when there is no network.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import time
import warnings
from fnmatch import fnmatch
from pathlib import Path

from siglip_lab.checks import CheckpointError, shown
from siglip_lab.configs import get_config, list_models
from siglip_lab.counting import count_parameters

__all__ = ["SOURCES", "download", "repository"]

SOURCES = ("huggingface", "modelscope")
INDEX = "model.safetensors.index.json"
SMALL = ("config.json", "preprocessor_config.json", "processor_config.json", "spiece.model")
WEIGHTS = ("model.safetensors", INDEX, "model-*.safetensors")
PAUSES = (1, 2, 4)  # seconds before each further try where the client does not try again itself


def repository(name: str, source: str) -> str:
    """The repository that holds a published model.

    On ModelScope, ``fireicewolf/siglip-so400m-patch14-384`` is known to exist; that the others
    are called as on Hugging Face, ``google/NAME``, has not been verified.

    Args:
        name: A published model of `list_models`, of either version.
        source: One of `SOURCES`.

    Returns:
        ``OWNER/NAME``.

    Raises:
        ValueError: If the model or the hub is unknown.

    >>> repository("siglip-so400m-patch14-384", "modelscope")
    'fireicewolf/siglip-so400m-patch14-384'
    """
    if source not in SOURCES:
        raise ValueError(
            f"source={shown(repr(source))}: the hubs are {' and '.join(map(repr, SOURCES))}"
        )
    published = [known for known in list_models() + list_models(version=2) if known != "tiny"]
    short = str(name).removeprefix("google/")
    if short not in published:
        raise ValueError(
            f"{shown(repr(name))} is on no hub; published models: {', '.join(published)}"
        )
    elsewhere = (source, short) == ("modelscope", "siglip-so400m-patch14-384")
    return f"{'fireicewolf' if elsewhere else 'google'}/{short}"


def download(name: str, source: str = "huggingface", weights: bool = True) -> Path:
    """Fetch the files of a published model that are not in the client's cache yet.

    Args:
        name: A published model of `list_models`, of either version.
        source: One of `SOURCES`.
        weights: Whether to fetch the weights too, not only what `load_processor` reads.

    Returns:
        The folder in the client's cache that holds them.

    Raises:
        CheckpointError: If the client is not installed, or the files do not arrive whole.
        ValueError: If the model or the hub is unknown.

    Source: the clients' ``snapshot_download``, read in huggingface_hub 2.4.0, modelscope 1.40.2.
    """
    repo = repository(name, source)
    fetch = _huggingface if source == "huggingface" else _modelscope
    for pause in (*PAUSES, None):
        try:
            return fetch(repo, SMALL + WEIGHTS if weights else SMALL)
        except ImportError as error:
            raise CheckpointError(f"cannot fetch {name}: pip install {error.name}") from error
        except Exception as error:
            problem, again = _explain(name, source, error)
            if not again or pause is None:
                problem = f"cannot fetch {name} from {source}, {repo} at {problem}"
                raise CheckpointError(problem[:300]) from error  # the error itself comes last
        time.sleep(pause)


def _huggingface(repo: str, files: tuple[str, ...]) -> Path:
    from huggingface_hub import snapshot_download

    folder = Path(snapshot_download(repo, allow_patterns=list(files)))
    for path in folder.iterdir():  # where there are no links (Windows), no checksum is known
        if path.is_symlink() and any(fnmatch(path.name, pattern) for pattern in files):
            _verify(path)
    return _complete(folder, repo, files)


def _verify(path: Path) -> None:
    """Compare a file with the checksum that names its blob in the cache, once."""
    blob = path.parent / os.readlink(path)  # models--OWNER--NAME/blobs/CHECKSUM
    seen = path.parents[2] / ".siglip_lab" / blob.name
    if seen.exists() and seen.stat().st_mtime_ns >= blob.stat().st_mtime_ns:
        return
    sha1 = hashlib.sha1(b"blob %d\0" % blob.stat().st_size)  # git's own, for small files
    digest = sha1 if len(blob.name) == 40 else hashlib.sha256()
    with open(blob, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    if digest.hexdigest() != blob.name:
        for wrong in (path, blob.resolve(), blob):
            wrong.unlink(missing_ok=True)
        raise CheckpointError(f"{path.name} has checksum {digest.hexdigest()}, not {blob.name}")
    if os.access(path.parents[2], os.W_OK):
        seen.parent.mkdir(exist_ok=True)
        seen.touch()


def _modelscope(repo: str, files: tuple[str, ...]) -> Path:
    from modelscope import snapshot_download

    # Not told its endpoint, the client first asks two sites: 15 seconds more without a network.
    endpoint = None if os.environ.get("MODELSCOPE_PREFER_AI_SITE") else _settings("modelscope")[0]
    try:
        folder = Path(snapshot_download(repo, allow_patterns=list(files), endpoint=endpoint))
    except Exception as error:
        with contextlib.suppress(Exception):  # what is there will do, as with huggingface_hub
            folder = _complete(Path(snapshot_download(repo, local_files_only=True)), repo, files)
            warnings.warn(
                f"using what is in {folder}, because of {shown(repr(error))}", stacklevel=4
            )
            return folder
        raise
    return _complete(folder, repo, files)


def _complete(folder: Path, repo: str, files: tuple[str, ...]) -> Path:
    """The folder, if it has what the loaders need."""
    wanted = {"config.json", "preprocessor_config.json"}
    if (folder / "processor_config.json").exists():  # where transformers 5 puts it
        wanted.remove("preprocessor_config.json")
    if "siglip2" not in repo:  # which has another tokenizer
        wanted.add("spiece.model")
    if INDEX in files and not (folder / INDEX).exists():  # loading looks for an index's shards
        wanted.add("model.safetensors")
    if missing := sorted(file for file in wanted if not (folder / file).exists()):
        raise FileNotFoundError(f"no {', '.join(missing)}")
    return folder


def _causes(error: Exception) -> list[BaseException]:
    """An error and all that led to it."""
    causes, queue = [], [error]
    while queue:
        cause = queue.pop(0)
        if cause is not None and cause not in causes:
            causes.append(cause)
            failures = getattr(cause, "failed_files", {}).values()  # modelscope
            queue += [cause.__cause__, cause.__context__, *failures]
    return causes


def _settings(source: str) -> tuple[str, Path]:
    """A client's endpoint and cache, as the environment sets them."""
    if source == "huggingface":
        from huggingface_hub.constants import ENDPOINT, HF_HUB_CACHE

        return ENDPOINT, Path(HF_HUB_CACHE)
    from modelscope_hub.config import get_default_config

    return get_default_config().endpoint, get_default_config().cache_dir


def _explain(name: str, source: str, error: Exception) -> tuple[str, bool]:
    """What went wrong and what to do; and whether trying again at once may help."""
    endpoint, cache = _settings(source)
    causes = _causes(error)
    kinds = {kind.__name__ for cause in causes for kind in type(cause).__mro__}
    answers = [getattr(cause, "response", None) or cause for cause in causes]
    status = max(getattr(answer, "status_code", None) or 0 for answer in answers)
    codes = {getattr(cause, "errno", 0) for cause in causes}
    again = False
    if codes & {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}:
        need = 4 * count_parameters(get_config(name)).total
        what = f"the disk is full: the files need {need:,} bytes in {cache}, make room for them"
    elif codes & {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}:
        what = f"{cache} cannot be written: change its permissions, or the variable that sets it"
    elif status in (401, 403):
        what = f"HTTP {status}, refused: accept the licence on the model's page, and log in there"
    elif status == 404 or type(error) is FileNotFoundError:  # the latter from _complete
        what = "no such repository, or files missing in it: check the name, or try the other hub"
    elif {"CheckpointError", "FileIntegrityError"} & kinds:
        what = "a damaged file came and was removed: try again"
    elif "OfflineModeIsEnabled" in kinds:
        what = "files are not in the cache, and HF_HUB_OFFLINE is on: unset it"
    elif {"ConnectError", "ConnectTimeout", "NewConnectionError"} & kinds:
        what = "the hub cannot be reached: check the network and the endpoint"
    else:
        what = f"HTTP {status}, busy or broken" if status >= 400 else "cut off, or not a hub"
        what = f"{what}: try again later, files that are complete are kept"
        again = source == "huggingface"  # modelscope has tried again itself
    return f"{endpoint}. {what}; or give a folder as source [{error!r:.300}]", again
