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
import yaml
from nbclient import NotebookClient
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]

# Chapters that read tables of measurements, and one that reads the package's other data.
ALONE = ["11_parameters", "15_real_model", "18_mistakes"]
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


@pytest.fixture(scope="module")
def requirements(installed) -> list[Requirement]:
    """What the package asks for, extras included."""
    (package,) = metadata.distributions(path=[str(installed)])
    return [Requirement(each) for each in package.requires]


def test_every_requirement_is_pinned(pins, requirements):
    for requirement in requirements:
        name = canonical(requirement.name)
        assert name in pins or name == "siglip-lab", requirement


def test_every_requirement_is_bounded_below_and_its_pin_is_allowed(pins, requirements):
    for requirement in requirements:
        if requirement.name != "siglip-lab":
            assert any(bound.operator == ">=" for bound in requirement.specifier), requirement
            for pin in pins[canonical(requirement.name)]:
                assert pin.split("==")[1].split()[0] in requirement.specifier, (requirement, pin)


def needed(requirements: list[Requirement], extra: str) -> set[str]:
    """Names of all that an extra brings, directly or not, as far as this environment has them."""
    found, waiting = set(), [("siglip-lab", extra)]
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in found:
            continue
        found.add((name, extra))
        if name == "siglip-lab":
            asked = requirements
        else:
            asked = map(Requirement, metadata.requires(name) or [])
        for each in asked:
            if each.marker is None or each.marker.evaluate({"extra": extra}):
                waiting += [(canonical(each.name), option) for option in ("", *each.extras)]
    return {name for name, _ in found}


def test_the_extra_for_notebooks_leaves_the_kernel_that_runs_them_alone(requirements):
    kernel = {"ipykernel", "ipython", "ipywidgets", "jupyter-client", "jupyter-core", "pyzmq"}
    kernel |= {"sphinx", "tornado", "traitlets", "widgetsnbextension"}
    brought = needed(requirements, "notebooks")
    assert not kernel & brought
    assert {"matplotlib", "transformers", "ftfy", "openai-clip"} <= brought
    assert kernel <= needed(requirements, "book") <= needed(requirements, "dev")


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
    for name in (
        "py.typed", "data/results/losses.json", "tiny/model.safetensors",
        "emoji/model/model.safetensors", "emoji/model/LICENSE.md",
    ):  # fmt: skip
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


@pytest.mark.slow
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


# ---- make and the public checks ------------------------------------------------------------------


def make(folder: Path, *arguments: str) -> subprocess.CompletedProcess:
    command = ["make", "-f", ROOT / "Makefile", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


@pytest.fixture
def folder(tmp_path):
    """Enough for make to begin, and Pythons that will do and will not."""
    for name in ("pyproject.toml", "constraints.txt"):
        (tmp_path / name).touch()
    for name, command in (("good", f'exec "{sys.executable}" "$@"'), ("old", "exit 1")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{command}\n")
        (tmp_path / name).chmod(0o755)
    return tmp_path


def test_a_python_that_will_not_do_is_refused_before_anything_is_made(folder):
    for python in ("./old", "./missing", ""):
        done = make(folder, "book", f"PYTHON={python}")
        assert done.returncode == 2 and not (folder / ".venv").exists()
        assert f"{python or 'no python'} will not do" in done.stderr
        assert "Python 3.10, 3.11, 3.12 or 3.13" in done.stderr


@pytest.mark.parametrize(("python", "anew"), [("good", False), ("old", True), ("missing", True)])
def test_a_venv_that_does_not_work_is_replaced(folder, python, anew):
    """Its Python is too old or gone, though what make remembers of it is up to date."""
    (folder / ".venv/bin").mkdir(parents=True)
    (folder / ".venv/bin/python").symlink_to(folder / python)
    (folder / ".venv/.installed").touch()
    planned = make(folder, "-n", ".venv/.installed", "PYTHON=./good").stdout
    assert ("'./good' -m venv --clear .venv" in planned) == ("-m pip install" in planned) == anew


def test_an_interrupted_venv_is_replaced(folder):
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True)
    assert "-m venv --clear" in make(folder, "-n", ".venv/.installed", "PYTHON=./good").stdout


def test_the_public_checks_are_valid_workflows(root):
    workflows = sorted((root / ".github/workflows").glob("*.yml"))
    assert [path.name for path in workflows] == ["pages.yml", "tests.yml"]
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema"]
    command += ["vendor.github-workflows", *workflows]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    for path in workflows:
        workflow = yaml.safe_load(path.read_text())
        assert workflow["permissions"] == {"contents": "read"} and workflow["concurrency"]
        for job in workflow["jobs"].values():
            actions = [step["uses"] for step in job["steps"] if "uses" in step]
            assert all(re.fullmatch(r"actions/[\w-]+@v\d+", each) for each in actions), actions


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
