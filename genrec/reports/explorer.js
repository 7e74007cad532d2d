// What the explorer shows. Where one is stands in location.hash (#prefix=12.5, #prefix2=3, #item=ID, #area=events,
// #colour=brand, #from=180), so that any view can be kept as a link. Text of the catalogue enters the page through textContent
// only.

const LIST = 30, FOUND = 20; // rows of a list, and of the search, at first
const NEARBY = 12; // others that the map shows at least when an item is opened

// An element; children that are no nodes become text, null and "" nothing.
function element(name, attributes, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes ?? {}))
    if (key === "click") made.addEventListener("click", value);
    else if (value !== null) made.setAttribute(key, value);
  made.append(...children.filter((child) => child !== null && child !== ""));
  return made;
}

const link = (text, click) => element("button", { type: "button", class: "link", click }, text);
const aside = (text) => element("span", { class: "share" }, ` ${text}`);

// ---- state ----

const views = data.runs.map((run, index) => ({
  tree: new Tree(run),
  box: document.querySelectorAll(".view")[index],
  prefixKey: index ? "prefix2" : "prefix",
  fromKey: index ? "from2" : "from",
  tiles: [],
}));
const itemOfId = new Map(items.ids.map((id, item) => [id, item]));
const state = {};

function read() {
  const parameters = new URLSearchParams(location.hash.slice(1)), id = parameters.get("item");
  state.item = itemOfId.get(id) ?? null;
  state.unknown = id !== null && state.item === null ? id : null;
  state.area = parameters.get("area") === "events" ? "events" : "items";
  state.colour = parameters.get("colour") === "popularity" || parameters.get("colour") in labels ? parameters.get("colour") : data.colours[0];
  for (const view of views) {
    const prefix = parameters.get(view.prefixKey);
    view.from = Number(parameters.get(view.fromKey)) || 0;
    view.node = prefix === null && state.item !== null ? view.tree.around(state.item, NEARBY)
      : view.tree.path((prefix ?? "").split(".").filter(Boolean).map(Number)).at(-1);
  }
}

function go(changes) {
  const parameters = new URLSearchParams(location.hash.slice(1));
  for (const [key, value] of Object.entries(changes)) if (value) parameters.set(key, value); else parameters.delete(key);
  if (location.hash.slice(1) === parameters.toString()) show();
  else location.hash = parameters.toString();
}

const openItem = (item) => go({ item: items.ids[item], prefix: "", prefix2: "", from: "", from2: "" });
function openPrefix(view, prefix) {
  const places = Object.fromEntries(views.map((each) => [each.prefixKey, each.node.prefix.join(".")]));
  go({ item: "", ...places, [view.prefixKey]: prefix.join("."), [view.fromKey]: "" });
}

// ---- what stands beside the map ----

function drawCrumbs(view) {
  const { tree, node, box } = view, crumbs = [];
  for (let depth = 0; depth <= node.prefix.length; depth++) {
    const prefix = node.prefix.slice(0, depth);
    const here = depth === node.prefix.length && !view.from ? "location" : null;
    if (depth) crumbs.push(" › ");
    crumbs.push(element("button", { type: "button", "aria-current": here, click: () => openPrefix(view, prefix) },
      depth ? String(prefix.at(-1)) : "all"));
  }
  if (view.from) crumbs.push(` › from ${number(view.from + 1)}`);
  box.querySelector(".crumbs").replaceChildren(...crumbs);
}

const facts = (rows) => element("dl", null, ...rows.filter((row) => row && row[1].length).flatMap(([name, value]) =>
  [element("dt", null, name), element("dd", null, ...[value].flat())]));

const itemRow = (item, note) => element("li", { class: state.item === item ? "chosen" : null },
  link(titleOf(item), () => openItem(item)), aside(note));

// A list that grows on demand.
function longList(rows, made, first = LIST) {
  const list = element("ol", { class: "rows" }, ...rows.slice(0, first).map(made)), box = element("div", null, list);
  if (rows.length <= first) return box;
  const more = element("button", { type: "button", class: "quiet", click: () => {
    const shown = list.children.length;
    list.append(...rows.slice(shown, shown + 200).map(made));
    if (list.children.length >= rows.length) more.remove();
  } }, `Show more of ${number(rows.length)}`);
  box.append(more);
  return box;
}

// The most frequent labels, each with the colour of its areas.
function labelFacts(tree, node, column) {
  const colours = palette(), size = node.end - node.start;
  return commonLabels(tree, node, column).slice(0, 5).map(([label, found]) => {
    const swatch = element("i", { class: "swatch", style: `background: ${colours.label(label, 0.76)}` });
    return element("span", { class: "labelled" }, state.colour === column ? swatch : null,
      `${labels[column][label]} ${percent(found, size)}`);
  });
}

// Where the items of a prefix are in the other tree: prefixes of as many levels.
function elsewhere(view) {
  const other = views.find((each) => each !== view), { tree, node } = view, depth = node.prefix.length;
  if (!other || !depth) return [];
  const rows = tree.itemsOf(node).map((item) => other.tree.rowOf[item]).filter((row) => row >= 0);
  const found = counts(rows.map((row) => other.tree.codesOf(row).slice(0, depth).join(".")));
  return [
    element("h4", null, `In ${other.tree.name}: ${plural(found.length, "prefix").replace("prefixs", "prefixes")}`),
    longList(found, ([prefix, count]) => element("li", null,
      link(prefix, () => openPrefix(other, prefix.split(".").map(Number))), aside(`${number(count)} of ${plural(rows.length, "item")}`)), 5),
  ];
}

function prefixPanel(view) {
  const { tree, node } = view, root = tree.root;
  return [
    element("h3", null, node.prefix.length ? `Prefix ${node.prefix.join(".")}` : "All items"),
    facts([
      ["items", `${number(node.items)} (${percent(node.items, root.items)})`],
      ["training events", `${number(node.events)} (${percent(node.events, root.events)}), ` +
        `${(node.events / Math.max(node.items, 1)).toFixed(1)} an item`],
      ["common words", commonWords(tree, node, 10).map(([word, found]) => `${word} ${number(found)}`).join(", ")],
      ...Object.keys(labels).map((column) => [column, labelFacts(tree, node, column)]),
    ]),
    ...elsewhere(view),
    element("h4", null, "Items, most popular first"),
    longList(tree.itemsOf(node), (item) => itemRow(item, plural(tree.eventsOf(item), "event"))),
    node.counted ? element("p", { class: "note" }, `${plural(node.counted, "less popular item")} more, only counted here.`) : null,
  ];
}

function itemPanel(view) {
  const { tree } = view, item = state.item, row = tree.rowOf[item];
  if (row < 0) return [element("h3", null, titleOf(item)), element("p", { class: "note" }, "This run does not have the item.")];
  const codes = tree.codesOf(row), home = tree.around(item, 1);
  const near = (tree.neighbours ?? []).slice(5 * item, 5 * item + 5).filter((other) => other >= 0);
  const siblings = tree.itemsOf(home).filter((other) => other !== item);
  return [
    element("h3", null, titleOf(item)),
    facts([
      ["id", items.ids[item]],
      ...Object.keys(labels).map((column) => [column, labels[column][items[column][item]] ?? ""]),
      ["training events", `${number(tree.events[row])} (${percent(tree.events[row], tree.root.events)})`],
    ]),
    element("h4", null, `Path ${codes.join(".")}`),
    element("ol", { class: "rows" }, ...tree.path(codes).slice(1).map((node) => element("li", null,
      link(node.prefix.join("."), () => openPrefix(view, node.prefix)),
      aside(node.items > 1 ? `${plural(node.items, "item")}: ${commonWords(tree, node, 4).map(([word]) => word).join(" ")}`
        : "this item alone")))),
    element("h4", null, `Siblings under ${home.prefix.join(".") || "the root"}`),
    siblings.length ? longList(siblings, (other) => itemRow(other, plural(tree.eventsOf(other), "event")), 8)
      : element("p", { class: "note" }, "None."),
    near.length ? element("h4", null, data.nearest) : null,
    near.length ? element("ol", { class: "rows" }, ...near.map((other) =>
      itemRow(other, `shares ${tree.shared(item, other)} of ${plural(tree.ownLevels, "code")}`))) : null,
  ];
}

function drawPanel(view) {
  const panel = view.box.querySelector(".panel");
  const content = (state.item === null ? prefixPanel(view) : itemPanel(view)).filter(Boolean);
  if (state.unknown !== null)
    content.unshift(element("p", { class: "warning" }, `No item ${state.unknown} is known by name here.`));
  panel.replaceChildren(...content);
  panel.scrollTop = 0;
}

function drawCollisions(view) {
  const { tree, box } = view, groups = tree.collisions(), here = box.querySelector(".collisions");
  const together = groups.reduce((sum, [start, end]) => sum + end - start, 0), levels = plural(tree.ownLevels, "code");
  here.replaceChildren(element("p", { class: "note" }, (groups.length
    ? `${plural(together, "item")} (${percent(together, tree.item.length)}) share their first ${levels} with another, in ${plural(groups.length, "group")}.`
    : `No two items share their first ${levels}.`) + (tree.root.counted ? " Among the items that are known by name." : "")),
  longList(groups, ([start, end]) => {
    const prefix = tree.codesOf(start).slice(0, tree.ownLevels), named = tree.item.slice(start, end).sort((a, b) => a - b);
    return element("li", null,
      link(prefix.join("."), () => { openPrefix(view, prefix); box.scrollIntoView(); }), aside(plural(end - start, "item")),
      element("span", { class: "titles" }, named.slice(0, 4).map(titleOf).join(" · ") + (named.length > 4 ? " · …" : "")));
  }));
}

function show() {
  read();
  for (const button of document.querySelectorAll("[data-key]"))
    button.setAttribute("aria-pressed", String(state[button.dataset.key] === button.dataset.value));
  for (const view of views) { drawCrumbs(view); drawMap(view); drawPanel(view); }
}

// ---- keys, search, and whatever changes the size or the colours ----

function step(view, key) {
  const here = view.tiles.find(({ tile }) => tile === document.activeElement);
  if (!here) return;
  const middle = ([x, y, w, h]) => [x + w / 2, y + h / 2], [x, y] = middle(here.place);
  const [across, down] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null, least = Infinity;
  for (const other of view.tiles) {
    const dx = middle(other.place)[0] - x, dy = middle(other.place)[1] - y, ahead = dx * across + dy * down;
    const cost = ahead + 3 * Math.abs(dx * down + dy * across);
    if (ahead > 1 && cost < least) { best = other; least = cost; }
  }
  if (!best) return;
  here.tile.tabIndex = -1;
  best.tile.tabIndex = 0;
  best.tile.focus();
}

for (const view of views) {
  const map = view.box.querySelector(".map"), collisions = view.box.querySelector("details");
  map.addEventListener("keydown", (event) => {
    if (event.key in { ArrowLeft: 1, ArrowRight: 1, ArrowUp: 1, ArrowDown: 1 }) { event.preventDefault(); step(view, event.key); }
    else if (event.key === "Escape" || event.key === "Backspace") {
      event.preventDefault();
      openPrefix(view, state.item !== null || view.from ? view.node.prefix : view.node.prefix.slice(0, -1));
    }
  });
  collisions.addEventListener("toggle", () => drawCollisions(view), { once: true });
  let drawn = map.clientWidth;
  new ResizeObserver(([{ contentRect: { width } }]) => {
    if (width && width !== drawn) { drawn = width; drawMap(view); }
  }).observe(map);
}
for (const button of document.querySelectorAll("[data-key]"))
  button.addEventListener("click", () => go({ [button.dataset.key]: button.dataset.value }));

const search = document.getElementById("search"), results = document.getElementById("results");
let texts = null, timer = 0;

function find() {
  const phrase = search.value.trim().toLowerCase(), words = phrase.split(/\s+/).filter(Boolean), whole = [], parts = [];
  texts ??= items.titles.map((title, item) => `${title}\n${items.ids[item]}`.toLowerCase());
  if (words.length)
    texts.forEach((text, item) => {
      if (text.includes(phrase)) whole.push(item);
      else if (words.every((word) => text.includes(word))) parts.push(item);
    });
  const found = [...whole, ...parts];
  const rows = found.slice(0, FOUND).map((item) =>
    element("li", null, link(titleOf(item), () => { close(); openItem(item); }), aside(items.ids[item])));
  if (found.length > FOUND) rows.push(element("li", { class: "note" }, `The ${FOUND} most popular; more words find fewer.`));
  if (words.length && !found.length) rows.push(element("li", { class: "note" }, "Nothing found."));
  results.replaceChildren(...rows);
}

function close() { results.replaceChildren(); search.value = ""; }

search.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(find, 80); });
search.parentElement.addEventListener("keydown", (event) => {
  const stops = [search, ...results.querySelectorAll("button")], here = stops.indexOf(document.activeElement);
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    stops[Math.min(stops.length - 1, Math.max(0, here + (event.key === "ArrowDown" ? 1 : -1)))].focus();
  } else if (event.key === "Escape") { close(); search.focus(); }
  else if (event.key === "Enter" && here === 0) { find(); results.querySelector("button")?.click(); }
});
document.addEventListener("click", (event) => { if (!search.parentElement.contains(event.target)) results.replaceChildren(); });

window.addEventListener("hashchange", show);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
show();
document.documentElement.dataset.ready = String(Math.round(performance.now()));
