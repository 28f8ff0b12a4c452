// On a small screen an answer may come below what is seen: then it is brought into view, once, when it begins.
(() => {
  "use strict";
  document.addEventListener("submit", (event) => {
    const results = document.getElementById(event.target.dataset.results || "");
    if (!results) return;
    new MutationObserver((_, observer) => {
      observer.disconnect();
      if (results.getBoundingClientRect().top > innerHeight * 0.7) results.scrollIntoView();
    }).observe(results, { childList: true });
  }, true);
})();
