/**
 * This device's camera: its picture here, and JPEGs of it to the server over a socket of its own.
 *
 * The newest frame wins: one is made only when fewer than two are unanswered and nothing waits to
 * be sent.  Pixels are never mirrored, or text would reach the model reversed.  Event: `change`.
 */

import { written } from './frame_message.js';
import { el } from './dom.js';

const WIDTH = 640;
const QUALITY = 0.8;
const MOST_FPS = 15;
const EARLY_MS = 20; // by which a picture may come before its turn; the rate stays
const PEN = { alpha: false, willReadFrequently: true }; // every picture is read back
const MOST_UNANSWERED = 2;
const LOST_MS = 4000; // without an answer the two under way are given up
const WANTED_NAME = ''; // the first camera of a take needs none; others are told theirs
const FINAL = [1000, 4400, 4401, 4403, 4404, 1009]; // codes after which coming back is no use
const FIRST_WAIT_MS = 500;
const MOST_WAIT_MS = 8000;
const HIDDEN = 'This tab is hidden: browsers let it send about one frame a second.';

/** What a browser calls it, and what a visitor can do. */
const WHY = {
  NotAllowedError: 'The camera was not allowed. Allow it beside the address, then start it again.',
  NotFoundError: 'No camera was found. Plug one in, then start it again.',
  NotReadableError: 'The camera is used by another program. Close that one, then start it again.',
  OverconstrainedError: 'This camera cannot send what was asked for. Choose another one.',
  AbortError: 'The camera did not start. Start it again.',
};

/** Where a browser gives no camera to a page that came without encryption. */
export const isInsecure = !globalThis.isSecureContext || !navigator.mediaDevices;

export class Webcam extends EventTarget {
  /** `off`, `starting`, `on`. */
  state = 'off';
  /** Why it is off, or what is odd. */
  note = '';
  /** Its name on the server; null before the server has said it. */
  camera = null;
  /** @type {MediaDeviceInfo[]} */
  devices = [];
  deviceId = '';
  sent = 0;
  lagS = 0;
  video = el('video', { muted: true, playsinline: true, 'aria-label': 'Your camera' });

  #take;
  #stream = null;
  #socket = null;
  #canvas = document.createElement('canvas');
  #unanswered = new Map();
  #number = 0;
  #timer = 0;
  #retry = 0;
  #waitMs = FIRST_WAIT_MS;
  #isFresh = true;
  #isEncoding = false;
  #mostBytes = Infinity;
  #takenMs = 0;
  #dueMs = 0;

  /** @param {import('./api.js').Take} take */
  constructor(take) {
    super();
    this.#take = take;
    this.video.muted = true;
    addEventListener('pagehide', () => this.stop());
    document.addEventListener('visibilitychange', () => this.#hidden());
  }

  /** @param {string} [deviceId] one of `devices`; none: as the browser likes. */
  async start(deviceId = '') {
    this.stop();
    this.#stand('starting', '');
    const wanted = { width: { ideal: 1280 }, height: { ideal: 720 }, frameRate: { ideal: 30 } };
    if (deviceId) wanted.deviceId = { exact: deviceId };
    else wanted.facingMode = { ideal: 'environment' };
    let stream;
    try {
      stream = await navigator.mediaDevices.getUserMedia({ video: wanted, audio: false });
    } catch (error) {
      this.#stand('off', WHY[error.name] ?? `The camera did not start: ${error.name}.`);
      return;
    }
    if (this.state !== 'starting') { // stopped while the browser asked
      for (const track of stream.getTracks()) track.stop();
      return;
    }
    this.#stream = stream;
    const [track] = stream.getVideoTracks();
    this.deviceId = track.getSettings().deviceId ?? '';
    track.addEventListener('ended', () => this.stop('The camera was unplugged, or taken away.'));
    this.video.srcObject = stream;
    await this.video.play().catch(() => {});
    const every = await navigator.mediaDevices.enumerateDevices();
    this.devices = every.filter((device) => device.kind === 'videoinput');
    this.#stand('on', '');
    this.#hidden();
    this.#connect();
    this.#watch();
    this.#timer = setInterval(() => this.#untold && this.#tick(), 1000 / MOST_FPS);
  }

  /** The camera is free again, and its light goes off. */
  stop(note = '') {
    clearInterval(this.#timer);
    clearTimeout(this.#retry);
    for (const track of this.#stream?.getTracks() ?? []) track.stop();
    this.#stream = this.video.srcObject = null;
    const socket = this.#socket;
    this.#socket = this.camera = null;
    socket?.close(1000);
    this.#unanswered.clear();
    if (this.state !== 'off' || note) this.#stand('off', note);
  }

  #connect() {
    const socket = new WebSocket(this.#take.socketUrl('frames', { camera: WANTED_NAME }));
    this.#socket = socket;
    this.#unanswered.clear();
    socket.addEventListener('message', ({ data }) => {
      if (socket === this.#socket) this.#hear(JSON.parse(data));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      if (socket === this.#socket) this.#lost(code, reason);
    });
  }

  #lost(code, reason) {
    this.#socket = null;
    if (FINAL.includes(code)) {
      this.stop(`The camera was stopped: ${reason || `the server closed it (${code})`}.`);
      return;
    }
    const words = code === 1013 && reason ? reason : 'The server is not reached. Trying again ...';
    this.#stand('on', words);
    this.#retry = setTimeout(() => this.#connect(), this.#waitMs);
    this.#waitMs = Math.min(MOST_WAIT_MS, this.#waitMs * 1.7);
  }

  #hear(said) {
    if (said.seq === undefined) {
      this.camera = said.camera;
      this.#mostBytes = said.most_bytes;
      this.#waitMs = FIRST_WAIT_MS;
      this.#stand('on', '');
      this.#hidden();
      return;
    }
    this.#unanswered.delete(said.seq);
    this.lagS = said.lag_s;
    if (this.#isFresh) this.#tick(); // it waited for this answer
  }

  /** Whether no browser says when the next picture is there. */
  get #untold() {
    return document.hidden || !this.video.requestVideoFrameCallback;
  }

  /** Send the camera's next picture when it is there, and note when it was taken. */
  #watch() {
    const video = this.video;
    if (!video.requestVideoFrameCallback) return;
    const stream = this.#stream;
    const seen = (nowMs, { captureTime }) => {
      if (stream !== this.#stream) return;
      this.#isFresh = true;
      this.#takenMs = captureTime ?? nowMs;
      this.#tick();
      video.requestVideoFrameCallback(seen);
    };
    video.requestVideoFrameCallback(seen);
  }

  #tick() {
    const socket = this.#socket;
    const nowMs = performance.now();
    for (const [number, sentMs] of this.#unanswered) {
      if (nowMs - sentMs > LOST_MS) this.#unanswered.delete(number);
    }
    const canSend = this.camera !== null && socket?.readyState === WebSocket.OPEN
      && socket.bufferedAmount === 0 && this.#unanswered.size < MOST_UNANSWERED;
    const isDue = this.#untold || (this.#isFresh && nowMs >= this.#dueMs - EARLY_MS);
    if (!canSend || !isDue || this.#isEncoding || !this.video.videoWidth) return;
    this.#dueMs = Math.max(this.#dueMs + 1000 / MOST_FPS, nowMs);
    this.#send(socket);
  }

  #send(socket) {
    const video = this.video;
    const isSeen = this.#isFresh && !document.hidden && this.#takenMs > 0;
    const takenMs = isSeen ? Math.min(this.#takenMs, performance.now()) : performance.now();
    const canvas = this.#canvas;
    canvas.width = Math.min(WIDTH, video.videoWidth);
    canvas.height = Math.round((canvas.width * video.videoHeight) / video.videoWidth);
    canvas.getContext('2d', PEN).drawImage(video, 0, 0, canvas.width, canvas.height);
    this.#isFresh = false;
    this.#isEncoding = true;
    canvas.toBlob((jpeg) => {
      this.#isEncoding = false;
      if (!jpeg || socket !== this.#socket || socket.readyState !== WebSocket.OPEN) return;
      if (jpeg.size > this.#mostBytes) return;
      this.#number = (this.#number + 1) % 2 ** 32;
      this.#unanswered.set(this.#number, performance.now());
      socket.send(written(takenMs / 1000, this.#number, jpeg));
      this.sent += 1;
    }, 'image/jpeg', QUALITY);
  }

  #hidden() {
    if (this.state !== 'on') return;
    if (document.hidden) this.#stand('on', HIDDEN);
    else if (this.note === HIDDEN) this.#stand('on', '');
  }

  #stand(state, note) {
    this.state = state;
    this.note = note;
    this.dispatchEvent(new Event('change'));
  }
}
