"use strict";
// Sorts and filters what stands in the page, tells a row's details, and draws each figure when it comes into view.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const dark = matchMedia("(prefers-color-scheme: dark)");

  /** An element with attributes and children; strings become text, never markup. */
  function make(tag, attributes = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
      if (value === true) node.setAttribute(name, "");
      else if (value !== false && value != null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }

  /** What plotly shows as it is: it would take some tags for formatting. */
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");

  const number = (value) => (value == null ? "—" : String(value).replace(/^-/, "−"));

  // Sorting: ascending, descending, as it was; rows without a number stand last.
  function sortable(table) {
    const body = table.tBodies[0];
    const original = [...body.rows];
    const key = (row, column) => {
      const cell = row.cells[column];
      return column && cell.dataset.value !== undefined ? Number(cell.dataset.value) : column ? null : cell.textContent;
    };
    const order = (column, sign) => (a, b) => {
      const [x, y] = [key(a, column), key(b, column)];
      if (x === null || y === null) return (x === null) - (y === null);
      return sign * (column ? x - y : x.localeCompare(y, undefined, { numeric: true }));
    };
    [...table.tHead.rows[0].cells].forEach((header, column) => {
      header.querySelector("button").addEventListener("click", () => {
        const was = header.getAttribute("aria-sort");
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        const next = { null: "ascending", ascending: "descending" }[was];
        if (next) header.setAttribute("aria-sort", next);
        const sign = next === "descending" ? -1 : 1;
        body.append(...(next ? [...original].sort(order(column, sign)) : original));
      });
    });
  }

  // The filter: every word must occur in a row, or in the heading of its section.
  function filter(query) {
    const words = query.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    let all = 0;
    for (const section of document.querySelectorAll("main section")) {
      const heading = section.querySelector("h2").textContent.toLowerCase();
      let inSection = 0;
      for (const block of section.querySelectorAll("[data-rows]")) {
        let inBlock = 0;
        for (const row of block.querySelectorAll("tbody tr, li[data-row]")) {
          const text = `${heading} ${row.textContent.toLowerCase()}`;
          row.hidden = !words.every((word) => text.includes(word));
          inBlock += !row.hidden;
          all += 1;
        }
        block.hidden = words.length > 0 && !inBlock;
        inSection += inBlock;
      }
      section.hidden = words.length > 0 && !inSection;
      shown += inSection;
    }
    document.getElementById("filtered").textContent = words.length ? `${shown} of ${all} rows` : "";
  }

  // Details of a row, in a dialog that the browser closes by Escape.
  const dialog = document.getElementById("details");
  const pairs = (values) => {
    const list = make("dl");
    for (const [name, value] of Object.entries(values)) list.append(make("dt", {}, name), make("dd", {}, value));
    return list;
  };
  function grid(name, headers, rows, numeric) {
    const align = (i) => (numeric.includes(i) ? { class: "n" } : {});
    const head = make("tr", {}, ...headers.map((text, i) => make("th", { scope: "col", ...align(i) }, text)));
    const body = rows.map((row) =>
      make("tr", {}, ...row.map((text, i) => (i ? make("td", align(i), text) : make("th", { scope: "row" }, text)))),
    );
    const table = make("table", { "aria-label": name }, make("thead", {}, head), make("tbody", {}, ...body));
    return make("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": name }, table);
  }
  function cells(row) {
    const known = row.cells.filter((cell) => cell[1] !== null || cell[6].length);
    const lines = known.map(([title, value, spread, n, interval, paper, notes]) => [
      title,
      value === null ? notes.join(", ") : number(value),
      number(spread),
      n ? String(n) : "—",
      interval ? interval.map(number).join(" to ") : "—",
      paper ? number(paper[0]) + (paper[1] === null ? "" : ` ± ${paper[1]}`) : "—",
    ]);
    const headers = ["quantity", "mean", "std", "n", "95 % interval", "paper"];
    const kept = headers.map((_, i) => i).filter((i) => i < 2 || lines.some((line) => line[i] !== "—"));
    return grid("Values", kept.map((i) => headers[i]), lines.map((line) => kept.map((i) => line[i])), [1, 2, 3, 4, 5]);
  }
  function tell(key) {
    const row = data.rows[key];
    const parts = [];
    const add = (title, ...content) => parts.push(make("h3", {}, title), ...content);
    document.getElementById("details-title").textContent = `${row.title}, ${row.table}`;
    if (row.command) {
      add("To run it again", make("pre", { tabindex: "0" }, row.command));
      if (row.file) parts.push(make("p", { class: "note" }, "With the suite's file as it was then; it does not ship with cmbench."));
    }
    add("Values", cells(row));
    if (Object.keys(row.hyperparameters).length) add("Hyperparameters", pairs(row.hyperparameters));
    add("Settings", pairs(row.settings));
    if (row.runs.length) {
      const lines = row.runs.map(([name, status, seconds, id, error]) => [name, error ? `${status}: ${error}` : status, number(seconds), id]);
      add("Runs", grid("Runs", ["run", "status", "seconds", "id"], lines, [2]));
      if (row.more) parts.push(make("p", { class: "note" }, `and ${row.more} more`));
    }
    row.environments.forEach((place, i) => {
      const several = row.environments.length > 1 ? ` ${i + 1} of ${row.environments.length}` : "";
      add(`Environment${several}`, pairs(data.environments[place]));
    });
    document.getElementById("details-body").replaceChildren(...parts);
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  // Figures.
  const config = { displayModeBar: false, responsive: true };
  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colour = (line) => (dark.matches ? { "#000000": "#d8dce0", "#0072B2": "#3d9bd9" }[line.colour] || line.colour : line.colour);
  function translucent(hex, alpha) {
    const [r, g, b] = [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));
    return `rgba(${r},${g},${b},${alpha})`;
  }
  function layout(x, y, more = {}) {
    const axis = (title) => ({
      title: { text: plain(title), standoff: 8 }, gridcolor: css("--line"), linecolor: css("--soft"), zeroline: false,
      exponentformat: "power", ticks: "outside", tickcolor: css("--line"), automargin: true,
    });
    return {
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", showlegend: false, hovermode: "closest",
      font: { family: css("--sans"), size: 13, color: css("--ink") }, margin: { l: 8, r: 12, t: 12, b: 8 }, dragmode: false,
      hoverlabel: { bgcolor: css("--paper"), bordercolor: css("--soft"), font: { color: css("--ink"), family: css("--sans") } },
      ...more, xaxis: { ...axis(x), ...more.xaxis }, yaxis: { ...axis(y), ...more.yaxis },
    };
  }

  const words = (name) => name.replace(/^val_/, "validation ").replace(/_/g, " ");
  function select(label, options) {
    const box = make("select", {}, ...options.map(([value, text]) => make("option", { value }, text)));
    return [make("label", {}, label, box), box];
  }
  /** A legend whose entries hide and show lines; `changed` draws again. */
  function legend(place, lines, changed) {
    const hidden = new Set();
    const paint = () => place.querySelectorAll("path").forEach((stroke, i) => stroke.setAttribute("stroke", colour(lines[i])));
    lines.forEach((line, i) => {
      const box = make("input", { type: "checkbox", checked: true });
      box.addEventListener("change", () => {
        if (box.checked) hidden.delete(i);
        else hidden.add(i);
        changed();
      });
      const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
      for (const [name, value] of Object.entries({ width: 28, height: 8, "aria-hidden": "true" })) svg.setAttribute(name, value);
      const stroke = document.createElementNS("http://www.w3.org/2000/svg", "path");
      stroke.setAttribute("d", "M0 4H28");
      stroke.setAttribute("stroke-width", line.width);
      if (line.dash !== "solid") stroke.setAttribute("stroke-dasharray", line.dash.replace(/px/g, ""));
      svg.append(stroke);
      const lost = line.lost ? ` (${line.lost} not completed)` : "";
      place.append(make("label", {}, box, svg, line.name + lost));
    });
    paint();
    return { hidden, paint };
  }

  const AXES = [["epochs", "epochs"], ["steps", "steps"], ["gradients", "gradient evaluations"], ["seconds", "seconds"]];
  function curves(figure, place) {
    const [quantityLabel, quantity] = select("Quantity", figure.quantities.map((name) => [name, words(name)]));
    const group = `axis-${place.dataset.figure}`;
    const known = AXES.filter(([key]) => key === "epochs" || figure.lines.some((line) => line.per_epoch[key] != null));
    const radios = known.map(([value, text]) => {
      const box = make("input", { type: "radio", name: group, value, checked: value === "epochs" });
      return make("label", {}, box, text);
    });
    const log = make("input", { type: "checkbox" });
    const axes = make("div", { class: "axes", role: "radiogroup", "aria-label": "Horizontal axis" }, ...radios);
    place.querySelector(".controls").append(quantityLabel, axes, make("label", {}, log, "logarithmic"));
    const axis = () => place.querySelector(`input[name="${group}"]:checked`).value;
    const canvas = place.querySelector(".plot");
    const shown = legend(place.querySelector(".legend"), figure.lines, () => draw());
    place.querySelectorAll(".controls input, .controls select").forEach((control) => control.addEventListener("change", () => draw()));
    const seeds = [...new Set(figure.lines.map((line) => line.seeds))].sort((a, b) => a - b).join(" or ");
    const note = place.querySelector(".note");

    function draw() {
      const name = quantity.value;
      const by = axis();
      const traces = [];
      figure.lines.forEach((line, i) => {
        const curve = line.curves[name];
        const pace = by === "epochs" ? 1 : line.per_epoch[by];
        if (!curve || shown.hidden.has(i) || pace == null) return;
        const x = line.epoch.map((epoch) => epoch * pace);
        const own = colour(line);
        if (curve.low) {
          // Below zero a logarithm has nothing to show.
          const ends = x.map((_, j) => j).filter((j) => curve.low[j] !== null && (!log.checked || curve.low[j] > 0));
          traces.push({
            x: [...ends.map((j) => x[j]), ...[...ends].reverse().map((j) => x[j])],
            y: [...ends.map((j) => curve.high[j]), ...[...ends].reverse().map((j) => curve.low[j])],
            fill: "toself", fillcolor: translucent(own, css("--band")), line: { width: 0 }, mode: "lines", hoverinfo: "skip",
          });
        }
        const few = line.epoch.length < 12;
        traces.push({
          x, y: curve.mean, mode: few ? "lines+markers" : "lines", marker: { size: 5 }, name: plain(line.name), connectgaps: false,
          line: { color: own, dash: line.dash, width: line.width }, hovertemplate: `%{y:.4~g} at %{x:.4~g}<extra>${plain(line.name)}</extra>`,
        });
      });
      const last = Math.max(...figure.lines.map((line) => line.epoch[line.epoch.length - 1] ?? 0));
      const ticks = by === "epochs" && last <= 20 ? { tick0: 0, dtick: last <= 12 ? 1 : 2 } : {};
      const title = AXES.find(([key]) => key === by)[1];
      Plotly.react(canvas, traces, layout(title, words(name), { xaxis: ticks, yaxis: { type: log.checked ? "log" : "linear" } }), config);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `${words(name)} by ${title}, ${figure.name}`);
      const means = seeds === "1" ? "One seed each." : `Mean over ${seeds} completed seeds; bands: one standard deviation.`;
      const clock = by === "seconds" ? " Seconds at each run's mean pace, without evaluation." : "";
      note.textContent = means + (by === "gradients" ? " A probe counts two evaluations a step." : clock);
    }
    return { draw, paint: shown.paint };
  }

  const FIXED = 2; // contours and start, which no step moves
  function paths(figure, place) {
    const [startLabel, start] = select("Start", figure.starts.map((each, i) => [i, each.name]));
    const play = make("button", { type: "button" }, "Play");
    const slider = make("input", { type: "range", min: 0, max: 1, value: 1, step: 1 });
    const step = make("output", {});
    place.querySelector(".controls").append(startLabel, play, make("label", { class: "range" }, "Step", slider, step));
    const canvas = place.querySelector(".plot");
    place.classList.add("square");
    const shown = legend(place.querySelector(".legend"), figure.lines, () => draw());
    place.querySelector(".note").textContent =
      "Darker is higher; contours enclose equal areas. Square: start; dots: where the optimizers are; diamond: global minimum.";
    const here = () => figure.starts[Number(start.value)];
    let timer = null;

    const cut = (points, end) => points.slice(0, end + 1);
    function moving() {
      const at = here();
      const end = Number(slider.value);
      step.textContent = `${at.step[end]} of ${at.step[at.step.length - 1]}`;
      slider.setAttribute("aria-valuetext", `step ${step.textContent}`);
      return figure.lines.flatMap((line, i) => {
        const [x, y] = at.paths[i];
        const own = colour(line);
        const visible = !shown.hidden.has(i);
        const about = { visible, hovertemplate: `(%{x:.4~g}, %{y:.4~g})<extra>${plain(line.name)}</extra>` };
        return [
          { ...about, x: cut(x, end), y: cut(y, end), mode: "lines", line: { color: own, width: line.width, dash: line.dash } },
          { ...about, x: [x[end]], y: [y[end]], mode: "markers", marker: { color: own, size: 9, line: { color: css("--paper"), width: 1.5 } } },
        ];
      });
    }
    function draw() {
      const at = here();
      slider.max = at.step.length - 1;
      if (Number(slider.value) > slider.max) slider.value = slider.max;
      const [low, high] = dark.matches ? ["#4b535c", "#1b1f23"] : ["#ffffff", "#c3c8ce"];
      const mark = { color: css("--ink"), line: { color: css("--paper"), width: 1.5 } };
      const fixed = [
        {
          type: "contour", x: at.x, y: at.y, z: at.height, showscale: false, hoverinfo: "skip", colorscale: [[0, low], [1, high]],
          zmin: 0, zmax: 1000, contours: { start: 0, end: 1000, size: 1000 / 15 }, line: { width: 0.5, color: dark.matches ? "#39414a" : "#aeb5bc" },
        },
        { x: [at.paths[0][0][0]], y: [at.paths[0][1][0]], mode: "markers", marker: { ...mark, symbol: "square", size: 10 }, hovertemplate: "start<extra></extra>" },
      ];
      const minima = { x: at.minima.map((p) => p[0]), y: at.minima.map((p) => p[1]), mode: "markers", marker: { ...mark, symbol: "diamond", size: 11 }, hovertemplate: "global minimum<extra></extra>" };
      const ends = (values) => ({ range: [values[0], values[values.length - 1]], showgrid: false });
      const square = { xaxis: { ...ends(at.x), constrain: "domain" }, yaxis: { ...ends(at.y), scaleanchor: "x", constrain: "domain" } };
      Plotly.react(canvas, [...fixed, ...moving(), minima], layout("x₁", "x₂", square), config);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Paths over contours of ${figure.name} from ${at.name}`);
    }
    function move() {
      const traces = moving();
      const style = { x: traces.map((t) => t.x), y: traces.map((t) => t.y) };
      Plotly.restyle(canvas, style, traces.map((_, i) => i + FIXED));
    }
    function stop() {
      clearInterval(timer);
      timer = null;
      play.textContent = "Play";
    }
    play.addEventListener("click", () => {
      if (timer !== null) return stop();
      if (slider.value === slider.max) slider.value = 0;
      play.textContent = "Pause";
      const stride = Math.max(1, Math.round(slider.max / 120));
      timer = setInterval(() => {
        slider.value = Number(slider.value) + stride;
        move();
        if (slider.value === slider.max) stop();
      }, 50);
    });
    slider.addEventListener("input", () => {
      stop();
      move();
    });
    start.addEventListener("change", () => {
      stop();
      slider.max = here().step.length - 1;
      slider.value = slider.max;
      draw();
    });
    slider.max = here().step.length - 1;
    slider.value = slider.max;
    return { draw, paint: shown.paint };
  }

  function spectra(figure, place) {
    place.querySelector(".controls").remove();
    place.querySelector(".note").textContent = "Density of the eigenvalues of the training loss's Hessian, logarithmic.";
    const canvas = place.querySelector(".plot");
    const shown = legend(place.querySelector(".legend"), figure.lines, () => draw());
    function draw() {
      const traces = figure.lines.filter((_, i) => !shown.hidden.has(i)).map((line) => ({
        x: line.eigenvalues, y: line.density, mode: "lines", line: { color: colour(line), dash: line.dash, width: line.width },
        hovertemplate: `%{y:.3~g} at %{x:.4~g}<extra>${plain(line.name)}</extra>`,
      }));
      const floor = { yaxis: { type: "log" } };
      Plotly.react(canvas, traces, layout("eigenvalue", "density", floor), config);
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Spectral density of ${figure.name}`);
    }
    return { draw, paint: shown.paint };
  }

  const drawn = new Map();
  function open(place) {
    if (drawn.has(place)) return;
    const figure = data.figures[Number(place.dataset.figure)];
    const made = { curves, paths, spectra }[figure.kind](figure, place);
    drawn.set(place, made);
    made.draw();
  }
  const observer = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => {
      observer.unobserve(entry.target);
      open(entry.target);
    }),
    { rootMargin: "300px" },
  );

  document.querySelectorAll("main table").forEach(sortable);
  document.querySelectorAll("figure[data-figure]").forEach((place) => observer.observe(place));
  document.getElementById("filter").addEventListener("input", (event) => filter(event.target.value));
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-row]");
    const cell = event.target.closest("main tbody td");
    const key = (button || cell?.closest("tr").querySelector("button[data-row]"))?.dataset.row;
    if (key && (button || getSelection().isCollapsed)) tell(key);
    if (event.target === dialog) dialog.close();
  });
  dark.addEventListener("change", () => drawn.forEach((figure) => {
    figure.paint();
    figure.draw();
  }));
  addEventListener("beforeprint", () => {
    document.querySelectorAll("figure[data-figure]").forEach(open);
    document.querySelectorAll("main details").forEach((details) => (details.open = true));
  });
})();
