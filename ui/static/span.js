/**
 * The span of time that a visitor selected: questions are about it; it is kept, forgotten, exported.
 *
 * Event: `change`.
 */

import { button, el, PATHS, say, set, show } from './dom.js';
import { clock, counted, spanText } from './format.js';
import { confirmed } from './confirm.js';
import { telling, toast } from './toasts.js';

export class Span extends EventTarget {
  #about = el('b');
  #export = el('a', { class: 'lt-button', download: true, title: 'Save it as an archive' },
    el('span', { text: 'Export' }));

  /**
   * @param {import('./api.js').Take} take
   * @param {(moment: {start_s: number, end_s: number}) => void} open shows a moment
   */
  constructor(take, open) {
    super();
    this.take = take;
    /** [start_s, end_s], or null. */
    this.times = null;
    this.root = el('div', { class: 'lt-span', role: 'group', 'aria-label': 'Selected span' },
      el('span', { class: 'lt-chip' }, 'about ', this.#about,
        button('Ask about all of it again', () => this.clear(), { path: PATHS.close, words: '' })),
      el('span', { class: 'lt-buttons' },
        button('Show', () => open({ start_s: this.times[0], end_s: this.times[1] })),
        button('Keep', () => this.#keep(), { title: 'It is never thinned out or forgotten' }),
        button('Forget', () => this.#forget()),
        this.#export));
    this.#draw();
  }

  set(startS, endS) {
    this.times = [Math.max(0, Math.min(startS, endS)), Math.max(0, startS, endS)];
    this.#draw();
  }

  clear() {
    this.times = null;
    this.#draw();
  }

  #draw() {
    show(this.root, this.times !== null);
    if (this.times) {
      say(this.#about, spanText(...this.times));
      const [start_s, end_s] = this.#rounded();
      set(this.#export, 'href', this.take.url('export', { start_s, end_s }));
    }
    this.dispatchEvent(new Event('change'));
  }

  #rounded() {
    return this.times.map((time) => Math.round(time * 1000) / 1000);
  }

  async #keep() {
    const [start_s, end_s] = this.#rounded();
    const kept = await telling(this.take.post('keep', { start_s, end_s }));
    if (kept) toast(`${spanText(start_s, end_s)} is kept for good (${counted(kept.chunks, 'chunk')}).`);
    this.dispatchEvent(new Event('changed'));
  }

  async #forget() {
    const [start_s, end_s] = this.#rounded();
    const isSure = await confirmed(`Forget ${clock(start_s)} to ${clock(end_s)}?`,
      'Pictures, captions and memory of this span are deleted for good.', 'Forget it');
    if (!isSure) return;
    const gone = await telling(this.take.post('forget', { start_s, end_s }));
    if (!gone) return;
    toast(`${spanText(start_s, end_s)} is forgotten (${counted(gone.chunks, 'chunk')}).`);
    this.clear();
    this.dispatchEvent(new Event('changed'));
  }
}
