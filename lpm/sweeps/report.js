"use strict";
(function () {
  const D = JSON.parse(document.getElementById("data").textContent);
  const FONT = '-apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, "Liberation Sans", sans-serif';
  const CONFIG = { displayModeBar: false, responsive: true, displaylogo: false };
  const $ = (id) => document.getElementById(id);
  const rgba = (hex, a) => `rgba(${[1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16)).join(",")},${a})`;
  const hidden = new Set();
  const chosen = () => ({ measure: $("measure").value, group: $("group") ? $("group").value : "0", arm: $("arm") ? +$("arm").value : 0 });

  function number(v, kind) {
    if (v === null || v === undefined) return "\u2013";
    if (kind === "share" || kind === "ratio") return (v * 100).toFixed(Math.abs(v) >= 0.0995 ? 1 : 2).replace("-", "\u2212") + "\u202f%";
    const places = kind === "flow" || kind === "stock" ? 0 : kind === "days" ? 1 : Math.abs(v) >= 100 ? 0 : Math.abs(v) >= 0.1 || v === 0 ? 2 : 4;
    return v.toLocaleString("en-US", { minimumFractionDigits: places, maximumFractionDigits: places }).replace("-", "\u2212");
  }
  const told = (r, i, kind) => number(r[0][i], kind) + (r[1][i] === null ? "" : `  (${number(r[1][i], kind)} to ${number(r[2][i], kind)})`);
  const axisTitle = (text) => ({ text, standoff: 6, font: { size: 12 } });
  const named = (p) => p.name + (p.unit ? ` (${p.unit})` : "");
  function valueAxis(kind) {
    const y = { gridcolor: "#e9ebed", zeroline: false, automargin: true, exponentformat: "none", separatethousands: true, fixedrange: true, nticks: 7 };
    if (kind === "share" || kind === "ratio") y.tickformat = ".1~%";
    return y;
  }
  // 1, 2 and 5 of each power of ten between two ends; over more than three powers only the ones
  function decades([low, high]) {
    const made = [];
    for (let k = Math.floor(Math.log10(low)); k <= Math.log10(high); k++) (high > 1000 * low ? [1] : [1, 2, 5]).forEach((d) => { const v = +(d * 10 ** k).toPrecision(3); if (v >= 0.999 * low && v <= 1.001 * high) made.push(v); });
    return made;
  }
  function pathAxis(p) {
    const x = { title: axisTitle(named(p)), showgrid: false, zeroline: false, linecolor: "#9aa1a9", ticks: "outside", tickcolor: "#9aa1a9", ticklen: 4, fixedrange: true, automargin: true, nticks: 6, exponentformat: "none" };
    if (p.names) return Object.assign(x, { type: "category" });
    return p.log ? Object.assign(x, { type: "log", tickformat: ",~r", tickvals: decades(p.ends) }) : x;
  }
  function layout(height, more) {
    return Object.assign({
      height, margin: { l: 52, r: 14, t: 8, b: 44 }, showlegend: false, hovermode: "closest",
      font: { family: FONT, size: 12.5, color: "#3a4149" }, paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: "#fff", bordercolor: "#c9ced3", font: { family: FONT, size: 12.5 } },
    }, more);
  }
  function draw(node, traces, lay, why) {
    if (!node) return;
    if (!traces.length) {
      Plotly.purge(node);
      node.innerHTML = `<div class="empty">${why || "nothing to show: not measured for this group, or not defined in every run"}</div>`;
      node.style.height = lay.height + "px";
      return;
    }
    if (node.querySelector(".empty")) node.innerHTML = "";
    node.style.height = "";
    Plotly.react(node, traces, lay, CONFIG);
  }
  // the pieces without gaps of a band, as one closed outline each
  function bands(x, low, high, colour) {
    const made = [];
    for (let from = 0; from < x.length; from++) {
      let to = from;
      while (to < x.length && low[to] !== null && high[to] !== null) to++;
      if (to - from > 1) made.push({ x: x.slice(from, to).concat(x.slice(from, to).reverse()), y: high.slice(from, to).concat(low.slice(from, to).reverse()), type: "scatter", mode: "lines", line: { width: 0 }, fill: "toself", fillcolor: rgba(colour, 0.16), hoverinfo: "skip" });
      from = Math.max(from, to);
    }
    return made;
  }
  const filled = (row) => row && row[0].some((v) => v !== null);

  function drawCurves() {
    const { measure, group } = chosen(), m = D.measures[measure], rows = (D.curves[measure] || {})[group];
    let least = Infinity, most = -Infinity;
    const grow = (list) => list.forEach((v) => { if (v !== null) { least = Math.min(least, v); most = Math.max(most, v); } });
    const panels = D.paths.map((p, index) => {
      const under = [], over = [];
      D.arms.forEach((name, arm) => {
        const row = rows && rows[arm][index];
        if (hidden.has(arm) || !filled(row)) return;
        const colour = D.colours[arm], place = D.smooth.paths.indexOf(index), smooth = group === "0" && place >= 0 ? D.smooth.curves[`${measure}|${arm}`] : undefined;
        const text = row[0].map((_, i) => told(row, i, m.kind));
        row.forEach(grow);
        const dots = { x: p.at, y: row[0], type: "scatter", mode: "markers", name, marker: { size: 7, color: colour }, text, hovertemplate: `%{x}: %{text}<extra>${name}</extra>` };
        if (smooth) {
          const s = smooth[place];
          s.forEach(grow);
          under.push(...bands(D.smooth.at[place], s[1], s[2], colour));
          over.push({ x: D.smooth.at[place], y: s[0], type: "scatter", mode: "lines", line: { color: colour, width: 2, dash: D.dashes[arm] }, text: s[0].map((_, i) => told(s, i, m.kind)), hovertemplate: `%{x:.4~g}: %{text}<extra>${name}, surface</extra>` });
          Object.assign(dots.marker, { size: 6, color: "#fff", line: { color: colour, width: 1.6 } });
        } else if (p.names || !D.grid) {
          dots.error_y = { type: "data", symmetric: false, array: row[2].map((v, i) => (v === null ? 0 : v - row[0][i])), arrayminus: row[1].map((v, i) => (v === null ? 0 : row[0][i] - v)), color: colour, thickness: 1.5, width: 4 };
        } else {
          under.push(...bands(p.at, row[1], row[2], colour));
          Object.assign(dots, { mode: "lines+markers", line: { color: colour, width: 2, dash: D.dashes[arm] } });
        }
        over.push(dots);
      });
      return under.concat(over);
    });
    const pad = 0.05 * (most - least) || Math.abs(most) * 0.05 || 1, low = least >= 0 && least < 0.35 * most ? 0 : least - pad;
    D.paths.forEach((p, index) => {
      const y = Object.assign(valueAxis(m.kind), { range: [low, most + pad] });
      draw($("curve-" + index), panels[index], layout(290, { xaxis: pathAxis(p), yaxis: y }));
    });
  }

  const BLUES = [[0, "#f2f6fa"], [0.25, "#b5d3e7"], [0.5, "#6aaed6"], [0.75, "#2171b5"], [1, "#08306b"]];
  function drawMaps() {
    const { measure, group, arm } = chosen(), m = D.measures[measure], smooth = D.smooth.pairs.length > 0;
    const rows = smooth ? (group === "0" ? D.smooth.maps[`${measure}|${arm}`] : undefined) : ((D.maps[measure] || {})[group] || [])[arm];
    const all = (rows || []).flatMap((r) => r[0].flat()).filter((v) => v !== null);
    const least = Math.min(...all), most = Math.max(...all);
    D.pairs.forEach(([i, j], index) => {
      const node = $("map-" + index);
      if (!rows || !all.length) return draw(node, [], { height: 330 }, smooth ? "no surface was fitted for this measure and group" : undefined);
      const r = rows[index], at = (k) => (smooth ? D.smooth.edges[D.smooth.paths.indexOf(k)] : D.paths[k].at);
      const text = r[0].map((line, a) => line.map((v, b) => number(v, m.kind) + (r[1][a][b] === null ? "" : `<br>${number(r[1][a][b], m.kind)} to ${number(r[2][a][b], m.kind)}`)));
      const axis = (k) => Object.assign(pathAxis(D.paths[k]), smooth ? {} : Object.assign({ type: "category" }, D.paths[k].at.length > 12 ? {} : { dtick: 1 }), { ticklabelstandoff: 2 });
      const shown = (k) => (smooth || D.paths[k].names ? at(k) : at(k).map((v) => v.toLocaleString("en-US", { maximumSignificantDigits: 4 })));
      const bar = { thickness: 11, len: 0.9, outlinewidth: 0, tickfont: { size: 11 }, exponentformat: "none", separatethousands: true, nticks: 6 };
      if (m.kind === "share" || m.kind === "ratio") bar.tickformat = ".1~%";
      draw(node, [{ type: "heatmap", x: shown(i), y: shown(j), z: r[0], text, zmin: least, zmax: most > least ? most : least + 1, colorscale: BLUES, xgap: smooth ? 0 : 1, ygap: smooth ? 0 : 1, colorbar: bar, hovertemplate: `${D.paths[i].name} %{x}<br>${D.paths[j].name} %{y}<br><b>%{text}</b><extra></extra>` }],
        layout(340, { plot_bgcolor: "#e4e6e9", xaxis: axis(i), yaxis: axis(j), margin: { l: 60, r: 8, t: 8, b: 44 } }));
    });
  }

  const INDEX = { total: ["with what it does jointly", "#9ec9e2"], first: ["on its own", "#0072b2"], mu_star: ["mean size of an effect", "#0072b2"] };
  function drawIndices() {
    const { measure, group, arm } = chosen(), m = D.measures[measure], found = D.indices[`${measure}|${group}|${arm}`];
    const why = "no indices: see the remarks below", bars = $("bars"), effects = $("effects-chart"), height = Math.max(200, 90 + 46 * D.paths.length);
    if (!found) { draw(bars, [], { height }, why); return draw(effects, [], { height: 380 }, why); }
    const main = found.total || found.mu_star, order = D.paths.map((_, i) => i).sort((a, b) => main[0][a] - main[0][b]);
    const sobol = !!found.total, kind = sobol ? "share" : m.kind;
    const traces = (sobol ? ["first", "total"] : ["mu_star"]).map((name) => {
      const r = found[name];
      return { type: "bar", orientation: "h", name: INDEX[name][0], y: order.map((i) => D.paths[i].name), x: order.map((i) => r[0][i]), marker: { color: INDEX[name][1] },
        error_x: { type: "data", symmetric: false, array: order.map((i) => r[2][i] - r[0][i]), arrayminus: order.map((i) => r[0][i] - r[1][i]), color: "#3a4149", thickness: 1.4, width: 4 },
        text: order.map((i) => told(r, i, kind)), textposition: "none", hovertemplate: `%{y}, ${INDEX[name][0]}: %{text}<extra></extra>` };
    });
    const x = Object.assign(valueAxis(kind), { zeroline: true, zerolinecolor: "#6b737b", nticks: 6 }, sobol ? { tickformat: ".0%", title: axisTitle("share of the differences between runs") } : { title: axisTitle(`${m.title}: change over the whole range`) });
    draw(bars, traces, layout(height, { barmode: "group", bargap: 0.35, bargroupgap: 0.05, showlegend: sobol, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom", traceorder: "reversed" }, margin: { l: 20, r: 20, t: sobol ? 30 : 8, b: 48 }, xaxis: x, yaxis: { type: "category", automargin: true, fixedrange: true, ticks: "", ticklabelstandoff: 6, gridcolor: "rgba(0,0,0,0)" } }));
    if (!found.mu_star) return draw(effects, [], { height: 380 }, why);
    const s = found.mu_star, g = found.sigma, mu = found.mu, top = Math.max(...s[2], 0), high = Math.max(...g[2], 0);
    const sign = mu[0].map((v, i) => (mu[1][i] > 0 ? 0 : mu[2][i] < 0 ? 1 : 2)), names = ["raises it", "lowers it", "either, or neither"], colours = ["#0072b2", "#d55e00", "#767d85"];
    const made = [{ x: [0, 1.3 * Math.max(top, high)], y: [0, 1.3 * Math.max(top, high)], type: "scatter", mode: "lines", line: { color: "#c4c9ce", width: 1, dash: "dot" }, hoverinfo: "skip", showlegend: false }];
    names.forEach((name, which) => {
      const mine = D.paths.map((_, i) => i).filter((i) => sign[i] === which);
      if (!mine.length) return;
      const bar = (r) => ({ type: "data", symmetric: false, array: mine.map((i) => r[2][i] - r[0][i]), arrayminus: mine.map((i) => r[0][i] - r[1][i]), color: rgba(colours[which], 0.55), thickness: 1.2, width: 3 });
      made.push({ x: mine.map((i) => s[0][i]), y: mine.map((i) => g[0][i]), type: "scatter", mode: "markers+text", name, text: mine.map((i) => D.paths[i].name), textposition: "top right", textfont: { size: 11.5 }, cliponaxis: false, marker: { size: 9, color: colours[which] }, error_x: bar(s), error_y: bar(g), customdata: mine.map((i) => [told(s, i, m.kind), told(g, i, m.kind), told(mu, i, m.kind)]), hovertemplate: "%{text}<br>mean size %{customdata[0]}<br>spread %{customdata[1]}<br>mean %{customdata[2]}<extra></extra>" });
    });
    const ax = (text, end) => Object.assign(valueAxis(m.kind), { title: axisTitle(text), range: [0, 1.15 * end || 1], zeroline: true, zerolinecolor: "#9aa1a9", nticks: 6 });
    draw(effects, made, layout(380, { showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" }, margin: { l: 60, r: 30, t: 30, b: 48 }, xaxis: ax("mean size of the effect, \u03bc*", 1.15 * top), yaxis: ax("spread of the effect, \u03c3", high) }));
  }

  function drawLaw() {
    const node = $("law");
    if (!node) return;
    const { measure, arm } = chosen(), m = D.measures[measure], law = D.laws[`${measure}|${arm}`];
    if (!law) return draw(node, [], { height: 380 }, "no law for this measure: it is not defined in every run");
    const kind = law.counted ? "part" : m.kind, n = (v) => (law.counted ? Number(v.toPrecision(5)).toString() : number(v, kind)), to = law.to.toLocaleString("en-US");
    const dot = (x, y, e, name, symbol, colour, fill) => ({ x, y, type: "scatter", mode: "markers", name, marker: { size: symbol === "diamond" ? 12 : 8, symbol, color: fill, line: { color: colour, width: 2 } }, error_y: { type: "data", symmetric: false, array: e[1], arrayminus: e[0], color: colour, thickness: 1.6, width: 5 }, text: y.map((v, i) => `${n(v)} (${n(v - e[0][i])} to ${n(v + e[1][i])})`), hovertemplate: "%{x:,.0f} agents: %{text}<extra></extra>" });
    const traces = bands(law.line, law.curve[1], law.curve[2], "#0072b2");
    traces.forEach((t) => { t.showlegend = false; });
    traces.push({ x: law.line, y: law.curve[0], type: "scatter", mode: "lines", name: "law and 95 % interval", line: { color: "#0072b2", width: 2 }, hoverinfo: "skip" });
    traces.push(dot(law.sizes, law.means, [law.errors, law.errors], "runs, fitted", "circle", "#2b2b2b", "#2b2b2b"));
    if (law.beyond.length) { const e = law.beyond.map((r) => 1.96 * r[2]); traces.push(dot(law.beyond.map((r) => r[0]), law.beyond.map((r) => r[1]), [e, e], "larger runs, not fitted", "circle", "#2b2b2b", "#fff")); }
    const t = law.told;
    traces.push(dot([law.to], [t[0]], [[t[0] - t[1]], [t[2] - t[0]]], `predicted for ${to}`, "diamond", "#d55e00", "#d55e00"));
    const y = Object.assign(valueAxis(kind), law.counted ? { title: axisTitle(`${m.title}, as a share of the agents`), nticks: 6 } : { title: axisTitle(m.title + (m.unit ? ` (${m.unit})` : "")) });
    draw(node, traces, layout(400, { showlegend: true, legend: { orientation: "h", x: 0, y: 1, yanchor: "bottom" }, margin: { l: 64, r: 24, t: 34, b: 48 }, xaxis: { type: "log", title: axisTitle("agents"), showgrid: false, ticks: "outside", linecolor: "#9aa1a9", tickcolor: "#9aa1a9", tickformat: ",~r", dtick: 1, fixedrange: true }, yaxis: y }));
  }

  function drawAll() {
    const { measure, group, arm } = chosen(), m = D.measures[measure];
    document.querySelectorAll(".measure-name").forEach((n) => { n.innerHTML = `${m.title} <span class="unit">${[m.unit, +group ? D.groups[+group] : ""].filter(Boolean).join(" \u00b7 ")}</span>`; });
    document.querySelectorAll(".arm-name").forEach((n) => { n.innerHTML = D.arms.length > 1 ? `\u00b7 ${D.arms[arm]}` : ""; });
    drawCurves(); drawMaps(); drawIndices(); drawLaw();
  }
  ["measure", "group", "arm"].forEach((id) => { if ($(id)) $(id).addEventListener("change", drawAll); });
  document.querySelectorAll(".chip[data-arm]").forEach((chip) => {
    const arm = +chip.dataset.arm;
    chip.querySelector("i").style.borderColor = D.colours[arm];
    chip.querySelector("i").style.borderTopStyle = D.dashes[arm] === "solid" ? "solid" : D.dashes[arm] === "dot" ? "dotted" : "dashed";
    chip.addEventListener("click", () => { if (hidden.has(arm)) hidden.delete(arm); else hidden.add(arm); chip.setAttribute("aria-pressed", String(!hidden.has(arm))); drawCurves(); });
  });
  drawAll();
})();
