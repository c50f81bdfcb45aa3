"""The package's metadata, the pins, and what must never enter the environment."""

import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib import metadata
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

# Chapters that read tables of measurements, and one that reads the package's other data.
ALONE = ["10_parameters", "14_real_model", "15_mistakes"]
UNWANTED = {"torchvision", "timm", "open-clip-torch"}  # see the comment in pyproject.toml


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.fixture(scope="module")
def pins(root) -> dict[str, list[str]]:
    """Every pinned name with its lines."""
    found: dict[str, list[str]] = {}
    for line in (root / "constraints.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            assert re.fullmatch(r"[\w.-]+==[\w.]+( ; .+)?", line), line
            found.setdefault(canonical(line.split("==")[0]), []).append(line)
    return found


def test_the_pins_that_the_book_promises(pins):
    for pin in ("torch==2.13.0", "jupyter-book==1.0.4.post1"):
        assert pins[pin.split("==")[0]] == [pin]
    assert "transformers==5.23.0 ; python_full_version >= '3.11'" in pins["transformers"]


def test_every_requirement_is_pinned(pins):
    for requirement in metadata.requires("siglip-lab"):
        assert canonical(re.match(r"[\w.-]+", requirement)[0]) in pins, requirement


def test_nothing_unwanted_is_pinned_or_installed(pins):
    installed = {canonical(each.metadata["Name"]) for each in metadata.distributions()}
    assert not UNWANTED & set(pins)
    if "siglip-lab" in installed and metadata.version("torch").startswith("2.13.0"):
        assert not UNWANTED & installed


# ---- what is built -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def copy(root, tmp_path_factory) -> Path:
    """The repository without what it ignores, so that building leaves nothing behind."""
    lines = (root / ".gitignore").read_text().splitlines()
    ignored = [line.rstrip("/") for line in lines if line and not line.startswith("#")]
    folder = tmp_path_factory.mktemp("source") / "book"
    return Path(shutil.copytree(root, folder, ignore=shutil.ignore_patterns(".git", *ignored)))


def build(copy: Path, what: str) -> Path:
    """The wheel, or the archive of the source."""
    files = {path for path in copy.rglob("*") if path.is_file()}
    code = f"from setuptools import build_meta; print(build_meta.build_{what}('dist'))"
    command = [sys.executable, "-c", code]
    run = subprocess.run(command, cwd=copy, check=True, capture_output=True, text=True)
    built = shutil.move(copy / "dist" / run.stdout.split()[-1], copy.parent)
    for path in {path for path in copy.rglob("*") if path.is_file()} - files:
        path.unlink()
    return Path(built)


@pytest.fixture(scope="module")
def wheel(copy) -> Path:
    return build(copy, "wheel")


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A folder with the wheel's files, as pip lays them."""
    folder = tmp_path_factory.mktemp("installed")
    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--quiet"]
    subprocess.run([*command, "--target", folder, wheel], check=True, capture_output=True)
    return folder


def test_data_tables_and_weights_travel_with_the_package(copy, wheel):
    inside = set(zipfile.ZipFile(wheel).namelist())
    files = {str(p.relative_to(copy)) for p in (copy / "siglip_lab").rglob("*") if p.is_file()}
    assert files <= inside
    for name in ("py.typed", "data/results/losses.json", "tiny/model.safetensors"):
        assert f"siglip_lab/{name}" in files


def test_the_archive_of_the_source_is_the_repository(copy):
    """So its tests find their helpers, the pins, the chapters and the Makefile."""
    with tarfile.open(build(copy, "sdist")) as archive:
        inside = {name.partition("/")[2] for name in archive.getnames()}
    files = {str(path.relative_to(copy)) for path in copy.rglob("*") if path.is_file()}
    assert {"tests/conftest.py", "tests/hub_server.py", "constraints.txt", "Makefile"} <= files
    assert sorted(files - inside) == []


def run_chapter(path: Path, environment: dict[str, str]) -> None:
    """From first cell to last, in a process of its own that sees only what the environment says."""
    notebook = nbformat.read(path, 4)
    client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": path.parent}})
    client.execute(env=os.environ | environment)


@pytest.mark.parametrize("name", ALONE)
def test_a_chapter_alone_runs_with_nothing_but_the_package(name, root, installed, tmp_path):
    notebook = nbformat.read(root / "notebooks" / f"{name}.ipynb", 4)
    where = "import sys, siglip_lab; assert siglip_lab.__file__.startswith({!r}), sys.path"
    outside = "assert not [p for p in sys.path if p and {!r}.startswith(p + '/')], sys.path"
    check = f"{where.format(str(installed))}\n{outside.format(str(root) + '/')}"
    notebook.cells.append(nbformat.v4.new_code_cell(check))
    nbformat.write(notebook, tmp_path / "chapter.ipynb")
    nowhere = {f"{kind}_proxy": "http://127.0.0.1:9" for kind in ("http", "https", "all")}
    offline = {"HF_HUB_OFFLINE": "1", "MODELSCOPE_OFFLINE": "1", "no_proxy": ""}
    run_chapter(tmp_path / "chapter.ipynb", nowhere | offline | {"PYTHONPATH": str(installed)})


# ---- what is declared ----------------------------------------------------------------------------


def test_no_host_of_a_package_index_is_named(root):
    for name in ("README.md", "Makefile", "pyproject.toml", "constraints.txt", "environment.yml"):
        text = (root / name).read_text()
        assert not re.search(
            r"index-url|find-links|pypi\.org|pythonhosted|download\.pytorch", text
        ), name


def test_environment_has_the_pinned_versions(root, pins):
    text = (root / "environment.yml").read_text()
    for name, version in re.findall(r"^  - (?:pytorch::)?([\w-]+)=([\d.]+)", text, re.M):
        pin = pins.get({"pytorch": "torch"}.get(name, name))
        assert pin is None or f"=={version}" in " ".join(pin), name
