/**
 * Which camera of a take a visitor looks at, and how sources are called.
 *
 * His own camera while it runs, else the one that he chose, else the first that lives.
 */

const OVER = ['ended', 'failed'];

/** What is shown as a source's name. */
export function nameOf(source) {
  if (source.camera) return source.camera;
  if (source.kind === 'push') return 'webcam'; // the first; others have names
  const path = source.address.split(/[?#]/)[0].replace(/\/+$/, '');
  return path.split('/').pop() || source.address || 'camera';
}

/** Nothing more will come of it. */
export function isOver(source) {
  return OVER.includes(source.state);
}

export class Cameras extends EventTarget {
  /** Camera and kind of the one that was chosen by hand. */
  #wanted = null;

  /**
   * @param {import('./view_socket.js').ViewSocket} view
   * @param {import('./webcam.js').Webcam} webcam
   */
  constructor(view, webcam) {
    super();
    this.view = view;
    this.webcam = webcam;
    let wasOn = false;
    webcam.addEventListener('change', () => {
      const isOn = webcam.camera !== null;
      if (isOn !== wasOn) this.#wanted = null;
      wasOn = isOn;
      this.#tell();
    });
    view.addEventListener('state', () => this.#tell());
  }

  get sources() {
    return this.view.state?.sources ?? [];
  }

  /** Look at this one. */
  choose(source) {
    this.#wanted = source.id;
    this.#tell();
    this.dispatchEvent(new Event('change'));
  }

  /** The one that is looked at; null where there is none. */
  get shown() {
    const { sources } = this;
    return sources.find((source) => source.id === this.#wanted)
      ?? sources.find((source) => this.isMine(source))
      ?? sources.find((source) => !isOver(source))
      ?? sources.at(-1) ?? null;
  }

  /** Whether this page's own camera is this source. */
  isMine(source) {
    return this.webcam.camera !== null && source.kind === 'push' && !isOver(source)
      && source.camera === this.webcam.camera;
  }

  #tell() {
    const { shown } = this;
    if (shown) this.view.wish(shown.camera, !this.isMine(shown));
  }
}
