/**
 * The timeline's drawing: one canvas, from plain data and a `TimeScale`.
 *
 * Colours are the style sheet's, so that dark and light fit.  What a pointer does is not known here.
 */

import { clock, wallClock } from './format.js';

/** Rows from the top, in pixels: [top, height]. */
export const ROWS = {
  axis: [0, 18], memory: [20, 22], kept: [43, 3], scenes: [48, 6], captions: [57, 12], events: [72, 18],
};
export const HEIGHT = 94;
const LABEL_PX = 64;
const WALL_PX = 100;
const CODECS = { raw: 1, int8: 0.82, kivi4: 0.62, kivi2: 0.46, picture: 0.26 };
const COLOURS = ['window', 'ram', 'disk', 'gap', 'kept', 'scene', 'caption', 'alert', 'question',
  'text', 'faint', 'select', 'track'];

/** What the style sheet says now. */
function palette(element) {
  const style = getComputedStyle(element);
  return Object.fromEntries(COLOURS.map((name) => [name, style.getPropertyValue(`--lt-${name}`).trim()]));
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {import('./time_scale.js').TimeScale} scale
 * @param {any} data a timeline, or null
 * @param {{selected: number[]|null, cursorS: number|null, hoverS: number|null, isWall: boolean}} marks
 */
export function drawTimeline(canvas, scale, data, marks) {
  const density = globalThis.devicePixelRatio || 1;
  const width = Math.round(scale.width * density);
  const height = Math.round(HEIGHT * density);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const pen = canvas.getContext('2d');
  pen.setTransform(density, 0, 0, density, 0, 0);
  pen.clearRect(0, 0, scale.width, HEIGHT);
  const colours = palette(canvas);
  const drawing = new Drawing(pen, scale, colours);
  drawing.axis(marks.isWall && data?.wall_s ? data.wall_s - data.start_s : null);
  drawing.track();
  if (data) drawing.all(data);
  drawing.marks(marks);
}

/** Where a run ends on the screen: a chunk lasts to its last frame, the next begins one later. */
function joined(run, next) {
  const frameS = (run.end_s - run.start_s) / Math.max(1, run.chunks);
  return next && next.start_s > run.end_s && next.start_s - run.end_s <= frameS ? next.start_s : run.end_s;
}

class Drawing {
  constructor(pen, scale, colours) {
    Object.assign(this, { pen, scale, colours });
  }

  axis(wallS) {
    const { pen, scale, colours } = this;
    pen.font = '11px system-ui, sans-serif';
    pen.textBaseline = 'middle';
    for (const at of scale.ticks(wallS === null ? LABEL_PX : WALL_PX)) {
      const x = Math.round(scale.x(at)) + 0.5;
      pen.fillStyle = colours.faint;
      pen.fillRect(x, ROWS.axis[1] - 4, 1, HEIGHT);
      pen.fillStyle = colours.text;
      const words = wallS === null ? clock(at) : wallClock(wallS + at);
      const room = pen.measureText(words).width;
      pen.fillText(words, Math.min(scale.width - room, Math.max(0, x - room / 2)), 8);
    }
  }

  track() {
    const { scale } = this;
    this.bar('memory', 0, scale.nowS, this.colours.track);
  }

  all(data) {
    const { pen, colours } = this;
    for (const [place, run] of data.held.entries()) {
      pen.globalAlpha = CODECS[run.codec] ?? 1;
      const endS = joined(run, data.held[place + 1]);
      this.bar('memory', run.start_s, endS, colours[run.place] ?? colours.ram, 1);
    }
    pen.globalAlpha = 1;
    for (const gap of data.gaps) this.hatch(gap.start_s, gap.end_s);
    for (const span of data.kept) this.kept(span);
    for (const at of data.scenes) this.tick(at);
    for (const line of data.captions) this.bar('captions', line.start_s, line.end_s, colours.caption, 2);
    for (const event of data.events) this.event(event);
  }

  /** A stretch in a row, at least `least` pixels wide. */
  bar(row, startS, endS, colour, least = 0) {
    const [top, height] = ROWS[row];
    const x = this.scale.x(startS);
    const width = Math.max(least, this.scale.x(endS) - x);
    if (x > this.scale.width || x + width < 0) return;
    this.pen.fillStyle = colour;
    this.pen.fillRect(x, top, width, height);
  }

  hatch(startS, endS) {
    const { pen, scale, colours } = this;
    const [top, height] = ROWS.memory;
    const x = scale.x(startS);
    const width = Math.max(3, scale.x(endS) - x);
    if (x > scale.width || x + width < 0) return;
    pen.save();
    pen.beginPath();
    pen.rect(x, top, width, height);
    pen.clip();
    pen.fillStyle = colours.track;
    pen.fillRect(x, top, width, height);
    pen.strokeStyle = colours.gap;
    pen.lineWidth = 1.5;
    const from = Math.max(x, 0) - height;
    const until = Math.min(x + width, scale.width);
    pen.beginPath();
    for (let at = Math.floor(from / 6) * 6; at < until; at += 6) {
      pen.moveTo(at, top + height);
      pen.lineTo(at + height, top);
    }
    pen.stroke();
    pen.restore();
  }

  kept({ start_s: startS, end_s: endS }) {
    const { pen, scale, colours } = this;
    this.bar('kept', startS, endS, colours.kept, 3);
    const x = Math.max(0, scale.x(startS));
    if (scale.x(endS) - x < 14) return;
    const top = ROWS.memory[0] + 10;
    pen.strokeStyle = pen.fillStyle = colours.kept;
    pen.lineWidth = 1.5;
    pen.fillRect(x + 4, top + 2, 8, 7);
    pen.beginPath();
    pen.arc(x + 8, top + 2, 2.6, Math.PI, 0);
    pen.stroke();
  }

  tick(at) {
    const [top, height] = ROWS.scenes;
    this.pen.fillStyle = this.colours.scene;
    this.pen.fillRect(Math.round(this.scale.x(at)), top, 1.5, height);
  }

  event({ kind, start_s: startS, end_s: endS }) {
    const { pen, scale, colours } = this;
    const [top, height] = ROWS.events;
    const at = scale.x((startS + endS) / 2);
    if (at < -9 || at > scale.width + 9) return;
    const x = Math.min(scale.width - 7, Math.max(7, at)); // what is now is drawn whole
    const middle = top + height / 2;
    pen.beginPath();
    if (kind === 'alert') {
      pen.fillStyle = colours.alert;
      pen.moveTo(x, middle - 7);
      pen.lineTo(x + 7, middle + 6);
      pen.lineTo(x - 7, middle + 6);
    } else {
      pen.fillStyle = colours.question;
      pen.arc(x, middle, 5.5, 0, 2 * Math.PI);
    }
    pen.closePath();
    pen.fill();
  }

  marks({ selected, cursorS, hoverS }) {
    const { pen, scale, colours } = this;
    const [top] = ROWS.memory;
    if (selected) {
      const x = scale.x(selected[0]);
      const width = Math.max(2, scale.x(selected[1]) - x);
      pen.globalAlpha = 0.22;
      pen.fillStyle = colours.select;
      pen.fillRect(x, top - 2, width, HEIGHT - top + 2);
      pen.globalAlpha = 1;
      pen.strokeStyle = colours.select;
      pen.lineWidth = 1.5;
      pen.strokeRect(x, top - 1.5, width, HEIGHT - top + 0.5);
    }
    for (const [at, wide] of [[hoverS, 1], [cursorS, 2]]) {
      if (at === null) continue;
      pen.fillStyle = wide === 2 ? colours.select : colours.text;
      pen.fillRect(scale.x(at) - wide / 2, top - 4, wide, HEIGHT);
    }
  }
}
