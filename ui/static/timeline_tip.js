/**
 * What the timeline says of the time under the pointer: its picture, and what is there.
 */

import { el, say, set, show } from './dom.js';
import { clock, spanText, wallClock } from './format.js';

const SETTLED_MS = 90; // a pointer that rests this long asks for a picture
const PICTURE_S = 1; // times closer than this share one
const NEAR_PX = 9;
const MOST_LINES = 4;
const CODECS = { raw: 'as it was', int8: '8 bit', kivi4: '4 bit', kivi2: '2 bit', picture: 'picture only' };
const PLACES = { window: 'in the window', ram: 'in RAM', disk: 'on disk' };

/** In words, what a timeline has at a time; the first ones matter most. */
export function linesAt(data, atS, nearS) {
  if (!data) return [];
  const has = ({ start_s: startS, end_s: endS }, near = 0) => startS - near <= atS && atS <= endS + near;
  const lines = [];
  for (const event of data.events) {
    if (!has(event, nearS)) continue;
    lines.push(event.kind === 'alert' ? `▲ ${event.name || event.text}` : `● ${event.text}`);
  }
  for (const gap of data.gaps) {
    if (has(gap, nearS)) lines.push(`Not seen ${spanText(gap.start_s, gap.end_s)}: ${gap.reason}`);
  }
  const caption = data.captions.findLast((line) => has(line));
  if (caption) lines.push(`“${caption.text}”`);
  const run = data.held.findLast((each) => has(each));
  if (run) {
    const codec = run.place === 'window' ? '' : `, ${CODECS[run.codec] ?? run.codec}`;
    lines.push(`${PLACES[run.place] ?? run.place}${codec}`);
  }
  if (data.kept.some((span) => has(span))) lines.push('kept for good');
  return lines;
}

export class TimelineTip {
  #time = el('b');
  #wall = el('small');
  #picture = el('img', { alt: '' });
  #lines = el('ul');
  #timer = 0;
  #pictureS = null;

  /** @param {import('./api.js').Take} take */
  constructor(take) {
    this.take = take;
    this.root = el('div', { class: 'lt-tip', 'aria-hidden': 'true', hidden: true },
      this.#picture, el('p', {}, this.#time, ' ', this.#wall), this.#lines);
    this.#picture.addEventListener('error', () => show(this.#picture, false));
    this.#picture.addEventListener('load', () => show(this.#picture, true));
    show(this.#picture, false);
  }

  /** @param {number|null} atS null: hide it */
  show(atS, x, scale, data) {
    show(this.root, atS !== null);
    clearTimeout(this.#timer);
    if (atS === null) return;
    say(this.#time, clock(atS));
    say(this.#wall, data?.wall_s ? wallClock(data.wall_s - data.start_s + atS) : '');
    const lines = linesAt(data, atS, NEAR_PX * scale.pixelS).slice(0, MOST_LINES);
    this.#lines.replaceChildren(...lines.map((line) => el('li', { text: line })));
    const half = this.root.offsetWidth / 2;
    const place = Math.min(scale.width - half, Math.max(half, x));
    this.root.style.setProperty('left', `${place}px`);
    if (scale.nowS > 0) this.#timer = setTimeout(() => this.#look(atS), SETTLED_MS);
  }

  #look(atS) {
    const whole = Math.round(atS / PICTURE_S) * PICTURE_S;
    if (whole === this.#pictureS) return;
    this.#pictureS = whole;
    set(this.#picture, 'src', this.take.url('frames/at.jpg', { at_s: atS.toFixed(2) }));
  }
}
