/**
 * The timeline of a take: fetched while it is looked at, drawn, and used to select a span.
 */

import { button, el, keyed, PATHS, say, set } from './dom.js';
import { clock, counted, spanText } from './format.js';
import { Problem } from './api.js';
import { drawTimeline, HEIGHT } from './timeline_draw.js';
import { focusQuestion } from './places.js';
import { linesAt, TimelineTip } from './timeline_tip.js';
import { TimelineGestures } from './timeline_gestures.js';
import { TimeScale } from './time_scale.js';

const EVERY_MS = 2000;
const SOON_MS = 150; // after a zoom
const NEAR_PX = 8;
const LEGEND = [
  ['window', 'window', (data) => data.held.some((run) => run.place === 'window')],
  ['ram', 'RAM', (data) => data.held.some((run) => run.place === 'ram')],
  ['disk', 'disk', (data) => data.held.some((run) => run.place === 'disk')],
  ['gap', 'not seen', (data) => data.gaps.length],
  ['kept', 'kept', (data) => data.kept.length],
  ['scene', 'scenes', (data) => data.scenes.length],
  ['caption', 'captions', (data) => data.captions.length],
  ['alert', 'alerts', (data) => data.events.some((event) => event.kind === 'alert')],
  ['question', 'questions', (data) => data.events.some((event) => event.kind === 'question')],
];

const bare = (label, path, clicked) => button(label, clicked, { path, words: '' });

export class Timeline {
  /** The newest that was fetched. */
  data = null;
  #scale = new TimeScale();
  #canvas = el('canvas', { height: HEIGHT });
  #legend = el('ul', { class: 'lt-legend' });
  #summary = el('p', { class: 'lt-unseen', id: 'lt-timeline-words' });
  #hoverS = null;
  #isWall = false;
  #drag = null;
  #timer = 0;
  #due = 0;

  /**
   * @param {import('./api.js').Take} take
   * @param {import('./view_socket.js').ViewSocket} view
   * @param {import('./span.js').Span} span
   */
  constructor(take, view, span) {
    Object.assign(this, { take, view, span });
    this.tip = new TimelineTip(take);
    this.surface = el('div', {
      class: 'lt-surface', role: 'slider', tabindex: 0, 'aria-orientation': 'horizontal',
      'aria-label': 'Timeline: arrows move, Shift and arrows select, Enter asks, Escape clears',
      'aria-valuemin': 0, 'aria-describedby': 'lt-timeline-words',
    }, this.#canvas, this.tip.root);
    this.gestures = new TimelineGestures(this.surface, this.#scale, {
      hover: (atS, x) => this.#hover(atS, x),
      select: (startS, endS, isDone) => this.#select(startS, endS, isDone),
      click: (atS) => this.#click(atS),
      clear: () => this.span.clear(),
      ask: () => this.#ask(),
      moved: () => this.#moved(),
    });
    const zoom = (by) => () => {
      const { startS, endS } = this.#scale;
      this.#scale.zoom(by, this.gestures.cursorS ?? (startS + endS) / 2);
      this.#moved();
    };
    const wall = bare('Show the clock on the wall', PATHS.clock, () => {
      this.#isWall = !this.#isWall;
      set(wall, 'aria-pressed', String(this.#isWall));
      this.draw();
    });
    set(wall, 'aria-pressed', 'false');
    this.root = el('section', { class: 'lt-timeline', 'aria-label': 'Timeline' },
      this.surface, this.#summary,
      el('div', { class: 'lt-under' }, this.#legend,
        el('div', { class: 'lt-zoom', role: 'group', 'aria-label': 'Zoom' },
          wall, bare('Zoom out', PATHS.minus, zoom(2)), bare('Zoom in', PATHS.plus, zoom(0.5)),
          bare('Show all of it', PATHS.fit, () => { this.#scale.whole(); this.#moved(); }))));
    new ResizeObserver(() => this.#sized()).observe(this.surface);
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => this.draw());
    new MutationObserver(() => this.draw()).observe(document.body, { attributeFilter: ['class'] });
    document.addEventListener('visibilitychange', () => document.hidden || this.fetchSoon(0));
    span.addEventListener('change', () => this.draw());
    span.addEventListener('changed', () => this.fetchSoon(0));
    view.addEventListener('state', () => {
      this.#scale.move(view.state.now_s);
      this.draw();
    });
    this.fetchSoon(0);
  }

  /** Unix time of a session time; null where nobody knows. */
  wallOf(atS) {
    return this.data?.wall_s ? this.data.wall_s - this.data.start_s + atS : null;
  }

  /** Look at what the server has, once, in a while. */
  fetchSoon(waitMs) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#fetch(), waitMs);
  }

  async #fetch() {
    const { isWhole, startS, endS, width } = this.#scale;
    const isSeen = !document.hidden && this.surface.isConnected;
    if (isSeen) {
      const query = { width: Math.min(2000, Math.max(100, Math.round(width))) };
      if (!isWhole) Object.assign(query, { start_s: startS.toFixed(3), end_s: endS.toFixed(3) });
      try {
        this.data = await this.take.get('timeline', query);
        this.#scale.move(this.data.now_s);
        this.#say();
        this.draw();
      } catch (error) {
        if (!(error instanceof Problem)) throw error; // the live view says what is wrong
      }
    }
    this.fetchSoon(isSeen ? EVERY_MS : EVERY_MS / 4);
  }

  #sized() {
    this.#scale.width = Math.max(1, this.surface.clientWidth);
    this.draw();
  }

  #moved() {
    this.draw();
    this.fetchSoon(SOON_MS);
  }

  /** Draw what there is, with the next picture of the screen. */
  draw() {
    if (this.#due) return;
    this.#due = requestAnimationFrame(() => {
      this.#due = 0;
      drawTimeline(this.#canvas, this.#scale, this.data, {
        selected: this.#drag ?? this.span.times,
        cursorS: document.activeElement === this.surface ? this.gestures.cursorS : null,
        hoverS: this.#hoverS,
        isWall: this.#isWall,
      });
    });
  }

  #hover(atS, x) {
    this.#hoverS = atS;
    this.tip.show(atS, x, this.#scale, this.data);
    if (atS !== null) this.#value(atS);
    this.draw();
  }

  #select(startS, endS, isDone) {
    this.#drag = isDone ? null : [Math.min(startS, endS), Math.max(startS, endS)];
    if (isDone) this.span.set(startS, endS);
    this.draw();
  }

  #click(atS) {
    if (this.#scale.nowS === 0) return;
    const nearS = NEAR_PX * this.#scale.pixelS;
    const event = this.data?.events.find((each) => (
      each.start_s - nearS <= atS && atS <= each.end_s + nearS));
    const [startS, endS] = this.gestures.around(event ? (event.start_s + event.end_s) / 2 : atS);
    this.span.set(startS, endS);
    focusQuestion();
  }

  #ask() {
    const { cursorS } = this.gestures;
    if (!this.span.times && cursorS !== null) this.span.set(...this.gestures.around(cursorS));
    focusQuestion();
  }

  #value(atS) {
    const there = linesAt(this.data, atS, NEAR_PX * this.#scale.pixelS).join('; ');
    const selected = this.span.times ? `; selected ${spanText(...this.span.times)}` : '';
    set(this.surface, 'aria-valuenow', atS.toFixed(1));
    set(this.surface, 'aria-valuetext', `${clock(atS)}${there && `: ${there}`}${selected}`);
  }

  /** The same in words, and the legend of what is there. */
  #say() {
    const { data } = this;
    set(this.surface, 'aria-valuemax', data.now_s.toFixed(1));
    if (!this.surface.hasAttribute('aria-valuenow')) this.#value(data.now_s);
    const alerts = data.events.filter((event) => event.kind === 'alert').length;
    say(this.#summary, `${clock(data.now_s)} seen so far: ${counted(data.gaps.length, 'gap')}, `
      + `${counted(data.scenes.length, 'change')} of scene, ${counted(data.captions.length, 'caption')}, `
      + `${counted(alerts, 'alert')}, ${counted(data.events.length - alerts, 'question')}.`);
    keyed(this.#legend, LEGEND.filter(([, , isThere]) => isThere(data)), ([key]) => key,
      ([key, words]) => el('li', {}, el('i', { 'data-kind': key }), el('span', { text: words })));
  }
}
