/**
 * One moment in a dialog: its picture, what was said of it, its neighbours, and a way to ask.
 */

import { button, el, keyed, PATHS, say, set, show } from './dom.js';
import { spanText, wallClock } from './format.js';
import { focusQuestion } from './places.js';
import { telling } from './toasts.js';

const AROUND = 9; // pictures in the strip
const MARGIN_S = 10; // on either side, at least
const HASH = /#moment=(\d*)@([\d.e+-]+?)-([\d.e+]+)$/;

/** What a link such as `#moment=12@3-4.5` opens; null where it is none. */
export function momentIn(href) {
  const found = HASH.exec(href);
  if (!found) return null;
  const [number, startS, endS] = [found[1], Number(found[2]), Number(found[3])];
  if (!Number.isFinite(startS) || !Number.isFinite(endS)) return null;
  return { number: number === '' ? null : Number(number), start_s: startS, end_s: endS };
}

export class MomentDialog {
  #title = el('h2', { id: 'lt-moment-title' });
  #wall = el('span', { class: 'lt-hint' });
  #picture = el('img', { alt: '' });
  #missing = el('p', { class: 'lt-empty', text: 'No picture of this moment is held any more.' });
  #caption = el('p', { class: 'lt-said' });
  #score = el('p', { class: 'lt-hint' });
  #strip = el('div', { class: 'lt-around', role: 'group', 'aria-label': 'Moments around it' });
  #frames = [];
  #place = -1;
  #moment = null;
  #back = null;
  #loading = null;

  /**
   * @param {import('./api.js').Take} take
   * @param {(atS: number) => number|null} wallOf Unix time of a session time, where it is known
   * @param {(startS: number, endS: number) => void} select
   */
  constructor(take, wallOf, select) {
    this.take = take;
    this.wallOf = wallOf;
    this.select = select;
    this.dialog = el('dialog', {
      id: 'lt-moment', class: 'lt-dialog', 'aria-labelledby': 'lt-moment-title',
      on: {
        keydown: (event) => this.#key(event),
        close: () => this.#closed(),
        click: (event) => event.target === this.dialog && this.dialog.close(),
      },
    }, el('header', {}, this.#title, this.#wall,
      button('Close', () => this.dialog.close(), { path: PATHS.close, words: '' })),
    el('div', { class: 'lt-moment-picture' },
      button('Earlier', () => this.#step(-1), { path: PATHS.left, words: '' }),
      el('figure', {}, this.#picture, this.#missing),
      button('Later', () => this.#step(1), { path: PATHS.right, words: '' })),
    this.#caption, this.#score, this.#strip,
    el('div', { class: 'lt-buttons' },
      button('Ask about this', () => this.#ask(), { class: 'lt-button lt-primary', path: PATHS.ask })));
    this.#picture.addEventListener('error', () => this.#seen(false));
    this.#picture.addEventListener('load', () => this.#seen(true));
    document.addEventListener('click', (event) => this.#link(event));
  }

  /** @param {{number?: number|null, start_s: number, end_s: number, score?: string}} moment */
  open(moment) {
    if (!this.dialog.isConnected) document.body.append(this.dialog);
    if (!this.dialog.open) {
      this.#back = document.activeElement;
      this.dialog.showModal();
    }
    this.#frames = [];
    this.#draw(moment);
    this.#load(moment);
  }

  #link(event) {
    const link = event.target.closest?.('a[href*="#moment="]');
    const moment = link && momentIn(link.getAttribute('href'));
    if (!moment || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const score = link.querySelector('.lt-score')?.getAttribute('aria-label');
    this.open({ ...moment, score });
  }

  async #load({ number, start_s: startS, end_s: endS }) {
    this.#loading?.abort();
    this.#loading = new AbortController();
    const { signal } = this.#loading;
    const around = Math.max(MARGIN_S, endS - startS);
    const query = { start_s: Math.max(0, startS - around), end_s: endS + around, most: AROUND };
    try {
      const said = await telling(this.take.get('frames', query, signal));
      if (!said || signal.aborted) return;
      this.#frames = said.frames;
    } catch (error) {
      if (signal.aborted) return;
      throw error;
    }
    const middle = (startS + endS) / 2;
    const far = (frame) => Math.abs((frame.start_s + frame.end_s) / 2 - middle);
    this.#place = this.#frames.findIndex((frame) => frame.number === number);
    if (this.#place < 0) {
      this.#place = this.#frames.reduce((best, frame, place) => (
        best < 0 || far(frame) < far(this.#frames[best]) ? place : best), -1);
    }
    const frame = this.#frames[this.#place];
    if (frame && frame.number === number) {
      this.#draw({ ...this.#moment, caption: frame.caption, camera: frame.camera });
    } else if (frame && far(frame) <= Math.max(1, endS - startS)) {
      this.#draw({ ...this.#moment, number: frame.number, caption: frame.caption });
    }
    this.#drawStrip();
  }

  #draw(moment) {
    this.#moment = moment;
    const { number, start_s: startS, end_s: endS } = moment;
    const when = spanText(startS, endS);
    const wallS = this.wallOf(startS);
    say(this.#title, moment.camera ? `${when} · ${moment.camera}` : when);
    say(this.#wall, wallS === null ? '' : wallClock(wallS, true));
    const hasNumber = number !== null && number !== undefined;
    const source = hasNumber ? `${this.take.path}/frames/${number}.jpg`
      : this.take.url('frames/at.jpg', { at_s: ((startS + endS) / 2).toFixed(3) });
    set(this.#picture, 'src', source);
    set(this.#picture, 'alt', `The picture of ${when}`);
    say(this.#caption, moment.caption ?? '');
    show(this.#caption, Boolean(moment.caption));
    say(this.#score, moment.score ? `It fits the question with a ${moment.score}.` : '');
    show(this.#score, Boolean(moment.score));
  }

  #drawStrip() {
    show(this.#strip, this.#frames.length > 1);
    keyed(this.#strip, this.#frames, (frame) => frame.number,
      (frame) => {
        const when = spanText(frame.start_s, frame.end_s);
        return el('button', { type: 'button', on: { click: () => this.#go(frame) } },
          frame.picture ? el('img', { src: frame.picture, alt: '' }) : el('i'),
          el('small', { text: when }));
      },
      (tile, frame) => {
        const isHere = this.#frames[this.#place] === frame;
        set(tile, 'aria-current', isHere ? 'true' : null);
        if (isHere) tile.scrollIntoView({ block: 'nearest', inline: 'center' });
      });
  }

  #go(frame) {
    this.#place = this.#frames.indexOf(frame);
    this.#draw(frame);
    this.#drawStrip();
  }

  #step(by) {
    const place = this.#place + by;
    const frame = this.#frames[place];
    if (!frame) return;
    this.#go(frame);
    const isAtEnd = place === 0 || place === this.#frames.length - 1;
    if (isAtEnd && this.#frames.length > 1) this.#load(frame);
  }

  #key(event) {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by) return;
    event.preventDefault();
    this.#step(by);
  }

  #seen(isSeen) {
    show(this.#picture, isSeen);
    show(this.#missing, !isSeen);
  }

  #ask() {
    const { start_s: startS, end_s: endS } = this.#moment;
    this.#back = null;
    this.dialog.close();
    this.select(startS, endS);
    focusQuestion();
  }

  #closed() {
    this.#loading?.abort();
    if (location.hash.startsWith('#moment=')) history.replaceState(null, '', location.pathname + location.search);
    this.#back?.focus?.();
    this.#back = null;
  }
}
