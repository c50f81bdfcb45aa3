"""The figure to touch of the chapter "Many devices", against texts that the library moves."""

import pytest
import ranks
import torch
import torch.distributed as dist

import siglip_lab as sl

pytestmark = [pytest.mark.site, pytest.mark.browser]

PAGE = "notebooks/10_many_devices.html"
READY = "siglip-ring-steps td.rs-now"


def sources(rank):
    """The ranks from which this one receives while it computes the loss."""
    met = set()

    class Spy(dist.P2POp):
        def __new__(cls, op, tensor, peer, *rest):
            if op is dist.irecv:
                met.add(peer)
            return super().__new__(cls, op, tensor, peer, *rest)

    dist.P2POp = Spy
    x = torch.eye(2)
    sl.distributed_sigmoid_loss(x, x, torch.tensor(2.0), torch.tensor(-10.0))
    return met


def owners_by_step(world):
    """Whose texts each rank holds in each step, and after the last: [rank][step]."""
    before = [source for (source,) in ranks.run(world, sources)]
    now, found = list(range(world)), []
    for _ in range(world + 1):
        found.append(now)
        now = [now[source] for source in before]
    return [list(steps) for steps in zip(*found, strict=True)]


def move_to(page, step):
    page.locator("siglip-ring-steps input[name=step]").evaluate(
        "(e, v) => { e.value = v; e.dispatchEvent(new Event('input', {bubbles: true})); }", step
    )


def holders(page):
    """Whose texts stand nearest to each rank, as they are drawn."""
    return page.evaluate(
        """() => {
          const middle = (e) => { const b = e.getBoundingClientRect();
            return [b.x + b.width / 2, b.y + b.height / 2, Number(e.textContent)]; };
          const [packs, ranks] = [".rs-texts", ".rs-rank"].map((kind) =>
            [...document.querySelectorAll(kind)].map(middle));
          const far = ([x, y], [u, v]) => Math.hypot(x - u, y - v);
          ranks.sort((a, b) => a[2] - b[2]);
          return ranks.map((rank) => packs.sort((a, b) => far(a, rank) - far(b, rank))[0][2]);
        }"""
    )


@pytest.fixture(autouse=True)
def at_once(request):
    """Nothing is under way when it is looked at."""
    if "page" in request.fixturenames:
        request.getfixturevalue("page").emulate_media(reduced_motion="reduce")


def blocks(page, kind):
    """(rank, owner of the texts) of the cells of a kind, and what is written in them."""
    return page.evaluate(
        """(kind) => [...document.querySelectorAll("siglip-ring-steps tbody tr")]
        .flatMap((row, i) =>
        [...row.querySelectorAll("td")].map((cell, j) => [i, j, cell])
        .filter(([, , cell]) => cell.className === kind)
        .map(([i, j, cell]) => [i, j, cell.textContent]))""",
        kind,
    )


@pytest.mark.parametrize("world", [2, 4, 8])
def test_texts_are_where_the_library_has_them(page, world):
    page.get_by_role("button", name=f"{world} ranks").click()
    truth = owners_by_step(world)
    done = []
    for step in range(world + 1):
        move_to(page, step)
        now = [truth[rank][step] for rank in range(world)]
        assert holders(page) == now
        scored = [] if step == world else [[rank, now[rank], str(step)] for rank in range(world)]
        assert sorted(blocks(page, "rs-now")) == scored
        assert sorted(blocks(page, "rs-done")) == sorted(done)
        assert len(blocks(page, "rs-open")) == world**2 - len(done) - len(scored)
        done += scored
        met = [rank for rank in range(world) if now[0] in truth[rank][: step + 1]]
        said = page.locator(".rs-readout").inner_text()
        if step < world:
            assert f"texts of rank {now[0]}" in said and f"{len(done)} of {world**2} blocks" in said
            shares = said.split("shares of rank")[1].replace("and", ",").strip("s. ")
            assert [int(rank) for rank in shares.split(",")] == met
        else:
            assert f"all {world} ranks" in said
    assert holders(page) == list(range(world))


def test_keyboard_moves_the_ring(page):
    page.locator("siglip-ring-steps input[name=step]").focus()
    page.keyboard.press("ArrowRight")
    assert holders(page) == [3, 0, 1, 2]
    page.keyboard.press("End")
    assert "home" in page.locator("siglip-ring-steps output").inner_text()
    page.get_by_role("button", name="2 ranks").focus()
    page.keyboard.press("Enter")
    assert holders(page) == [0, 1]


def test_it_goes_by_itself_by_hand_and_with_motion(page):
    play, more = (
        page.locator(f"siglip-ring-steps [data-kind={kind}]") for kind in ("play", "next")
    )
    assert page.locator("svg.rs-travels").count() == 0
    more.click()
    assert holders(page) == [3, 0, 1, 2] and page.locator("svg.rs-travels").count() == 0
    play.click()
    assert holders(page) == [2, 3, 0, 1] and "pause" in play.inner_text()
    play.click()
    assert "play" in play.inner_text()
    page.emulate_media(reduced_motion="no-preference")
    more.click()
    pack = page.locator(".rs-texts").first
    assert "transform" in pack.evaluate("e => getComputedStyle(e).transitionProperty")
    assert holders(page) != [1, 2, 3, 0]  # still on their way
    page.wait_for_timeout(1000)
    assert holders(page) == [1, 2, 3, 0]


def test_it_stops_at_home(page):
    page.clock.install()
    play = page.locator("siglip-ring-steps [data-kind=play]")
    play.click()
    page.clock.run_for(10_000)
    assert "home" in page.locator("siglip-ring-steps output").inner_text()
    assert "play" in play.inner_text()


def test_nothing_is_wider_than_a_phone(phone):
    phone.get_by_role("button", name="8 ranks").click()
    frame = phone.locator("siglip-ring-steps").bounding_box()
    table = phone.locator("siglip-ring-steps table").bounding_box()
    assert table["x"] + table["width"] <= frame["x"] + frame["width"] <= 390


def test_a_table_stays_for_readers_without_scripts(without_scripts):
    assert "step 3" in without_scripts.locator("siglip-ring-steps").inner_text()
