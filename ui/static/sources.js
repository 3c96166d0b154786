/**
 * The list of what a take watches, with its camera button: how each stands, and how to end it.
 */

import { button, el, keyed, PATHS, say, set, show } from './dom.js';
import { counted, durationText } from './format.js';
import { isOver, nameOf } from './cameras.js';
import { insecureBanner } from './insecure.js';
import { isInsecure } from './webcam.js';
import { STATES } from './live.js';
import { telling } from './toasts.js';

export class SourceList {
  #list = el('ul', { class: 'lt-list' });
  #status = el('p', { class: 'lt-hint', role: 'status' });
  #choice = el('select', { 'aria-label': 'Which camera of this device' });

  /**
   * @param {import('./api.js').Take} take
   * @param {import('./cameras.js').Cameras} cameras
   */
  constructor(take, cameras) {
    this.take = take;
    this.cameras = cameras;
    const { webcam } = cameras;
    this.switch = button('Start camera', () => {
      if (webcam.state === 'off') webcam.start(this.#choice.value);
      else webcam.stop();
    }, { path: PATHS.camera });
    this.switch.classList.add('lt-wide');
    this.#choice.addEventListener('change', () => {
      if (webcam.state === 'on') webcam.start(this.#choice.value);
    });
    this.root = el('section', { class: 'lt-sources', 'aria-label': 'Sources' },
      el('h2', { text: 'Sources' }), this.#list,
      isInsecure ? insecureBanner() : this.switch, this.#choice, this.#status);
    webcam.addEventListener('change', () => this.#draw());
    for (const where of [cameras.view, cameras]) {
      for (const name of ['state', 'change']) where.addEventListener(name, () => this.#draw());
    }
    this.#draw();
  }

  #draw() {
    const { webcam, sources } = this.cameras;
    const isOn = webcam.state !== 'off';
    say(this.switch.lastElementChild, isOn ? 'Stop camera' : 'Start camera');
    this.switch.classList.toggle('lt-primary', !isOn);
    const known = webcam.camera ? `Known to the take as "${webcam.camera}".` : '';
    say(this.#status, webcam.note || known);
    show(this.#status, this.#status.textContent !== '');
    show(this.#choice, webcam.devices.length > 1);
    keyed(this.#choice, webcam.devices, (device) => device.deviceId,
      (device) => el('option', { value: device.deviceId, text: device.label || 'Camera' }));
    if (webcam.deviceId) this.#choice.value = webcam.deviceId;
    keyed(this.#list, sources, (source) => source.id,
      (source) => this.#row(source), (row, source) => this.#update(row, source));
  }

  #row(source) {
    return el('li', { class: 'lt-source' },
      el('i', { class: 'lt-dot' }),
      el('button', { type: 'button', class: 'lt-name', on: { click: () => this.#look(source.id) } },
        el('b'), el('small')),
      button(`Stop ${nameOf(source)}`, () => this.#stop(source.id),
        { path: PATHS.close, words: '' }));
  }

  #update(row, source) {
    const [dot, name] = row.children;
    const [words, tone] = STATES[source.state] ?? [source.state, 'wait'];
    set(dot, 'data-tone', tone);
    set(name, 'aria-pressed', source.id === this.cameras.shown?.id ? 'true' : 'false');
    set(name, 'title', [source.address, source.error].filter(Boolean).join(': '));
    say(name.firstElementChild, nameOf(source) + (this.cameras.isMine(source) ? ' (yours)' : ''));
    const pace = source.state === 'live' ? ` · ${source.fps.toFixed(0)} fps · `
      + durationText(source.lag_s) : '';
    const seen = isOver(source) ? ` · ${counted(source.seen, 'frame')}` : '';
    const wrong = source.error ? ` · ${source.error}` : '';
    say(name.lastElementChild, words.toLowerCase() + (wrong || pace + seen));
  }

  #look(id) {
    const source = this.cameras.sources.find((each) => each.id === id);
    if (source) this.cameras.choose(source);
  }

  #stop(id) {
    const source = this.cameras.sources.find((each) => each.id === id);
    if (source && this.cameras.isMine(source)) this.cameras.webcam.stop();
    else telling(this.take.remove(`sources/${encodeURIComponent(id)}`));
  }
}
