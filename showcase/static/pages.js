// Two small comforts; every page works without them.
"use strict";

// What a slider stands at, while it is moved.
document.addEventListener("input", (event) => {
  const place = event.target.dataset.shownIn && document.getElementById(event.target.dataset.shownIn);
  if (place) place.value = Number(event.target.value).toFixed(2);
});

// Keys that press buttons: only where somebody switched them on, and never while typing.
document.addEventListener("keydown", (event) => {
  const on = document.getElementById("keys");
  const typing = event.target.closest("input:not([type=checkbox]), textarea, select");
  if (!on || !on.checked || typing || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const button = document.querySelector(`button[data-key="${CSS.escape(event.key.toLowerCase())}"]`);
  if (!button) return;
  event.preventDefault();
  button.click();
});
