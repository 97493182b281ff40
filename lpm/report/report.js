"use strict";
(function () {
  const D = JSON.parse(document.getElementById("data").textContent);
  const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif';
  const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
  const metricOf = Object.fromEntries(D.metrics.map((m) => [m.name, m]));
  const $ = (id) => document.getElementById(id);
  const PER = 100000;

  const rgba = (hex, a) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${a})`;
  const counted = (kind) => ["flow", "stock", "sum"].includes(kind);
  const part = (kind) => kind === "share" || kind === "ratio";
  function number(v, kind) {
    if (v === null || v === undefined) return "\u2013";
    if (part(kind)) return (v * 100).toFixed(Math.abs(v) >= 0.0995 ? 1 : 2).replace("-", "\u2212") + "\u202f%";
    const places = kind === "flow" || kind === "stock" ? 0 : kind === "sum" ? (Math.abs(v) >= 100 || Number.isInteger(v) ? 0 : 1) : 2;
    return v.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }).replace("-", "\u2212");
  }
  function axis(kind, top) {
    const y = { gridcolor: "#e9ebed", zeroline: true, zerolinecolor: "#c9ced3", rangemode: "tozero", automargin: true, exponentformat: "none", separatethousands: true, fixedrange: true, nticks: 8 };
    if (part(kind)) y.tickformat = top !== undefined && top < 0.05 ? ".1%" : ".0%";
    return y;
  }
  function layout(height, more) {
    const base = {
      height, margin: { l: 52, r: 14, t: 10, b: 34 }, showlegend: false, hovermode: "x unified",
      font: { family: FONT, size: 12.5, color: "#3a4149" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: "#fff", bordercolor: "#c9ced3", font: { family: FONT, size: 12.5 } },
      xaxis: { showgrid: false, linecolor: "#9aa1a9", ticks: "outside", tickcolor: "#9aa1a9", ticklen: 4, fixedrange: true, automargin: true },
      yaxis: axis("flow"),
    };
    more = more || {};
    return Object.assign(base, more, { xaxis: Object.assign(base.xaxis, more.xaxis || {}), yaxis: Object.assign(base.yaxis, more.yaxis || {}) });
  }
  function draw(node, traces, lay) {
    if (!node) return;
    if (!traces.length) {
      if (window.Plotly) Plotly.purge(node);
      node.innerHTML = '<div class="empty">nothing to show: not measured for this group, or not defined in every seed</div>';
      node.style.height = lay.height + "px";
      return;
    }
    const was = node.querySelector(".empty");
    if (was) was.remove();
    node.style.height = "";
    Plotly.react(node, traces, lay, CONFIG);
  }
  const highest = (traces) => traces.reduce((m, t) => t.y.reduce((a, v) => (v !== null && v > a ? v : a), m), 0);

  // ---- curves with bands
  // where `noisy` has stretches [from, to) of an arm, its line is thin and grey and has no band
  function bandTraces(x, rows, hidden, kind, noisy) {
    const under = [], over = [];
    rows.forEach((row, arm) => {
      if (!row || hidden.has(arm)) return;
      const spans = ((noisy || [])[arm] || []).filter(([a, b]) => b > a);
      if (spans.length) {
        const all = row.length === 3 ? row[1] : row[0], faint = all.map(() => null);
        row = row.map((line) => line.slice());
        spans.forEach(([a, b]) => { for (let i = a; i < b; i++) { faint[i] = all[i]; row.forEach((line) => { line[i] = null; }); } if (b < all.length) faint[b] = all[b]; if (a > 0) faint[a - 1] = all[a - 1]; });
        under.push({ x, y: faint, type: "scatter", mode: "lines", line: { color: "#c4c9ce", width: 1, dash: D.dashes[arm] }, hoverinfo: "skip" });
      }
      const mid = row.length === 3 ? row[1] : row[0], colour = D.colours[arm];
      let texts = mid.map((v) => number(v, kind));
      if (row.length === 3) {
        texts = mid.map((v, i) => `${number(v, kind)}  (${number(row[0][i], kind)} to ${number(row[2][i], kind)})`);
        // a gap in the curve must be a gap in the band: polygons are closed run by run
        let from = 0;
        while (from < mid.length) {
          while (from < mid.length && row[0][from] === null) from++;
          let to = from;
          while (to < mid.length && row[0][to] !== null) to++;
          if (to - from > 1) {
            const xs = x.slice(from, to);
            under.push({ x: xs.concat(xs.slice().reverse()), y: row[2].slice(from, to).concat(row[0].slice(from, to).reverse()), type: "scatter", mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: rgba(colour, 0.17), hoverinfo: "skip" });
          }
          from = to;
        }
      }
      over.push({ x, y: mid, type: "scatter", mode: "lines", name: D.arms[arm], line: { color: colour, width: arm === 0 ? 2.4 : 2, dash: D.dashes[arm] }, text: texts, hovertemplate: "%{text}" });
    });
    return under.concat(over.reverse());
  }
  const dates = (more) => Object.assign(D.dated ? { type: "date", tickformat: "%-d %b", hoverformat: "%a %-d %b %Y", nticks: 7 } : { title: { text: D.step || "step", standoff: 6, font: { size: 12 } } }, more || {});
  const hidden = { curves: new Set(), weekly: new Set(D.arms.map((_, i) => i).slice(1)), totals: new Set() };

  function drawCurves() {
    const group = $("group") ? $("group").value : "0";
    D.metrics.forEach((m) => {
      const rows = D.curves.lines[m.name][group] || [];
      const traces = bandTraces(D.curves.x, rows, hidden.curves, m.kind, (D.curves.noisy[m.name] || {})[group]);
      const lay = layout(m.name === D.headline ? 360 : 270, { xaxis: dates(), yaxis: axis(m.kind, traces.length ? highest(traces) : 1) });
      if (m.kind === "reproduction") lay.shapes = [{ type: "line", xref: "paper", x0: 0, x1: 1, y0: 1, y1: 1, line: { color: "#6b737b", width: 1, dash: "dot" } }];
      draw($("curve-" + m.name), traces, lay);
    });
    document.querySelectorAll(".group-name").forEach((n) => { n.innerHTML = D.groups[+group]; });
  }
  function drawWeekly() {
    D.weekly.forEach((p, index) => {
      const kind = (metricOf[p.metric] || { kind: "flow" }).kind;
      const traces = bandTraces(p.x, p.arms, hidden.weekly, kind);
      traces.push({ x: p.x, y: p.observed, type: "scatter", mode: "markers", name: "observed", cliponaxis: false, marker: { size: 7, color: "#fff", line: { color: "#111", width: 1.8 } }, text: p.observed.map((v) => number(v, kind)), hovertemplate: "%{text}" });
      draw($("weekly-" + index), traces, layout(220, { xaxis: dates({ nticks: 5, hoverformat: (p.days === 7 ? "week" : p.days + " days") + " from %-d %b %Y" }) }));
    });
  }

  const unsure = (r) => r[2] === null || r[3] === null || (r[2] <= 0 && r[3] >= 0);

  // ---- effects: point and interval by arm
  function drawForest() {
    document.querySelectorAll(".forest").forEach((node) => {
      const m = metricOf[node.dataset.metric], rows = (D.totals.values[m.name] || {})[node.dataset.group] || [];
      const turn = m.harm ? -1 : 1, y = [], x = [], plus = [], minus = [], colour = [], text = [], clear = [];
      rows.forEach((r, arm) => {
        if (!r || arm === 0) return;
        const ends = [r[2], r[3]].map((v) => (v === null ? null : v * turn)).sort((a, b) => a - b);
        y.push(D.arms[arm]); x.push(r[1] * turn); colour.push(D.colours[arm]); clear.push(!unsure(r));
        plus.push(ends[1] === null ? 0 : ends[1] - r[1] * turn); minus.push(ends[0] === null ? 0 : r[1] * turn - ends[0]);
        text.push(number(r[1] * turn, m.kind) + (ends[0] === null ? "" : `  (${number(ends[0], m.kind)} to ${number(ends[1], m.kind)})`));
      });
      const bars = x.map((v, i) => ({ x: [0, v], y: [y[i], y[i]], type: "scatter", mode: "lines", line: { color: rgba(colour[i], 0.28), width: 9 }, hoverinfo: "skip" }));
      const dots = x.map((v, i) => ({ x: [v], y: [y[i]], type: "scatter", mode: "markers", marker: { size: 10, color: clear[i] ? colour[i] : "#fff", line: { color: colour[i], width: 2 } }, error_x: { type: "data", array: [plus[i]], arrayminus: [minus[i]], color: colour[i], thickness: 2, width: 6 }, text: [text[i]], hovertemplate: "%{text}<extra>%{y}</extra>" }));
      const lay = layout(70 + 34 * x.length, { hovermode: "closest", margin: { l: 20, r: 24, t: 6, b: 34 }, yaxis: { automargin: true, autorange: "reversed", gridcolor: "rgba(0,0,0,0)", fixedrange: true, type: "category", zeroline: false, tickformat: "", ticklabelstandoff: 8 } });
      Object.assign(lay.xaxis, axis(m.kind), part(m.kind) || !x.some((v) => Math.abs(v) >= 1e4) ? {} : { tickformat: "~s" }, { nticks: 4, tickangle: 0, zerolinecolor: "#6b737b", zerolinewidth: 1.2 });
      draw(node, bars.concat(dots), lay);
    });
  }

  // ---- breakdown
  function rate(metric, group, value, measure) {
    if (value === null || value === undefined) return null;
    if (measure !== "rate" || part(metricOf[metric].kind)) return value;
    const people = D.totals.people[group];
    return people ? (value / people) * PER : null;
  }
  function drawTotals() {
    const metric = $("of") ? $("of").value : Object.keys(D.totals.values)[0];
    if (!metric) return;
    const measure = $("measure") ? $("measure").value : "count", m = metricOf[metric], values = D.totals.values[metric];
    const kind = m.kind;
    D.columns.singles.forEach((c, index) => {
      const traces = [];
      D.arms.forEach((name, arm) => {
        if (hidden.totals.has(arm)) return;
        const y = c.groups.map((g) => rate(metric, g, ((values[g] || [])[arm] || [null])[0], measure));
        if (y.every((v) => v === null)) return;
        traces.push({ x: c.levels, y, type: "bar", name, marker: { color: D.colours[arm] }, text: y.map((v) => number(v, kind)), textposition: "none", hovertemplate: "%{text}" });
      });
      draw($("single-" + index), traces, layout(300, { barmode: "group", bargap: 0.25, bargroupgap: 0.06, xaxis: { type: "category", tickangle: c.levels.length > 12 ? -45 : "auto" }, yaxis: axis(kind, traces.length ? highest(traces) : 1) }));
    });
    const scaled = measure === "rate" && !part(kind) && D.totals.people.length ? "per 100,000 people of the group" : part(kind) ? "" : m.unit;
    document.querySelectorAll(".measure-name").forEach((n) => { n.innerHTML = [m.title + (kind === "flow" ? ", total" : ", at the end"), scaled].filter(Boolean).join(", "); });
    D.columns.pairs.forEach((p, index) => D.arms.forEach((name, arm) => drawHeat(p, index, arm, metric, measure, values)));
  }
  function drawHeat(p, index, arm, metric, measure, values) {
    const kind = metricOf[metric].kind, turn = arm > 0 && metricOf[metric].harm ? -1 : 1;
    const pick = (which) => p.groups.map((line) => line.map((g) => { const v = ((values[g] || [])[which] || [null, null])[which === 0 ? 0 : 1]; return g === null || v === null ? null : rate(metric, g, v * (which > 0 && metricOf[metric].harm ? -1 : 1), measure); }));
    const hazy = (g) => arm > 0 && g !== null && (values[g] || [])[arm] && values[g][arm][2] !== null && unsure(values[g][arm]);
    const z = pick(arm), node = $(`heat-${index}-${arm}`);
    if (z.every((line) => line.every((v) => v === null))) return draw(node, [], { height: 120 });
    let most = 0;
    (arm === 0 ? [0] : D.arms.map((_, i) => i).slice(1)).forEach((w) => pick(w).forEach((line) => line.forEach((v) => { if (v !== null) most = Math.max(most, Math.abs(v)); })));
    const scale = arm === 0 ? [[0, "#ffffff"], [0.5, "#8f969d"], [1, "#2b2b2b"]] : [[0, "#b34700"], [0.25, "#ecab7c"], [0.5, "#ffffff"], [0.75, "#7fb8d8"], [1, "#005a8d"]];
    const low = arm === 0 ? 0 : -most;
    const short = (v) => (part(kind) ? (v * 100).toFixed(1) : Math.abs(v) >= 10000 ? Math.round(v / 1000) + "k" : Math.round(v).toLocaleString("en-US")).replace(/^-(?=[0.]+$)/, "").replace("-", "\u2212");
    const notes = [];
    z.forEach((line, i) => line.forEach((v, j) => { if (v !== null) notes.push({ x: p.x[j], y: p.y[i], text: short(v), showarrow: false, font: { size: 11, color: hazy(p.groups[i][j]) ? "#8a9199" : Math.abs(v) > (arm === 0 ? 0.42 : 0.6) * most ? "#fff" : "#1f2328" } }); }));
    const lay = layout(70 + 24 * p.y.length, { hovermode: "closest", annotations: notes, margin: { l: 10, r: 6, t: 4, b: 10 } });
    Object.assign(lay.xaxis, { type: "category", ticks: "", tickangle: -40, linecolor: "rgba(0,0,0,0)", tickfont: { size: 11.5 } });
    Object.assign(lay.yaxis, { type: "category", autorange: "reversed", gridcolor: "rgba(0,0,0,0)", tickfont: { size: 11.5 }, ticks: "", ticklabelstandoff: 4, nticks: 0, rangemode: "normal", zeroline: false });
    draw(node, [{ x: p.x, y: p.y, z: z.map((line, i) => line.map((v, j) => (v !== null && hazy(p.groups[i][j]) ? 0 : v))), customdata: z, type: "heatmap", zmin: low, zmax: most || 1, colorscale: scale, showscale: false, xgap: 1, ygap: 1, hovertemplate: part(kind) ? "%{x}, %{y}: %{customdata:.2%}<extra></extra>" : "%{x}, %{y}: %{customdata:,.0f}<extra></extra>" }], lay);
  }

  // ---- population and network
  function drawMarginals() {
    D.marginals.forEach((m, index) => {
      const kind = { share: "share", people: "flow", mean: "mean" }[m.measure], format = { share: ".2%", people: ",.0f", mean: ",.2f" }[m.measure];
      const value = Object.assign(axis(kind), m.top > 0 ? { range: [0, m.top], nticks: 6 } : {});
      if (m.levels.some((name) => name.length > 16)) { // long names are read lying down
        const lay = layout(60 + 26 * m.levels.length, { bargap: 0.3, hovermode: "closest" });
        Object.assign(lay.xaxis, value, { nticks: 4, tickangle: 0 });
        Object.assign(lay.yaxis, { type: "category", autorange: "reversed", gridcolor: "rgba(0,0,0,0)", tickmode: "linear", tickfont: { size: 11 }, zeroline: false, ticklabelstandoff: 4 });
        return draw($("marginal-" + index), [
          { y: m.levels, x: m.generated, type: "bar", orientation: "h", name: "generated", marker: { color: "#9ec9e2" }, hovertemplate: `%{x:${format}}` },
          { y: m.levels, x: m.published, type: "scatter", mode: "markers", name: "published", marker: { symbol: "line-ns", size: 10, line: { color: "#111", width: 2.4 } }, hovertemplate: `%{x:${format}}` },
        ], lay);
      }
      const shown = `%{y:${format}}`;
      draw($("marginal-" + index), [
        { x: m.levels, y: m.generated, type: "bar", name: "generated", marker: { color: "#9ec9e2" }, hovertemplate: shown },
        { x: m.levels, y: m.published, type: "scatter", mode: "markers", name: "published", marker: { symbol: "line-ew", size: m.family ? 9 : 15, line: { color: "#111", width: 2.4 } }, hovertemplate: shown },
      ], layout(m.family ? 210 : 230, { bargap: 0.3, xaxis: { type: "category", tickmode: "linear", tickfont: { size: m.levels.length > 20 ? 9 : 11.5 }, tickangle: m.levels.length > 7 && m.levels.some((name) => name.length > 2) ? -45 : "auto" }, yaxis: value }));
    });
  }
  function drawNetworks() {
    D.networks.forEach((n, index) => {
      if (n.shares) draw($("degree-" + index), [{ x: n.names, y: n.shares, type: "bar", marker: { color: "#56b4e9" }, hovertemplate: "%{x} contacts: %{y:.2%}<extra></extra>" }],
        layout(210, { hovermode: "closest", bargap: 0.08, xaxis: { type: "category", nticks: 9, tickangle: 0, title: { text: "contacts", standoff: 4, font: { size: 12 } } }, yaxis: axis("share", Math.max(...n.shares)) }));
      if (!n.mixing) return;
      const both = [n.mixing.generated, n.mixing.published].filter(Boolean), most = Math.max(...both.flat(2).map((v) => v || 0));
      ["generated", "published"].forEach((which) => {
        const z = n.mixing[which];
        if (!z) return;
        const lay = layout(340, { hovermode: "closest", margin: { l: 10, r: 10, t: 4, b: 10 } });
        Object.assign(lay.xaxis, { type: "category", ticks: "", tickangle: -45, title: { text: "contact", standoff: 6, font: { size: 12 } }, linecolor: "rgba(0,0,0,0)", tickfont: { size: 11 } });
        Object.assign(lay.yaxis, { type: "category", gridcolor: "rgba(0,0,0,0)", rangemode: "normal", zeroline: false, ticks: "", nticks: 0, tickfont: { size: 11 }, ticklabelstandoff: 4, title: { text: "person", standoff: 6, font: { size: 12 } } });
        draw($(`mixing-${index}-${which}`), [{ x: n.mixing.levels, y: n.mixing.levels, z, type: "heatmap", zmin: 0, zmax: most || 1, colorscale: [[0, "#ffffff"], [0.15, "#cfe5f2"], [0.4, "#6db1d8"], [0.7, "#0072b2"], [1, "#00334f"]], xgap: 1, ygap: 1, colorbar: { thickness: 10, outlinewidth: 0, tickfont: { size: 11 } }, hovertemplate: "%{y} meets %{x}: %{z:.3~g} a day<extra></extra>" }], lay);
      });
    });
  }

  function drawVectors() {
    D.vectors.forEach((v, index) => {
      const traces = bandTraces(v.x, v.arms, hidden.curves, "mean");
      draw($("vector-" + index), traces, layout(250, { xaxis: { type: "category" }, yaxis: { rangemode: "normal" } }));
    });
  }

  // ---- when the interventions of each arm begin
  function drawCalendar() {
    const node = $("calendar"), c = D.calendar;
    if (!node) return;
    const traces = c.arms.map((a) => ({ x: a.x, y: a.x.map(() => D.arms[a.arm]), type: "scatter", mode: "markers", marker: { size: 11, symbol: "diamond", color: D.colours[a.arm], line: { color: "#fff", width: 1 } }, cliponaxis: false, text: a.text, hovertemplate: "%{text}<br>%{x|%-d %b %Y}<extra>%{y}</extra>" }));
    const lay = layout(64 + 30 * D.arms.length, { hovermode: "closest", margin: { l: 20, r: 24, t: 6, b: 30 }, xaxis: dates({ showgrid: true, gridcolor: "#e9ebed", range: c.range }) });
    Object.assign(lay.yaxis, { type: "category", categoryorder: "array", categoryarray: D.arms, range: [D.arms.length - 0.4, -0.6], autorange: false, nticks: 0, zeroline: false, rangemode: "normal", ticklabelstandoff: 8 });
    draw(node, traces, lay);
  }

  // ---- the end of a run: every arm's seeds together, beside published figures
  function drawWorlds() {
    D.worlds.forEach((m, index) => {
      const dots = (told, colour, hollow, name) => {
        const there = D.arms.map((_, i) => i).filter((i) => told[i]);
        return { x: there.map((i) => i + (m.published.some(Boolean) ? (hollow ? 0.07 : -0.07) : 0)), y: there.map((i) => told[i][0]), type: "scatter", mode: "markers", name,
          marker: { size: 10, symbol: hollow ? "diamond" : "circle", color: there.map((i) => (hollow ? "#fff" : colour(i))), line: { color: there.map((i) => (hollow ? "#111" : colour(i))), width: 2 } },
          error_y: { type: "data", array: there.map((i) => 2 * (told[i][1] || 0)), color: hollow ? "#111" : "#8a9199", thickness: 1.5, width: 5 },
          text: there.map((i) => `${name}: ${told[i][0].toPrecision(3)}`), hovertemplate: "%{text}<extra></extra>" };
      };
      const traces = [dots(m.simulated, (i) => D.colours[i], false, "simulated")];
      if (m.published.some(Boolean)) traces.push(dots(m.published, null, true, "published"));
      draw($("worlds-" + index), traces, layout(260, { hovermode: "closest", xaxis: { tickmode: "array", tickvals: D.arms.map((_, i) => i), ticktext: D.arms, range: [-0.5, D.arms.length - 0.5], zeroline: false }, yaxis: axis("mean") }));
    });
  }
  // ---- cascades: share of at least a size
  function drawCascades() {
    D.cascades.forEach((arms, index) => {
      const traces = [];
      arms.forEach((c, arm) => {
        if (c) traces.push({ x: c[0], y: c[1], type: "scatter", mode: c[0].length > 1 ? "lines+markers" : "markers", name: D.arms[arm], line: { color: D.colours[arm], width: 2, dash: D.dashes[arm] }, marker: { size: 4, color: D.colours[arm] }, hovertemplate: "%{y:.3~%} of at least %{x:,}" });
      });
      const lay = layout(300, { hovermode: "closest", showlegend: D.arms.length > 1, legend: { x: 1, xanchor: "right", y: 1, font: { size: 11.5 } } });
      Object.assign(lay.xaxis, { type: "log", dtick: 1, showgrid: true, gridcolor: "#e9ebed", title: { text: "agents", standoff: 6, font: { size: 12 } } });
      Object.assign(lay.yaxis, { type: "log", dtick: 1, tickformat: ".3~%", rangemode: "normal", zeroline: false });
      draw($("cascade-" + index), traces, lay);
    });
  }

  // ---- controls
  const redraw = { curves: () => { drawCurves(); drawVectors(); }, weekly: drawWeekly, totals: drawTotals };
  document.querySelectorAll(".chip[data-arm]").forEach((chip) => {
    const arm = +chip.dataset.arm, scope = chip.dataset.scope;
    const line = chip.querySelector("i");
    line.style.borderTopColor = D.colours[arm];
    line.style.borderTopStyle = { solid: "solid", dash: "dashed", dot: "dotted", dashdot: "dashed" }[D.dashes[arm]];
    chip.setAttribute("aria-pressed", String(!hidden[scope].has(arm)));
    chip.addEventListener("click", () => {
      if (hidden[scope].has(arm)) hidden[scope].delete(arm); else hidden[scope].add(arm);
      chip.setAttribute("aria-pressed", String(!hidden[scope].has(arm)));
      redraw[scope]();
    });
  });
  document.querySelectorAll(".chip-dot").forEach((dot) => { dot.style.background = D.colours[+dot.dataset.arm]; });
  document.querySelectorAll(".card[data-arm]").forEach((card) => { card.style.borderTopColor = D.colours[+card.dataset.arm]; });
  [["group", drawCurves], ["of", drawTotals], ["measure", drawTotals]].forEach(([id, f]) => { if ($(id)) $(id).addEventListener("change", f); });
  [drawCurves, drawVectors, drawWeekly, drawForest, drawTotals, drawCalendar, drawMarginals, drawNetworks, drawWorlds, drawCascades].forEach((f) => f());
  // on paper the columns are as wide as A4 without its margins (703 px), whatever the window is
  const plots = () => document.querySelectorAll(".js-plotly-plot");
  window.addEventListener("beforeprint", () => plots().forEach((n) => {
    const grid = n.closest(".grid"), full = n.closest(".full");
    const columns = !grid || full ? 1 : grid.classList.contains("three") && !grid.classList.contains("loose") ? 3 : 2;
    Plotly.relayout(n, { width: (703 - 28 * (columns - 1)) / columns });
  }));
  window.addEventListener("afterprint", () => plots().forEach((n) => { delete n.layout.width; Plotly.relayout(n, { autosize: true }); }));
})();
