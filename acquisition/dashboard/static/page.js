// Follows one run. Every text from outside goes in by textContent: nothing of it is ever markup.
import { drawCurves } from "./curves.js";

const get = (id) => document.getElementById(id);
const TONES = { acquiring: "good", completed: "good", suspended: "warn", stopped: "warn", interrupted: "warn", failed: "bad" };
let run = new URLSearchParams(location.search).get("run");
let stream = null;
let chosen = run !== null;
let curvesAt = 0;

function make(tag, text, attributes = {}) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

function clock(seconds, day = false) {
  if (!seconds) return "–";
  const options = { hour: "2-digit", minute: "2-digit", second: "2-digit", hour12: false };
  if (day) options.weekday = "short";
  return new Date(seconds * 1000).toLocaleString(undefined, options);
}

function stamp(seconds) {
  return make("time", clock(seconds), { datetime: new Date(seconds * 1000).toISOString() });
}

function pill(element, words, tone) {
  element.textContent = words;
  element.className = `pill ${tone ?? ""}`;
}

// overview: which runs there are, and the queue

function showOverview(overview) {
  const select = get("runs");
  const names = overview.runs.map((entry) => entry.name);
  if (select.dataset.names !== JSON.stringify(overview.runs)) {
    select.dataset.names = JSON.stringify(overview.runs);
    select.replaceChildren(...overview.runs.map((entry) => {
      const option = make("option", entry.acquiring ? `● ${entry.name}` : entry.name, { value: entry.name });
      option.selected = entry.name === run;
      return option;
    }));
  }
  get("actions").hidden = !overview.actions;
  showQueue(overview);
  if (names.length && (run === null || (!chosen && names[0] !== run && overview.runs[0].acquiring))) follow(names[0]);
}

function showQueue(overview) {
  const queue = overview.queue;
  get("queue-card").hidden = queue === null && !overview.queue_problem;
  get("service").textContent = overview.queue_problem;
  if (queue === null) return;
  get("service").textContent = `scheduler: ${queue.service}` + (queue.stopped ? `; the queue is stopped: ${queue.stopped}` : "");
  get("jobs").replaceChildren(...queue.jobs.map((job) => jobRow(job, queue.jobs, overview.actions)));
  drawTimeline(queue);
}

function jobRow(job, jobs, actions) {
  const row = make("tr", undefined, { "data-job": job.number });
  const passes = job.n_passes ? `${job.n_committed}/${job.n_passes}` : "";
  const cells = [job.number, `${job.kind} ${job.name}`, job.state + (job.held ? " (held)" : ""), passes,
    clock(job.begins, true), clock(job.ends, true), job.reason];
  row.append(...cells.map((cell) => make("td", String(cell ?? ""))));
  const buttons = make("td");
  if (actions && !job.over) {
    const [word, action] = job.held ? ["release", "release"] : ["hold", "hold"];
    buttons.append(button(word, { action, job: job.number }));
    const before = jobs.filter((other) => !other.over && other.state !== "running").map((other) => other.number);
    const place = before.indexOf(job.number);
    if (place > 0) buttons.append(button("sooner", { action: "move", job: job.number, before: before[place - 1] }));
  }
  row.append(buttons);
  return row;
}

function button(word, action) {
  const element = make("button", word, { type: "button" });
  element.addEventListener("click", () => act(action));
  return element;
}

function drawTimeline(queue) {
  const jobs = queue.jobs.filter((job) => job.begins && job.ends > job.begins);
  const begin = Math.min(queue.now, ...jobs.map((job) => job.begins));
  const end = Math.max(queue.now + 3600, ...jobs.map((job) => job.ends));
  const share = (seconds) => `${(100 * (seconds - begin)) / (end - begin)}%`;
  const bars = jobs.map((job) => {
    const bar = make("div", `${job.number} ${job.name}`, { title: `${clock(job.begins, true)} – ${clock(job.ends, true)}` });
    if (job.over) bar.className = "over";
    bar.style.left = share(job.begins);
    bar.style.width = `${(100 * (job.ends - job.begins)) / (end - begin)}%`;
    return bar;
  });
  const now = make("div", undefined, { title: "now" });
  now.className = "now";
  now.style.left = share(queue.now);
  get("timeline").replaceChildren(...bars, now);
}

// one run

function showRun(state) {
  get("run-name").textContent = state.name;
  document.title = `${state.n_committed}/${state.n_passes} ${state.name}`;
  pill(get("state"), state.state, TONES[state.state]);
  get("words").textContent = state.words;
  get("damage").textContent = state.damage;
  get("passes").max = state.n_passes;
  get("passes").value = state.n_committed;
  get("pass-count").textContent = `${state.n_committed} of ${state.n_passes}`;
  get("flagged").textContent = state.n_flagged;
  const running = state.state === "acquiring" || state.state === "suspended";
  get("ends").textContent = running ? clock(state.ends, true) : "–";
  get("now").textContent = clock(state.now, true) + (state.virtual ? " (virtual clock)" : "");
  get("stop").disabled = !running;
  get("rules").replaceChildren(...state.rules.map((rule) => make("li", `${rule.words}: ${forecast(rule)}`)));
  get("no-alarms").hidden = state.alarms.length > 0;
  get("alarms").replaceChildren(...state.alarms.map((alarm) => {
    const item = make("li");
    item.append(stamp(alarm.time), make("span", `${alarm.event}: ${alarm.words}`));
    return item;
  }));
  get("journal").replaceChildren(...state.journal.map((line) => {
    const row = make("tr");
    const time = make("td");
    time.append(stamp(line.time));
    row.append(make("td", String(line.sequence)), time, make("td", line.event), make("td", line.words));
    return row;
  }));
  showPictures(state);
  if (Date.now() - curvesAt > 3000) refreshCurves(state.name);
}

function forecast(rule) {
  if (rule.met) return "reached";
  if (rule.predicted_time === null) return "no signal to predict from yet";
  if (!rule.in_time) return `not before the end at ${clock(rule.ends)}`;
  return `expected at ${clock(rule.predicted_time)} (pass ${rule.predicted_pass})`;
}

function showPictures(state) {
  const home = get("pictures");
  const names = Object.keys(state.pictures);
  if (!names.length) {
    home.replaceChildren(make("p", "images come with the first passes of every echo time"));
    return;
  }
  for (const figure of [...home.children]) if (!names.includes(figure.dataset.name) || figure.dataset.run !== state.name) figure.remove();
  for (const name of names) {
    let figure = [...home.children].find((child) => child.dataset.name === name);
    if (!figure) {
      figure = make("figure", undefined, { "data-name": name, "data-run": state.name });
      figure.append(make("img", undefined, { alt: name }), make("figcaption"));
      home.append(figure);
    }
    const made = state.pictures[name];
    if (figure.dataset.made !== String(made)) {
      figure.dataset.made = String(made);
      figure.querySelector("img").src = `/api/runs/${encodeURIComponent(state.name)}/pictures/${encodeURIComponent(name)}?made=${made}`;
      figure.querySelector("figcaption").textContent = `${name.replace(/\.png$/, "").replaceAll("_", " ")}, drawn ${clock(made)}`;
    }
  }
}

async function refreshCurves(name) {
  curvesAt = Date.now();
  const answer = await fetch(`/api/runs/${encodeURIComponent(name)}/curves`);
  if (answer.ok && name === run) drawCurves(get("curves"), await answer.json());
}

// what a person does

async function act(action) {
  const answer = await fetch("/api/actions", {
    method: "POST",
    headers: { "Content-Type": "application/json", "X-Knightshift-Token": get("token").value },
    body: JSON.stringify(action),
  });
  const said = await answer.json();
  get("answer").textContent = said.done ?? said.error;
  get("answer").className = answer.ok ? "" : "bad";
}

function follow(name) {
  run = name;
  curvesAt = 0;
  stream?.close();
  stream = new EventSource(name ? `/api/events?run=${encodeURIComponent(name)}` : "/api/events");
  stream.addEventListener("open", () => pill(get("link"), "live", "good"));
  stream.addEventListener("error", () => pill(get("link"), "no connection", "bad"));
  stream.addEventListener("overview", (event) => showOverview(JSON.parse(event.data)));
  stream.addEventListener("run", (event) => showRun(JSON.parse(event.data)));
  stream.addEventListener("problem", (event) => { get("damage").textContent = JSON.parse(event.data).error; });
}

get("runs").addEventListener("change", (event) => { chosen = true; follow(event.target.value); });
get("actions").addEventListener("submit", (event) => { event.preventDefault(); act({ action: "stop", run }); });
follow(run);
