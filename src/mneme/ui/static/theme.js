// Runs before the page is drawn, so that it does not flash in the other colours. Without it the system's wish holds.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const stored = () => {
    try { return localStorage.getItem("mneme-theme"); } catch { return null; }
  };
  const now = () => root.dataset.theme || (dark.matches ? "dark" : "light");
  const chosen = stored();
  if (chosen === "dark" || chosen === "light") root.dataset.theme = chosen;

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (!button) return;
    const name = () => {
      button.textContent = now() === "dark" ? "Light" : "Dark";
      button.setAttribute("aria-label", `Use ${button.textContent.toLowerCase()} colours`);
    };
    button.addEventListener("click", () => {
      root.dataset.theme = now() === "dark" ? "light" : "dark";
      try { localStorage.setItem("mneme-theme", root.dataset.theme); } catch { /* then it holds for this page */ }
      name();
    });
    dark.addEventListener("change", name);
    name();
    button.hidden = false;
  });
})();
