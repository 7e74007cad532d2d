// The page to try a recommender. It knows nothing but what the service's calls answer; texts of the catalogue enter the page
// through textContent only. The history stands in location.hash (#item=ID&item=ID, and &time=NUMBER for each where the model
// looks at times), so that it can be kept as a link.

const data = JSON.parse(document.getElementById("data").textContent);
const at = (id) => document.getElementById(id);
const WAIT = 120; // ms after the last key or step of a slider
const SHOWN = 12; // prefixes of a level
const REASONS = 6; // of a history
const STEPS = 8, NATS = 0.75; // of a slider to each side, and what one is worth

const { format: number } = new Intl.NumberFormat("en-US", { maximumFractionDigits: 2 });
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const percent = (logProb) => {
  const share = 100 * Math.exp(logProb);
  return share >= 0.01 ? `${share >= 10 ? share.toFixed(0) : share.toPrecision(2)} %` : "< 0.01 %";
};
const times = (nats) => `× ${Math.exp(nats) < 10 ? Math.exp(nats).toPrecision(2) : number(Math.round(Math.exp(nats)))}`;

// An element; children that are no nodes become text, null and "" nothing; "click" and the like are listened to.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {}))
    if (typeof value === "function") made.addEventListener(key, value);
    else if (value !== null && value !== false) made.setAttribute(key, value === true ? "" : value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

function meter(share, kind) {
  const bar = element("span", { class: `meter ${kind ?? ""}`, "aria-hidden": "true" }, element("i"));
  bar.firstChild.style.width = `${100 * Math.min(1, Math.max(0, share))}%`;
  return bar;
}

// ---- calls ----

class Refused extends Error {}

async function asked(path, body) {
  const answer = await fetch(path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })
    .catch(() => { throw new Refused("The service does not answer."); });
  const content = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Refused(`${content.where}: expected ${content.expected}, got ${content.got}; ${content.fix}`);
  return content;
}

const known = new Map(); // item_id -> what GET /items tells

function remember(items) { for (const item of items) known.set(item.item_id, item); }

async function lookUp(ids) {
  const missing = [...new Set(ids)].filter((id) => !known.has(id));
  for (let start = 0; start < missing.length; start += data.lookUp) {
    const query = missing.slice(start, start + data.lookUp).map((id) => `item_id=${encodeURIComponent(id)}`).join("&");
    remember((await asked(`items?${query}`)).items);
  }
}

// ---- items ----

const titleOf = (id) => known.get(id)?.content[data.title] || id;

function factsOf(id) {
  const content = known.get(id)?.content ?? {};
  return data.facts.map((column) => {
    const value = content[column];
    if (value === null || value === undefined || value === "") return null;
    if (typeof value === "number") return `${column} ${number(value)}`;
    if (typeof value === "boolean") return `${column}: ${value ? "yes" : "no"}`;
    return [value].flat().join(" > ").split(">").at(-1).trim();
  }).filter(Boolean).join(" · ");
}

function imageOf(id) {
  if (!data.image) return null;
  const address = [known.get(id)?.content[data.image]].flat()[0], box = element("span", { class: "image" });
  if (/^(https?:\/\/|data:image\/)/.test(address ?? ""))
    box.append(element("img", { src: address, alt: "", loading: "lazy", referrerpolicy: "no-referrer", error: (event) => event.target.remove() }));
  return box;
}

const named = (id, ...more) => element("span", { class: "named" },
  element("span", { class: "item" }, titleOf(id)), element("small", null, factsOf(id) || id), ...more);

const action = (text, label, click, more) => element("button", { type: "button", class: "quiet", "aria-label": label, title: label, click, ...more }, text);

// ---- state ----

const state = { history: [], times: [], held: null, open: null, list: [], before: [], levels: null };
const knobs = new Map(); // filter -> nats, of all sliders
let turn = 0, timer = 0;

function soon() { clearTimeout(timer); timer = setTimeout(update, WAIT); }

// Times for a history whose later items have none: each one gap later than the item before.
function timesFor(history, times) {
  const filled = times.slice(0, history.length);
  while (filled.length < history.length) filled.push(filled.length ? filled.at(-1) + data.times.gap : data.times.start);
  return filled;
}

function setHistory(history, held = null, times = state.times) {
  Object.assign(state, { history: history.slice(-data.historyLen), held, open: null });
  if (data.times) state.times = timesFor(history, times).slice(-data.historyLen);
  const hash = new URLSearchParams(state.history.map((id) => ["item", id]));
  for (const time of state.times) hash.append("time", time);
  window.history.replaceState(null, "", hash.size ? `#${hash}` : location.pathname);
  if (held === null) at("samples").value = "";
  drawHistory();
  return update();
}

const add = (id) => setHistory([...state.history, id]);

// ---- asking for a list ----

const wanted = () => ({
  k: data.k,
  ...(at("filter").value.trim() && { filter: at("filter").value.trim() }),
  ...(at("seen").checked !== data.excludeSeen && { exclude_seen: at("seen").checked }),
  ...(at("wish").value.trim() && { wish: at("wish").value.trim() }),
  ...words(),
});

// What is known of the item that is wanted: its words, and the columns of the request that have a value.
function words() {
  const fields = [...at("asked").querySelectorAll("select, input")].filter((field) => field.value !== "");
  const request = fields.map((field) => [field.name, field.type === "number" ? field.valueAsNumber : field.value]);
  return {
    ...(at("query").value.trim() && { query: at("query").value.trim() }),
    ...(request.length && { request: Object.fromEntries(request) }),
  };
}

function drawRequest() {
  for (const { name, words: options } of data.request) {
    const field = options
      ? element("select", { name, change: soon }, element("option", { value: "" }, "any"), ...options.map((word) => element("option", { value: word }, word)))
      : element("input", { name, type: "number", step: "any", input: () => { clearTimeout(timer); timer = setTimeout(update, 4 * WAIT); } });
    at("asked").append(element("label", { class: "line" }, `Wanted: ${name} `, field));
  }
}

async function update() {
  const mine = ++turn, steer = Object.fromEntries(knobs), isSteered = knobs.size > 0;
  const body = { histories: [state.history], ...(data.times && { times: [state.times] }), ...wanted() }, plain = asked("recommend", body), request = isSteered ? { ...body, steer } : body;
  at("list").setAttribute("aria-busy", "true");
  at("reset").hidden = !isSteered;
  at("call").textContent = `curl ${new URL("recommend", location.href)} --json '${JSON.stringify(request).replaceAll("'", "'\\''")}'`;
  try {
    const [before, now] = await Promise.all([plain, isSteered ? asked("recommend", request) : plain]);
    const { items, unknown } = now.lists[0];
    await lookUp([...items.map((item) => item.item_id), ...state.history, ...(state.held ? [state.held] : [])]);
    if (mine !== turn) return;
    Object.assign(state, { list: items, before: isSteered ? before.lists[0].items.map((item) => item.item_id) : null, levels: null });
    if (!items.some((item) => item.item_id === state.open)) state.open = null;
    at("wrong").hidden = true;
    at("status").textContent = `${plural(items.length, "item")} after a history of ${number(state.history.length)}` +
      `${isSteered ? `, with ${plural(sliders.filter((bar) => bar.value !== "0").length, "preference")}` : ""}.` +
      (unknown.length ? ` Not in the catalogue: ${unknown.join(", ")}.` : "");
    drawHistory();
    drawList();
    watch(request);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine !== turn) return;
    at("wrong").textContent = error.message;
    at("wrong").hidden = false;
  } finally {
    if (mine === turn) at("list").removeAttribute("aria-busy");
  }
}

// The same search once more, watched.
async function watch({ histories: [history], times, ...settings }) {
  const mine = turn;
  at("beams").setAttribute("aria-busy", "true");
  try {
    const { levels } = await asked("beams", { history, ...(times && { times: times[0] }), ...settings });
    await lookUp(levels.flatMap((level) => level.slice(0, SHOWN).map((beam) => beam.item_id)));
    if (mine !== turn) return;
    state.levels = levels;
    drawBeams();
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (mine === turn) at("beams").replaceChildren(element("p", { class: "note" }, error.message));
  } finally {
    if (mine === turn) at("beams").removeAttribute("aria-busy");
  }
}

// ---- the history ----

function drawHistory() {
  const { history } = state, focused = document.activeElement?.dataset.key;
  const moved = (from, to) => { const next = [...history]; next.splice(to, 0, ...next.splice(from, 1)); return next; };
  at("history").replaceChildren(...history.map((id, place) => element("li", { class: "row" }, imageOf(id), named(id),
    element("span", { class: "actions" },
      action("↑", `Earlier: ${titleOf(id)}`, () => setHistory(moved(place, place - 1)), { disabled: place === 0, "data-key": `up${place}` }),
      action("↓", `Later: ${titleOf(id)}`, () => setHistory(moved(place, place + 1)), { disabled: place === history.length - 1, "data-key": `down${place}` }),
      action("×", `Remove: ${titleOf(id)}`, () => { setHistory(history.filter((_, other) => other !== place), null, state.times.filter((_, other) => other !== place)); if (!state.history.length) at("search").focus(); }, { "data-key": `remove${place}` })))));
  if (focused) // what was pressed is gone: the same button of the row that is there now
    (document.querySelector(`[data-key="${focused}"]:enabled`) ?? at("history").querySelector("li:last-child button:last-child"))?.focus();
  at("clear").hidden = !history.length;
  at("none").textContent = history.length ? "" : "Nothing yet: what comes next is what anybody may want. Find an item, or add one from the list.";
  const place = state.list.findIndex((item) => item.item_id === state.held);
  at("next").hidden = state.held === null;
  if (state.held !== null)
    at("next").replaceChildren("What this user took next: ", element("b", null, titleOf(state.held)), " ",
      element("span", { class: `pill ${place < 0 ? "" : "good"}` }, place < 0 ? `not among the ${state.list.length}` : `at rank ${place + 1}`));
}

// ---- the list ----

// How far an item has come by the preferences.
function moved(id, place) {
  if (!state.before) return null;
  const was = state.before.indexOf(id), by = was - place;
  if (was < 0) return element("span", { class: "pill good" }, "new");
  return by ? element("span", { class: `pill ${by > 0 ? "good" : ""}` }, `${by > 0 ? "▲" : "▼"} ${Math.abs(by)}`) : null;
}

const codesOf = (id) => known.get(id)?.codes ?? null;
const path = (codes) => element("span", { class: "path" }, ...codes.flatMap((code, level) => [level ? " › " : "", String(code)]));

function drawList() {
  const best = state.list[0]?.score ?? 0, focused = document.activeElement?.dataset.key;
  at("list").replaceChildren(...state.list.map(({ item_id: id, score }, place) => {
    const isOpen = state.open === id, codes = codesOf(id);
    const row = element("div", { class: "row" },
      element("b", { class: "rank" }, String(place + 1)), imageOf(id),
      named(id, codes && path(codes)),
      element("span", { class: "score" }, moved(id, place), element("span", { class: "share", title: "score" }, score.toFixed(2)), meter(Math.exp(score - best))),
      element("span", { class: "actions" },
        action("Why?", `Why ${titleOf(id)}`, () => open(isOpen ? null : id), { "aria-expanded": String(isOpen), "data-key": `why ${id}` }),
        action("+", `Add to the history: ${titleOf(id)}`, () => add(id))));
    return element("li", { class: `${isOpen ? "open " : ""}${state.held === id ? "hit" : ""}`, "data-id": id }, row, isOpen ? element("div", { class: "why", "aria-live": "polite" }, "…") : null);
  }));
  if (focused) [...at("list").querySelectorAll("[data-key]")].find((button) => button.dataset.key === focused)?.focus();
  if (state.open !== null) explain(state.open);
}

function open(id) {
  state.open = id;
  drawList();
  drawBeams();
}

async function explain(id) {
  const box = at("list").querySelector(".why"), mine = turn;
  try {
    const why = await asked("explain", { history: state.history, ...(data.times && { times: state.times }), ...words(), item_id: id });
    await lookUp(why.because.map((one) => one.item_id));
    if (mine !== turn || state.open !== id) return;
    const strength = ({ weight }) => Math.abs(weight), least = why.because.map(strength).sort((a, b) => b - a)[REASONS - 1] ?? 0;
    const reasons = why.because.filter((one) => strength(one) >= least), most = Math.max(1, ...reasons.map(strength));
    const because = element("div", null, element("h4", null, "Because of"),
      ...reasons.map((one) => element("div", { class: "part" }, element("span", { class: "item" }, titleOf(one.item_id)),
        meter(strength(one) / most, one.weight < 0 ? "against" : ""), element("span", { class: "share" }, times(one.weight)))),
      element("p", { class: "note" }, reasons.length ? "How many times likelier it is with each than without" +
        `${reasons.length < why.because.length ? `; the other ${number(why.because.length - reasons.length)} matter less` : ""}.` : "Nothing: the history is empty."));
    const levels = why.path && element("div", null, element("h4", null, "Its ID, code by code"),
      ...why.path.map((step, level) => element("div", { class: "part" }, path(why.path.slice(0, level + 1).map((each) => each.code)),
        meter(Math.exp(step.log_prob)), element("span", { class: "share" }, step.choices > 1 ? `${percent(step.log_prob)} of ${number(step.choices)}` : "the only one"))),
      element("p", { class: "note" }, `Together ${percent(why.log_prob)}, by the generator alone, without preferences.`));
    box.replaceChildren(because, ...(levels ? [levels] : []));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    box.replaceChildren(element("p", { class: "note" }, error.message));
  }
}

// ---- the beams ----

const leads = (beam, codes) => codes !== null && beam.codes.every((code, level) => code === codes[level]);

function drawBeams() {
  if (state.levels === null) return;
  const listed = state.list.map((item) => item.item_id);
  at("beams").replaceChildren(...state.levels.map((level, depth) => {
    const label = depth + 1 === state.levels.length ? "Whole IDs" : `After ${plural(depth + 1, "code")}`;
    const best = Math.max(...level.map((beam) => beam.log_prob));
    const rows = level.slice(0, SHOWN).map((beam) => {
      const below = listed.filter((id) => leads(beam, codesOf(id))), isOpen = below.includes(state.open);
      return element("li", { class: `${below.length ? "leads" : ""} ${isOpen ? "chosen" : ""}` },
        element("span", { class: "pair" }, path(beam.codes), element("span", { class: "share" }, percent(beam.log_prob))),
        meter(Math.exp(beam.log_prob - best)),
        element("small", { class: "item" }, beam.num_items > 1 ? `${plural(beam.num_items, "item")}, such as ` : "", titleOf(isOpen ? state.open : below[0] ?? beam.item_id)));
    });
    const more = level.length - rows.length;
    return element("div", { class: "level" }, element("h3", null, label),
      element("ol", null, ...rows), more > 0 ? element("p", { class: "note" }, `and ${plural(more, "prefix")}`.replace("prefixs", "prefixes") + " less promising") : null);
  }));
}

// ---- preferences ----

const sliders = [];

// A slider of -STEPS .. STEPS; ``steered`` is given nats, and says which filters get how many.
function slider(label, low, high, steered) {
  const said = element("output", null, "as it is");
  const bar = element("input", { type: "range", min: -STEPS, max: STEPS, value: 0, "aria-label": label, input: () => moveTo() });
  let mine = [];
  function moveTo() {
    const nats = NATS * Number(bar.value);
    for (const filter of mine) knobs.delete(filter);
    mine = nats ? steered(nats) : [];
    for (const [filter, amount] of mine) knobs.set(filter, amount);
    mine = mine.map(([filter]) => filter);
    said.textContent = nats ? `${nats > 0 ? high : low} ${times(Math.abs(nats))}` : "as it is";
    bar.setAttribute("aria-valuetext", said.textContent);
    soon();
  }
  bar.reset = () => { bar.value = 0; moveTo(); };
  bar.moveTo = moveTo;
  sliders.push(bar);
  return [bar, said];
}

function drawKnobs() {
  for (const { column, low, high, above, below } of data.ranges) {
    const [bar, said] = slider(column, low, high, (nats) => {
      const filters = nats > 0 ? above : below;
      return filters.map((filter) => [filter, Math.abs(nats) / filters.length]);
    });
    at("knobs").append(element("div", { class: "knob" }, element("span", { class: "pair" }, element("b", null, column), said), bar,
      element("span", { class: "ends", "aria-hidden": "true" }, element("span", null, low), element("span", null, high))));
  }
  for (const { column, values } of data.choices) {
    const select = element("select", { "aria-label": column }, element("option", { value: "" }, `${column}: any`),
      ...values.map(([value, filter]) => element("option", { value: filter }, value)));
    const [bar, said] = slider(`more or less of this ${column}`, "less", "more", (nats) => (select.value ? [[select.value, nats]] : []));
    select.addEventListener("change", () => { if (bar.value === "0" && select.value) bar.value = STEPS / 2; else if (!select.value) bar.value = 0; bar.disabled = !select.value; bar.moveTo(); });
    bar.disabled = true;
    at("knobs").append(element("div", { class: "knob" }, element("span", { class: "pair" }, select, said), bar,
      element("span", { class: "ends", "aria-hidden": "true" }, element("span", null, "less"), element("span", null, "more"))));
  }
  if (!sliders.length) at("knobs").append(element("p", { class: "note" }, "The items have no columns to steer by."));
}

// ---- search ----

const search = at("search"), found = at("found");
let typed = 0, searched = 0;

function close() { searched++; clearTimeout(typed); found.replaceChildren(); }

async function find() {
  const mine = ++searched, words = search.value.trim();
  if (!words) return close();
  try {
    const { items, num_found: all } = await asked(`items?limit=${data.found}&query=${encodeURIComponent(words)}`);
    if (mine !== searched) return;
    remember(items);
    const rows = items.map(({ item_id: id }) => element("li", null,
      element("button", { type: "button", class: "row", click: () => { search.value = ""; close(); search.focus(); add(id); } }, imageOf(id), named(id))));
    found.replaceChildren(...rows, ...(all > items.length ? [element("li", { class: "note" }, `${number(all)} items; more words find fewer.`)] : []),
      ...(all ? [] : [element("li", { class: "note" }, "Nothing found.")]));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    found.replaceChildren(element("li", { class: "note" }, error.message));
  }
}

search.addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(find, WAIT); });
search.parentElement.addEventListener("keydown", async (event) => {
  const stops = [search, ...found.querySelectorAll("button")], here = stops.indexOf(document.activeElement);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    stops[Math.min(stops.length - 1, Math.max(0, here + (event.key === "ArrowDown" ? 1 : -1)))].focus();
  } else if (event.key === "Escape") { close(); search.focus(); }
  else if (event.key === "Enter" && here === 0) { clearTimeout(typed); await find(); found.querySelector("button")?.click(); }
});
document.addEventListener("click", (event) => { if (!search.parentElement.contains(event.target)) close(); });

// ---- the rest ----

for (const [place, history] of data.samples.entries())
  at("samples").append(element("option", { value: String(place) }, `User ${place + 1}: ${plural(history.length - 1, "item")}`));
at("samples").prepend(element("option", { value: "" }, "or take a sample user ..."));
at("samples").value = "";
at("samples").parentElement.hidden = !data.samples.length;
at("samples").addEventListener("change", () => {
  const place = at("samples").value, history = data.samples[place];
  if (history) setHistory(history.slice(0, -1), history.at(-1), data.times?.samples[place]?.slice(0, -1) ?? []);
});
at("clear").addEventListener("click", () => { setHistory([], null, []); search.focus(); });
at("reset").addEventListener("click", () => { for (const bar of sliders) bar.reset(); sliders[0]?.focus(); });
at("preferences").open = window.innerWidth > 900;
at("seen").checked = data.excludeSeen;
at("seen").addEventListener("change", soon);
for (const name of ["query", "wish"]) at(name).closest("label").hidden = !data.words.includes(name);
for (const name of ["filter", "query", "wish"])
  at(name).addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(update, 4 * WAIT); });
drawKnobs();
drawRequest();
const ofLink = () => {
  const link = new URLSearchParams(location.hash.slice(1)), times = link.getAll("time").map(Number);
  return setHistory(link.getAll("item"), null, times.every(Number.isFinite) ? times : []);
};
window.addEventListener("hashchange", ofLink);
await ofLink();
document.documentElement.dataset.ready = "yes";
