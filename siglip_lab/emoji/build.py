"""Build the data set: drawings and names from packages of the npm registry, into sheets and JSON.

``python -m siglip_lab.emoji.build OUT --artists noto openmoji --languages en fr --size 64`` needs
npm and ``pip install 'siglip-lab[emoji]'``. The packages, 34 MB, are kept for the next time.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from siglip_lab.checks import check_integer
from siglip_lab.emoji.data import ARTISTS, SHIPPED, TILES

__all__ = ["BuildError", "build_folder", "fetch", "main"]

CACHE = Path.home() / ".cache" / "siglip-lab" / "emoji"
LICENCES = SHIPPED / "licenses"

# Name and version, SHA-512 of the archive as the registry states it
PACKAGES = {
    "noto": (
        "@iconify-json/noto@1.2.9",
        "DQiuXENbun41ch+XPSV55H9FaWKpHTyz46YIKtSaKYD4fIDDzL1tR6H4np/T38jfrTAeI3rcKF0mqHYeZVAuaw==",
    ),
    "twemoji": (
        "@iconify-json/twemoji@1.2.5",
        "uKpuIEV0v6K5BW3Mjdyl+XKFVAbbcPxAgifKvEMtZoUZB5+YiY5zaMm2uNNCxyXzAWU9yNLlj41WU6/mvgALsw==",
    ),
    "fluent-flat": (
        "@iconify-json/fluent-emoji-flat@1.2.6",
        "RY47RgPb47fYUiyrA64sIOL0+UU02s29sXpNBbIQRBUlPlfNFTKUmZDERGuxDs/7yNGWqQYvuaSYM1M4fRXlUw==",
    ),
    "fluent-3d": (
        "@lobehub/fluent-emoji-3d@1.1.0",
        "Wlq2lVStTnr8BDpIJ0pEnTKO4LuDxxqTEhTvRtD1DLRF0me7ogeRQjKoehDHXuVJ2Qaecgl5wRBv60lUAG3h7g==",
    ),
    "openmoji": (
        "@iconify-json/openmoji@1.2.29",
        "vXdhkqcXVSO6suy+m9LbcUM3OdVyuNOtpV8/als/WqfkQIRxevL5Geb/g+6GH/Qwnq1OqksEmaDGTCmZ5nFKJQ==",
    ),
    "names": (
        "cldr-annotations-full@48.2.0",
        "DV7A+rEcgUSNTRsVGNGqBZRmAkGfwhGHO5Q1dRwzBoBnVrHWp804JP7/QJdEc66iHmx3+zLWVIMCFLm0lW7PUQ==",
    ),
    "names of sequences": (
        "cldr-annotations-derived-full@48.2.0",
        "log62km+AOzI7n/NEuNNFV0mg9DWnt67EYCh1RwxZq9dyRuyteB586LT83Ke8TchEfnwI9cIk2P31zO4nTvZmw==",
    ),
}
GROUPS = (
    "Smileys & Emotion", "People & Body", "Animals & Nature", "Food & Drink", "Travel & Places",
    "Activities", "Objects", "Symbols", "Flags",
)  # fmt: skip
SKIN_TONES = {"1f3fb", "1f3fc", "1f3fd", "1f3fe", "1f3ff"}


class BuildError(RuntimeError):
    """What stands in the way of the build, and what to do."""


def build_folder(
    out: str | Path,
    artists: Sequence[str] = tuple(ARTISTS),
    languages: Sequence[str] = ("en",),
    size: int = 40,
    cache: str | Path = CACHE,
) -> None:
    """Write a sheet for each artist, names for each language, licences and credits.

    The emoji are those that all five artists drew and CLDR names in English, without those that
    differ in skin tone only, whichever artists are asked for.

    Args:
        out: Folder, which `load` reads. A file in it is replaced when the new one is complete.
        artists: Keys of `ARTISTS`.
        languages: Codes of CLDR's languages, of those that name every emoji.
        size: Side of a drawing in pixels. Fluent 3D comes with 256, the others with any.
        cache: Folder of the downloaded packages.

    Raises:
        BuildError: If npm, the registry or resvg-py is missing, a package is not what it was, or a
            language not complete.
    """
    check_integer("size", size)
    out = Path(out)
    render = _renderer()  # what is missing is said before anything is downloaded
    archives = {key: fetch(*package, Path(cache)) for key, package in PACKAGES.items()}
    names = [archives["names"], archives["names of sequences"]]
    drawn = {key: _drawings(archives[key], size) for key in ARTISTS}
    shared = set(_names(names, "en")).intersection(*drawn.values())
    group = _groups(archives["twemoji"])
    every = sorted(each for each in shared if not SKIN_TONES & set(each.split("-")))
    every.sort(key=lambda code_points: GROUPS.index(group[code_points]))
    texts = {}
    for language in languages:
        known = _names(names, language)
        if missing := len(set(every) - set(known)):
            raise BuildError(f"CLDR's {language!r} lacks {missing} of {len(every)} emoji")
        texts[language] = {code_points: known[code_points] for code_points in every}

    out.mkdir(parents=True, exist_ok=True)
    for artist in artists:
        pictures = [render(drawn[artist][code_points], size) for code_points in every]
        _write(out / f"{artist}.webp", _sheet(pictures))
    for language, text in texts.items():
        _write(out / f"{language}.json", _lines(text))
    _write(out / "emoji.json", _lines({each: group[each] for each in every}))
    _write(out / "LICENSE.md", _credits(artists, size).encode())
    (out / "licenses").mkdir(exist_ok=True)
    for licence in {"Unicode-3.0", *(ARTISTS[artist].licence for artist in artists)}:
        name = f"{licence}.txt"
        _write(out / "licenses" / name, (LICENCES / name).read_bytes())


def fetch(package: str, sha512: str, cache: Path) -> Path:
    """Download a package with npm, unless the cache has it; return its archive.

    Args:
        package: Name and version, "@iconify-json/noto@1.2.9".
        sha512: What the archive hashes to, in base64.
        cache: Folder of the archives.

    Raises:
        BuildError: If there is no npm, it fails, or the archive is another one.
    """
    # As npm calls it: iconify-json-noto-1.2.9.tgz
    path = cache / f"{re.sub('[@/]+', '-', package).strip('-')}.tgz"
    if not path.exists():
        npm = shutil.which("npm")
        if npm is None:
            raise BuildError("npm is missing, with which packages are downloaded: install Node.js")
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as part:
            command = [npm, "pack", package, "--fetch-retries=1", "--fetch-retry-mintimeout=1000"]
            done = subprocess.run(command, cwd=part, capture_output=True, text=True)
            if done.returncode:
                said = re.findall(r"^npm error (?!code|syscall|errno)(.+)", done.stderr, re.M)[:1]
                raise BuildError(
                    f"npm could not download {package}: {''.join(said)[:120]}. Once it can, run "
                    "this again; what is there stays"
                )
            os.replace(Path(part) / path.name, path)
    found = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if found != sha512:
        path.unlink()
        raise BuildError(f"{package} has another SHA-512 than it had; it is removed, try again")
    return path


# ---- what the packages hold ----------------------------------------------------------------------


def _key(code_points: str) -> str:
    return "-".join(each for each in code_points.lower().split("-") if each != "fe0f")


def _read(archive: Path, pattern: str) -> dict[str, bytes]:
    """The files of a package whose path matches, by what the pattern's group finds in it."""
    found = {}
    with tarfile.open(archive) as package:
        for member in package:
            if match := re.fullmatch(f"package/{pattern}", member.name):
                found[match[1]] = package.extractfile(member).read()  # type: ignore[union-attr]
    return found


def _drawings(archive: Path, size: int) -> dict[str, str | bytes]:
    """An artist's drawings by code points, as SVG or as bytes of a picture."""
    if pictures := _read(archive, r"assets/(.+)\.webp"):
        return {_key(code_points): picture for code_points, picture in pictures.items()}
    files = _read(archive, r"(icons|chars)\.json")
    icons, names = json.loads(files["icons"]), json.loads(files["chars"])
    return {_key(code_points): _svg(icons, name, size) for code_points, name in names.items()}


def _svg(icons: dict, name: str, size: int) -> str:
    """A square of a drawing, which is in the middle where it is not square itself."""
    icon = icons | icons["icons"][name]  # one with other sides than the rest says so
    width, height, body = icon["width"], icon["height"], icon["body"]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="0 0 {width} {height}" width="{size}" height="{size}">{body}</svg>'
    )


def _renderer() -> Callable[[str | bytes, int], Image.Image]:
    try:
        from resvg_py import svg_to_bytes
    except ImportError:
        raise BuildError("resvg-py is missing: pip install 'siglip-lab[emoji]'") from None

    def render(drawing: str | bytes, size: int) -> Image.Image:
        if isinstance(drawing, str):
            drawing = bytes(svg_to_bytes(svg_string=drawing, skip_system_fonts=True))
        picture = Image.open(io.BytesIO(drawing)).convert("RGBA")
        return picture.resize((size, size), Image.Resampling.LANCZOS)

    return render


def _groups(twemoji: Path) -> dict[str, str]:
    """Unicode's group of every emoji, by code points."""
    files = {name: json.loads(text) for name, text in _read(twemoji, r"(\w+)\.json").items()}
    group = {name: g for g, of in files["metadata"]["categories"].items() for name in of}
    return {_key(each): group[name] for each, name in files["chars"].items() if name in group}


def _names(archives: Sequence[Path], language: str) -> dict[str, list[str]]:
    """By code points: the name, then the keywords that are not the name again."""
    found = {}
    for archive in archives:
        for text in _read(archive, rf"annotations(?:Derived)?/({language})/\w+\.json").values():
            (annotations,) = json.loads(text).values()
            for character, each in annotations.get("annotations", {}).items():
                if "tts" in each:
                    key = _key("-".join(f"{ord(one):04x}" for one in character))
                    found[key] = list(dict.fromkeys(each["tts"] + each.get("default", [])))
    return found


# ---- what is written -----------------------------------------------------------------------------


def _sheet(pictures: Sequence[Image.Image]) -> bytes:
    """Drawings on white, in 256 colours, as WebP without loss: smaller than the same as PNG."""
    size = pictures[0].width
    sheet = Image.new("RGB", (TILES * size, -(-len(pictures) // TILES) * size), "white")
    for place, picture in enumerate(pictures):
        sheet.paste(picture, (place % TILES * size, place // TILES * size), picture)
    file = io.BytesIO()
    few = sheet.quantize(256).convert("RGB")
    few.save(file, "webp", lossless=True, quality=100)
    return file.getvalue()


def _lines(values: dict[str, Any]) -> bytes:
    """JSON, a line for each emoji."""
    rows = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in values.items()]
    return ("{\n" + ",\n".join(rows) + "\n}\n").encode()


def _credits(artists: Sequence[str], size: int) -> str:
    lines = [
        "# Emoji: who made them, and under which licence", "",
        f"Drawings, changed: {size} x {size} pixels, on white, 256 colours a sheet.", "",
    ]  # fmt: skip
    for key in artists:
        artist, (package, _) = ARTISTS[key], PACKAGES[key]
        lines.append(
            f"- `{key}.webp`: [{artist.title}]({artist.source}), © {artist.credit}, "
            f"[{artist.licence}](licenses/{artist.licence}.txt); from the npm package `{package}`."
        )
    packages = " and ".join(f"`{PACKAGES[key][0]}`" for key in ("names", "names of sequences"))
    lines += [
        "", "Names and keywords (`emoji.json`, and a file for each language): Unicode CLDR, "
        "© Unicode, Inc., [Unicode-3.0](licenses/Unicode-3.0.txt); from the npm packages "
        f"{packages}, without keywords that repeat the name.", "",
        "None of those named endorses what is done with them here.",
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def _write(path: Path, content: bytes) -> None:
    """Write to a neighbour, then rename: a reader never meets half a file."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    os.replace(part, path)


def main() -> None:
    """Read the command line and build."""
    parser = argparse.ArgumentParser(
        prog="python -m siglip_lab.emoji.build", description="Build emoji sheets and their names."
    )
    parser.add_argument("out", metavar="OUT", type=Path)
    parser.add_argument("--artists", nargs="+", choices=ARTISTS, default=list(ARTISTS))
    parser.add_argument("--languages", nargs="+", default=["en"], help="CLDR's codes: en fr pt ...")
    parser.add_argument("--size", type=int, default=40, help="side of a drawing in pixels")
    parser.add_argument("--cache", type=Path, default=CACHE, help=f"downloads; default: {CACHE}")
    try:
        build_folder(**vars(parser.parse_args()))
    except (BuildError, OSError, ValueError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
