/**
 * What a take uses: bytes against budgets, chunks by where they lie, and where answers spend time.
 */

import { el, keyed, say, set, show } from './dom.js';
import { bytesText, counted, durationText, percent } from './format.js';

const NEWEST = 8; // answers drawn
const FULL = 0.9; // of a budget that should not be reached: marked
const TIERS = {
  window: 'window', raw: 'raw', int8: '8 bit', kivi4: '4 bit', kivi2: '2 bit', picture: 'picture only',
};

export class Meters {
  #bars = el('div');
  #tiers = el('div', { class: 'lt-tiers' });
  #legend = el('ul', { class: 'lt-legend' });
  #answers = el('ol', { class: 'lt-answers' });
  #parts = el('ul', { class: 'lt-legend lt-parts' }, ...[['recall', 'recall'], ['first', 'first word'],
    ['rest', 'the rest']].map(([part, words]) => el('li', {}, el('i', { 'data-part': part }), words)));
  #none = el('p', { class: 'lt-empty', text: 'Nothing was asked yet.' });
  #counts = el('p', { class: 'lt-hint' });

  /** @param {import('./view_socket.js').ViewSocket} view */
  constructor(view) {
    this.root = el('section', { class: 'lt-meters', 'aria-label': 'Memory and time' },
      el('div', {}, el('h3', { text: 'Memory' }), this.#bars, this.#counts),
      el('div', {}, el('h3', { text: 'Chunks' }), this.#tiers, this.#legend),
      el('div', {}, el('h3', { text: 'Last answers' }), this.#answers, this.#none, this.#parts));
    view.addEventListener('state', () => this.#draw(view.state));
  }

  #draw(state) {
    const meters = state.meters;
    this.#drawBars(meters);
    const queued = state.questions_waiting ? ` · ${counted(state.questions_waiting, 'question')} waiting` : '';
    say(this.#counts, `${counted(state.frames, 'frame')} seen of ${state.received.toLocaleString()} · `
      + `${counted(state.viewers, 'viewer')}${queued}`);
    this.#drawTiers(meters.tiers ?? {});
    const answers = (meters.answers ?? []).slice(-NEWEST).toReversed();
    show(this.#none, answers.length === 0);
    show(this.#parts, answers.length > 0);
    const mostS = Math.max(...answers.map((answer) => answer.total_s), 1e-9);
    this.#answers.replaceChildren(...answers.map((answer) => waterfall(answer, mostS)));
  }

  #drawBars(meters) {
    const gpu = meters.gpu;
    const rows = [
      ['Device', meters.device_bytes, meters.device_budget_bytes],
      ['Index', meters.index_bytes, null],
      ['RAM', meters.ram_bytes, meters.ram_budget_bytes],
      ['Disk', meters.disk_bytes, meters.disk_budget_bytes, true],
      ...(gpu ? [[gpu.name, gpu.used_bytes, gpu.total_bytes, true]] : []),
    ];
    keyed(this.#bars, rows, ([name]) => name,
      ([name]) => el('div', { class: 'lt-meter' }, el('span', { text: name }),
        el('div', { class: 'lt-bar', role: 'meter', 'aria-label': name }, el('i')),
        el('span', { class: 'lt-number' })),
      (row, [, used, budget, isMarked = false]) => {
        const share = budget ? Math.min(1, used / budget) : 0;
        const [, bar, number] = row.children;
        bar.firstElementChild.style.width = percent(share).replace(' ', '');
        bar.classList.toggle('lt-unbounded', !budget);
        bar.classList.toggle('lt-full', isMarked && share > FULL);
        const words = budget ? `${bytesText(used)} of ${bytesText(budget)}` : bytesText(used);
        set(bar, 'aria-valuenow', Math.round(100 * share));
        set(bar, 'aria-valuetext', words);
        say(number, words);
      });
  }

  #drawTiers(tiers) {
    const there = Object.entries(tiers).filter(([, chunks]) => chunks > 0);
    keyed(this.#tiers, there, nameOfTier, ([tier]) => el('i', { 'data-held': tier }),
      (part, [, chunks]) => part.style.setProperty('flex-grow', chunks));
    keyed(this.#legend, there, nameOfTier,
      ([tier]) => el('li', {}, el('i', { 'data-held': tier }), el('span')),
      (item, [tier, chunks]) => say(item.lastElementChild,
        `${TIERS[tier] ?? tier} ${chunks.toLocaleString()}`));
    set(this.#tiers, 'aria-hidden', 'true');
  }
}

const nameOfTier = ([tier]) => tier;

/** One answer's time: choosing what to recall, up to the first word, the rest. */
function waterfall(answer, mostS) {
  const recallS = answer.recall_s ?? 0;
  const firstS = answer.first_token_s ?? answer.total_s;
  const parts = [
    ['recall', Math.min(recallS, firstS)],
    ['first', Math.max(0, firstS - recallS)],
    ['rest', Math.max(0, answer.total_s - firstS)],
  ];
  const words = `recall ${durationText(recallS)}, first word ${durationText(firstS)}, `
    + `all ${durationText(answer.total_s)}, ${counted(answer.tokens, 'token')}`;
  return el('li', { title: words },
    el('span', { class: 'lt-question', text: answer.question }),
    el('div', { class: 'lt-fall', role: 'img', 'aria-label': words },
      ...parts.map(([part, seconds]) => el('i', {
        'data-part': part, style: { width: `${(100 * seconds) / mostS}%` },
      }))),
    el('span', { class: 'lt-number', text: durationText(answer.total_s) }));
}
