"""Where the repository lives: configured in one place, the same everywhere, or nowhere."""

import importlib.util
import json
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
import yaml
from IPython.core.interactiveshell import InteractiveShell

URL = "https://github.com/me/my.book"
PLACES = ["_config.yml", "CITATION.cff", "pyproject.toml", "README.md", "index.md"]


def load(path):
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repository(root):
    return load(root / "book/_ext/repository.py")


@pytest.fixture
def copy(root, tmp_path):
    """What carries the address, with none in it."""
    for name in PLACES:
        shutil.copy(root / name, tmp_path)
    shutil.copytree(root / "notebooks", tmp_path / "notebooks")
    shutil.copytree(root / "book/_ext", tmp_path / "book/_ext")
    assert run(tmp_path, "").returncode == 0
    return tmp_path


def run(folder, *urls):
    command = [sys.executable, "book/_ext/repository.py", *urls]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True)


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_every_place_has_the_configured_address(root, repository):
    url = yaml.safe_load((root / "_config.yml").read_text())["repository"]["url"]
    for path, text in repository.texts(root, url).items():
        assert path.read_text("utf-8") == text, f"make repository URL={url}"


def test_an_address_is_written_everywhere_and_taken_out_again(copy):
    before = contents(copy)
    assert run(copy, URL).returncode == 0
    config = yaml.safe_load((copy / "_config.yml").read_text())
    assert config["repository"] == {"url": URL, "branch": "main"}
    assert yaml.safe_load((copy / "CITATION.cff").read_text())["repository-code"] == URL
    assert f"]({URL}/raw/HEAD/book/_static/walk.svg)" in (copy / "README.md").read_text()
    assert f"```sh\ngit clone {URL}\ncd my.book\nmake book" in (copy / "index.md").read_text()
    notebooks = sorted((copy / "notebooks").glob("*.ipynb"))
    assert len(notebooks) >= 15
    for path in notebooks:
        cells = [c for c in json.loads(path.read_text("utf-8"))["cells"] if URL in str(c)]
        assert len(cells) == 1 and "".join(cells[0]["source"]).count(f"git+{URL}") == 1
    after = contents(copy)
    assert run(copy, URL).returncode == 0 and contents(copy) == after
    assert run(copy, "https://github.com/another/one").returncode == 0
    assert not [path for path, text in contents(copy).items() if URL.encode() in text]
    assert run(copy, "").returncode == 0 and contents(copy) == before


def test_a_package_index_links_to_it(copy):
    run(copy, URL)
    lines = (copy / "pyproject.toml").read_text().splitlines()
    at = lines.index("[project.urls]")
    assert lines[at + 1 : at + 6] == [
        'Documentation = "https://me.github.io/my.book/"',
        f'Repository = "{URL}"',
        f'Changelog = "{URL}/blob/HEAD/CHANGELOG.md"',
        "",
        "[tool.setuptools.packages.find]",
    ]


@pytest.mark.parametrize(
    "url", ["github.com/me/book", f"{URL}.git", f"{URL}/", "https://example.org/me/book", f"{URL} "]
)
def test_an_address_that_colab_cannot_open_is_refused(copy, url):
    before = contents(copy)
    done = run(copy, url)
    assert done.returncode == 1 and contents(copy) == before
    expected = f"expected an address like https://github.com/OWNER/NAME, got {url!r}"
    assert done.stderr == f"make repository: {expected}\n"


def test_a_place_that_is_gone_is_named(copy):
    readme = copy / "README.md"
    readme.write_text(readme.read_text().replace("walk.svg", "other.png"))
    before = contents(copy)
    assert "README.md: no place" in run(copy, URL).stderr and contents(copy) == before


# ---- the first cell of a notebook ----------------------------------------------------------------


@pytest.fixture
def cell(repository, monkeypatch):
    """Run the cell where the library is missing; what pip was asked for, and the error."""
    real = importlib.util.find_spec

    def run_cell(url, pip_succeeds=False):
        monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
        asked = []

        def pip(line):
            asked.append(line)
            if pip_succeeds:
                monkeypatch.setattr(importlib.util, "find_spec", real)

        shell = InteractiveShell()
        shell.history_manager.enabled = False
        shell.register_magic_function(pip, magic_name="pip")
        return asked, shell.run_cell(repository.first_cell(url)).error_in_exec

    return run_cell


def test_without_an_address_the_first_cell_stops_with_what_to_install(cell):
    asked, error = cell("")
    assert not asked and isinstance(error, ModuleNotFoundError)
    assert "siglip_lab is not installed" in str(error) and "'.[notebooks]'" in str(error)


def test_with_an_address_it_installs(cell):
    asked, error = cell(URL, pip_succeeds=True)
    assert asked == [f'install -q "siglip-lab[notebooks] @ git+{URL}"'] and error is None


def test_a_failed_install_stops_it(cell):
    asked, error = cell(URL)
    assert len(asked) == 1 and isinstance(error, ModuleNotFoundError)


# ---- the site ------------------------------------------------------------------------------------


@pytest.mark.parametrize("url", ["", URL])
def test_the_button_to_the_source_needs_an_address(root, url):
    book_site = load(root / "book/_ext/book_site.py")
    options = {"repository_url": url, "launch_buttons": {"colab_url": "https://colab"}}
    book_site._button_of_the_repository(None, SimpleNamespace(html_theme_options=options))
    assert options["use_repository_button"] == bool(url)
