"use strict";
// Shows the values of a chart at the pointer, and of the focused chart by the arrow keys.
for (const chart of document.querySelectorAll(".chart")) {
  const readout = chart.querySelector(".readout");
  const hint = matchMedia("(hover: none)").matches
    ? "Touch the chart to see its values"
    : "Point at the chart, or use the arrow keys";
  readout.textContent = hint;
  for (const svg of chart.querySelectorAll("svg")) {
    const points = [...svg.querySelectorAll(".point")];
    const texts = points.map((point) => point.querySelector("title").textContent);
    // The browser's own tooltip would repeat the text.
    points.forEach((point) => point.querySelector("title").remove());
    let shown = -1;
    const show = (number) => {
      points[shown]?.classList.remove("on");
      shown = Math.min(number, points.length - 1);
      points[shown]?.classList.add("on");
      readout.textContent = shown < 0 ? hint : texts[shown];
      svg.setAttribute("aria-valuenow", Math.max(shown, 0));
      svg.setAttribute("aria-valuetext", shown < 0 ? hint : texts[shown]);
    };
    const keys = {
      ArrowLeft: () => Math.max(shown - 1, 0),
      ArrowRight: () => shown + 1,
      ArrowDown: () => Math.max(shown - 1, 0),
      ArrowUp: () => shown + 1,
      PageDown: () => Math.max(shown - 7, 0),
      PageUp: () => shown + 7,
      Home: () => 0,
      End: () => points.length - 1,
      Escape: () => -1,
    };
    svg.setAttribute("role", "slider");
    svg.setAttribute("aria-valuemin", 0);
    svg.setAttribute("aria-valuemax", points.length - 1);
    svg.setAttribute("tabindex", 0);
    show(-1);
    svg.addEventListener("keydown", (event) => {
      if (Object.hasOwn(keys, event.key) && !event.ctrlKey && !event.metaKey && !event.altKey) {
        show(keys[event.key]());
        event.preventDefault();
      }
    });
    svg.addEventListener("focus", () => shown < 0 && show(points.length - 1));
    svg.addEventListener("blur", () => show(-1));
    const follow = (event) => {
      const point = event.target.closest(".point");
      if (point) show(points.indexOf(point));
    };
    svg.addEventListener("pointermove", follow);
    svg.addEventListener("pointerdown", follow);
    svg.addEventListener("pointerleave", () => document.activeElement !== svg && show(-1));
  }
}
