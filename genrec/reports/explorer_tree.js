// What the explorer knows: items, trees of their codes, and what the items under a prefix have in common.

const data = JSON.parse(document.getElementById("data").textContent);
const { items, labels } = data;
const { format: number } = new Intl.NumberFormat("en-US");
const percent = (part, whole) => (whole ? ((100 * part) / whole).toFixed(part / whole < 0.1 ? 2 : 1) : "0") + "%";
const plural = (count, word) => `${number(count)} ${word}${count === 1 ? "" : "s"}`;
const titleOf = (item) => items.titles[item] || items.ids[item];

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
