"use strict";
// Filters of each table of properties, and links to failures that are folded away. Without script all is shown.

for (const filters of document.querySelectorAll(".filters")) {
  const buttons = [...filters.querySelectorAll("button")];
  const field = filters.querySelector("input");
  const status = filters.querySelector("[role=status]");
  const rows = [...filters.parentElement.querySelectorAll("tr[data-id]")];

  const apply = () => {
    const outcome = buttons.find((b) => b.getAttribute("aria-pressed") === "true").dataset.outcome;
    const words = field.value.trim().toLowerCase();
    let shown = 0;
    for (const row of rows) {
      const fits = (!outcome || row.dataset.outcome === outcome) && row.dataset.id.toLowerCase().includes(words);
      row.hidden = !fits;
      shown += fits;
    }
    status.textContent = shown + " of " + rows.length + " shown";
  };
  const press = (chosen) => {
    for (const button of buttons) button.setAttribute("aria-pressed", String(button === chosen));
    apply();
  };

  for (const button of buttons) {
    // A second press takes a filter off again.
    button.addEventListener("click", () => press(button.getAttribute("aria-pressed") === "true" ? buttons[0] : button));
  }
  field.addEventListener("input", apply);
  filters.hidden = false;
  apply(); // a reloaded page may come with the text that was typed
}

const unfold = () => {
  const target = document.querySelector(":target");
  if (target && target.tagName === "DETAILS") {
    target.open = true;
    target.querySelector("summary").focus({ preventScroll: true });
    target.scrollIntoView();
  }
};
addEventListener("hashchange", unfold);
unfold();
