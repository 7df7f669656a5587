// Where each lane is, from top to bottom.

// From the largest that there may be room for to what must do.
const SIZES = [
  { role: 24, strip: 13, above: 12, bar: 20, below: 12, foot: 6 },
  { role: 18, strip: 11, above: 9, bar: 14, below: 8, foot: 4 },
  { role: 16, strip: 10, above: 7, bar: 11, below: 5, foot: 2 },
];

const HEAD = 40; // The axis.
const MARK = 15; // The height of a fault or a request.
const MOST_ROWS = 3;

// The lanes of a run, for a plot that is so high, and so wide when it shows all.
function layLanes(model, height, pixelsPerMs, measure) {
  const pack = (entries) => packSpans(entries, pixelsPerMs, measure);
  const rows = {
    requests: pack(model.requests),
    faults: model.nodes.map((node) => pack(node.faults)),
  };
  const layouts = SIZES.map((sizes) => layWith(sizes, model, rows));
  return layouts.find((layout) => layout.height <= height) ?? layouts.at(-1);
}

function layWith(sizes, model, { requests, faults }) {
  const lanes = [];
  let y = HEAD;
  const push = (lane) => {
    lanes.push({ y, sizes, ...lane });
    y += lane.height;
  };
  const marks = (rows) => (rows.length === 0 ? 2 : rows.length * (MARK + 2) + 4);
  const height = Math.max(marks(requests) + 4, 26);
  push({ kind: "clients", label: "clients", rows: requests, height });
  model.nodes.forEach((node, place) => {
    const rows = faults[place];
    const height = Math.max(8 + sizes.role + sizes.strip + marks(rows), 42);
    push({ kind: "node", label: `node ${node.node}`, node, rows, height });
  });
  push({ kind: "log", label: "log", height: 36 });
  const leases = [...model.leases.values()].sort(byInterest(model));
  if (leases.length > 0) {
    push({ kind: "heading", label: "leases", height: 22 });
  }
  for (const lease of leases) {
    const rows = packLives(lease.lives, model.end);
    const row = sizes.above + sizes.bar + sizes.below + sizes.foot;
    push({
      kind: "lease",
      label: `lease ${lease.id}`,
      lease,
      rows,
      row,
      height: rows.length * row,
    });
  }
  return { lanes, height: y + 8 };
}

// Leases that a violation names come first.
function byInterest(model) {
  const named = new Set(model.violations.flatMap((violation) => violation.leases));
  const rank = (lease) => (named.has(lease.id) ? 0 : 1);
  return (one, other) => rank(one) - rank(other) || one.id - other.id;
}

// Puts actions that overlap into rows, with room for their labels when all of the run is shown.
function packSpans(spans, pixelsPerMs, measure) {
  const rows = [];
  for (const span of spans) {
    const needed = span.from + (measure(span.labels[0]) + 14) / pixelsPerMs;
    const free = rows.find((row) => row.end <= span.from);
    const row = free ?? (rows.length < MOST_ROWS ? newRow(rows) : soonest(rows));
    row.spans.push(span);
    row.end = Math.max(row.end, span.to, needed);
  }
  return rows.map((row) => row.spans);
}

function newRow(rows) {
  rows.push({ end: 0, spans: [] });
  return rows.at(-1);
}

const soonest = (rows) => rows.reduce((best, row) => (row.end < best.end ? row : best));

// Grants of an id follow each other on one row, unless something is very wrong.
function packLives(lives, end) {
  const rows = [];
  for (const life of [...lives].sort((one, other) => one.from - other.from)) {
    let row = rows.find((it) => it.end <= life.from);
    row ??= newRow(rows);
    row.spans.push(life);
    row.end = life.to ?? end;
  }
  return rows.map((row) => row.spans);
}

// Where a message leaves a lane, or enters it, to or from a lane above or below.
function anchorOf(lane, isBelow) {
  if (lane.kind !== "node") {
    return isBelow ? lane.y + lane.height - 2 : lane.y + 2;
  }
  return lane.y + 6 + (isBelow ? lane.sizes.role : 0);
}
