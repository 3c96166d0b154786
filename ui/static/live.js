/**
 * The live view: the picture of one camera, how it stands, and the caption under it.
 *
 * One's own camera is shown as it is; all others as the server's previews.
 */

import { button, el, keyed, PATHS, say, set, show } from './dom.js';
import { durationText } from './format.js';
import { isOver, nameOf } from './cameras.js';
import { insecureBanner } from './insecure.js';
import { LINK } from './view_socket.js';
import { isInsecure } from './webcam.js';
import { noticeOf } from './notices.js';

/** What a source's state is called, and its colour. */
export const STATES = {
  live: ['LIVE', 'good'],
  connecting: ['connecting', 'wait'],
  stalled: ['no picture comes', 'wait'],
  reconnecting: ['reconnecting', 'wait'],
  ended: ['ended', 'over'],
  failed: ['failed', 'bad'],
};
const LATE_S = 2; // behind by more than this is marked

export class LiveView {
  #canvas = el('canvas', { class: 'lt-picture', role: 'img' });
  #pill = el('span', { class: 'lt-pill' }, el('i'), el('b'));
  #rec = el('span', { class: 'lt-rec', title: 'What is seen is remembered' }, el('i'), 'REC');
  #facts = el('span', { class: 'lt-facts' });
  #caption = el('p', { class: 'lt-caption', 'aria-live': 'polite' });
  #strip = el('div', { class: 'lt-strip', role: 'group', 'aria-label': 'Cameras' });
  #notice = el('div', { class: 'lt-notice', role: 'status' });
  #drawn = null; // id of the source whose picture is on the canvas
  #ageS = null;
  #asked = null; // id of the source whose last picture was asked for

  /**
   * @param {import('./cameras.js').Cameras} cameras
   * @param {import('./mask.js').MaskEditor} masks
   */
  constructor(cameras, masks) {
    this.cameras = cameras;
    const { view, webcam } = cameras;
    webcam.video.classList.add('lt-picture');
    this.frame = el('div', { class: 'lt-frame' }, this.#canvas, webcam.video, masks.layer);
    this.tools = el('div', { class: 'lt-tools' },
      button('Hide a part of the picture from the model', () => masks.open(),
        { path: PATHS.mask, words: 'Mask' }),
      button('Full screen', () => this.#fill(), { path: PATHS.full, words: '' }));
    this.start = button('Start camera', () => webcam.start(), { path: PATHS.camera });
    this.start.classList.add('lt-primary');
    this.empty = el('div', { class: 'lt-nothing' },
      el('h2', { text: 'Nothing to watch yet' }),
      el('p', { text: 'Start the camera of this device, add a stream by its address, or upload a '
        + 'video. Then ask about anything that was seen.' }),
      isInsecure ? insecureBanner() : this.start);
    this.stage = el('div', { class: 'lt-stage' }, this.frame, this.empty,
      el('div', { class: 'lt-overlay' }, this.#pill, this.#rec, this.#facts), this.tools);
    this.root = el('section', { class: 'lt-live', 'aria-label': 'Live view' },
      this.#notice, this.stage, this.#caption, masks.panel, this.#strip);

    view.addEventListener('preview', ({ detail }) => this.#preview(detail));
    for (const name of ['state', 'link']) view.addEventListener(name, () => this.#draw());
    webcam.addEventListener('change', () => this.#draw());
    cameras.addEventListener('change', () => this.#draw());
    webcam.video.addEventListener('resize', () => this.#draw());
    this.#draw();
  }

  #preview({ age_s: ageS, place, jpeg }) {
    const shown = this.cameras.shown;
    if (!shown || this.cameras.sources[place]?.camera !== shown.camera) return;
    this.#ageS = ageS;
    this.#paint(shown, jpeg);
  }

  /** Of a source that is over there is no preview, but the last picture that is remembered. */
  async #remember(shown) {
    if (this.#asked === shown.id) return;
    this.#asked = shown.id;
    const { view } = this.cameras;
    const query = { at_s: view.state.now_s, camera: shown.camera || null };
    const response = await fetch(view.take.url('frames/at.jpg', query)).catch(() => null);
    if (response?.ok) this.#paint(shown, await response.blob());
  }

  async #paint(shown, jpeg) {
    let picture;
    try {
      picture = await createImageBitmap(jpeg);
    } catch {
      return; // a broken picture: the next one comes soon
    }
    if (this.#canvas.width !== picture.width || this.#canvas.height !== picture.height) {
      this.#canvas.width = picture.width;
      this.#canvas.height = picture.height;
    }
    this.#canvas.getContext('2d').drawImage(picture, 0, 0);
    picture.close();
    if (this.#drawn !== shown.id) {
      this.#drawn = shown.id;
      this.#draw();
    }
  }

  #draw() {
    const { view, webcam, shown, sources } = this.cameras;
    const isOpen = view.link === LINK.open;
    const isMine = webcam.state === 'on' && (!shown || this.cameras.isMine(shown));
    const hasPicture = isMine || (shown !== null && this.#drawn === shown.id);
    if (isOpen && shown && isOver(shown) && this.#drawn !== shown.id) this.#remember(shown);
    show(this.empty, isOpen && !shown && !isMine);
    show(this.start, webcam.state === 'off');
    show(this.tools, hasPicture);
    this.frame.classList.toggle('lt-hollow', !hasPicture);
    this.frame.classList.toggle('lt-mine', isMine);
    this.stage.classList.toggle('lt-dim', !isOpen || (!isMine && shown?.state !== 'live'));
    const size = isMine ? [webcam.video.videoWidth, webcam.video.videoHeight]
      : [this.#canvas.width, this.#canvas.height];
    if (hasPicture && size[1]) this.frame.style.setProperty('--ratio', size[0] / size[1]);
    set(this.#canvas, 'aria-label', shown ? `What ${nameOf(shown)} sees` : 'No camera');
    this.#overlay(view, shown, isOpen, isMine);
    noticeOf(view, webcam, this.#notice);
    const caption = view.state?.caption?.text ?? '';
    say(this.#caption, caption);
    show(this.#caption, caption !== '' || view.state?.narrating === true);
    show(this.#strip, sources.length > 1);
    keyed(this.#strip, sources, (source) => source.id,
      (source) => el('button', {
        type: 'button', class: 'lt-button', on: { click: () => this.cameras.choose(source) },
      }, el('i', { class: 'lt-dot' }), el('span')),
      (item, source) => {
        say(item.lastElementChild, nameOf(source) + (this.cameras.isMine(source) ? ' (yours)' : ''));
        set(item.firstElementChild, 'data-tone', STATES[source.state]?.[1] ?? 'wait');
        set(item, 'aria-pressed', source.id === shown?.id ? 'true' : 'false');
      });
  }

  #overlay(view, shown, isOpen, isMine) {
    const isPast = shown !== null && this.#asked === shown.id && isOver(shown);
    const [words, tone] = !isOpen ? [LINK_WORDS[view.link] ?? view.link, 'bad']
      : isPast ? ['over: the last picture seen', 'over'] : shown ? STATES[shown.state] ?? [shown.state, 'wait']
        : isMine ? ['starting', 'wait'] : ['', 'over'];
    show(this.#pill, words !== '');
    set(this.#pill, 'data-tone', tone);
    say(this.#pill.lastElementChild, words);
    show(this.#rec, isOpen && view.state?.recording === true);
    const facts = isOpen && shown ? factsOf(shown, isMine ? null : this.#ageS) : '';
    say(this.#facts, facts);
    show(this.#facts, facts !== '');
    this.#facts.classList.toggle('lt-late', (shown?.lag_s ?? 0) > LATE_S);
  }

  #fill() {
    if (document.fullscreenElement) document.exitFullscreen();
    else this.stage.requestFullscreen?.().catch(() => {});
  }
}

const LINK_WORDS = {
  [LINK.connecting]: 'connecting',
  [LINK.lost]: 'lost connection to the server',
  [LINK.ended]: 'not connected',
};

/** "1280×720 · 24.9 fps · 90 dropped · 120 ms behind" */
function factsOf(source, ageS) {
  const said = [];
  if (source.size) said.push(`${source.size[0]}×${source.size[1]}`);
  const isLive = source.state === 'live';
  if (isLive) said.push(`${source.fps.toFixed(1)} fps`);
  if (source.dropped) said.push(`${source.dropped.toLocaleString()} dropped`);
  if (isLive) said.push(`${durationText(Math.max(source.lag_s, ageS ?? 0))} behind`);
  return said.join(' · ');
}
