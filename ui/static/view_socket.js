/**
 * The socket over which a take is looked at: its state about once a second, and previews.
 *
 * It comes back by itself, later each time, and says in `link` how it stands.  Events: `state`
 * (this.state), `preview` ({age_s, number, place, jpeg}), `link`.
 */

import { call, Problem } from './api.js';
import { readHeader } from './frame_message.js';

const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 8000;
const FULL_WAIT_MS = 10000;
const SILENT_MS = 8000; // the state comes every second: without it the link is dead
const [NOT_LET_IN, WRONG_ORIGIN, NO_TAKE, TRY_LATER] = [4401, 4403, 4404, 1013];

/** How the link to the server stands. */
export const LINK = { connecting: 'connecting', open: 'open', lost: 'lost', ended: 'ended' };

export class ViewSocket extends EventTarget {
  #socket = null;
  #waitMs = FIRST_WAIT_MS;
  #wish = {};
  #timer = 0;
  #heardMs = 0;

  /** @param {import('./api.js').Take} take */
  constructor(take) {
    super();
    this.take = take;
    /** The newest state, null before the first. */
    this.state = null;
    this.link = LINK.connecting;
    /** Why it ended: {code, reason}. */
    this.end = null;
    setInterval(() => this.#check(), 1000);
    addEventListener('online', () => this.#hurry());
    document.addEventListener('visibilitychange', () => {
      this.#tell();
      if (!document.hidden) this.#hurry();
    });
    this.#connect();
  }

  /** Which camera's previews are wanted: null the first one's; `previews` false: none. */
  wish(camera, previews) {
    if (this.#wish.camera === camera && this.#wish.previews === previews) return;
    this.#wish = { camera, previews };
    this.#tell();
  }

  #tell() {
    if (this.#socket?.readyState !== WebSocket.OPEN) return;
    const { camera = null, previews = true } = this.#wish;
    this.#socket.send(JSON.stringify({ camera, previews: previews && !document.hidden }));
  }

  #connect() {
    clearTimeout(this.#timer);
    const socket = new WebSocket(this.take.socketUrl('view'));
    socket.binaryType = 'arraybuffer';
    this.#socket = socket;
    this.#heardMs = performance.now();
    let wasOpen = false;
    socket.addEventListener('open', () => {
      wasOpen = true;
      this.#tell();
    });
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.#socket) this.#hear(data);
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket === this.#socket) this.#closed(code, reason, wasOpen);
    });
  }

  #hear(data) {
    this.#heardMs = performance.now();
    if (typeof data === 'string') {
      this.state = JSON.parse(data);
      this.#waitMs = FIRST_WAIT_MS;
      this.#stand(LINK.open);
      this.dispatchEvent(new Event('state'));
      return;
    }
    const { seconds, number, last, jpeg } = readHeader(data);
    const detail = { age_s: seconds, number, place: last, jpeg };
    this.dispatchEvent(new CustomEvent('preview', { detail }));
  }

  async #closed(code, reason, wasOpen) {
    this.#socket = null;
    this.#stand(LINK.lost);
    // A refused handshake reads as 1006 in a browser: why is asked over HTTP.
    const why = wasOpen || code !== 1006 ? { code, reason } : await this.#why();
    if (this.#socket) return;
    if ([NOT_LET_IN, WRONG_ORIGIN, NO_TAKE].includes(why.code)) {
      this.end = why;
      this.#stand(LINK.ended);
      return;
    }
    const waitMs = why.code === TRY_LATER ? FULL_WAIT_MS : this.#waitMs;
    this.end = why.code === TRY_LATER ? why : null;
    this.#waitMs = Math.min(MOST_WAIT_MS, this.#waitMs * 1.7);
    this.#timer = setTimeout(() => this.#connect(), waitMs * (0.8 + 0.4 * Math.random()));
  }

  async #why() {
    try {
      await call(this.take.url('state'));
    } catch (error) {
      if (!(error instanceof Problem)) throw error;
      const code = { 401: NOT_LET_IN, 403: WRONG_ORIGIN, 404: NO_TAKE, 429: TRY_LATER }[error.status];
      return { code: code ?? 1006, reason: error.message };
    }
    return { code: 1006, reason: '' };
  }

  #check() {
    const isSilent = performance.now() - this.#heardMs > SILENT_MS;
    if (this.#socket && isSilent && !document.hidden) {
      const socket = this.#socket;
      this.#closed(1006, '', true);
      socket.close();
    }
  }

  #hurry() {
    if (this.link === LINK.lost && !this.#socket) this.#connect();
  }

  #stand(link) {
    if (this.link === link) return;
    this.link = link;
    if (link === LINK.open) this.end = null;
    this.dispatchEvent(new Event('link'));
  }
}
