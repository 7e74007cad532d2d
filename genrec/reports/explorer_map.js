// The map: a treemap of the prefixes below one, coloured by what they hold.

const NARROWEST = 30; // pixels of the side of the smallest tile that is drawn

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
    const tileTitle = alone ? `Item ${titleOf(item)}, code ${code}`
      : `Prefix ${child.prefix.join(".")}: ${plural(child.items, "item")}, ${plural(child.events, "event")}; ${words}`;
    const tile = element("button", {
      type: "button", class: holds ? "holds" : null, tabindex: "-1", title: tileTitle,
      "aria-label": holds ? `${tileTitle}. Holds the item` : tileTitle,
      click: () => (alone ? openItem(item) : openPrefix(view, child.prefix)),
    });
    if (w > 16 + 8 * code.length && h > 16) tile.append(element("b", null, holds ? `● ${code}` : code));
    const lines = Math.floor((h - 20) / 13.8);
    if (w > 52 && lines > 0 && words) tile.append(element("span", { style: `-webkit-line-clamp: ${lines}` }, words));
    return { tile, place: places[i] };
  });
  if (left.length) {
    const tileTitle = `${number(left.length)} more: ${plural(left.reduce((sum, child) => sum + child.items, 0), "item")}`;
    const click = () => go({ [view.fromKey]: String(from + most) });
    const tile = element("button", { type: "button", class: "more", tabindex: "-1", title: tileTitle, "aria-label": tileTitle, click }, "…");
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
