// Light or dark, before anything is drawn; then copy buttons and the table of contents.
(() => {
  const root = document.documentElement;
  const kept = () => { try { return localStorage.getItem("theme"); } catch { return null; } };
  const keep = (theme) => { try { localStorage.setItem("theme", theme); } catch { /* private */ } };
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  if (kept()) root.dataset.theme = kept();

  function themeSwitch() {
    const button = document.querySelector(".switch");
    button.hidden = false;
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      keep(root.dataset.theme);
    });
  }

  function copyButtons() {
    if (!navigator.clipboard) return; // a browser allows it on https and localhost only
    for (const block of document.querySelectorAll(".code")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "copy";
      button.textContent = "Copy";
      button.addEventListener("click", async () => {
        await navigator.clipboard.writeText(block.querySelector("code").textContent);
        button.textContent = "Copied";
        setTimeout(() => { button.textContent = "Copy"; }, 1500);
      });
      block.append(button);
    }
  }

  function tableOfContents() {
    const box = document.querySelector(".contents");
    if (!box) return;
    const wide = matchMedia("(min-width: 64rem)");
    const fit = () => { box.open = wide.matches; };
    wide.addEventListener("change", fit);
    fit();
    const links = new Map();
    for (const link of box.querySelectorAll("a")) {
      links.set(decodeURIComponent(link.hash.slice(1)), link);
      link.addEventListener("click", () => { if (!wide.matches) box.open = false; });
    }
    const headings = [...document.querySelectorAll(".prose :is(h1, h2, h3)[id]")];
    const mark = () => {
      const passed = headings.filter((heading) => heading.getBoundingClientRect().top < 120);
      const here = passed.length ? links.get(passed.at(-1).id) : null;
      for (const link of links.values()) link.classList.toggle("here", link === here);
      if (here && wide.matches) {
        const box_ = box.getBoundingClientRect(), at = here.getBoundingClientRect();
        if (at.top < box_.top || at.bottom > box_.bottom) box.scrollTop += at.top - box_.top - 80;
      }
    };
    let waiting = false;
    addEventListener("scroll", () => {
      if (waiting) return;
      waiting = true;
      requestAnimationFrame(() => { waiting = false; mark(); });
    }, { passive: true });
    mark();
  }

  addEventListener("DOMContentLoaded", () => { themeSwitch(); copyButtons(); tableOfContents(); });
})();
