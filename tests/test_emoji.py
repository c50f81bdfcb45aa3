"""Emoji as captioned pictures: what ships, the loader, the splits, the baseline, the build."""

import base64
import hashlib
import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

import siglip_lab as sl
from siglip_lab import emoji
from siglip_lab.emoji import build as building
from siglip_lab.emoji.data import SHIPPED, THINGS
from siglip_lab.emoji.splits import family

SHIPPED_ARTISTS = ("noto", "twemoji", "fluent-flat", "fluent-3d")
LANGUAGES = ("ar", "en", "es", "hi", "zh")


@pytest.fixture(scope="module")
def drawings():
    return emoji.load()


@pytest.fixture(scope="module")
def every(drawings):
    return [drawing.emoji for drawing in drawings if drawing.artist == "noto"]


# ---- what ships ----------------------------------------------------------------------------------


def test_every_sheet_is_complete_and_no_drawing_is_empty(drawings):
    assert len(drawings) == 4 * 1570
    for artist in SHIPPED_ARTISTS:
        pixels = np.stack([each.pixels for each in drawings if each.artist == artist])
        assert pixels.shape == (1570, 40, 40, 3) and pixels.dtype == np.uint8
        assert ((pixels < 240).any(axis=-1).sum(axis=(1, 2)) > 20).all()
        assert len(np.unique(pixels.reshape(1570, -1), axis=0)) > 1560  # a few do look the same


def test_it_ships_what_may_ship_and_stays_small():
    assert {path.stem for path in SHIPPED.glob("*.webp")} == set(SHIPPED_ARTISTS)
    assert {path.stem for path in SHIPPED.glob("*.json")} == {"emoji", *LANGUAGES}
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) <= 4_000_000


def test_licences_and_credits_lie_beside():
    text = (SHIPPED / "LICENSE.md").read_text(encoding="utf-8")
    for key in SHIPPED_ARTISTS:
        artist = emoji.ARTISTS[key]
        assert artist.credit in text and artist.source in text and f"`{key}.webp`" in text
        assert f"(licenses/{artist.licence}.txt)" in text
    begins = {
        "Apache-2.0": "Apache License",
        "CC-BY-4.0": "Creative Commons Attribution 4.0",
        "CC-BY-SA-4.0": "Creative Commons Attribution-ShareAlike 4.0",
        "MIT": "MIT License\n\nCopyright (c) Microsoft Corporation",
        "Unicode-3.0": "UNICODE LICENSE V3",
    }
    for name, begin in begins.items():
        licence = (SHIPPED / "licenses" / f"{name}.txt").read_text(encoding="utf-8")
        assert licence.startswith(begin) and len(licence) > 1000


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_emoji_has_a_name_of_its_own_and_most_have_keywords(language):
    captions = [drawing.emoji.captions(language) for drawing in emoji.load(["noto"], [language])]
    assert len({name for name, *_ in captions}) == 1570
    assert sum(len(each) > 1 for each in captions) > 1470
    assert all(len(set(each)) == len(each) and all(each) for each in captions)


def test_the_groups_are_unicodes(every):
    assert {each.group for each in every} == set(building.GROUPS) > set(THINGS)
    assert sum(each.is_thing for each in every) == 849


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no openmoji.webp, only fluent-3d, .*--artists"):
        emoji.load(["openmoji"])
    with pytest.raises(FileNotFoundError, match=r"no de.json, only ar, "):
        emoji.load(["noto"], ["de"])
    with pytest.raises(FileNotFoundError, match="nothing of the kind"):
        emoji.load(folder=tmp_path)


# ---- captions ------------------------------------------------------------------------------------


def test_labels_are_true_of_all_that_share_a_caption(every):
    by_name = {each.names["en"]: each for each in every}
    few = [emoji.Drawing(by_name[name], "noto", None) for name in ("lemon", "grapes", "cat")]
    captions = ["lemon", "fruit", "pet", "nothing of these"]
    expected = [[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0]]
    assert torch.equal(emoji.labels(few, captions), torch.tensor(expected).bool())


def test_group_ids_say_which_captions_are_equal_in_every_process():
    ids = emoji.group_ids(["fruit", "cat", "fruit"])
    assert ids.dtype == torch.int64 and ids[0] == ids[2] != ids[1]
    assert ids[0] == 7904871264249204852  # what any other process finds


def test_a_batch_fits_the_loss():
    both = emoji.load(["noto", "twemoji"], ["en", "zh"])
    batch = emoji.training_batch(both, seed=0, step=3, batch_size=12, captions_each=2)
    again = emoji.training_batch(both, seed=0, step=3, batch_size=12, captions_each=2)
    assert batch.texts == again.texts and batch.drawings == again.drawings
    assert batch.texts != emoji.training_batch(both, 0, 4, 12, 2).texts
    assert all(text in whole for text, whole in zip(batch.captions, batch.texts, strict=True))
    own = torch.arange(24) // 2
    assert batch.labels[own, torch.arange(24)].all()
    pixels = batch.pixel_values(40)
    assert pixels.shape == (12, 3, 40, 40) and -1 <= pixels.min() < pixels.max() <= 1
    x = torch.nn.functional.normalize(torch.randn(12, 8), dim=1)
    y = torch.nn.functional.normalize(torch.randn(24, 8), dim=1)
    scalars = torch.tensor(2.3), torch.tensor(-10.0)
    assert sl.sigmoid_loss(x, y, *scalars, labels=batch.labels).isfinite()
    ids = emoji.group_ids(batch.captions[::2])
    assert sl.sigmoid_loss(x, y[::2], *scalars, labels=ids).isfinite()


def test_every_template_has_one_place():
    for templates in emoji.TEMPLATES.values():
        assert templates[0] == "{}" and all(each.count("{}") == 1 for each in templates)


# ---- splits --------------------------------------------------------------------------------------


def test_the_split_by_artist_keeps_a_hand_on_one_side(drawings):
    parts = emoji.by_artist(drawings)
    hands = {role: {each.artist for each in part} for role, part in parts.items()}
    train = {"fluent-flat", "fluent-3d"}
    assert hands == {"train": train, "validation": {"noto"}, "test": {"twemoji"}}


def test_the_split_by_concept_keeps_a_family_on_one_side(drawings):
    parts = emoji.by_concept(drawings)
    families = [{family(drawing.emoji) for drawing in part} for part in parts.values()]
    assert not families[0] & families[1] and not families[2] & (families[0] | families[1])
    assert {role: len(part) for role, part in parts.items()} == {
        "train": 4 * 1260, "validation": 4 * 163, "test": 4 * 147,
    }  # fmt: skip
    fewer = emoji.by_concept([each for each in drawings if each.artist == "twemoji"])
    assert {d.emoji for d in fewer["test"]} == {d.emoji for d in parts["test"]}


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_split_by_keyword_hides_pairs_and_neither_half(language):
    every = [drawing.emoji for drawing in emoji.load(["noto"], [language])]
    parts = emoji.by_keyword(every, language)
    pairs = {(each.code_points, word) for each in every for word in each.keywords[language]}
    assert set.union(*parts.values()) == pairs
    assert sum(map(len, parts.values())) == len(pairs)
    points = {each.code_points: each for each in every}
    left = {word.casefold().removesuffix("s") for _, word in parts["train"]}
    for role in ("validation", "test"):
        assert 0.02 < len(parts[role]) / len(pairs) < 0.1
        for code_points, word in parts[role]:
            stem = word.casefold().removesuffix("s")
            assert stem in left
            assert stem not in points[code_points].names[language].casefold()


def test_a_hidden_pair_never_meets_in_a_batch(drawings, every):
    parts = emoji.by_keyword(every)
    hidden = parts["validation"] | parts["test"]
    for step in range(20):
        batch = emoji.training_batch(drawings, 0, step, 128, captions_each=2, hidden=hidden)
        met = {(d.emoji.code_points, word) for d in batch.drawings for word in batch.captions}
        names = {d.emoji.names["en"] for d in batch.drawings}
        assert not {pair for pair in met & hidden if pair[1] not in names}


# ---- measuring -----------------------------------------------------------------------------------


def test_recall_counts_rows_with_a_true_one_among_the_best():
    scores = torch.tensor([[3.0, 2.0, 1.0], [3.0, 2.0, 1.0], [3.0, 2.0, 1.0]])
    true = torch.tensor([[True, False, False], [False, False, True], [False, False, False]])
    assert [emoji.recall_at_k(scores, true, k) for k in (1, 2, 3, 9)] == [0.5, 0.5, 1, 1]
    known = torch.tensor([[False, True, True], [True, True, False], [True, False, False]])
    assert emoji.recall_at_k(scores, true, 1, known) == 1


@pytest.mark.parametrize(
    ("artist", "references", "expected"),
    [
        ("twemoji", ("fluent-flat", "fluent-3d", "noto"), (0.331, 0.515, 0.359, 0.529)),
        ("noto", ("fluent-flat", "fluent-3d"), (0.299, 0.445, 0.327, 0.483)),
        ("fluent-flat", ("fluent-3d",), (0.932, 0.974, 0.953, 0.978)),
    ],
)
def test_the_nearest_drawing_in_pixels_is_the_bar(drawings, every, artist, references, expected):
    own = [drawing for drawing in drawings if drawing.artist == artist]
    others = [drawing for drawing in drawings if drawing.artist in references]
    found = emoji.naming(emoji.pixel_scores(own, others, every), own, every)
    numbers = (found.top1, found.top5, found.things_top1, found.things_top5)
    assert numbers == pytest.approx(expected, abs=0.003)


def test_a_model_is_measured_on_all_three_splits(drawings, every):
    model, processor = sl.SigLIP.from_pretrained("tiny"), sl.Processor.from_pretrained("tiny")
    few = [each for each in drawings if each.artist == "twemoji"][500:540]
    report = emoji.evaluate(model, processor, few, every[480:560])
    assert 0 <= report.naming.top1 <= report.naming.top5 <= 1
    assert 0 < report.recall[1] <= report.recall[5] <= report.recall[10] <= 1
    parts = emoji.by_keyword(every)
    new = emoji.evaluate(model, processor, few, every[480:560], pairs=parts["train"])
    assert new.naming == report.naming and 0 <= new.recall[10] <= 1


# ---- the build -----------------------------------------------------------------------------------


def pack(path: Path, files: dict[str, object]) -> tuple[str, str]:
    """An archive as npm makes it; name and version as its file is called, and its hash."""
    path.parent.mkdir(exist_ok=True)
    with tarfile.open(path, "w:gz") as archive:
        for name, content in files.items():
            text = content if isinstance(content, bytes) else json.dumps(content).encode()
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text))
    sha512 = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    return f"{path.stem}", sha512


def picture(color) -> bytes:
    file = io.BytesIO()
    Image.new("RGBA", (8, 8), color).save(file, "png")
    return file.getvalue()


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache with small packages of two emoji, one in two skin tones, and one not named."""
    folder = tmp_path / "cache"
    points = ("1f408", "1f44d", "1f44d-1f3fb", "1f9ff-fe0f", "ffff")
    names = {each: f"name-{each}" for each in points}
    bodies = dict.fromkeys(names.values(), {"body": "<g/>"})
    icons = {"width": 8, "height": 8, "icons": bodies}
    categories = {"Animals & Nature": ["name-1f408"], "People & Body": ["name-1f44d"]}
    categories["Objects"] = ["name-1f9ff-fe0f"]
    svg = {"icons.json": icons, "chars.json": names, "metadata.json": {"categories": categories}}
    webp = {f"assets/{each}.webp": picture((0, 0, 255, 255)) for each in points}
    words = {"🐈": {"tts": ["cat"], "default": ["cat", "pet"]}, "👍": {"tts": ["thumbs up"]}}
    english = {"annotations/en/annotations.json": {"annotations": {"annotations": words}}}
    french = {"annotations/fr/annotations.json": {"annotations": {"annotations": {}}}}
    derived = {"annotations": {"🧿": {"tts": ["amulet"], "default": ["eye"]}}}
    held = dict.fromkeys(("noto", "twemoji", "fluent-flat", "openmoji"), svg) | {
        "fluent-3d": webp,
        "names": english | french,
        "names of sequences": {"annotationsDerived/en/annotations.json": {"annotationsD": derived}},
    }
    packages = {k: pack(folder / f"{k.replace(' ', '')}.tgz", v) for k, v in held.items()}
    monkeypatch.setattr(building, "PACKAGES", packages)
    return folder


@pytest.fixture
def renderer(monkeypatch):
    """In place of resvg-py, which not every machine has: half-transparent red."""
    fake = SimpleNamespace(svg_to_bytes=lambda **_: list(picture((255, 0, 0, 128))))
    monkeypatch.setitem(sys.modules, "resvg_py", fake)


def test_what_is_built_can_be_loaded(cache, renderer, tmp_path):
    out = tmp_path / "out"
    building.build_folder(out, ["openmoji", "fluent-3d"], ["en"], size=4, cache=cache)
    built = emoji.load(folder=out)
    assert [(each.artist, each.emoji.character) for each in built] == [
        (artist, each) for artist in ("fluent-3d", "openmoji") for each in ("👍", "🐈", "🧿")
    ]
    assert built[0].pixels.shape == (4, 4, 3) and (built[0].pixels == (0, 0, 255)).all()
    assert np.abs(built[3].pixels.astype(int) - (255, 127, 127)).max() <= 1  # put on white
    assert built[1].emoji.captions() == ("cat", "pet")
    assert built[2].emoji.group == "Objects"
    licences = {path.name for path in (out / "licenses").iterdir()}
    assert licences == {"CC-BY-SA-4.0.txt", "MIT.txt", "Unicode-3.0.txt"}
    assert "OpenMoji" in (out / "LICENSE.md").read_text(encoding="utf-8")
    assert not list(out.rglob("*.part"))


def test_a_language_that_lacks_names_is_refused(cache, renderer, tmp_path):
    for language in ("fr", "nowhere"):
        with pytest.raises(building.BuildError, match=f"'{language}' lacks 3 of 3 emoji"):
            building.build_folder(tmp_path / "out", ["noto"], [language], cache=cache)
    assert not (tmp_path / "out").exists()


def test_another_package_than_it_was_is_refused_and_removed(cache, renderer, tmp_path):
    (cache / "noto.tgz").write_bytes(b"something else")
    with pytest.raises(building.BuildError, match="noto has another SHA-512"):
        building.build_folder(tmp_path / "out", cache=cache)
    assert not (cache / "noto.tgz").exists()


def test_what_is_missing_is_said(cache, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "resvg_py", None)
    with pytest.raises(building.BuildError, match=r"pip install 'siglip-lab\[emoji\]'"):
        building.build_folder(tmp_path / "out", cache=cache)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(building.BuildError, match="npm is missing.*Node.js"):
        building.fetch("@iconify-json/noto@1.2.9", "", tmp_path / "none")


@pytest.mark.skipif(sys.platform == "win32", reason="the false npm is a shell script")
def test_npm_is_asked_once_and_its_complaint_passed_on(tmp_path, monkeypatch):
    npm = tmp_path / "bin" / "npm"
    npm.parent.mkdir()
    npm.write_text('#!/bin/sh\nprintf x > "scope-name-1.0.tgz"\n')
    npm.chmod(0o755)
    monkeypatch.setenv("PATH", str(npm.parent))
    sha512 = base64.b64encode(hashlib.sha512(b"x").digest()).decode()
    cache = tmp_path / "cache"
    assert building.fetch("@scope/name@1.0", sha512, cache).read_bytes() == b"x"
    npm.write_text("#!/bin/sh\necho 'npm error code E\nnpm error no such host' >&2\nexit 1\n")
    assert building.fetch("@scope/name@1.0", sha512, cache).exists()  # not asked again
    with pytest.raises(building.BuildError, match="could not download other@2: no such host"):
        building.fetch("other@2", sha512, cache)
    assert [path.name for path in cache.iterdir()] == ["scope-name-1.0.tgz"]


def test_a_drawing_that_is_not_square_stays_in_the_middle():
    pytest.importorskip("resvg_py")
    body = '<rect width="4" height="8" fill="#f00"/>'
    icons = {"width": 8, "height": 8, "icons": {"bar": {"body": body, "width": 4}}}
    image = building._renderer()(building._svg(icons, "bar", 8), 8)
    alpha = np.asarray(image.getchannel("A"))
    assert (alpha[:, 2:6] == 255).all() and not alpha[:, :2].any() and not alpha[:, 6:].any()
