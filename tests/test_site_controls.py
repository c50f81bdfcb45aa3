"""Theme, search, sidebars, contents and the button on code; and the pages without any script."""

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/08_losses.html"


def opened(browser, url, width=1280, **options):
    context = browser.new_context(viewport={"width": width, "height": 900}, **options)
    page = context.new_page()
    page.goto(f"{url}/{PAGE}")
    return page


@pytest.fixture
def desktop(browser, url):
    page = opened(browser, url, permissions=["clipboard-read", "clipboard-write"])
    yield page
    page.context.close()


@pytest.fixture
def handy(browser, url):
    page = opened(browser, url, 390)
    yield page
    page.context.close()


def theme(page):
    return page.evaluate(
        "[document.documentElement.dataset.mode, document.documentElement.dataset.theme]"
    )


def test_the_theme_is_chosen_kept_and_there_before_the_first_paint(browser, url):
    page = opened(browser, url, color_scheme="light")
    seen = []
    for _ in range(4):
        seen.append(theme(page))
        page.locator(".theme-switch-button:visible").first.click()
    assert seen == [["auto", "light"], ["dark", "dark"], ["light", "light"], ["auto", "light"]]
    page.reload(wait_until="commit")
    assert theme(page) == ["dark", "dark"]
    page.context.close()


def test_auto_follows_the_system(browser, url):
    page = opened(browser, url, color_scheme="dark")
    assert theme(page) == ["auto", "dark"]
    page.emulate_media(color_scheme="light")
    page.wait_for_function("document.documentElement.dataset.theme === 'light'")
    page.context.close()


def test_search_opens_by_key_and_button_and_leads_to_results(desktop):
    field = desktop.locator("#pst-search-dialog input")
    desktop.keyboard.press("Control+k")
    assert field.is_visible()
    desktop.keyboard.press("Escape")
    assert not field.is_visible()
    desktop.locator(".search-button__button:visible").first.click()
    desktop.keyboard.type("probe")
    desktop.keyboard.press("Enter")
    desktop.wait_for_selector("#search-results li a")


def test_the_sidebar_hides_on_a_desk(desktop):
    nav = desktop.locator("#pst-primary-sidebar nav")
    assert nav.is_visible()
    desktop.locator(".primary-toggle").click()
    nav.wait_for(state="hidden")
    desktop.locator(".primary-toggle").click()
    nav.wait_for(state="visible")


@pytest.mark.parametrize("side", ["primary", "secondary"])
def test_a_sidebar_is_a_dialog_on_a_phone(handy, side):
    link = handy.locator(f"#pst-{side}-sidebar-modal a").last
    for _ in range(2):
        handy.locator(f".{side}-toggle").click()
        link.wait_for(state="visible")
        handy.keyboard.press("Escape")
        link.wait_for(state="hidden")
    handy.locator(f".{side}-toggle").click()
    link.wait_for(state="visible")
    handy.mouse.click(*((380, 400) if side == "primary" else (10, 400)))  # beside it
    link.wait_for(state="hidden")
    handy.locator(f".{side}-toggle").click()
    link.click()
    assert not handy.locator("dialog[open]").count()
    assert ("#" in handy.url) == (side == "secondary")


def test_the_contents_show_where_the_reader_is(desktop):
    active = desktop.locator("#pst-page-toc-nav a[aria-current=true]")
    for name in ("what-is-the-bias-for", "exercises"):
        desktop.locator(f"#{name}").evaluate("e => e.scrollIntoView()")
        desktop.wait_for_function(
            "name => document.querySelector('#pst-page-toc-nav a.active')?.hash === '#' + name",
            arg=name,
        )
    for name in ("exercises", "what-is-the-bias-for"):  # far below its heading, with one jump
        desktop.locator(f"#{name}").evaluate(
            "e => scrollTo(0, e.getBoundingClientRect().y + scrollY + e.offsetHeight - innerHeight)"
        )
        desktop.wait_for_function(
            "name => document.querySelector('#pst-page-toc-nav a.active')"
            "?.closest(`li:has(> [href='#${name}'])`)",
            arg=name,
        )
    assert active.count() == 1


def test_code_is_copied_without_prompts_and_answers(desktop, url):
    block = desktop.locator(".cell_input div.highlight").first
    block.hover()
    block.locator(".copybtn").click()
    assert desktop.evaluate("navigator.clipboard.readText()").startswith("import torch")
    assert not desktop.locator(".cell_output .copybtn").count()


def test_what_scrolls_is_reached_by_the_keyboard(handy):
    handy.wait_for_load_state("load")
    boxes = """() => [...document.querySelectorAll("article pre, article .formula")]
      .filter((e) => e.scrollWidth > e.clientWidth + 1
        && ["auto", "scroll"].includes(getComputedStyle(e).overflowX))
      .filter((e) => e.tabIndex !== 0).map((e) => e.textContent.slice(0, 60))"""
    assert handy.evaluate(boxes) == []


@pytest.mark.parametrize("width", [1280, 390])
def test_without_scripts_all_is_there(browser, url, site, width):
    page = browser.new_page(java_script_enabled=False, viewport={"width": width, "height": 900})
    for path in [site / "index.html", *sorted(site.glob("notebooks/*.html"))]:
        page.goto(f"{url}/{path.relative_to(site)}")
        assert page.locator(".bd-docs-nav a", has_text="Sources").is_visible(), path.name
        for figure in page.locator(".touchable").all():
            assert figure.inner_text().strip() or figure.locator("img").first.is_visible(), (
                path.name
            )
        if formulas := page.locator("article p .katex-html").all():
            assert formulas[0].is_visible()
        # A button that would do nothing is not shown; a menu opens under the mouse.
        for button in page.locator("button:not(.dropdown-toggle)").all():
            assert not button.is_visible(), (path.name, button.inner_html())
        assert page.locator("article").bounding_box()["width"] >= 0.8 * min(width, 600), path.name
    page.close()
