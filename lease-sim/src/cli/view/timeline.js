// The timeline: lanes below an axis, and a cursor over both.

const GUTTER = 150;

class Timeline {
  constructor(model, listeners) {
    this.model = model;
    this.listeners = listeners;
    this.scroller = document.getElementById("scroller");
    this.tall = document.getElementById("tall");
    this.base = document.getElementById("base");
    this.overlay = document.getElementById("overlay");
    this.tip = document.getElementById("tip");
    this.showsMessages = false;
    this.hover = null;
    this.pin = null;
    this.chosen = null;
    this.whole = { from: -model.last * 0.005, to: model.last * 1.035 };
    this.window = { ...this.whole };
    this.hits = [];
    this.colours = readColours();
    this.listen();
  }

  listen() {
    new ResizeObserver(() => this.resize()).observe(this.scroller);
    this.scroller.addEventListener("scroll", () => this.paint());
    const dark = matchMedia("(prefers-color-scheme: dark)");
    dark.addEventListener("change", () => {
      this.colours = readColours();
      this.paint();
      this.listeners.colours();
    });
    listenToPointer(this);
  }

  resize() {
    const { clientWidth: width, clientHeight: height } = this.scroller;
    if (width < GUTTER + 50 || height === 0) {
      return;
    }
    const ratio = devicePixelRatio || 1;
    for (const canvas of [this.base, this.overlay]) {
      canvas.width = width * ratio;
      canvas.height = height * ratio;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    Object.assign(this, { width, height, ratio });
    const context = this.base.getContext("2d");
    context.font = FONT;
    const pixelsPerMs = (width - GUTTER) / (this.whole.to - this.whole.from);
    const measure = (text) => context.measureText(text).width;
    this.layout = layLanes(this.model, height, pixelsPerMs, measure);
    this.tall.style.height = `${this.layout.height}px`;
    this.paint();
  }

  // The time scale, in pixels of the canvas.
  view() {
    const { from, to } = this.window;
    const [left, right] = [GUTTER, this.width];
    const scale = (right - left) / (to - from);
    const x = (at) => left + (at - from) * scale;
    return { from, to, left, right, scale, x, margin: 12 / scale };
  }

  timeAt(x) {
    const { from, scale } = this.view();
    return from + (x - GUTTER) / scale;
  }

  // Shows from one time to another, or as near to it as there is something to show.
  show(from, to) {
    const { whole } = this;
    const length = Math.min(Math.max(to - from, 4), whole.to - whole.from);
    const start = Math.min(Math.max(from, whole.from), whole.to - length);
    this.window = { from: start, to: start + length };
    this.paint();
  }

  zoom(factor, at = (this.window.from + this.window.to) / 2) {
    const { from, to } = this.window;
    const length = Math.max((to - from) * factor, 4);
    const share = (at - from) / (to - from);
    this.show(at - length * share, at + length * (1 - share));
  }

  move(ms) {
    this.show(this.window.from + ms, this.window.to + ms);
  }

  // Moves as little as it takes to show a time.
  reveal(at) {
    const { from, to } = this.window;
    const edge = (to - from) * 0.1;
    if (at < from + edge || at > to - edge) {
      this.show(at - (to - from) / 2, at + (to - from) / 2);
    }
  }

  setHover(at, x = null, y = null) {
    this.hover = at === null ? null : { at, x, y };
    this.paintOverlay();
  }

  setPin(at, entry = null) {
    this.pin = at;
    this.chosen = entry;
    this.paint();
  }

  // The time that lanes tell their state of.
  now() {
    return this.hover?.at ?? this.pin ?? this.model.end;
  }

  paint() {
    if (!this.layout) {
      return;
    }
    const { scrollTop } = this.scroller;
    for (const canvas of [this.base, this.overlay]) {
      canvas.style.transform = `translateY(${scrollTop}px)`;
    }
    const context = this.base.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const view = this.view();
    const brush = new Brush(context, this.colours, view);
    context.save();
    context.translate(0, -scrollTop);
    context.beginPath();
    context.rect(0, scrollTop + HEAD, this.width, this.height - HEAD);
    context.clip();
    this.paintLanes(brush, scrollTop);
    context.restore();
    paintAxis(brush, this);
    this.hits = brush.hits;
    this.paintOverlay();
  }

  paintLanes(brush, scrollTop) {
    const { context } = brush;
    const { lanes } = this.layout;
    const isSeen = (lane) => lane.y + lane.height > scrollTop && lane.y < scrollTop + this.height;
    context.save();
    context.beginPath();
    context.rect(GUTTER, 0, this.width - GUTTER, this.layout.height);
    context.clip();
    const seen = lanes.filter(isSeen);
    seen.forEach((lane) => paintGround(brush, lane, this.model));
    paintGrid(brush, this.layout.height);
    if (this.showsMessages) {
      paintMessages(brush, lanes, this.model.messages);
    }
    seen.forEach((lane) => paintLane(brush, lane, this.model));
    paintViolations(brush, this);
    context.restore();
    for (const hit of brush.hits) {
      hit.scrolled = scrollTop;
    }
  }

  paintOverlay() {
    if (!this.layout) {
      return;
    }
    const context = this.overlay.getContext("2d");
    context.setTransform(this.ratio, 0, 0, this.ratio, 0, 0);
    context.clearRect(0, 0, this.width, this.height);
    const brush = new Brush(context, this.colours, this.view());
    paintLabels(brush, this);
    paintCursors(brush, this);
  }

  // What is at a place of the canvas; what was painted last is on top.
  hitAt(x, y) {
    return this.hits.findLast((hit) => isIn(hit, x, y + hit.scrolled));
  }

  laneAt(y) {
    const inside = y + this.scroller.scrollTop;
    return this.layout?.lanes.find((lane) => lane.y <= inside && inside < lane.y + lane.height);
  }
}

function isIn(hit, x, y) {
  if (!hit.line) {
    return hit.left <= x && x <= hit.right && hit.top <= y && y <= hit.bottom;
  }
  const [left, top, right, bottom] = hit.line;
  const [width, height] = [right - left, bottom - top];
  const along = ((x - left) * width + (y - top) * height) / (width * width + height * height || 1);
  const share = Math.min(Math.max(along, 0), 1);
  return Math.hypot(x - left - share * width, y - top - share * height) < 4;
}
