(() => {
  "use strict";
  const root = document.documentElement;
  const button = document.getElementById("theme");
  const system = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  try { chosen = localStorage.getItem("hinterland-theme"); } catch { /* storage may be closed */ }

  function show() {
    const dark = chosen ? chosen === "dark" : system.matches;
    root.dataset.theme = dark ? "dark" : "light";
    button.textContent = dark ? "Light theme" : "Dark theme";
    button.setAttribute("aria-pressed", String(dark));
  }
  button.hidden = false;
  button.addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    try { localStorage.setItem("hinterland-theme", chosen); } catch { /* only for this page */ }
    show();
  });
  system.addEventListener("change", show);
  show();

  for (const exhibit of document.querySelectorAll(".exhibit")) {
    const input = exhibit.querySelector("input[type=range]");
    if (!input) continue;
    const frames = exhibit.querySelectorAll(".picture svg");
    const output = exhibit.querySelector("output");
    const turn = () => {
      frames.forEach((frame, i) => frame.toggleAttribute("hidden", i !== Number(input.value)));
      const text = frames[Number(input.value)].dataset.slice;
      output.textContent = text;
      input.setAttribute("aria-valuetext", text);
    };
    input.addEventListener("input", turn);
    turn();
  }

  for (const box of document.querySelectorAll("[data-layer]")) {
    const paths = document.querySelectorAll(`.picture path.${box.dataset.layer}`);
    const turn = () => paths.forEach((p) => { p.style.display = box.checked ? "" : "none"; });
    box.addEventListener("change", turn);
    turn();
  }

  let closed = [];
  window.addEventListener("beforeprint", () => {
    closed = [...document.querySelectorAll("details:not([open])")];
    closed.forEach((d) => { d.open = true; });
  });
  window.addEventListener("afterprint", () => closed.forEach((d) => { d.open = false; }));
})();
