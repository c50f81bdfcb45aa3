// What every page can do beside reading: theme, search, sidebars, copying code. It takes the place of
// the theme's own scripts and of bootstrap; the marks that it works on are theirs.

(() => {
  const root = document.documentElement;
  const all = (selector, inside = document) => [...inside.querySelectorAll(selector)];
  const on = (selector, type, then) =>
    all(selector).forEach((element) => element.addEventListener(type, then));
  const keep = (name, value) => {
    try {
      localStorage.setItem(name, value);
    } catch {
      // blocked: the choice holds for this page
    }
  };

  // ---- dark and light; the page's head has set the first of them --------------------------------

  const dark = matchMedia("(prefers-color-scheme: dark)");

  const show = (mode) => {
    root.dataset.mode = mode;
    root.dataset.theme = mode === "auto" ? (dark.matches ? "dark" : "light") : mode;
  };

  on(".theme-switch-button", "click", () => {
    const modes = dark.matches ? ["auto", "light", "dark"] : ["auto", "dark", "light"];
    show(modes[(modes.indexOf(root.dataset.mode) + 1) % modes.length]);
    keep("mode", root.dataset.mode);
    keep("theme", root.dataset.theme);
  });
  dark.addEventListener("change", () => show(root.dataset.mode));

  // ---- what opens and closes --------------------------------------------------------------------

  const search = document.getElementById("pst-search-dialog");
  const toggleSearch = () => {
    const field = document.querySelector(":not(#pst-search-dialog) > form.bd-search input");
    if (field) {
      field.focus();
      field.select();
    } else if (search.open) search.close();
    else search.showModal();
  };
  on(".search-button__button", "click", toggleSearch);
  addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || event.shiftKey || event.altKey) return;
    if (event.ctrlKey === event.metaKey) return;
    event.preventDefault();
    toggleSearch();
  });

  // On a phone a sidebar is a dialog, to which its content goes and from which it comes back.
  const move = (from, to) => {
    to.append(...from.childNodes);
    to.className = from.className;
    from.className = "";
  };
  const wide = {
    primary: matchMedia("(min-width: 992px)"),
    secondary: matchMedia("(min-width: 1200px)"),
  };
  for (const side of ["primary", "secondary"]) {
    const sidebar = document.getElementById(`pst-${side}-sidebar`);
    const dialog = document.getElementById(`pst-${side}-sidebar-modal`);
    if (!sidebar || !dialog) continue;
    on(`.${side}-toggle`, "click", () => {
      if (wide[side].matches) {
        sidebar.classList.toggle("pst-sidebar-hidden");
      } else {
        move(sidebar, dialog);
        dialog.showModal();
      }
    });
    dialog.addEventListener("close", () => move(dialog, sidebar));
    dialog.addEventListener("click", ({ target }) => {
      if (target.closest("a[href*='#']")) dialog.close();
    });
    wide[side].addEventListener("change", () => dialog.open && dialog.close());
  }

  // A click beside a dialog's content closes it.
  on("dialog", "click", ({ currentTarget: dialog, target, clientX, clientY }) => {
    const { left, right, top, bottom } = dialog.getBoundingClientRect();
    const inside = clientX >= left && clientX <= right && clientY >= top && clientY <= bottom;
    if (target === dialog && !inside) dialog.close();
  });

  const menus = all(".dropdown > .dropdown-toggle");
  const open = (button, yes) => {
    button.setAttribute("aria-expanded", String(yes));
    button.classList.toggle("show", yes);
  };
  for (const button of menus) {
    button.addEventListener("click", () => open(button, button.ariaExpanded !== "true"));
    button.parentElement.addEventListener("keydown", ({ key }) => {
      if (key !== "Escape") return;
      open(button, false);
      button.focus();
    });
  }
  addEventListener("click", ({ target }) => {
    for (const button of menus) if (!button.parentElement.contains(target)) open(button, false);
  });

  window.toggleFullScreen = () =>
    document.fullscreenElement ? document.exitFullscreen() : root.requestFullscreen();

  // ---- where the reader is ----------------------------------------------------------------------

  const links = new Map(); // heading or other target -> its line in the contents
  for (const link of all("#pst-page-toc-nav a[href^='#']")) {
    const target = document.getElementById(decodeURIComponent(link.hash.slice(1)));
    if (target) links.set(target.querySelector(":is(h1,h2,h3,h4,h5,h6)") ?? target, link);
  }
  const light = (chosen) => {
    for (const link of links.values()) {
      link.classList.toggle("active", link === chosen);
      if (link === chosen) link.setAttribute("aria-current", "true");
      else link.removeAttribute("aria-current");
    }
    for (const entry of all("#pst-page-toc-nav .toc-entry"))
      entry.classList.toggle("active", entry.contains(chosen));
  };
  // The last heading above a line in the upper part of the window, however the reader came there.
  const passed = new Set();
  const headings = new IntersectionObserver(
    (entries) => {
      for (const { target, isIntersecting } of entries)
        passed[isIntersecting ? "add" : "delete"](target);
      const last = [...links.keys()].filter((heading) => passed.has(heading)).pop();
      if (last) light(links.get(last));
    },
    { rootMargin: "1000000px 0px -70% 0px" },
  );
  for (const heading of links.keys()) headings.observe(heading);

  const top = document.querySelector(".sbt-scroll-pixel-helper");
  if (top)
    new IntersectionObserver(([entry]) =>
      document.body.classList.toggle("scrolled", entry.boundingClientRect.y < 0),
    ).observe(top);

  // The chapter that is open is in sight in the list of chapters. The figures come first: to ask for
  // a place lays the page out.
  document.addEventListener("DOMContentLoaded", () => {
    const sidebar = document.getElementById("pst-primary-sidebar");
    const here = all(".bd-docs-nav .active", sidebar ?? document).pop();
    if (!here || sidebar.scrollHeight <= sidebar.clientHeight) return;
    const below = here.getBoundingClientRect().y - sidebar.getBoundingClientRect().y;
    if (below > sidebar.clientHeight - 50) sidebar.scrollTop = below - sidebar.clientHeight / 4;
  });

  // ---- code -------------------------------------------------------------------------------------

  // What scrolls can be scrolled by keyboard, too.
  const SCROLLING = "pre, code, .formula, .pst-scrollable-table-container, table, .output";
  const stops = () => {
    const boxes = all(SCROLLING, document.getElementById("main-content") ?? document);
    const scroll = new Set(
      boxes.filter((box) => {
        const across = box.scrollWidth > box.clientWidth + 1;
        if (!across && box.scrollHeight <= box.clientHeight + 1) return false;
        const { display, overflowX, overflowY } = getComputedStyle(box);
        return display !== "inline" && /auto|scroll/.test(across ? overflowX : overflowY);
      }),
    );
    // All is read before anything is written, or the browser lays the page out for each.
    for (const box of boxes) {
      if (scroll.has(box)) box.tabIndex = 0;
      else if (box.getAttribute("tabindex") === "0") box.removeAttribute("tabindex");
    }
  };
  let waiting;
  const soon = () => {
    clearTimeout(waiting);
    waiting = setTimeout(stops, 300);
  };
  addEventListener("load", () => {
    stops();
    addEventListener("resize", soon);
    const article = document.querySelector("article");
    if (article) new MutationObserver(soon).observe(article, { childList: true, subtree: true });
  });

  // The way to the first figure leaves the address alone: there may be a drawing in it.
  document.querySelector('a[href="#to-touch"]')?.addEventListener("click", (event) => {
    event.preventDefault();
    const figure = document.querySelector("#to-touch");
    figure.tabIndex = -1;
    figure.focus();
  });

  // A block of code gets its button when it is near. Prompts and answers are not copied.
  const addButton = (block) => {
    const button = document.createElement("button");
    button.className = "copybtn";
    button.type = "button";
    button.ariaLabel = button.title = "Copy the code";
    button.addEventListener("click", async () => {
      const copy = block.querySelector("pre").cloneNode(true);
      all(".gp, .go, .linenos", copy).forEach((each) => each.remove());
      await navigator.clipboard.writeText(copy.textContent.trimEnd() + "\n");
      button.classList.add("success");
      setTimeout(() => button.classList.remove("success"), 1500);
    });
    block.append(button);
  };
  const blocks = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        blocks.unobserve(target);
        addButton(target);
      }
    },
    { rootMargin: "50%" },
  );
  for (const block of all("div.highlight"))
    if (!block.closest(".cell_output")) blocks.observe(block);
})();
