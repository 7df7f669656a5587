// The list of events: filtered, as long as it may be, and as far as the cursor.

const ROW = 22;

class List {
  constructor(model, listeners) {
    this.model = model;
    this.listeners = listeners;
    this.rows = document.getElementById("rows");
    this.tall = document.getElementById("rows-tall");
    this.shownRows = document.getElementById("rows-shown");
    this.focusButton = document.getElementById("focus");
    this.search = document.getElementById("search");
    this.focus = null;
    this.at = null;
    this.now = null;
    const kinds = new Set(model.entries.map((entry) => entry.kind));
    const known = Object.keys(KINDS).filter((kind) => kinds.has(kind));
    this.kinds = [...new Set([...known, ...kinds])];
    this.listed = new Set(this.kinds.filter((kind) => kindOf(kind).listed));
    this.makeKinds();
    this.rows.addEventListener("scroll", () => this.paint());
    this.search.addEventListener("input", () => this.filter());
    this.focusButton.addEventListener("click", () => this.setFocus(null));
    new ResizeObserver(() => this.paint()).observe(this.rows);
    this.filter();
  }

  makeKinds() {
    const counts = new Map();
    for (const { kind } of this.model.entries) {
      counts.set(kind, (counts.get(kind) ?? 0) + 1);
    }
    const buttons = this.kinds.map((kind) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = kindOf(kind).label;
      button.title = "Click: list or hide; double click: list only these";
      const count = document.createElement("small");
      count.textContent = counts.get(kind);
      button.append(count);
      const press = () => button.setAttribute("aria-pressed", this.listed.has(kind));
      press();
      button.addEventListener("click", () => {
        this.listed.has(kind) ? this.listed.delete(kind) : this.listed.add(kind);
        press();
        this.filter();
      });
      button.addEventListener("dblclick", () => {
        this.listed = new Set([kind]);
        this.makeKinds();
        this.filter();
      });
      return button;
    });
    document.getElementById("kinds").replaceChildren(...buttons);
  }

  // Lists only what is about a node or a lease, and what happens to all.
  setFocus(focus) {
    this.focus = focus;
    this.focusButton.hidden = focus === null;
    this.focusButton.textContent = `only ${focus?.label} ✕`;
    this.filter();
  }

  filter() {
    const words = this.search.value.trim().toLowerCase();
    this.entries = this.model.entries.filter(
      (entry) =>
        this.listed.has(entry.kind) &&
        isAbout(entry, this.focus) &&
        (words === "" || sentence(entry).toLowerCase().includes(words)),
    );
    const all = this.model.entries.length;
    document.getElementById("shown").textContent =
      `${this.entries.length.toLocaleString("en")} of ${all.toLocaleString("en")}`;
    this.tall.style.height = `${this.entries.length * ROW}px`;
    this.follow(this.at, this.now);
    this.paint();
  }

  // Scrolls to a time, or to an event if it is listed.
  follow(at, entry = null) {
    this.at = at;
    this.now = entry;
    if (at !== null) {
      const { scrollTop, clientHeight } = this.rows;
      const top = Math.max(this.placeOf(at, entry), 0) * ROW;
      const isSeen = top >= scrollTop + ROW && top <= scrollTop + clientHeight - 3 * ROW;
      if (!isSeen) {
        this.rows.scrollTop = top - clientHeight * 0.6;
      }
    }
    this.paint();
  }

  // The place in the list of an event, or of the last one up to a time.
  placeOf(at, entry) {
    const place = entry ? this.entries.indexOf(entry) : -1;
    return place >= 0 ? place : countUpTo(this.entries, at) - 1;
  }

  // The event that is listed before or after the cursor.
  beside(at, entry, step) {
    const here = this.placeOf(at ?? 0, entry);
    return this.entries[Math.min(Math.max(here + step, 0), this.entries.length - 1)];
  }

  paint() {
    const { scrollTop, clientHeight } = this.rows;
    const first = Math.max(Math.floor(scrollTop / ROW) - 2, 0);
    const last = Math.min(Math.ceil((scrollTop + clientHeight) / ROW) + 2, this.entries.length);
    const current = this.at === null ? -1 : this.placeOf(this.at, this.now);
    const colours = readColours();
    const rows = [];
    for (let place = first; place < last; place += 1) {
      rows.push(this.row(this.entries[place], place, current, colours));
    }
    this.shownRows.style.transform = `translateY(${first * ROW}px)`;
    this.shownRows.replaceChildren(...rows);
  }

  row(entry, place, current, colours) {
    const row = document.createElement("div");
    const time = document.createElement("time");
    const dot = document.createElement("i");
    const text = document.createElement("span");
    row.className = `row ${entry.kind}`;
    row.classList.toggle("now", place === current);
    row.classList.toggle("later", this.at !== null && entry.at > this.at);
    time.textContent = seconds(entry.at);
    dot.style.background = kindColour(entry, colours);
    text.textContent = sentence(entry);
    row.title = text.textContent;
    row.append(time, dot, text);
    row.addEventListener("click", () => this.listeners.pin(entry.at, entry));
    row.addEventListener("mouseenter", () => this.listeners.point(entry.at));
    row.addEventListener("mouseleave", () => this.listeners.point(null));
    return row;
  }
}

function kindColour(entry, colours) {
  const { colour } = kindOf(entry.kind);
  return colour === "epoch" ? epochColour(colours, entry.fields.epoch) : colours[colour];
}

// What is about no member and no lease, or about who leads, is about everything.
const ABOUT_ALL = new Set(["elected", "promoted", "demoted", "began", "violation", "over"]);

function isAbout(entry, focus) {
  if (focus === null || ABOUT_ALL.has(entry.kind)) {
    return true;
  }
  return focus.node === undefined
    ? entry.leases.includes(focus.lease) || entry.kind === "fault"
    : entry.nodes.includes(focus.node);
}

// How many of the events, which are by time, are not later.
function countUpTo(entries, at) {
  let [low, high] = [0, entries.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (entries[middle].at <= at) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}
