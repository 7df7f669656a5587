// What the pointer does on the timeline.

function listenToPointer(timeline) {
  const { overlay, scroller, listeners } = timeline;
  let press = null;
  const placeOf = (event) => {
    const box = overlay.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const point = (event) => {
    const [x, y] = placeOf(event);
    overlay.style.cursor = x < GUTTER ? "pointer" : "crosshair";
    const at = x < GUTTER ? null : Math.max(timeline.timeAt(x), 0);
    timeline.setHover(at, x, y);
    const hit = at === null || y < HEAD ? undefined : timeline.hitAt(x, y);
    showTip(timeline.tip, hit, event);
    listeners.hover(at, hit?.entry);
  };
  const leave = () => {
    timeline.setHover(null);
    timeline.tip.hidden = true;
    listeners.hover(null);
  };
  overlay.addEventListener("pointerdown", (event) => {
    const [x, y] = placeOf(event);
    if (event.button === 0) {
      const at = timeline.timeAt(x);
      press = { x, y, at, left: x, top: y, moved: false, isRange: event.shiftKey };
      overlay.setPointerCapture(event.pointerId);
    }
  });
  overlay.addEventListener("pointermove", (event) => {
    const [x, y] = placeOf(event);
    if (!press) {
      point(event);
      return;
    }
    press.moved ||= Math.hypot(x - press.x, y - press.y) > 4;
    if (press.isRange) {
      timeline.range = [press.at, timeline.timeAt(x)];
      timeline.setHover(timeline.timeAt(x), x, y);
    } else if (press.moved) {
      timeline.tip.hidden = true;
      overlay.style.cursor = "grabbing";
      timeline.hover = null;
      scroller.scrollTop -= y - press.top;
      timeline.move(-(x - press.left) / timeline.view().scale);
      [press.left, press.top] = [x, y];
    }
  });
  const release = (event) => {
    if (!press) {
      return;
    }
    const { moved, x, y, isRange } = press;
    press = null;
    if (isRange && moved) {
      const range = timeline.range.toSorted((one, other) => one - other);
      timeline.range = null;
      timeline.show(...range);
    } else if (!moved) {
      timeline.range = null;
      click(timeline, x, y);
    }
    point(event);
  };
  overlay.addEventListener("pointerup", release);
  overlay.addEventListener("pointercancel", () => (press = timeline.range = null));
  overlay.addEventListener("pointerleave", () => press || leave());
  overlay.addEventListener("dblclick", (event) => {
    const [x] = placeOf(event);
    if (x >= GUTTER) {
      timeline.zoom(0.4, timeline.timeAt(x));
    }
  });
  overlay.addEventListener(
    "wheel",
    (event) => {
      const [x] = placeOf(event);
      if (x < GUTTER) {
        return;
      }
      event.preventDefault();
      const sideways = Math.abs(event.deltaX) > Math.abs(event.deltaY) ? event.deltaX : 0;
      const along = event.shiftKey ? event.deltaY || event.deltaX : sideways;
      if (along) {
        timeline.move(along / timeline.view().scale);
      } else {
        timeline.zoom(Math.exp(event.deltaY * 0.0015), timeline.timeAt(x));
      }
      point(event);
    },
    { passive: false },
  );
}

function click(timeline, x, y) {
  const { listeners } = timeline;
  if (x < GUTTER) {
    listeners.lane(timeline.laneAt(y));
    return;
  }
  const hit = y < HEAD ? undefined : timeline.hitAt(x, y);
  const at = hit?.entry?.at ?? Math.max(timeline.timeAt(x), 0);
  listeners.pin(at, hit?.entry);
}

function showTip(tip, hit, event) {
  tip.hidden = !hit;
  if (!hit) {
    return;
  }
  const { title, pairs } = hit.span ?? entryWords(hit.entry);
  const heading = document.createElement("strong");
  heading.textContent = title;
  const list = document.createElement("dl");
  for (const [name, value] of pairs) {
    const dt = document.createElement("dt");
    const dd = document.createElement("dd");
    dt.textContent = name;
    dd.textContent = value;
    list.append(dt, dd);
  }
  tip.replaceChildren(heading, list);
  const { width, height } = tip.getBoundingClientRect();
  const left = Math.min(event.clientX + 14, innerWidth - width - 8);
  const below = event.clientY + 16;
  const top = below + height > innerHeight ? event.clientY - height - 12 : below;
  tip.style.left = `${Math.max(left, 4)}px`;
  tip.style.top = `${Math.max(top, 4)}px`;
}

// An event with all of its fields.
function entryWords(entry) {
  const isPlanned = entry.kind === "fault" || entry.kind === "request";
  const fields = isPlanned ? entry.fields.fields : entry.fields;
  const plain = (value) => (typeof value === "object" ? JSON.stringify(value) : String(value));
  const pairs = Object.entries(fields).map(([name, value]) => [name, plain(value)]);
  const planned = isPlanned ? [["planned", entry.fields.name]] : [];
  return {
    title: sentence(entry),
    pairs: [["at", seconds(entry.at)], ...planned, ...pairs],
  };
}
