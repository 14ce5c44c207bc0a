"use strict";
// All that a page can do beyond being read: legends that switch lines, numbers under the pointer, folds that open for a link.
(() => {
  const svg = (name) => document.createElementNS("http://www.w3.org/2000/svg", name);
  const tip = document.createElement("div");
  tip.className = "tip";
  tip.hidden = true;
  document.body.append(tip);

  for (const key of document.querySelectorAll(".legend .key")) {
    const place = key.closest("figure, .mixing");
    const lines = [...place.querySelectorAll(".series")].filter((line) => line.dataset.name === key.dataset.name);
    if (!lines.length) continue;
    key.setAttribute("role", "button");
    key.setAttribute("aria-pressed", "true");
    key.tabIndex = 0;
    const turn = () => {
      const shown = key.getAttribute("aria-pressed") !== "true";
      key.setAttribute("aria-pressed", String(shown));
      for (const line of lines) line.classList.toggle("hidden", !shown);
    };
    key.addEventListener("click", turn);
    key.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      turn();
    });
  }

  for (const plot of document.querySelectorAll("svg.plot[data-plot]")) {
    const [low, high, left, right, bottom, top] = plot.dataset.plot.split(" ").map(Number);
    const numbers = (line, name) => line.dataset[name].split(" ").map(Number);
    const lines = [...plot.querySelectorAll(".series")].map((line) => ({
      line, name: line.dataset.name, x: numbers(line, "x"), y: numbers(line, "y"),
    }));
    const guide = svg("line");
    guide.setAttribute("class", "guide hidden");
    guide.setAttribute("y1", bottom);
    guide.setAttribute("y2", top);
    plot.append(guide);
    const steps = [...new Set(lines.flatMap((one) => one.x))].sort((a, b) => a - b);
    let at = -1;
    const said = (value) => (plot.dataset.form === "share" ? `${+(100 * value).toFixed(2)} %` : `${+value.toPrecision(5)}`);
    const show = (index) => {
      at = Math.max(0, Math.min(steps.length - 1, index));
      const step = steps[at];
      const rows = lines
        .filter((one) => !one.line.classList.contains("hidden") && one.x.includes(step))
        .map((one) => `${one.name}: ${said(one.y[one.x.indexOf(step)])}`);
      if (!rows.length) return hide();
      const x = left + ((step - low) / (high - low)) * (right - left);
      guide.setAttribute("x1", x);
      guide.setAttribute("x2", x);
      guide.classList.remove("hidden");
      tip.textContent = [`${plot.dataset.x} ${step}`, ...rows].join("\n");
      tip.hidden = false;
      const box = plot.getBoundingClientRect();
      const inside = (x / plot.viewBox.baseVal.width) * box.width;
      const beside = inside > box.width / 2 ? inside - tip.offsetWidth - 12 : inside + 12;
      const most = document.documentElement.clientWidth - tip.offsetWidth - 4;
      tip.style.left = `${window.scrollX + Math.max(4, Math.min(most, box.left + beside))}px`;
      tip.style.top = `${window.scrollY + box.top + 14}px`;
    };
    const hide = () => {
      guide.classList.add("hidden");
      tip.hidden = true;
    };
    plot.addEventListener("pointermove", (event) => {
      const box = plot.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * plot.viewBox.baseVal.width;
      const wanted = low + ((x - left) / (right - left)) * (high - low);
      let nearest = 0;
      steps.forEach((step, i) => {
        if (Math.abs(step - wanted) < Math.abs(steps[nearest] - wanted)) nearest = i;
      });
      show(nearest);
    });
    plot.addEventListener("pointerleave", hide);
    plot.addEventListener("blur", hide);
    plot.tabIndex = 0;
    plot.addEventListener("keydown", (event) => {
      const move = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") hide();
      if (!move) return;
      event.preventDefault();
      show(at < 0 ? (move > 0 ? 0 : steps.length - 1) : at + move);
    });
  }

  const unfold = () => {
    const target = document.getElementById(location.hash.slice(1));
    for (let fold = target && target.closest("details"); fold; fold = fold.parentElement.closest("details")) fold.open = true;
    if (target) target.scrollIntoView();
  };
  window.addEventListener("hashchange", unfold);
  if (location.hash) unfold();
})();
