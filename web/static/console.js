// What makes the console smoother. Everything works without it: forms are sent, pages are loaded.
(() => {
  "use strict";

  // The slider moves through the moments of the list beside it, which asks for the state anew.
  for (const slider of document.querySelectorAll("[data-slider]")) {
    const list = document.getElementById(slider.dataset.slider);
    const tell = () => slider.setAttribute("aria-valuetext", list.options[slider.value].text);
    slider.addEventListener("input", () => {
      list.selectedIndex = Number(slider.value);
      tell();
      list.dispatchEvent(new Event("change", { bubbles: true }));
    });
    list.addEventListener("change", () => {
      slider.value = list.selectedIndex;
      tell();
    });
    tell();
    slider.hidden = false;
  }
  for (const button of document.querySelectorAll("[data-unscripted]")) button.hidden = true;

  // A button that opens a dialog of the page.
  for (const button of document.querySelectorAll("[data-opens]")) {
    button.addEventListener("click", () => document.getElementById(button.dataset.opens).showModal());
  }

  // A form whose answer is a file leaves the page as it is, and may be sent again.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if ("download" in form.dataset) setTimeout(() => delete form.dataset.sent, 1500);
  });

  // Step charts: seats, used, and a dot for each event; drawn anew when the width or the scheme is.
  const style = getComputedStyle(document.documentElement);
  const colour = (name) => style.getPropertyValue(name).trim();
  const draw = (place) => {
    const told = JSON.parse(place.dataset.chart);
    const events = new Set(told.events);
    const dots = told.at.map((at, i) => (events.has(at) ? told.used[i] : null));
    const stepped = uPlot.paths.stepped({ align: 1 });
    const axis = {
      stroke: colour("--pico-color"),
      grid: { stroke: colour("--pico-muted-border-color"), width: 1 },
      ticks: { stroke: colour("--pico-muted-border-color"), width: 1 },
    };
    // As exact as the steps of the axis are: days, minutes or seconds, UTC.
    const times = (_chart, splits, _axis, _space, step) => splits.map((at) => {
      const exact = new Date(at * 1000).toISOString();
      if (step >= 86400) return exact.slice(0, 10);
      return step >= 60 ? exact.slice(5, 16).replace("T", " ") : exact.slice(11, 19);
    });
    const used = colour("--used-line");
    const options = {
      width: Math.max(place.clientWidth, 200),
      height: 256,
      legend: { show: false },
      tzDate: (at) => uPlot.tzDate(new Date(at * 1000), "Etc/UTC"),
      scales: { y: { range: (_chart, _low, high) => [0, Math.max(high, 1) * 1.1] } },
      axes: [{ ...axis, space: 110, values: times }, { ...axis, size: 44, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10000, 20000, 50000] }],
      series: [
        {},
        { label: "Seats", stroke: colour("--seats-line"), width: 2, paths: stepped, points: { show: false } },
        { label: "Used", stroke: used, width: 2, dash: [6, 4], paths: stepped, points: { show: false } },
        { label: "Events", stroke: used, paths: () => null, points: { show: true, size: 7, fill: used } },
      ],
    };
    place.replaceChildren();
    new uPlot(options, [told.at, told.seats, told.used, dots], place);
  };
  const charts = [...document.querySelectorAll("[data-chart]")];
  const drawAll = () => charts.forEach(draw);
  if (charts.length) {
    drawAll();
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
    let width = window.innerWidth;
    window.addEventListener("resize", () => {
      if (window.innerWidth === width) return;
      width = window.innerWidth;
      drawAll();
    });
  }
})();
