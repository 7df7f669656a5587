// The page: what holds for the whole run, and how its parts hear of each other.

const element = (id) => document.getElementById(id);

function start() {
  // As a picture in another page: the timeline alone, which leaves pointer and wheel to that page.
  document.body.classList.toggle("picture", location.hash === "#picture");
  const run = JSON.parse(element("run").textContent);
  const model = understand(run);
  writeHeader(run, model);
  let list = null;
  const pin = (at, entry = null) => {
    timeline.setPin(at, entry);
    list.follow(at, entry);
  };
  const timeline = new Timeline(model, {
    // A cursor that is set keeps the list where it is.
    hover(at, entry) {
      if (timeline.pin === null) {
        list.follow(at, entry);
      }
    },
    pin,
    lane(lane) {
      const focus = lane && focusOf(lane);
      if (focus) {
        list.setFocus(focus);
      }
    },
    colours: () => list.paint(),
  });
  list = new List(model, {
    pin(at, entry) {
      pin(at, entry);
      timeline.reveal(at);
    },
    point: (at) => timeline.setHover(at),
  });
  const tell = (violation) => {
    const [lease] = violation.leases;
    list.setFocus(lease === undefined ? null : { label: `lease ${lease}`, lease });
    pin(violation.at_ms, violation.entry);
  };
  const jump = (violation) => {
    tell(violation);
    timeline.show(...storyOf(model, violation));
    timeline.scroller.scrollTop = 0;
  };
  writeViolations(model, jump, (at) => {
    pin(at);
    timeline.reveal(at);
  });
  writeLegend();
  foldOnSmallScreens();
  connectTools(model, timeline, list, jump, pin);
  if (model.violations.length > 0) {
    tell(model.violations[0]);
    timeline.show(...openingOf(model, timeline.whole));
  }
}

function focusOf(lane) {
  if (lane.kind === "node") {
    return { label: lane.label, node: lane.node.node };
  }
  return lane.kind === "lease" ? { label: lane.label, lease: lane.lease.id } : null;
}

// What is shown first: all, but not the long time in which a plan that was cut down does nothing.
function openingOf(model, whole) {
  const first = model.entries.find((entry) => entry.kind === "fault" || entry.kind === "request");
  if (!first || first.at < 0.4 * model.last) {
    return [whole.from, whole.to];
  }
  const length = model.last - first.at;
  return [first.at - 0.15 * length, model.last + 0.1 * length];
}

// From when to when one must look to understand a violation: the life of the lease that it names,
// or some seconds.
function storyOf(model, violation) {
  const lives = [...model.leases.values()].flatMap((lease) => lease.lives);
  const named = lives.filter((life) => violation.lives.includes(life.key));
  const starts = named.map((life) => life.from);
  const ends = named.map((life) => promisedUntil(life) ?? 0);
  const from = Math.max(Math.min(violation.at_ms - 2000, ...starts), violation.at_ms - 30000);
  const to = Math.max(violation.at_ms, ...ends);
  const room = (to - from) * 0.06;
  return [from - room, to + room];
}

function writeHeader(run, model) {
  const { plan, report } = run;
  const count = report.violations.length;
  element("title").textContent = `Seed ${run.seed} ${count ? "fails" : "passes"}`;
  element("title").className = count ? "bad" : "good";
  const planned = counted(plan.actions.length, "planned action");
  element("facts").textContent = [
    `${seconds(model.end)} of virtual time`,
    `${counted(report.events, "event")}${report.trace.length ? "" : ", not traced"}`,
    run.profile === null ? `${planned}, not as drawn from the seed` : planned,
    `hash ${BigInt(report.hash).toString(16).padStart(16, "0")}`,
  ].join(" · ");
  writeCommand(run);
  element("members").hidden = report.members.length === 0;
  element("members").querySelector("pre").textContent = report.members.join("\n");
  const words = parameterWords(plan.parameters);
  words.push({ label: "noise", value: run.noise, isCalm: true });
  const pairs = words.map(({ label, value, isCalm }) => {
    const pair = document.createElement("div");
    const [name, text] = [document.createElement("dt"), document.createElement("dd")];
    pair.className = isCalm ? "calm" : "";
    name.textContent = label;
    text.textContent = value;
    pair.append(name, text);
    return pair;
  });
  element("parameters").replaceChildren(...pairs);
}

// The seed says everything if the plan is as drawn; else the plan is needed.
function writeCommand(run) {
  const options = { swarm: "", lite: " --profile lite", heavy: " --profile heavy" };
  const what = run.profile === null ? "plan.json" : `${run.seed}${options[run.profile]}`;
  const command = `cargo xtask sim replay ${what}${run.options}`;
  element("command").textContent = command;
  element("copy").addEventListener("click", async () => {
    await navigator.clipboard.writeText(command);
    element("copy").textContent = "Copied";
  });
  element("save").addEventListener("click", () => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(new Blob([run.plan_text], { type: "application/json" }));
    link.download = "plan.json";
    link.click();
    URL.revokeObjectURL(link.href);
  });
}

function writeViolations(model, jump, jumpTo) {
  const items = model.violations.map((violation) => {
    const item = document.createElement("li");
    const [time, property] = [document.createElement("time"), document.createElement("strong")];
    const message = document.createElement("span");
    time.textContent = seconds(violation.at_ms);
    property.textContent = violation.property;
    message.className = "message";
    message.append(...withTimes(violation.message, jumpTo));
    item.title = "Show what led to it";
    item.append(time, property, message);
    item.addEventListener("click", () => jump(violation));
    return item;
  });
  element("violations").replaceChildren(...items);
}

// A message in which the times can be clicked.
function withTimes(message, jumpTo) {
  return message.split(/((?:at|until|since|from) \d+ ms)/).map((part, place) => {
    if (place % 2 === 0) {
      return part;
    }
    const [word, ms] = part.split(" ");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = `${word} ${seconds(Number(ms))}`;
    button.addEventListener("click", (event) => {
      event.stopPropagation();
      jumpTo(Number(ms));
    });
    return button;
  });
}

// A sign and what it means.
const LEGEND = [
  [
    "primary, in the colour of its epoch",
    (brush, c) => [0, 1, 2].forEach((n) => brush.fill(c[`epoch-${n}`], 1 + 6 * n, 3, 6, 9)),
  ],
  ["follower", (brush, c) => brush.fill(c.follower, 1, 3, 18, 9)],
  ["down", (brush, c) => brush.hatch(c.down, 1, 3, 18, 9)],
  [
    "paused",
    (brush, c) => {
      brush.fill(c["fault-paper"], 1, 3, 18, 9);
      brush.hatch(c.fault, 1, 3, 18, 9);
    },
  ],
  [
    "fault",
    (brush, c) => {
      brush.fill(c["fault-paper"], 1, 3, 18, 9);
      brush.fill(c.fault, 1, 3, 3, 9);
    },
  ],
  ["entry applied", (brush, c) => [3, 8, 10, 16].forEach((x) => brush.fill(c.faint, x, 4, 1, 8))],
  [
    "start, snapshot",
    (brush, c) => {
      brush.shape(
        [
          [1, 4],
          [9, 4],
          [5, 10],
        ],
        c.paper,
        c.ink,
      );
      brush.shape(
        [
          [11, 4],
          [19, 4],
          [15, 10],
        ],
        c.ink,
        c.ink,
      );
    },
  ],
  [
    "wait",
    (brush, c) => {
      brush.fill(c["epoch-0"], 1, 3, 18, 7);
      brush.fill(c.ink, 4, 9, 11, 3);
    },
  ],
  ["lease", (brush, c) => brush.fill(c.lease, 1, 3, 18, 9)],
  [
    "renewed",
    (brush, c) => {
      brush.fill(c.lease, 1, 3, 18, 9);
      SIGNS.renewed(brush, 10, 7.5, 6.5, c["epoch-0"]);
    },
  ],
  [
    "promised to the client",
    (brush, c) => {
      brush.fill(c.promise, 1, 7, 18, 1.5);
      brush.fill(c.promise, 17, 4, 2, 7);
      SIGNS.acknowledged(brush, 6, 7.5, 0, c.promise);
    },
  ],
  ["delivered", (brush, c) => SIGNS.delivered(brush, 10, 7.5, 4, c["epoch-0"])],
  [
    "expired",
    (brush, c) => {
      brush.fill(c.lease, 1, 4, 14, 7);
      brush.fill(c["epoch-0"], 13, 2, 5, 11);
    },
  ],
  [
    "revoked",
    (brush, c) => {
      brush.fill(c.lease, 1, 4, 14, 7);
      brush.fill(c.ink, 13, 2, 5, 11);
      brush.fill(c.paper, 14.5, 3.5, 2, 8);
    },
  ],
  [
    "checkpoint, taken back",
    (brush, c) => {
      SIGNS.checkpointed(brush, 5, 7.5, 4, c.ink);
      SIGNS.taken_back(brush, 15, 7.5, 4, c.ink);
    },
  ],
  [
    "time to live told",
    (brush, c) => SIGNS.told_time_to_live(brush, 10, 7.5, 4, c.ink),
  ],
  ["lost message", (brush, c) => cross(brush, 10, 7.5, c.fault)],
];

// What fills a small screen before the chart comes is folded there, and open elsewhere.
function foldOnSmallScreens() {
  const small = matchMedia("(max-width: 700px)");
  const fold = () => {
    document.querySelectorAll("details.folds").forEach((it) => (it.open = !small.matches));
  };
  small.addEventListener("change", fold);
  fold();
}

function writeLegend() {
  const colours = readColours();
  const items = LEGEND.map(([words, paint]) => {
    const item = document.createElement("span");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [40, 30];
    canvas.style.width = "20px";
    const context = canvas.getContext("2d");
    context.scale(2, 2);
    paint(new Brush(context, colours, null), colours);
    item.append(canvas, words);
    return item;
  });
  element("legend").replaceChildren(...items);
}

const MANY_MESSAGES = 400;

function connectTools(model, timeline, list, jump, pin) {
  const messages = element("messages");
  const isPicture = document.body.classList.contains("picture");
  const count = model.messages.length;
  messages.checked = count > 0 && count <= MANY_MESSAGES && !isPicture;
  messages.disabled = model.messages.length === 0;
  timeline.showsMessages = messages.checked;
  const lost = model.messages.filter((entry) => !entry.fields.arrived).length;
  element("message-count").textContent =
    `${model.messages.length.toLocaleString("en")}, ${lost.toLocaleString("en")} lost`;
  messages.addEventListener("change", () => {
    timeline.showsMessages = messages.checked;
    timeline.paint();
  });
  const whole = () => timeline.show(timeline.whole.from, timeline.whole.to);
  const fail = () => model.violations.length > 0 && jump(model.violations[0]);
  element("zoom-out").addEventListener("click", () => timeline.zoom(2));
  element("zoom-in").addEventListener("click", () => timeline.zoom(0.5));
  element("zoom-fit").addEventListener("click", whole);
  element("zoom-end").hidden = model.violations.length === 0;
  element("zoom-end").addEventListener("click", fail);
  const step = (by) => {
    const entry = list.beside(timeline.pin, timeline.chosen, by);
    if (entry) {
      pin(entry.at, entry);
      timeline.reveal(entry.at);
    }
  };
  const keys = {
    "+": () => timeline.zoom(0.5, timeline.pin ?? undefined),
    "=": () => timeline.zoom(0.5, timeline.pin ?? undefined),
    "-": () => timeline.zoom(2, timeline.pin ?? undefined),
    0: whole,
    v: fail,
    m: () => messages.click(),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    Escape: () => pin(null),
  };
  document.addEventListener("keydown", (event) => {
    const isTyping = event.target.matches("input[type=search]");
    const isPlain = !event.ctrlKey && !event.metaKey && !event.altKey;
    if (!isTyping && isPlain && keys[event.key]) {
      event.preventDefault();
      keys[event.key]();
    }
  });
}

try {
  start();
} catch (error) {
  element("title").textContent = `This page cannot show its run: ${error}`;
  throw error;
}
