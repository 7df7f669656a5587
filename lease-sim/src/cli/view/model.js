// What a trace says about members and leases.

// Everything that a page shows, from a plan and a report.
function understand(run) {
  const { plan, report } = run;
  const model = {
    end: report.virtual_ms,
    healed: plan.parameters.faulty_ms,
    entries: entriesOf(plan, report),
    violations: [],
    nodes: Array.from({ length: plan.parameters.nodes }, (_, node) => newNode(node)),
    leases: new Map(),
    elections: [],
    specified: [],
    digests: new Map(),
    requests: [],
    messages: [],
    clockError: clockError(plan.parameters),
  };
  for (const entry of model.entries) {
    STEPS[entry.kind]?.(model, entry);
  }
  model.nodes.forEach((node) => endNode(node, model.end));
  model.nodes.forEach((node) => (node.faults = faultsOf(model, plan, node.node)));
  model.last = lastOf(model);
  return model;
}

// The plan, the trace and the violations in one list, by time.
function entriesOf(plan, report) {
  const planned = plan.actions
    .filter((timed) => timed.at_ms <= report.virtual_ms)
    .map(({ at_ms, action }) => {
      const named = actionOf(action);
      const kind = named.name in REQUESTS ? "request" : "fault";
      return newEntry(at_ms, kind, named);
    });
  const happened = report.trace.map(({ at_ms, event }) => {
    const [[kind, fields]] = Object.entries(event);
    return newEntry(at_ms, kind, fields);
  });
  const violations = report.violations.map((it) => newEntry(it.at_ms, "violation", it));
  const entries = [...planned, ...happened, ...violations];
  // Sorting is stable: at the same time comes the plan first and the violation last.
  entries.sort((one, other) => one.at - other.at);
  entries.forEach((entry, place) => (entry.place = place));
  return entries;
}

function actionOf(action) {
  const [[name, fields]] = Object.entries(action);
  return { name, fields };
}

function newEntry(at, kind, fields) {
  const about = kind === "fault" || kind === "request" ? fields.fields : fields;
  const name = about.name ?? about.answer?.[0];
  const named = namedBy(kind, fields);
  const ends = [about.from, about.to].map((end) => end?.node);
  return {
    at,
    kind,
    fields,
    nodes: [about.node, ...ends, ...named.nodes].filter((node) => node !== undefined),
    leases: [name?.lease ?? about.lease, ...named.leases].filter((id) => id != null),
  };
}

function namedBy(kind, fields) {
  if (kind === "violation") {
    return namedIn(fields.message);
  }
  const ids = kind === "message" ? fields.what.matchAll(/LeaseId\((-?\d+)\)/g) : [];
  return { nodes: [], leases: [...ids].map((found) => exactly(found[1])) };
}

// A number as the data of the page have it: as text if it is too large to be exact.
const exactly = (text) => (Number.isSafeInteger(Number(text)) ? Number(text) : text);

// The members, leases and grants that a message of a checker speaks of.
function namedIn(message) {
  const all = (pattern) => [...message.matchAll(pattern)].map((found) => exactly(found[1]));
  return {
    nodes: all(/\b(?:node|primary) (\d+)/g),
    leases: all(/\blease (-?\d+)/g),
    lives: [...message.matchAll(/\blease (-?\d+) of entry (\d+)/g)].map(
      (found) => `${found[1]}#${found[2]}`,
    ),
  };
}

// How much earlier than promised a lease of a TTL may expire: as the checker of early loss has it.
function clockError(parameters) {
  const largest = Math.max(0, ...parameters.drift_ppm.map(Math.abs));
  return (ttl) => Math.ceil((2 * ttl * largest) / 1e6);
}

function newNode(node) {
  return {
    node,
    roles: [{ from: 0, role: "down", why: "not started" }],
    pauses: [],
    applied: [],
    starts: [],
    waits: [],
    faults: [],
  };
}

function turn(node, at, role, more = {}) {
  const now = node.roles.at(-1);
  now.to = at;
  if (now.from === at && node.roles.length > 1) {
    node.roles.pop();
  }
  node.roles.push({ from: at, role, ...more });
}

function endNode(node, end) {
  node.roles.at(-1).to = end;
  node.roles = node.roles.filter((span) => span.to > span.from || span.from === end);
  for (const span of [...node.pauses, ...node.waits]) {
    span.to ??= end;
  }
}

function unpause(node, at) {
  const pause = node.pauses.at(-1);
  if (pause && pause.to === undefined) {
    pause.to = at;
  }
}

// The id's grants, and the one that a name means.
function lifeOf(model, name, at) {
  const id = name.lease;
  if (!model.leases.has(id)) {
    model.leases.set(id, { id, lives: [], told: [] });
  }
  const { lives } = model.leases.get(id);
  const known = lives.find((life) => life.name.incarnation === name.incarnation);
  if (known) {
    return known;
  }
  const life = {
    name,
    key: `${id}#${name.incarnation}`,
    from: at,
    to: null,
    by: null,
    ttl: null,
    marks: [],
    promises: [],
  };
  lives.push(life);
  return life;
}

const mark = (model, entry) => lifeOf(model, entry.fields.name, entry.at).marks.push(entry);

// What each kind of event changes.
const STEPS = {
  elected: (model, entry) => model.elections.push(entry),
  recovered(model, entry) {
    const node = model.nodes[entry.fields.node];
    node.starts.push(entry);
    if (node.roles.at(-1).role === "down") {
      turn(node, entry.at, "follower");
    }
    entry.differs = entry.fields.index > 0 && differs(model, entry.fields);
  },
  ended(model, entry) {
    const node = model.nodes[entry.fields.node];
    const why = entry.fields.how === "stopped" ? "stopped" : "power lost";
    turn(node, entry.at, "down", { why });
    unpause(node, entry.at);
    for (const wait of node.waits) {
      wait.to ??= entry.at;
    }
  },
  paused(model, entry) {
    const { pauses } = model.nodes[entry.fields.node];
    if (pauses.length === 0 || pauses.at(-1).to !== undefined) {
      pauses.push({ from: entry.at });
    }
  },
  resumed: (model, entry) => unpause(model.nodes[entry.fields.node], entry.at),
  promoted(model, entry) {
    const { node, epoch } = entry.fields;
    turn(model.nodes[node], entry.at, "primary", { epoch });
  },
  demoted: (model, entry) => turn(model.nodes[entry.fields.node], entry.at, "follower"),
  specified(model, entry) {
    model.specified.push(entry);
    model.digests.set(entry.fields.index, entry.fields.digest);
  },
  applied(model, entry) {
    entry.differs = differs(model, entry.fields);
    model.nodes[entry.fields.node].applied.push(entry);
  },
  granted(model, entry) {
    const life = lifeOf(model, entry.fields.name, entry.at);
    life.from = entry.at;
    life.ttl = entry.fields.ttl_ms;
    life.grant = entry;
  },
  revoked(model, entry) {
    const life = lifeOf(model, entry.fields.name, entry.at);
    life.to = entry.at;
    life.by = entry.fields.by;
    life.end = entry;
  },
  acknowledged(model, entry) {
    const { name, asked_ms, ttl_ms } = entry.fields;
    lifeOf(model, name, entry.at).promises.push({
      entry,
      from: asked_ms,
      to: asked_ms + ttl_ms,
      sure: asked_ms + ttl_ms - model.clockError(ttl_ms),
    });
  },
  renewed: mark,
  delivered: mark,
  checkpoint_proposed: mark,
  checkpointed: mark,
  told_time_to_live: mark,
  wait_began(model, entry) {
    const { node, wait, until_ms } = entry.fields;
    model.nodes[node].waits.push({ from: entry.at, wait, until: until_ms, entry });
  },
  wait_ended(model, entry) {
    const { node, wait } = entry.fields;
    const began = model.nodes[node].waits.findLast((it) => it.wait === wait);
    if (began) {
      began.to = entry.at;
    }
  },
  violation: (model, entry) =>
    model.violations.push({ ...entry.fields, ...namedIn(entry.fields.message), entry }),
  request(model, entry) {
    const labels = actionLabels(entry.fields);
    model.requests.push({ from: entry.at, to: entry.at, entry, labels });
  },
  message: (model, entry) => model.messages.push(entry),
};

const differs = (model, { index, digest }) => model.digests.get(index) !== digest;

// The faults of a member as the plan has them: when they end, too, for nothing in the trace says
// so.
function faultsOf(model, plan, node) {
  const isHealed = node < plan.parameters.core;
  const ofNode = (entry) => entry.kind === "fault" && entry.nodes[0] === node;
  return model.entries.filter(ofNode).map((entry) => {
    const lasts = entry.fields.name === "power_cut" ? undefined : entry.fields.fields.for_ms;
    const planned = entry.at + (lasts ?? 0);
    const outlasts = lasts !== undefined && planned > model.healed;
    // The first members are healed all at once; what is broken of the others then stays so.
    const healed = isHealed ? Math.min(planned, model.healed) : Infinity;
    const to = Math.min(outlasts ? healed : planned, model.end);
    return { from: entry.at, to, entry, labels: actionLabels(entry.fields) };
  });
}

// The last time that there is anything to show of: promises that were broken reach beyond the run.
function lastOf(model) {
  const named = new Set(model.violations.flatMap((violation) => violation.lives));
  const promised = [...model.leases.values()]
    .flatMap((lease) => lease.lives)
    .filter((life) => named.has(life.key))
    .map((life) => promisedUntil(life) ?? 0);
  return Math.max(model.end, 1, ...promised);
}

// Until when a lease is promised by what its clients have heard up to some time.
function promisedUntil(life, heardBy = Infinity) {
  const heard = life.promises.filter((promise) => promise.entry.at <= heardBy);
  return heard.length ? Math.max(...heard.map((promise) => promise.to)) : null;
}

// From when on a lease was missing that had been promised; `null` if it was not.
function lostEarly(life) {
  if (life.to === null || life.by === null) {
    return null;
  }
  const broken = life.promises.filter((promise) => promise.sure > life.to);
  return broken.length ? { from: life.to, to: Math.max(...broken.map((it) => it.to)) } : null;
}

const spanAt = (spans, at) => spans.findLast((span) => span.from <= at && at <= span.to);

// What a member is at a time, in words.
function nodeAt(node, at) {
  const span = spanAt(node.roles, at);
  const applied = node.applied.findLast((entry) => entry.at <= at)?.fields.index;
  const start = node.starts.findLast((entry) => entry.at <= at)?.fields.index;
  const index = Math.max(applied ?? 0, start ?? 0);
  const paused = node.pauses.some((pause) => pause.from <= at && at < pause.to);
  const role = span?.role === "primary" ? `primary e${span.epoch}` : (span?.role ?? "");
  return paused ? `${role}, paused` : `${role} · at ${index}`;
}

// What a lease is at a time, in words.
function leaseAt(lease, at) {
  const life = lease.lives.findLast((it) => it.from <= at);
  if (!life) {
    return "not granted yet";
  }
  const until = promisedUntil(life, at);
  const name = `#${life.name.incarnation}`;
  const isBroken = until > at && life.by !== null;
  if (life.to !== null && life.to <= at) {
    const how = life.by === null ? "revoked" : "expired";
    return isBroken ? `gone ${seconds(until - at)} early` : `${name} ${how}`;
  }
  return until > at ? `${name} for ${seconds(until - at)}` : `${name}, not promised`;
}
