// What is around the lanes: the axis, the labels, violations and cursors.

function paintAxis(brush, timeline) {
  const { colours, view } = brush;
  const { model } = timeline;
  brush.fill(colours.panel, 0, 0, view.right, HEAD);
  brush.fill(colours.line, 0, HEAD - 1, view.right, 1);
  const step = stepFor(view);
  const digits = Math.max(0, Math.ceil(-Math.log10(step / 1000) - 1e-9));
  for (const at of ticks(view, step)) {
    const x = view.x(at);
    brush.fill(colours.line, x, 22, 1, HEAD - 22);
    brush.text(`${(at / 1000).toFixed(digits)} s`, x + 4, 30, colours.muted);
  }
  paintPhases(brush, model);
  paintFlags(brush, model);
  brush.fill(colours.panel, 0, 0, GUTTER, HEAD - 1);
}

function paintGrid(brush, height) {
  const { colours, view } = brush;
  for (const at of ticks(view, stepFor(view))) {
    brush.fill(colours.line, view.x(at), 0, 1, height);
  }
}

function ticks(view, step) {
  const first = Math.ceil(Math.max(view.from, 0) / step);
  const last = Math.floor(view.to / step);
  return Array.from({ length: Math.max(last - first + 1, 0) }, (_, n) => (first + n) * step);
}

// A step of 1, 2 or 5 for which labels do not touch.
function stepFor(view) {
  const least = 85 / view.scale;
  const power = 10 ** Math.floor(Math.log10(least));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= least) * power;
  return Math.max(step, 1);
}

function paintPhases(brush, model) {
  const { colours, view } = brush;
  if (model.end <= model.healed) {
    return;
  }
  const x = view.x(model.healed);
  const colour = colours.good;
  if (x > view.left && x < view.right) {
    brush.fill(colour, x - 0.5, 0, 1, HEAD);
  }
  const left = Math.max(x, view.left) + 5;
  const texts = ["healed: what is owed must happen now", "healed"];
  brush.textIn(texts, left, view.right, 11, colour);
}

// Lines for the violations, and a dotted one for the end of the faults.
function paintViolations(brush, { model, layout }) {
  const { context, colours, view } = brush;
  if (model.end > model.healed) {
    context.setLineDash([2, 4]);
    const x = view.x(model.healed);
    brush.line(colours.good, [
      [x, 0],
      [x, layout.height],
    ]);
    context.setLineDash([]);
  }
  for (const violation of model.violations) {
    const x = view.x(violation.at_ms);
    brush.fill(colours.bad, x - 1, 0, 2, layout.height);
    for (const lane of layout.lanes) {
      if (isNamed(lane, violation)) {
        brush.dot(x, middleOf(lane), 8, null, colours.bad);
      }
    }
  }
}

// The height of what a violation is about.
const middleOf = ({ y, kind, sizes }) =>
  kind === "node" ? y + 6 + sizes.role / 2 : y + sizes.above + sizes.bar / 2;

function isNamed(lane, violation) {
  return lane.kind === "node"
    ? violation.nodes.includes(lane.node.node)
    : lane.kind === "lease" && violation.leases.includes(lane.lease.id);
}

function paintFlags(brush, model) {
  const { colours, view } = brush;
  let taken = Infinity;
  for (const violation of model.violations.toReversed()) {
    const x = view.x(violation.at_ms);
    if (x < view.left || x > view.right) {
      continue;
    }
    const text = violation.property.split(/[ ,]/)[0];
    const width = brush.width(text, BOLD) + 12;
    const left = Math.min(x - 1, view.right - width, taken - width - 3);
    brush.fill(colours.bad, x - 1, 3, 2, HEAD - 3);
    brush.fill(colours.bad, left, 3, width, 16);
    brush.text(text, left + 6, 11.5, colours.paper, BOLD);
    taken = left;
  }
}

// The names of the lanes, and what they are at the time of the cursor.
function paintLabels(brush, timeline) {
  const { context, colours } = brush;
  const { model, layout, scroller } = timeline;
  const at = timeline.now();
  context.save();
  context.beginPath();
  context.rect(0, HEAD, GUTTER, timeline.height - HEAD);
  context.clip();
  brush.fill(colours.paper, 0, HEAD, GUTTER, timeline.height);
  context.translate(0, -scroller.scrollTop);
  for (const lane of layout.lanes) {
    brush.fill(colours.line, 0, lane.y + lane.height - 0.5, GUTTER, 1);
    const isBad = model.violations.some((violation) => isNamed(lane, violation));
    const state = stateOf(lane, at);
    if (lane.kind === "heading") {
      brush.text("LEASES", 12, lane.y + 12, colours.muted, `600 10px ${FONT.slice(5)}`);
    } else if (state !== "" && lane.height < 34) {
      paintShortLabel(brush, lane, state, isBad);
    } else {
      const middle = Math.min(lane.height / 2, 24) + lane.y;
      const y = state === "" ? lane.y + lane.height / 2 : middle - 7;
      brush.text(lane.label, 12, y, isBad ? colours.bad : colours.ink, BIG);
      brush.text(state, 12, middle + 8, colours.muted);
    }
  }
  context.restore();
  brush.fill(colours.line, GUTTER - 1, 0, 1, timeline.height);
}

const BIG = `600 12.5px ${FONT.slice(5)}`;

function paintShortLabel(brush, lane, state, isBad) {
  const { colours } = brush;
  const y = lane.y + lane.height / 2;
  const left = 12 + brush.width(lane.label, BIG) + 8;
  brush.text(lane.label, 12, y, isBad ? colours.bad : colours.ink, BIG);
  const short = state.split(/[ ,]/)[0];
  brush.textIn([state, short], left, GUTTER - 4, y, colours.muted);
}

function stateOf(lane, at) {
  if (lane.kind === "node") {
    return nodeAt(lane.node, at);
  }
  return lane.kind === "lease" ? leaseAt(lane.lease, at) : "";
}

function paintCursors(brush, timeline) {
  const { context, colours, view } = brush;
  const { hover, pin, height, range } = timeline;
  if (range) {
    context.globalAlpha = 0.2;
    const [from, to] = [Math.min(...range), Math.max(...range)];
    brush.fill(colours["epoch-0"], view.x(from), HEAD, view.x(to) - view.x(from), height);
    context.globalAlpha = 1;
  }
  if (pin !== null) {
    const isViolation = timeline.model.violations.some((violation) => violation.at_ms === pin);
    const colour = isViolation ? colours.bad : colours.ink;
    paintCursor(brush, pin, height, seconds(Math.round(pin)), colour);
  }
  if (hover && hover.at !== pin) {
    const away = pin === null ? "" : ` (${signed(hover.at - pin)})`;
    paintCursor(brush, hover.at, height, `${seconds(Math.round(hover.at))}${away}`, colours.muted);
  }
}

const signed = (ms) => `${ms < 0 ? "−" : "+"}${seconds(Math.abs(Math.round(ms)))}`;

function paintCursor(brush, at, height, text, colour) {
  const { colours, view } = brush;
  const x = view.x(at);
  if (x < view.left - 1 || x > view.right + 1) {
    return;
  }
  const width = brush.width(text, BOLD) + 10;
  const left = Math.min(Math.max(x - width / 2, view.left), view.right - width);
  brush.fill(colour, x - 0.5, 22, 1, height);
  brush.fill(colour, left, 22, width, 16);
  brush.text(text, left + 5, 30.5, colours.paper, BOLD);
}
