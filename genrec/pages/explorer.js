"use strict";
// The explorer. Where one is stands in location.hash (#prefix=12.5, #prefix2=3, #item=ID, #area=events, #colour=brand,
// #from=180), so that any view can be kept as a link. Text of the catalogue enters the page through textContent only.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const { items, labels } = data;
  const LIST = 30, FOUND = 20; // rows of a list, and of the search, at first
  const NEARBY = 12; // others that the map shows at least when an item is opened
  const NARROWEST = 30; // pixels of the side of the smallest tile that is drawn

  const { format: number } = new Intl.NumberFormat("en-US");
  const percent = (part, whole) => (whole ? ((100 * part) / whole).toFixed(part / whole < 0.1 ? 2 : 1) : "0") + "%";
  const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
  const titleOf = (item) => items.titles[item] || items.ids[item];

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

  // ---- the tree: a node is a range of the sorted rows, and one of the prefixes of items that are only counted ----

  function sums(values) {
    const total = new Float64Array(values.length + 1);
    for (let i = 0; i < values.length; i++) total[i + 1] = total[i] + values[i];
    return total;
  }

  class Tree {
    constructor(run) {
      Object.assign(this, run.tree, { name: run.name, ownLevels: run.ownLevels, neighbours: run.neighbours });
      this.eventSums = sums(this.events);
      this.restItems = sums(this.rest.items);
      this.restEvents = sums(this.rest.events);
      this.rowOf = new Int32Array(items.ids.length).fill(-1);
      this.item.forEach((item, row) => { this.rowOf[item] = row; });
      this.root = this.node([], 0, this.item.length, 0, this.rest.items.length);
    }

    node(prefix, start, end, restStart, restEnd) {
      const counted = this.restItems[restEnd] - this.restItems[restStart];
      const events = this.eventSums[end] - this.eventSums[start] + this.restEvents[restEnd] - this.restEvents[restStart];
      return { prefix, start, end, restStart, restEnd, counted, items: end - start + counted, events };
    }

    // By code; both kinds of rows are sorted, so this is one merge.
    children(node) {
      const depth = node.prefix.length, codes = this.codes[depth], rest = this.rest.codes[depth] ?? [];
      if (!codes) // a whole ID: its items, several where collisions are kept
        return Array.from({ length: node.end - node.start }, (_, i) =>
          this.node(node.prefix, node.start + i, node.start + i + 1, node.restEnd, node.restEnd));
      const found = [];
      let row = node.start, other = depth < this.rest.codes.length ? node.restStart : node.restEnd;
      while (row < node.end || other < node.restEnd) {
        const code = Math.min(row < node.end ? codes[row] : Infinity, other < node.restEnd ? rest[other] : Infinity);
        const start = row, restStart = other;
        while (row < node.end && codes[row] === code) row++;
        while (other < node.restEnd && rest[other] === code) other++;
        found.push(this.node([...node.prefix, code], start, row, restStart, other));
      }
      return found;
    }

    // The nodes from the root to a prefix, as far as there are any.
    path(prefix) {
      const found = [this.root];
      for (const code of prefix) {
        const next = this.children(found.at(-1)).find((child) => child.prefix.at(-1) === code);
        if (!next) break;
        found.push(next);
      }
      return found;
    }

    codesOf(row) { return this.codes.map((level) => level[row]); }

    // The longest prefix that an item shares with some others.
    around(item, others) {
      const row = this.rowOf[item];
      return row < 0 ? this.root : this.path(this.codesOf(row)).findLast((node) => node.items > others) ?? this.root;
    }

    shared(one, other) {
      const a = this.rowOf[one], b = this.rowOf[other];
      let depth = 0;
      while (a >= 0 && b >= 0 && depth < this.ownLevels && this.codes[depth][a] === this.codes[depth][b]) depth++;
      return depth;
    }

    itemsOf(node) { return this.item.slice(node.start, node.end).sort((a, b) => a - b); } // items are sent by popularity
    eventsOf(item) { return this.rowOf[item] < 0 ? 0 : this.events[this.rowOf[item]]; }

    // Groups of items that share all codes which the tokenizer chose, largest first.
    collisions() {
      const found = [], codes = this.codes.slice(0, this.ownLevels);
      for (let start = 0, end; start < this.item.length; start = end) {
        for (end = start + 1; end < this.item.length && codes.every((level) => level[start] === level[end]); end++);
        if (end - start > 1) found.push([start, end]);
      }
      return found.sort((a, b) => (b[1] - b[0]) - (a[1] - a[0]));
    }
  }

  // ---- what the items under a prefix have in common ----

  const PLAIN = new Set("a an and at by for from in of on or the to with".split(" "));
  const vocabulary = new Map(), spelled = [], wordCounts = [];
  const wordsOf = items.titles.map((title) => {
    const rows = new Set();
    for (const word of title.toLowerCase().match(/\p{L}[\p{L}\p{N}'-]+/gu) ?? []) {
      if (PLAIN.has(word)) continue;
      let row = vocabulary.get(word);
      if (row === undefined) { row = spelled.push(word) - 1; vocabulary.set(word, row); wordCounts.push(0); }
      rows.add(row);
    }
    for (const row of rows) wordCounts[row]++;
    return [...rows];
  });

  function counts(rows) {
    const found = new Map();
    for (const row of rows) found.set(row, (found.get(row) ?? 0) + 1);
    return [...found].sort((a, b) => b[1] - a[1]);
  }

  // Words that are more common under a prefix than elsewhere.
  function commonWords(tree, node, most) {
    const size = node.end - node.start, rows = [];
    for (let row = node.start; row < node.end; row++) rows.push(...wordsOf[tree.item[row]]);
    const lift = (word, found) => (node === tree.root ? 1 : Math.log((found / size) / (wordCounts[word] / items.ids.length)));
    return counts(rows).filter(([, found]) => found > 1 || size < 3)
      .map(([word, found]) => [found * lift(word, found), spelled[word], found])
      .sort((a, b) => b[0] - a[0]).slice(0, most).map(([, word, found]) => [word, found]);
  }

  // [label, how many], most frequent first; items without a label are left out.
  function commonLabels(tree, node, column) {
    const rows = [];
    for (let row = node.start; row < node.end; row++) rows.push(items[column][tree.item[row]]);
    return counts(rows).filter(([label]) => label >= 0);
  }

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
    const told = new URLSearchParams(location.hash.slice(1)), id = told.get("item");
    state.item = itemOfId.get(id) ?? null;
    state.unknown = id !== null && state.item === null ? id : null;
    state.area = told.get("area") === "events" ? "events" : "items";
    state.colour = told.get("colour") === "popularity" || told.get("colour") in labels ? told.get("colour") : data.colours[0];
    for (const view of views) {
      const prefix = told.get(view.prefixKey);
      view.from = Number(told.get(view.fromKey)) || 0;
      view.node = prefix === null && state.item !== null ? view.tree.around(state.item, NEARBY)
        : view.tree.path((prefix ?? "").split(".").filter(Boolean).map(Number)).at(-1);
    }
  }

  function go(changes) {
    const told = new URLSearchParams(location.hash.slice(1));
    for (const [key, value] of Object.entries(changes)) if (value) told.set(key, value); else told.delete(key);
    if (location.hash.slice(1) === told.toString()) show();
    else location.hash = told.toString();
  }

  const openItem = (item) => go({ item: items.ids[item], prefix: "", prefix2: "", from: "", from2: "" });
  function openPrefix(view, prefix) {
    const places = Object.fromEntries(views.map((each) => [each.prefixKey, each.node.prefix.join(".")]));
    go({ item: "", ...places, [view.prefixKey]: prefix.join("."), [view.fromKey]: "" });
  }

  // ---- colours ----

  // The card's colour mixed with another; hues of the golden angle keep frequent labels apart.
  function palette() {
    const style = getComputedStyle(document.documentElement);
    const channels = (name) => {
      const text = style.getPropertyValue(name).trim().slice(1);
      return [0, 2, 4].map((at) => parseInt(text.slice(at, at + 2), 16));
    };
    const card = channels("--card"), accent = channels("--accent"), light = card[0] > 127 ? 0.5 : 0.56;
    const hue = (label) => [0, 8, 4].map((n) => { // of HSL, at a saturation of .62
      const k = (n + (label * 137.508 + 215) / 30) % 12;
      return 255 * (light - 0.62 * Math.min(light, 1 - light) * Math.max(-1, Math.min(k - 3, 9 - k, 1)));
    });
    const mixed = (colour, share) => `rgb(${card.map((value, i) => Math.round(value + (colour[i] - value) * share)).join()})`;
    return {
      card: mixed(card, 0),
      label: (label, share) => mixed(hue(label), share),
      node: (tree, node) => {
        if (state.colour === "popularity") { // a factor of 4 above or below the mean number of events spans the scale
          const ratio = (node.events / node.items) / ((tree.root.events / tree.root.items) || 1);
          return mixed(accent, 0.08 + 0.6 * Math.min(1, Math.max(0, (Math.log2(ratio || 1e-9) + 2) / 4)));
        }
        const [first] = commonLabels(tree, node, state.colour);
        return first ? mixed(hue(first[0]), 0.06 + 0.7 * (first[1] / (node.end - node.start))) : mixed(accent, 0.04);
      },
    };
  }

  // ---- the map ----

  // Squarified treemap (Bruls, Huizing, van Wijk 2000) of descending sizes: a row is closed when another rectangle would make
  // its longest longer.
  function squarified(sizes, x, y, width, height) {
    const total = sizes.reduce((sum, size) => sum + size, 0), scale = (width * height) / total, found = [];
    if (!total || width <= 0 || height <= 0) return sizes.map(() => [x, y, 0, 0]);
    const worst = (least, most, sum, side) => Math.max((side * side * most) / (sum * sum), (sum * sum) / (side * side * least));
    for (let first = 0, next; first < sizes.length; first = next) {
      const side = Math.max(Math.min(width, height), 1e-6), most = sizes[first] * scale;
      let area = most;
      for (next = first + 1; next < sizes.length; next++) {
        const size = sizes[next] * scale;
        if (worst(size, most, area + size, side) > worst(sizes[next - 1] * scale, most, area, side)) break;
        area += size;
      }
      const thick = area / side;
      for (let along = 0, i = first; i < next; i++) {
        const length = (sizes[i] * scale) / thick;
        found.push(width >= height ? [x, y + along, thick, length] : [x + along, y, length, thick]);
        along += length;
      }
      if (width >= height) { x += thick; width -= thick; } else { y += thick; height -= thick; }
    }
    return found;
  }

  const areaOf = (node) => (state.area === "events" ? Math.max(node.events, 0.2) : node.items);
  const byArea = (a, b) => areaOf(b) - areaOf(a);

  function drawMap(view) {
    const { tree, node, box } = view, map = box.querySelector(".map"), holder = box.querySelector(".tiles-of");
    const width = map.clientWidth, height = map.clientHeight;
    const all = tree.children(node).sort(byArea);
    const most = Math.max(8, Math.min(400, Math.floor((width * height) / (NARROWEST * NARROWEST))));
    const from = view.from < all.length ? view.from : 0;
    const shown = all.slice(from, from + most), left = all.slice(from + most);
    const sizes = shown.map(areaOf);
    if (left.length) sizes.push(sizes.at(-1)); // all that does not fit is one small tile more
    const places = squarified(sizes, 0, 0, width, height);
    const held = state.item === null ? -1 : tree.rowOf[state.item];

    const canvas = box.querySelector("canvas"), pixels = window.devicePixelRatio || 1, pen = canvas.getContext("2d");
    canvas.width = Math.round(width * pixels);
    canvas.height = Math.round(height * pixels);
    pen.scale(pixels, pixels);
    const colours = palette();
    pen.strokeStyle = colours.card;
    view.tiles = shown.map((child, i) => {
      const [x, y, w, h] = places[i], alone = child.items === 1 && child.end > child.start;
      pen.fillStyle = colours.node(tree, child);
      pen.fillRect(x + 1, y + 1, Math.max(w - 2, 0.5), Math.max(h - 2, 0.5));
      if (w > 56 && h > 56 && child.items < 5000 && child.items > 1) { // lines between what is below
        pen.globalAlpha = 0.6;
        for (const place of squarified(tree.children(child).sort(byArea).map(areaOf), x, y, w, h)) pen.strokeRect(...place);
        pen.globalAlpha = 1;
      }
      const holds = held >= child.start && held < child.end;
      const item = tree.item[child.start], code = String(child.prefix.at(-1));
      const words = alone ? titleOf(item) : commonWords(tree, child, 3).map(([word]) => word).join(" ");
      const told = alone ? `Item ${titleOf(item)}, code ${code}`
        : `Prefix ${child.prefix.join(".")}: ${plural(child.items, "item")}, ${plural(child.events, "event")}; ${words}`;
      const tile = element("button", {
        type: "button", class: holds ? "holds" : null, tabindex: "-1", title: told,
        "aria-label": holds ? `${told}. Holds the item` : told,
        click: () => (alone ? openItem(item) : openPrefix(view, child.prefix)),
      });
      if (w > 16 + 8 * code.length && h > 16) tile.append(element("b", null, holds ? `● ${code}` : code));
      const lines = Math.floor((h - 20) / 13.8);
      if (w > 52 && lines > 0 && words) tile.append(element("span", { style: `-webkit-line-clamp: ${lines}` }, words));
      return { tile, place: places[i] };
    });
    if (left.length) {
      const told = `${number(left.length)} more: ${plural(left.reduce((sum, child) => sum + child.items, 0), "item")}`;
      const click = () => go({ [view.fromKey]: String(from + most) });
      const tile = element("button", { type: "button", class: "more", tabindex: "-1", title: told, "aria-label": told, click }, "…");
      view.tiles.push({ tile, place: places.at(-1) });
    }
    for (const { tile, place: [x, y, w, h] } of view.tiles)
      Object.assign(tile.style, { left: `${x}px`, top: `${y}px`, width: `${w}px`, height: `${h}px` });
    const focused = holder.contains(document.activeElement);
    holder.replaceChildren(...view.tiles.map(({ tile }) => tile));
    if (!all.length) holder.append(element("p", { class: "note" }, `${plural(node.items, "item")}, only counted.`));
    const first = view.tiles.find(({ tile }) => tile.classList.contains("holds")) ?? view.tiles[0];
    if (first) first.tile.tabIndex = 0;
    if (focused) first?.tile.focus({ preventScroll: true });
  }

  // ---- what is told beside the map ----

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
})();
