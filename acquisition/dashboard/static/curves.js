// Curves of the night: one panel for each sort, one line for each quantity. Times are seconds since 1970 UTC.
const TITLES = {
  frequency: "frequency", temperature: "temperature", level: "levels", amplitude: "amplitude of the reference",
  linewidth: "line width", noise: "noise", phase: "phase", snr: "signal to noise", other: "other readings",
};
const INKS = ["#0b5cad", "#d1600a", "#00796b", "#a3123a", "#6a3fb5", "#5b6975"];
const plots = new Map();

// Kelvin and ratios are stored; people read degrees and percent. A frequency is shown as its change.
function shown(curve) {
  if (curve.unit === "K") return { unit: "°C", value: curve.value.map((value) => value - 273.15) };
  if (curve.sort === "level") return { unit: "%", value: curve.value.map((value) => 100 * value) };
  if (curve.sort === "frequency") return { unit: "Hz from the first", value: curve.value.map((value) => value - curve.value[0]) };
  return { unit: curve.unit === "1" ? "" : curve.unit, value: curve.value };
}

function joined(curves) {
  const times = [...new Set(curves.flatMap((curve) => curve.time))].sort((a, b) => a - b);
  const rows = curves.map((curve) => {
    const at = new Map(curve.time.map((time, index) => [time, shown(curve).value[index]]));
    return times.map((time) => at.get(time) ?? null);
  });
  return [times, ...rows];
}

const timeOfDay = (seconds) =>
  new Date(seconds * 1000).toLocaleTimeString(undefined, { hour: "2-digit", minute: "2-digit", hour12: false });

// Enough digits to tell neighbouring ticks apart.
function ticks(_plot, values, _axis, _space, step) {
  const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
  return values.map((value) => (digits > 5 ? value.toExponential(2) : value.toFixed(digits)));
}

function panel(home, sort, curves) {
  const box = document.createElement("div");
  box.dataset.sort = sort;
  home.append(box);
  const unit = shown(curves[0]).unit;
  const series = curves.map((curve, index) => ({
    label: curve.name, stroke: INKS[index % INKS.length], width: 1.5, spanGaps: true, points: { size: 4 },
  }));
  const options = {
    title: unit ? `${TITLES[sort] ?? sort} (${unit})` : TITLES[sort] ?? sort,
    width: Math.max(240, box.clientWidth - 10), height: 220, series: [{ value: (_plot, time) => (time === null ? "–" : timeOfDay(time)) }, ...series],
    axes: [{ values: (_plot, times) => times.map(timeOfDay) }, { size: 80, values: ticks }],
    scales: { x: { range: (_plot, low, high) => [low, Math.max(high, low + 600)] } },
  };
  return { box, names: curves.map((curve) => curve.name).join("\n"), plot: new uPlot(options, joined(curves), box) };
}

export function drawCurves(home, curves) {
  const sorts = Map.groupBy ? Map.groupBy(curves, (curve) => curve.sort) : grouped(curves);
  for (const [sort, old] of plots) {
    const names = (sorts.get(sort) ?? []).map((curve) => curve.name).join("\n");
    if (names !== old.names) { old.plot.destroy(); old.box.remove(); plots.delete(sort); }
  }
  for (const [sort, members] of sorts) {
    if (plots.has(sort)) plots.get(sort).plot.setData(joined(members));
    else plots.set(sort, panel(home, sort, members));
  }
}

function grouped(curves) {
  const sorts = new Map();
  for (const curve of curves) sorts.set(curve.sort, [...(sorts.get(curve.sort) ?? []), curve]);
  return sorts;
}

addEventListener("resize", () => {
  for (const { box, plot } of plots.values()) plot.setSize({ width: Math.max(240, box.clientWidth - 10), height: 220 });
});
