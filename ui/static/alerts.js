/**
 * The alerts of a take: how each stands, pausing and removing them, and what fired, with pictures.
 */

import { button, el, keyed, PATHS, say, set, show } from './dom.js';
import { counted, percent, spanText } from './format.js';
import { canNotify, mayAsk, notify } from './notifications.js';
import { Problem } from './api.js';
import { telling, toast } from './toasts.js';

const MOST_FIRED = 30;

export class Alerts {
  #list = el('ul', { class: 'lt-list' });
  #none = el('p', { class: 'lt-empty', text: 'No alert yet. Say above what you wait for: a question '
    + 'that is answered yes or no, such as "Is there a red ring?"' });
  #fired = el('ol', { class: 'lt-fired' });
  #firedHead = el('h3', { text: 'Fired' });
  #events = [];
  #last = null; // number of the newest event that is known; null: nothing was fetched
  #isFetching = false;

  /**
   * @param {import('./api.js').Take} take
   * @param {import('./view_socket.js').ViewSocket} view
   * @param {(moment: any) => void} open shows a moment
   */
  constructor(take, view, open) {
    Object.assign(this, { take, view, open });
    this.allow = button('Notify me while this page is hidden', () => this.#allow(), { path: PATHS.bell });
    show(this.allow, mayAsk());
    this.root = el('section', { class: 'lt-alerts', 'aria-label': 'Alerts' },
      this.#none, this.#list, this.allow, this.#firedHead, this.#fired);
    show(this.#firedHead, false);
    view.addEventListener('state', () => this.#draw(view.state));
  }

  async #allow() {
    await Notification.requestPermission();
    show(this.allow, mayAsk());
    if (!canNotify()) toast('Notifications are blocked. Allow them beside the address of this page.');
  }

  #draw(state) {
    show(this.#none, state.alerts.length === 0);
    keyed(this.#list, state.alerts, (alert) => alert.id, (alert) => this.#row(alert), update);
    if (this.#last === null || state.last_event > this.#last) this.#fetch(state.last_event);
  }

  #row({ id, name, condition }) {
    const path = `alerts/${encodeURIComponent(id)}`;
    const pause = button('Pause', () => {
      const paused = pause.getAttribute('aria-pressed') !== 'true';
      telling(this.take.patch(path, { paused }));
    });
    return el('li', { class: 'lt-alert' },
      el('i', { class: 'lt-dot' }),
      el('div', {}, el('b', { text: condition, title: name }), el('small'), el('small', { class: 'lt-warning' })),
      el('div', { class: 'lt-bar', role: 'meter', 'aria-label': 'How likely it is now', title: 'How likely it is now' }, el('i')),
      pause,
      button(`Remove ${name}`, () => telling(this.take.remove(path)), { path: PATHS.bin, words: '' }));
  }

  async #fetch(last) {
    if (this.#isFetching) return;
    this.#isFetching = true;
    const isFirst = this.#last === null;
    try {
      const after = this.#last ?? 0;
      const { events } = await this.take.get('events', { kind: 'alert', after });
      this.#last = Math.max(last, ...events.map((event) => event.number));
      this.#events = [...events.toReversed(), ...this.#events].slice(0, MOST_FIRED);
      this.#drawFired();
      if (!isFirst) for (const event of events) this.#tell(event);
    } catch (error) {
      if (!(error instanceof Problem)) throw error; // with the next state it is tried again
    } finally {
      this.#isFetching = false;
    }
  }

  #tell(event) {
    const words = `${event.text || event.name || 'Alert'} at ${spanText(event.start_s, event.end_s)}`;
    const href = `#moment=@${event.start_s}-${event.end_s}`;
    toast(`▲ ${words}`, { kind: 'alert', link: { href, words: 'Show' } });
    notify(words, `${this.take.id}-${event.number}`);
  }

  #drawFired() {
    show(this.#firedHead, this.#events.length > 0);
    keyed(this.#fired, this.#events, (event) => event.number, (event) => {
      const when = spanText(event.start_s, event.end_s);
      return el('li', {}, el('button', {
        type: 'button', class: 'lt-tile', title: event.text || event.name,
        on: { click: () => this.open({ start_s: event.start_s, end_s: event.end_s, camera: event.camera }) },
      }, event.picture ? el('img', { src: event.picture, alt: '', loading: 'lazy' })
        : el('span', { class: 'lt-no-picture', text: 'no picture' }),
      el('span', { class: 'lt-when', text: when }), el('small', { text: event.name })));
    });
  }
}

function update(row, alert) {
  const [dot, words, bar, pause] = row.children;
  const [, state, warning] = words.children;
  const tone = alert.error ? 'bad' : alert.paused || alert.over ? 'over' : 'good';
  const stands = alert.over ? 'waits for a source' : alert.paused ? 'paused' : 'watching';
  set(dot, 'data-tone', tone);
  say(state, `${stands} · judged ${counted(alert.judged, 'time')} · fired ${alert.fired}`);
  say(warning, alert.error || alert.warning || '');
  const share = alert.probability ?? 0;
  set(bar, 'aria-valuenow', Math.round(100 * share));
  bar.firstElementChild.style.setProperty('width', `${100 * share}%`);
  set(bar, 'data-words', alert.probability === null ? '–' : percent(share));
  say(pause.lastElementChild, alert.paused ? 'Resume' : 'Pause');
  set(pause, 'aria-pressed', String(alert.paused));
}
