"""The package's metadata, the pins, and what must never enter the environment."""

import re
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest

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


def test_data_and_weights_travel_with_the_package(root, tmp_path):
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "siglip_lab", tmp_path / "siglip_lab")
    build = "from setuptools import build_meta; build_meta.build_wheel('dist')"
    subprocess.run([sys.executable, "-c", build], cwd=tmp_path, check=True, capture_output=True)
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    inside = set(zipfile.ZipFile(wheel).namelist())
    for path in (root / "siglip_lab").rglob("*"):
        if path.is_file() and path.suffix not in (".pyc", ".pyo"):
            assert str(path.relative_to(root)) in inside


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
