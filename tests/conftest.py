"""What all tests share: how many threads torch may use, the built site, and the browser."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

# Parallel workers, and the kernels that they start, share the processor instead of fighting for it.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))

import browser as chromium
import pytest
from hypothesis import settings
from serving import served

# How long an example takes is the machine's, not the code's.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

ROOT = Path(__file__).resolve().parents[1]


def pytest_addoption(parser):
    group = parser.getgroup("published numbers of trained checkpoints")
    group.addoption("--checkpoint", help="a published name, OWNER/NAME on a hub, or a path")
    group.addoption("--images", help="folder with the pictures that the numbers belong to")


def pytest_configure(config):
    if config.getoption("checkpoint") is None:  # nothing else needs a hub
        os.environ.setdefault("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


def _extension(name):
    """One of the site's own, which are no package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"book/_ext/{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def book_site():
    return _extension("book_site")


@pytest.fixture(scope="session")
def formulas():
    return _extension("formulas")


@pytest.fixture(scope="session")
def finished_pages():
    return _extension("finished_pages")


@pytest.fixture(scope="session")
def site(tmp_path_factory) -> Path:
    """The site, built by `make site`: warnings are errors, as in `make book`."""
    out = tmp_path_factory.mktemp("site")
    command = ["make", "site", f"OUT={out}", f"BIN={Path(sys.executable).parent}"]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    return out / "_build" / "html"


@pytest.fixture(scope="module")
def one_thread():
    """For what depends on the number of threads: peaks of memory, sums to the last bit."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def url(site) -> str:
    """Where the site is served, compressed, for as long as the tests run."""
    with served(site) as address:
        yield address


@pytest.fixture(scope="session")
def browser():
    path = chromium.find()
    if path is None:
        if os.environ.get("CI") == "true":
            pytest.fail(chromium.MISSING)
        pytest.skip(chromium.MISSING)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        window = playwright.chromium.launch(executable_path=path, args=chromium.FLAGS)
        yield window
        window.close()


@pytest.fixture
def page(request, browser, url):
    """The test module's PAGE, once READY is on it, with the element READY begins with in sight."""
    page = browser.new_page(viewport={"width": 1280, "height": 1000})
    page.goto(f"{url}/{request.module.PAGE}")
    page.locator(request.module.READY.split()[0]).first.scroll_into_view_if_needed()
    page.wait_for_selector(request.module.READY)
    yield page
    page.close()


@pytest.fixture
def phone(request, browser, url):
    """The test module's PAGE on a phone, once READY is on it."""
    page = browser.new_page(viewport={"width": 390, "height": 800}, has_touch=True)
    page.goto(f"{url}/{request.module.PAGE}")
    page.locator(request.module.READY.split()[0]).first.scroll_into_view_if_needed()
    page.wait_for_selector(request.module.READY)
    yield page
    page.close()


@pytest.fixture
def without_scripts(request, browser, url):
    """The test module's PAGE where JavaScript is off."""
    page = browser.new_page(java_script_enabled=False)
    page.goto(f"{url}/{request.module.PAGE}")
    yield page
    page.close()
