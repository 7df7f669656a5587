// What is on the lanes of clients, members and log, and the messages between them.

function paintLane(brush, lane, model) {
  LANES[lane.kind]?.(brush, lane, model);
}

// What is behind the contents of a lane; what lies behind the end of the run is only promised.
function paintGround(brush, lane, model) {
  const { colours, view } = brush;
  const end = Math.min(Math.max(view.x(model.end), view.left), view.right);
  if (lane.kind !== "heading") {
    brush.fill(colours.lane, view.left, lane.y + 1, end - view.left, lane.height - 2);
    brush.fill(colours.panel, end, lane.y, view.right - end, lane.height);
  }
  brush.fill(colours.line, 0, lane.y + lane.height - 0.5, view.right, 1);
}

const LANES = {
  clients: paintClients,
  node: paintNode,
  log: paintLog,
  lease: paintLease,
};

// Places labels behind marks, where the next mark leaves room.
function paintMarks(brush, entries, y, height, label, colour) {
  let taken = -Infinity;
  entries.forEach((entry, place) => {
    if (!brush.sees(entry.at)) {
      return;
    }
    const x = brush.x(entry.at);
    brush.fill(colour(entry), x - 0.75, y, 1.5, height);
    brush.hit(x - 3, y - 2, x + 3, y + height + 2, { entry });
    const next = entries[place + 1];
    const room = Math.min(next ? brush.x(next.at) : Infinity, brush.view.right + 40) - x - 7;
    const text = label(entry);
    if (x + 4 > taken && brush.width(text) <= room) {
      brush.text(text, x + 4, y + height / 2, brush.colours.muted);
      taken = x + 4 + brush.width(text);
    }
  });
}

function paintClients(brush, lane) {
  const { colours } = brush;
  lane.rows.forEach((row, place) => {
    paintSpans(brush, row, lane.y + 5 + place * (MARK + 2), colours.muted, colours.follower);
  });
}

function paintLog(brush, lane, model) {
  const { colours } = brush;
  const term = (entry) => `term ${entry.fields.epoch} → node ${entry.fields.node}`;
  const colour = (entry) => epochColour(colours, entry.fields.epoch);
  paintMarks(brush, model.elections, lane.y + 4, 12, term, colour);
  const index = (entry) => `${entry.fields.index}`;
  paintMarks(brush, model.specified, lane.y + 21, 10, index, () => colours.faint);
}

function paintNode(brush, lane) {
  const { node, sizes } = lane;
  const { colours } = brush;
  const top = lane.y + 6;
  node.roles.forEach((span) => paintRole(brush, span, top, sizes.role));
  node.pauses.forEach((span) => paintPause(brush, span, top, sizes.role));
  node.starts.forEach((entry) => paintStart(brush, entry, top));
  node.waits.forEach((wait) => paintWait(brush, wait, top + sizes.role));
  paintApplied(brush, node.applied, top + sizes.role + 2, sizes.strip - 3);
  const below = top + sizes.role + sizes.strip + 3;
  lane.rows.forEach((row, place) => {
    paintSpans(brush, row, below + place * (MARK + 2), colours.fault, colours["fault-paper"]);
  });
}

function paintRole(brush, span, top, height) {
  const box = brush.box(span.from, span.to, 2);
  if (!box) {
    return;
  }
  const { colours, view } = brush;
  const isPrimary = span.role === "primary";
  const fill = isPrimary ? epochColour(colours, span.epoch) : colours[span.role];
  if (span.role === "down") {
    brush.fill(colours.panel, box.left, top, box.width, height);
    brush.hatch(fill, box.left, top, box.width, height);
  } else {
    brush.fill(fill, box.left, top, box.width, height);
    brush.fill(colours.paper, box.left, top, 1, height);
  }
  brush.hit(box.left, top, box.right, top + height, { span: roleWords(span) });
  const left = Math.max(box.left, view.left) + 6;
  const [texts, ink] = isPrimary
    ? [
        [`primary · epoch ${span.epoch}`, `epoch ${span.epoch}`, `e${span.epoch}`],
        colours["on-epoch"],
      ]
    : [[span.role === "down" ? `down: ${span.why}` : span.role, span.role], colours.muted];
  const right = Math.min(box.right, view.right) - 3;
  if (span.role === "down") {
    const fits = texts.find((text) => brush.width(text, BOLD) <= right - left);
    if (fits) {
      brush.fill(colours.panel, left - 3, top + 2, brush.width(fits, BOLD) + 6, height - 4);
      brush.text(fits, left, top + height / 2, colours.ink, BOLD);
    }
    return;
  }
  brush.textIn(texts, left, right, top + height / 2, ink, isPrimary ? BOLD : FONT);
}

function roleWords(span) {
  const title = span.role === "primary" ? `primary of epoch ${span.epoch}` : span.role;
  return {
    title: span.why ? `${title}: ${span.why}` : title,
    pairs: spanPairs(span),
  };
}

const spanPairs = (span) => [
  ["from", seconds(span.from)],
  ["to", seconds(span.to)],
  ["for", lasting(span.to - span.from)],
];

function paintPause(brush, span, top, height) {
  const box = brush.box(span.from, span.to, 2);
  if (!box) {
    return;
  }
  const { colours, view } = brush;
  brush.fill(colours["fault-paper"], box.left, top + 3, box.width, height - 6);
  brush.hatch(colours.fault, box.left, top + 3, box.width, height - 6);
  const left = Math.max(box.left, view.left) + 5;
  const width = brush.width("paused", BOLD);
  if (left + width + 4 < Math.min(box.right, view.right)) {
    brush.fill(colours["fault-paper"], left - 3, top + 3, width + 6, height - 6);
    brush.text("paused", left, top + height / 2, colours.fault, BOLD);
  }
  brush.hit(box.left, top, box.right, top + height, {
    span: { title: "paused", pairs: spanPairs(span) },
  });
}

// A start from the disk, or a snapshot, is a notch in the upper edge.
function paintStart(brush, entry, top) {
  if (!brush.sees(entry.at)) {
    return;
  }
  const { colours } = brush;
  const x = brush.x(entry.at);
  const notch = [
    [x - 4, top - 4],
    [x + 4, top - 4],
    [x, top + 2],
  ];
  const colour = entry.differs ? colours.bad : colours.ink;
  brush.shape(notch, entry.fields.from_disk ? colours.paper : colour, colour);
  brush.hit(x - 4, top - 5, x + 4, top + 4, { entry });
}

function paintWait(brush, wait, y) {
  const box = brush.box(wait.from, wait.to, 2);
  if (box) {
    brush.fill(brush.colours.ink, box.left, y - 3, box.width, 3);
    brush.hit(box.left, y - 4, box.right, y + 1, { entry: wait.entry });
  }
}

function paintApplied(brush, applied, top, height) {
  const { colours } = brush;
  let taken = -Infinity;
  applied.forEach((entry, place) => {
    if (!brush.sees(entry.at)) {
      return;
    }
    const x = brush.x(entry.at);
    brush.hit(x - 2.5, top, x + 2.5, top + height, { entry });
    if (entry.differs) {
      brush.fill(colours.bad, x - 2, top - 1, 4, height + 2);
      return;
    }
    brush.fill(colours.faint, x - 0.5, top, 1, height);
    const next = applied[place + 1];
    const text = `${entry.fields.index}`;
    const room = (next ? brush.x(next.at) : Infinity) - x - 6;
    if (x > taken && brush.width(text) <= room) {
      brush.text(text, x + 3, top + height / 2, colours.muted);
      taken = x + 3 + brush.width(text);
    }
  });
}

// Actions of the plan, with labels as far as there is room up to the next one.
function paintSpans(brush, spans, top, ink, paper) {
  const { view } = brush;
  spans.forEach((span, place) => {
    const box = brush.box(span.from, span.to, 3);
    const next = spans[place + 1];
    const free = Math.min(next ? brush.x(next.from) : Infinity, view.right) - 4;
    if (!box || free < view.left) {
      return;
    }
    brush.fill(paper, box.left, top, box.width, MARK);
    brush.fill(ink, box.left, top, span.to > span.from ? 3 : 2, MARK);
    brush.hit(box.left, top, Math.max(box.right, box.left + 5), top + MARK, { entry: span.entry });
    const left = Math.max(box.left, view.left) + 6;
    brush.textIn(span.labels, left, free, top + MARK / 2 + 0.5, ink);
  });
}

// Messages lie below what is on the lanes, so that all of that stays readable.
function paintMessages(brush, lanes, messages) {
  const laneOf = new Map();
  for (const lane of lanes) {
    laneOf.set(lane.kind === "node" ? lane.node.node : lane.kind, lane);
  }
  const find = (end) => laneOf.get(typeof end === "string" ? end : end.node);
  for (const entry of messages) {
    const { from, to, sent_ms } = entry.fields;
    const [start, end] = [find(from), find(to)];
    if (start && end && brush.sees(sent_ms, entry.at)) {
      const isDown = end.y > start.y;
      const ys = [anchorOf(start, isDown), anchorOf(end, !isDown)];
      paintMessage(brush, entry, [brush.x(sent_ms), ys[0]], [brush.x(entry.at), ys[1]]);
    }
  }
}

function cross(brush, x, y, colour) {
  brush.line(
    colour,
    [
      [x - 3.5, y - 3.5],
      [x + 3.5, y + 3.5],
    ],
    1.5,
  );
  brush.line(
    colour,
    [
      [x - 3.5, y + 3.5],
      [x + 3.5, y - 3.5],
    ],
    1.5,
  );
}

function paintMessage(brush, entry, [left, start], [right, end]) {
  const { context, colours } = brush;
  const { arrived } = entry.fields;
  const isDown = end > start;
  const colour = arrived ? colours.muted : colours.fault;
  context.globalAlpha = 0.6;
  context.setLineDash(arrived ? [] : [3, 3]);
  brush.line(
    colour,
    [
      [left, start],
      [right, end],
    ],
    1,
  );
  context.setLineDash([]);
  if (arrived) {
    const angle = Math.atan2(end - start, right - left);
    const wing = (turn) => [right - 6 * Math.cos(angle + turn), end - 6 * Math.sin(angle + turn)];
    brush.shape([[right, end], wing(0.4), wing(-0.4)], colour);
  }
  context.globalAlpha = 1;
  if (!arrived) {
    cross(brush, right, end + (isDown ? -8 : 8), colour);
  }
  brush.hits.push({ line: [left, start, right, end], entry });
}
