/**
 * What pointers, wheels and keys do to the timeline: look, select, zoom, move.
 *
 * It is told in session times; what is drawn is not known here.
 */

const DRAG_PX = 5;
const CLICK_PX = 6; // on each side of a click
const CLICK_S = 2; // at least
const WHEEL = 1.0015;

/**
 * @typedef {object} Told
 * @property {(atS: number|null, x: number) => void} hover
 * @property {(startS: number, endS: number, isDone: boolean) => void} select
 * @property {(atS: number) => void} click
 * @property {() => void} clear
 * @property {() => void} ask
 * @property {() => void} moved the scale changed
 */

export class TimelineGestures {
  #pointers = new Map();
  #downX = null;
  #isDragging = false;
  #isPinching = false;
  #anchorS = null;
  /** Where the keyboard is; null before it was used. */
  cursorS = null;

  /**
   * @param {HTMLElement} surface
   * @param {import('./time_scale.js').TimeScale} scale
   * @param {Told} told
   */
  constructor(surface, scale, told) {
    Object.assign(this, { surface, scale, told });
    const on = (name, called, options) => surface.addEventListener(name, called, options);
    on('pointerdown', (event) => this.#down(event));
    on('pointermove', (event) => this.#move(event));
    on('pointerup', (event) => this.#up(event));
    on('pointercancel', (event) => this.#cancel(event));
    on('pointerleave', () => this.#pointers.size || told.hover(null, 0));
    on('wheel', (event) => this.#wheel(event), { passive: false });
    on('keydown', (event) => this.#key(event));
    on('blur', () => told.hover(null, 0));
  }

  /** The little span that a click at a time means. */
  around(atS) {
    const halfS = Math.max(CLICK_S, CLICK_PX * this.scale.pixelS);
    return [Math.max(0, atS - halfS), Math.min(this.scale.lastS, atS + halfS)];
  }

  #x(event) {
    return event.clientX - this.surface.getBoundingClientRect().left;
  }

  #down(event) {
    if (event.button !== 0) return;
    this.surface.setPointerCapture(event.pointerId);
    this.#pointers.set(event.pointerId, this.#x(event));
    this.#isPinching = this.#pointers.size === 2;
    this.#isDragging = false;
    this.#downX = this.#x(event);
    this.told.hover(this.scale.at(this.#downX), this.#downX);
  }

  #move(event) {
    const x = this.#x(event);
    if (!this.#pointers.has(event.pointerId)) {
      this.told.hover(this.scale.at(x), x);
      return;
    }
    if (this.#isPinching) {
      this.#pinch(event.pointerId, x);
      return;
    }
    this.#pointers.set(event.pointerId, x);
    this.#isDragging ||= Math.abs(x - this.#downX) > DRAG_PX;
    this.told.hover(this.scale.at(x), x);
    if (this.#isDragging) this.told.select(this.scale.at(this.#downX), this.scale.at(x), false);
  }

  #pinch(pointer, x) {
    const [before] = [[...this.#pointers.values()]];
    this.#pointers.set(pointer, x);
    const after = [...this.#pointers.values()];
    const [was, is] = [Math.abs(before[0] - before[1]), Math.abs(after[0] - after[1])];
    const middle = (after[0] + after[1]) / 2;
    if (is > 8) this.scale.zoom(Math.max(8, was) / is, this.scale.at(middle));
    this.scale.pan(((before[0] + before[1]) / 2 - middle) * this.scale.pixelS);
    this.told.moved();
  }

  #up(event) {
    const wasPinching = this.#isPinching;
    this.#pointers.delete(event.pointerId);
    if (this.#pointers.size === 0) this.#isPinching = false;
    if (event.pointerType !== 'mouse') this.told.hover(null, 0);
    if (wasPinching) return;
    const atS = this.scale.at(this.#x(event));
    if (this.#isDragging) this.told.select(this.scale.at(this.#downX), atS, true);
    else this.told.click(atS);
    this.#isDragging = false;
  }

  #cancel(event) {
    this.#pointers.delete(event.pointerId);
    this.#isPinching = this.#isDragging = false;
    this.told.hover(null, 0);
  }

  #wheel(event) {
    event.preventDefault();
    const { scale } = this;
    const unit = event.deltaMode === 1 ? 16 : 1;
    const [x, y] = [event.deltaX * unit, event.deltaY * unit];
    if (event.shiftKey || Math.abs(x) > Math.abs(y)) scale.pan((x || y) * scale.pixelS);
    else scale.zoom(WHEEL ** y, scale.at(this.#x(event)));
    this.told.moved();
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const { scale, told } = this;
    const at = this.cursorS ?? scale.nowS;
    const stepS = Math.max(1, (scale.endS - scale.startS) / 100);
    const goes = {
      ArrowLeft: at - stepS, ArrowRight: at + stepS, ArrowDown: at - stepS, ArrowUp: at + stepS,
      PageDown: at - 10 * stepS, PageUp: at + 10 * stepS, Home: 0, End: scale.nowS,
    };
    if (event.key in goes) this.#go(Math.min(scale.nowS, Math.max(0, goes[event.key])), event.shiftKey);
    else if (event.key === 'Enter') told.ask();
    else if (event.key === 'Escape') this.#clear();
    else if (event.key === '+' || event.key === '=') this.#zoom(0.5, at);
    else if (event.key === '-') this.#zoom(2, at);
    else return;
    event.preventDefault();
  }

  #go(atS, isSelecting) {
    this.#anchorS = isSelecting ? this.#anchorS ?? this.cursorS ?? this.scale.nowS : null;
    this.cursorS = atS;
    this.scale.reveal(atS);
    if (isSelecting) this.told.select(this.#anchorS, atS, true);
    this.told.hover(atS, this.scale.x(atS));
  }

  #zoom(by, atS) {
    this.scale.zoom(by, atS);
    this.told.moved();
  }

  #clear() {
    this.#anchorS = this.cursorS = null;
    this.told.hover(null, 0);
    this.told.clear();
  }
}
