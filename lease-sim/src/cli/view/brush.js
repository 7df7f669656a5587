// How things look. A brush has a context, the colours, the time scale, and takes note of what can
// be pointed at.

const FONT = '11px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const BOLD = `600 ${FONT}`;
const EPOCHS = 5;

function readColours() {
  const style = getComputedStyle(document.documentElement);
  return new Proxy(
    {},
    {
      get(known, name) {
        known[name] ??= style.getPropertyValue(`--${name}`).trim();
        return known[name];
      },
    },
  );
}

const epochColour = (colours, epoch) => colours[`epoch-${epoch % EPOCHS}`];

class Brush {
  constructor(context, colours, view) {
    Object.assign(this, { context, colours, view, hits: [] });
    context.font = FONT;
    context.textBaseline = "middle";
    context.lineCap = "butt";
  }

  x(at) {
    return this.view.x(at);
  }

  sees(from, to = from) {
    return to >= this.view.from - this.view.margin && from <= this.view.to + this.view.margin;
  }

  // A box from one time to another, cut at the edges of the plot; `null` if it is outside.
  box(from, to, least = 1) {
    const left = Math.max(this.x(from), this.view.left - 4);
    const right = Math.min(Math.max(this.x(to), this.x(from) + least), this.view.right + 4);
    return right > left ? { left, right, width: right - left } : null;
  }

  fill(colour, left, top, width, height) {
    this.context.fillStyle = colour;
    this.context.fillRect(left, top, width, height);
  }

  line(colour, points, width = 1) {
    const { context } = this;
    context.strokeStyle = colour;
    context.lineWidth = width;
    context.beginPath();
    points.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.stroke();
  }

  shape(points, fill, stroke) {
    const { context } = this;
    context.beginPath();
    points.forEach(([x, y], place) => (place ? context.lineTo(x, y) : context.moveTo(x, y)));
    context.closePath();
    this.finish(fill, stroke);
  }

  dot(x, y, radius, fill, stroke) {
    this.context.beginPath();
    this.context.arc(x, y, radius, 0, 2 * Math.PI);
    this.finish(fill, stroke);
  }

  finish(fill, stroke) {
    if (fill) {
      this.context.fillStyle = fill;
      this.context.fill();
    }
    if (stroke) {
      this.context.strokeStyle = stroke;
      this.context.lineWidth = 1.4;
      this.context.stroke();
    }
  }

  width(text, font = FONT) {
    this.context.font = font;
    return this.context.measureText(text).width;
  }

  text(text, x, y, colour, font = FONT) {
    this.context.font = font;
    this.context.fillStyle = colour;
    this.context.fillText(text, x, y);
  }

  // The longest of the texts that there is room for; whether there was one.
  textIn(texts, left, right, y, colour, font = FONT) {
    const fits = texts.find((text) => this.width(text, font) <= right - left);
    if (fits !== undefined) {
      this.text(fits, left, y, colour, font);
    }
    return fits !== undefined;
  }

  hatch(colour, left, top, width, height) {
    const { context } = this;
    context.save();
    context.beginPath();
    context.rect(left, top, width, height);
    context.clip();
    context.strokeStyle = colour;
    context.lineWidth = 1.5;
    context.beginPath();
    const start = Math.floor((left - height) / 6) * 6;
    for (let x = start; x < left + width; x += 6) {
      context.moveTo(x, top + height);
      context.lineTo(x + height, top);
    }
    context.stroke();
    context.restore();
  }

  // What is here can be pointed at.
  hit(left, top, right, bottom, about) {
    this.hits.push({ left, top, right, bottom, ...about });
  }

  hitAround(x, y, reach, about) {
    this.hit(x - reach, y - reach, x + reach, y + reach, about);
  }
}

// The signs for what happens to a lease, each around a point.
const SIGNS = {
  renewed: (brush, x, y, size, colour) => brush.fill(colour, x - 1, y - size, 2.5, 2 * size),
  delivered: (brush, x, y, size, colour) =>
    brush.shape(
      [
        [x - 4, y - 3.5],
        [x + 4, y - 3.5],
        [x, y + 3.5],
      ],
      colour,
    ),
  checkpointed: (brush, x, y, size, colour) =>
    brush.shape(diamond(x, y, 4), colour, brush.colours.paper),
  taken_back: (brush, x, y, size, colour) =>
    brush.shape(diamond(x, y, 3.5), brush.colours.paper, colour),
  checkpoint_proposed: (brush, x, y, size, colour) => brush.dot(x, y, 1.7, colour),
  told_time_to_live: (brush, x, y, size, colour) =>
    brush.dot(x, y, 2.5, brush.colours.paper, colour),
  acknowledged: (brush, x, y, size, colour) => brush.dot(x, y, 2.7, colour),
};

const diamond = (x, y, size) => [
  [x, y - size],
  [x + size, y],
  [x, y + size],
  [x - size, y],
];
