// What is on the lane of a lease.

// Signs come after all bars: what was renewed or promised late lies over the next grant.
function paintLease(brush, lane, model) {
  const { sizes } = lane;
  const named = new Set(model.violations.flatMap((violation) => violation.lives));
  lane.rows.forEach((lives, row) => {
    const bar = lane.y + row * lane.row + sizes.above;
    lives.forEach((life) => paintBar(brush, life, bar, sizes, model.end, named.has(life.key)));
    lives.forEach((life, place) => {
      const until = lives[place + 1]?.from ?? Infinity;
      paintPromises(brush, life, bar + sizes.bar + sizes.below / 2 + 1, model.end, until);
      life.marks.forEach((entry) => paintMark(brush, entry, bar, sizes));
      paintEnd(brush, life, bar, sizes);
    });
  });
}

function paintBar(brush, life, bar, sizes, last, isNamed) {
  const { colours, view } = brush;
  const end = life.to ?? last;
  const box = brush.box(life.from, end, 2);
  if (!box) {
    return;
  }
  brush.fill(colours.lease, box.left, bar, box.width, sizes.bar);
  brush.hit(box.left, bar, box.right, bar + sizes.bar, { span: lifeWords(life, end) });
  if (isNamed) {
    brush.context.strokeStyle = colours.bad;
    brush.context.lineWidth = 1.5;
    brush.context.strokeRect(box.left - 1, bar - 1, box.width + 2, sizes.bar + 2);
  }
  const name = `#${life.name.incarnation}`;
  const texts = life.ttl === null ? [name] : [`${name} · TTL ${lasting(life.ttl)}`, name];
  const left = Math.max(box.left, view.left) + 5;
  const right = Math.min(box.right, view.right, firstMark(brush, life, left)) - 3;
  brush.textIn(texts, left, right, bar + sizes.bar / 2 + 0.5, colours.ink);
}

// Where the first sign on a bar is behind a place.
function firstMark(brush, life, left) {
  const xs = life.marks.map((entry) => brush.x(entry.at) - 4).filter((x) => x > left - 8);
  return Math.min(Infinity, ...xs);
}

function lifeWords(life, end) {
  const count = (kind) => life.marks.filter((entry) => entry.kind === kind).length;
  const until = promisedUntil(life);
  const how = life.by === null ? "revoked by a client" : `expired by epoch ${life.by}`;
  const pairs = [
    ["TTL", life.ttl === null ? "?" : lasting(life.ttl)],
    ["granted", seconds(life.from)],
    ["end", life.to === null ? "still there" : `${seconds(end)}, ${how}`],
    ["promised", until === null ? "never" : `until ${seconds(until)}`],
    ["renewed", `${count("renewed")} times`],
    ["delivered", `${count("delivered")} times`],
    ["checkpointed", `${count("checkpointed")} times`],
  ];
  return { title: leaseName(life.name), pairs };
}

function paintMark(brush, entry, bar, sizes) {
  if (!brush.sees(entry.at)) {
    return;
  }
  const { colours } = brush;
  const x = brush.x(entry.at);
  const middle = bar + sizes.bar / 2;
  const isBack = entry.kind === "checkpointed" && entry.fields.remaining_ms === null;
  const sign = SIGNS[isBack ? "taken_back" : entry.kind];
  const isOfEpoch = entry.kind === "renewed" || entry.kind === "delivered";
  const colour = isOfEpoch ? epochColour(colours, entry.fields.epoch) : colours.ink;
  const y = entry.kind === "delivered" ? bar - 4 : middle;
  sign(brush, x, y, sizes.bar / 2 + 2, colour);
  brush.hitAround(x, y, 4.5, { entry });
}

// What clients have been promised is a line below the bar; it is red where it was broken.
function paintPromises(brush, life, y, last, until) {
  const { colours } = brush;
  const end = life.to ?? last;
  const lost = lostEarly(life);
  const isVoid = life.to !== null && life.by === null;
  for (const promise of life.promises) {
    const to = Math.min(promise.to, isVoid ? end : Infinity, lost ? Infinity : until);
    const box = brush.box(promise.from, to);
    if (box && to > promise.from) {
      brush.fill(colours.promise, box.left, y - 0.75, box.width, 1.5);
    }
  }
  const longest = promisedUntil(life);
  if (longest !== null && !isVoid && longest <= until && brush.sees(longest)) {
    brush.fill(lost ? colours.bad : colours.promise, brush.x(longest) - 1, y - 3.5, 2, 7);
  }
  if (lost) {
    paintLoss(brush, lost, y);
  }
  for (const { entry } of life.promises) {
    if (brush.sees(entry.at)) {
      const x = brush.x(entry.at);
      SIGNS.acknowledged(brush, x, y, 0, colours.promise);
      brush.hitAround(x, y, 4, { entry });
    }
  }
}

function paintLoss(brush, lost, y) {
  const { colours, view } = brush;
  const box = brush.box(lost.from, lost.to, 3);
  if (!box) {
    return;
  }
  brush.fill(colours.bad, box.left, y - 2, box.width, 4);
  brush.hit(box.left, y - 5, box.right, y + 5, {
    span: { title: "promised, but gone", pairs: spanPairs(lost) },
  });
  const text = `${seconds(lost.to - lost.from)} early`;
  const left = Math.max(box.left + 7, view.left);
  brush.textIn([text, "early"], left, view.right, y - 11, colours.bad, BOLD);
}

// The end of a lease: a block in the colour of the epoch that expired it, hollow if a client did.
function paintEnd(brush, life, bar, sizes) {
  if (life.to === null || !brush.sees(life.to)) {
    return;
  }
  const { colours } = brush;
  const x = brush.x(life.to);
  const [top, height] = [bar - 2, sizes.bar + 4];
  if (life.by === null) {
    brush.fill(colours.ink, x - 5, top, 5, height);
    brush.fill(colours.paper, x - 3.5, top + 1.5, 2, height - 3);
  } else {
    brush.fill(epochColour(colours, life.by), x - 5, top, 5, height);
  }
  brush.hit(x - 6, top, x + 3, top + height, { entry: life.end });
}
