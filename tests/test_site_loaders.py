"""The figure to touch of "Many devices, much data", against the chapter's function and numbers."""

import ast
import json
import math

import pytest

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/21_much_data.html"
READY = "siglip-loaders .lo-step"
LOADERS = "siglip-loaders"
# Of each bar of a kind: from, to (in milliseconds), its row; the axis says what a pixel means.
BARS = """(element, kind) => {
  const lane = element.querySelector(".lo-lane"), [number, unit] =
    [...element.querySelectorAll("svg text")].at(-1).textContent.split("\\u00a0");
  const end = Number(number) * { ms: 1, s: 1000 }[unit];
  const time = (x) => ((x - lane.getAttribute("x")) / lane.getAttribute("width")) * end;
  return [...element.querySelectorAll(`.lo-${kind}`)].map((bar) => {
    const [x, y, width] = ["x", "y", "width"].map((name) => Number(bar.getAttribute(name)));
    return [time(x), time(x + width), (y - 42) / 20, end, time(x + 1) - time(x)];
  });
}"""


@pytest.fixture(scope="module")
def timeline(root):
    """The function as the chapter shows it."""
    notebook = json.loads((root / "notebooks/21_much_data.ipynb").read_text("utf-8"))
    source = next(
        text for c in notebook["cells"] if "def timeline(" in (text := "".join(c["source"]))
    )
    tree = ast.parse(source)
    tree.body = [part for part in tree.body if isinstance(part, ast.FunctionDef)]
    names = {}
    exec(compile(tree, "timeline", "exec"), names)
    return names["timeline"]


@pytest.fixture(scope="module")
def measured(root):
    """Preset -> milliseconds to read a picture, and to learn from one."""

    def stored(name):
        return json.loads((root / f"siglip_lab/data/results/{name}.json").read_text("utf-8"))

    steps = {}
    for row in stored("forward_gpu")["rows"]:
        if row["dtype"] == "bfloat16" and row["batch"] == 32:
            of = steps.setdefault(row["model"], [])
            of.append(row["median_ms"]["siglip_lab"])
    photos = {(row["width"], row["height"]): row["ms"] for row in stored("reading")["photos"]}
    kinds = {"small photos": photos[640, 480], "phone photos": photos[4000, 3000]}
    models = {
        "base": ("siglip-base-patch16-224", "to 224"),
        "so400m": ("siglip-so400m-patch14-384", "to 384"),
    }
    assert all(len(of) == 2 for of in steps.values())  # its two towers
    return {
        f"{model}, {kind}": (ms[size], 3 * sum(steps[name]) / 32)
        for model, (name, size) in models.items()
        for kind, ms in kinds.items()
    }


def move(page, **values):
    for name, value in values.items():
        page.locator(f"{LOADERS} input[name={name}]").evaluate(
            "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }",
            value,
        )


def press(page, name):
    page.locator(LOADERS).get_by_role("button", name=name, exact=True).click()


def said(page):
    return page.locator(".lo-readout").inner_text().replace("\u00a0", " ")


def outputs(page):
    """Workers, and the two times in milliseconds."""
    workers, *times = page.locator(f"{LOADERS} output").all_inner_texts()
    units = {"ms": 1, "s": 1000}
    return int(workers), *(float(t) * units[u] for t, u in (words.split() for words in times))


def bars(page, kind):
    return page.locator(LOADERS).evaluate(BARS, kind)


@pytest.mark.parametrize(
    ("workers", "read", "step"),
    [(1, 3000, 1000), (3, 3000, 1000), (8, 3000, 1000), (2, 100, 250), (5, 3200, 320), (8, 10, 32),
     (7, 5000, 10), (4, 1000, 1000)],
)  # fmt: skip
def test_bars_are_the_chapters_timeline(page, timeline, workers, read, step):
    move(page, workers=workers, read=math.log10(read), step=math.log10(step))
    assert outputs(page) == (workers, read, step)
    rows = timeline(read, step, workers, batches=400)
    (*_, end, pixel) = bars(page, "read")[0]
    assert end >= 3 * read and end >= 6 * step and rows[-1][4] > end
    near = {"abs": 0.02 * pixel}

    def shown(intervals):
        return [[a, min(end, b), row] for a, b, row in intervals if a < end - 0.01]

    frees = [0.0] + [row[4] for row in rows]
    truth = {
        "read": shown((begin, ready, worker) for worker, begin, ready, *_ in rows),
        "step": shown((start, stop, -2.1) for *_, start, stop in rows),
        "wait": shown(
            (free, row[3], -2.1) for free, row in zip(frees, rows, strict=False) if row[3] > free
        ),
    }
    for kind, expected in truth.items():
        found = bars(page, kind)
        assert len(found) == len(expected), kind
        for (left, right, row, *_), (a, b, lane) in zip(
            sorted(found), sorted(expected), strict=True
        ):
            assert left == pytest.approx(a, **near) and row == pytest.approx(lane)
            assert right == pytest.approx(max(b, a + pixel), **near)  # a pixel at least
    assert page.locator(f"{LOADERS} .lo-none").count() == 8 - workers


def test_the_slider_reaches_the_chapters_answers_and_all_workers_are_drawn(page):
    last = int(page.locator(f"{LOADERS} input[name=workers]").get_attribute("max"))
    for preset, needed in (("so400m, phone photos", 17), ("base, phone photos", 147)):
        press(page, preset)
        move(page, workers=1)
        assert f"{needed} workers would keep it busy" in said(page)
        move(page, workers=last)
        assert f"{needed} workers would be enough" in said(page)
    workers = outputs(page)[0]
    lanes = page.locator(f"{LOADERS} .lo-lane")
    assert lanes.count() == 1 + workers and page.locator(f"{LOADERS} .lo-none").count() == 0
    svg, lowest = page.locator(f"{LOADERS} svg").bounding_box(), lanes.last.bounding_box()
    assert lowest["y"] + lowest["height"] < svg["y"] + 210 < svg["y"] + svg["height"]
    names = page.locator(f"{LOADERS} .lo-name").evaluate_all("all => all.map(e => e.textContent)")
    assert [name for name in names if name] == ["GPU", "worker 0", f"worker {workers - 1}"]


def readout(ratio, workers):
    needed = math.ceil(ratio)
    if workers < needed:
        return f"GPU works {100 * workers / ratio:.0f} % of the time; {needed} workers would keep"
    verb = "would be" if workers > needed else "keep"
    return f"waits only for its first batch; {needed} worker{'s' * (needed > 1)} {verb}"


def test_presets_say_what_was_measured(page, measured):
    assert said(page) == "The GPU works 33 % of the time."
    for name, (read, learn) in measured.items():
        press(page, name)
        chosen = page.locator(f"{LOADERS} [aria-pressed=true]").all_inner_texts()
        assert chosen == [name]
        for workers in range(1, 9):
            move(page, workers=workers)
            assert readout(read / learn, workers) in said(page)
        assert outputs(page) == pytest.approx((8, 32 * read, 32 * learn), rel=5e-3)
    move(page, read=2)  # a time of one's own
    assert page.locator(f"{LOADERS} [aria-pressed=true]").count() == 0


def test_the_share_is_that_of_a_long_run(page, timeline):
    for workers, read, step in [(1, 3200, 1000), (2, 2500, 320), (5, 1600, 250)]:
        move(page, workers=workers, read=math.log10(read), step=math.log10(step))
        _, read, step = outputs(page)
        ends = [row[4] for row in timeline(read, step, workers, batches=121)]
        share = 60 * step / (ends[120] - ends[60])
        assert f"works {100 * share:.0f} % of" in said(page)


def test_keys_move_it_and_say_times_in_words(page):
    press(page, "3 s and 1 s")
    page.locator(f"{LOADERS} [name=workers]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert "3 workers keep it busy" in said(page)
    read = page.locator(f"{LOADERS} [name=read]")
    assert read.get_attribute("aria-valuetext") == "3\u00a0s"
    read.focus()
    page.keyboard.press("ArrowRight")
    assert outputs(page)[1] == 3200 and "4 workers" in said(page)
    picture = page.locator(f"{LOADERS} svg").get_attribute("aria-label")
    assert "3 workers" in picture and said(page) in picture.replace("\u00a0", " ")


def test_a_phone_shows_all_of_it(phone):
    frame = phone.locator(LOADERS).bounding_box()
    for name in ("base, small photos", "so400m, phone photos"):
        press(phone, name)
        inside = phone.locator(f"{LOADERS} svg").evaluate(
            """(svg) => [...svg.querySelectorAll("text")].map((e) => e.getBoundingClientRect())
              .map(({ left, right, top }) => [left, right, top])"""
        )
        assert all(left >= frame["x"] and right <= frame["x"] + frame["width"]
                   for left, right, _ in inside)  # fmt: skip
        low = max(top for *_, top in inside)
        ticks = sorted(box for box in inside if box[2] == low)
        assert all(a[1] < b[0] for a, b in zip(ticks, ticks[1:], strict=False))


def test_a_table_stays_for_readers_without_scripts(without_scripts, measured):
    rows = without_scripts.locator(f"{LOADERS} tr").all_inner_texts()
    for name, (read, learn) in measured.items():
        (row,) = (row for row in rows if row.startswith(name))
        assert row.split()[-1] == str(math.ceil(read / learn))
