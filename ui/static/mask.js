/**
 * Parts of the picture that the model never sees: rectangles drawn on the live picture.
 *
 * Those that are in force come from the server, whatever their shape; they are sent as shares of
 * the picture, all together.  The operator's own stay, whatever is sent.
 */

import { button, el, PATHS, set, show, svg } from './dom.js';
import { telling, toast } from './toasts.js';

const LEAST = 0.01; // of a side: less is a slip of the hand

const share = (value) => Math.round(Math.min(1, Math.max(0, value)) * 10000) / 10000;

export class MaskEditor {
  /** Lies over the picture. */
  layer = svg('svg', { class: 'lt-masks', viewBox: '0 0 1 1', preserveAspectRatio: 'none', 'aria-hidden': 'true' });
  #list = el('ul', { class: 'lt-list' });
  #hint = el('p', { class: 'lt-hint', text: 'Drag over what nobody may see, then apply. It is black '
    + 'for the model, the memory and all viewers from then on; what was seen before stays.' });
  #masks = []; // as they are being drawn
  #inForce = [];
  #drawn = null;
  #isOpen = false;

  /** @param {import('./api.js').Take} take */
  constructor(take) {
    this.take = take;
    this.camera = () => '';
    this.panel = el('section', { class: 'lt-mask-panel', 'aria-label': 'Masks', hidden: true },
      this.#hint, this.#list,
      el('div', { class: 'lt-buttons' },
        button('Apply', () => this.#apply(), { class: 'lt-button lt-primary' }),
        button('Add one in the middle', () => this.#add({ x: 0.4, y: 0.4, width: 0.2, height: 0.2 })),
        button('Cancel', () => this.close())));
    this.layer.addEventListener('pointerdown', (event) => this.#down(event));
    this.layer.addEventListener('pointermove', (event) => this.#move(event));
    this.layer.addEventListener('pointerup', () => this.#up());
    this.layer.addEventListener('pointercancel', () => this.#up());
  }

  /** Have what is in force: one's own camera is shown without the server, and masked here. */
  async refresh() {
    const said = await telling(this.take.get('masks'));
    if (said) this.#inForce = said.masks;
    this.#draw();
  }

  /** Begin with what is in force. */
  async open() {
    if (this.#isOpen) {
      this.close();
      return;
    }
    await this.refresh();
    this.#masks = this.#inForce.filter((mask) => !mask.fixed);
    this.#isOpen = true;
    this.#draw();
  }

  close() {
    this.#isOpen = false;
    this.#drawn = null;
    this.#draw();
  }

  #at(event) {
    const box = this.layer.getBoundingClientRect();
    return [share((event.clientX - box.left) / box.width), share((event.clientY - box.top) / box.height)];
  }

  #down(event) {
    if (!this.#isOpen) return;
    event.preventDefault();
    this.layer.setPointerCapture(event.pointerId);
    this.#drawn = { from: this.#at(event), to: this.#at(event) };
  }

  #move(event) {
    if (!this.#drawn) return;
    this.#drawn.to = this.#at(event);
    this.#draw();
  }

  #up() {
    if (!this.#drawn) return;
    const box = boxOf(this.#drawn);
    this.#drawn = null;
    if (box.width >= LEAST && box.height >= LEAST) this.#add(box);
    else this.#draw();
  }

  #add({ x, y, width, height }) {
    const [right, bottom] = [share(x + width), share(y + height)];
    const points = [[x, y], [right, y], [right, bottom], [x, bottom]];
    this.#masks = [...this.#masks, { camera: this.camera(), points }];
    this.#draw();
  }

  async #apply() {
    const masks = this.#masks.map(({ camera, points }) => ({ camera, points }));
    const said = await telling(this.take.post('masks', { masks }));
    if (!said) return;
    this.#inForce = said.masks;
    const count = this.#inForce.length;
    const stay = count > masks.length ? ' Those that the operator set stay.' : '';
    const force = count === 1 ? 'One mask is' : `${count || 'No'} masks are`;
    toast(`${force} in force.${stay}`);
    this.close();
  }

  #draw() {
    show(this.panel, this.#isOpen);
    this.layer.classList.toggle('lt-open', this.#isOpen);
    const camera = this.camera();
    const fixed = this.#inForce.filter((mask) => mask.fixed);
    const masks = this.#isOpen ? [...fixed, ...this.#masks] : this.#inForce;
    const here = masks.filter((mask) => ['', camera].includes(mask.camera));
    const shapes = here.map((mask) => svg('polygon', { points: mask.points.map((p) => p.join(',')).join(' ') }));
    if (this.#drawn) shapes.push(svg('rect', { class: 'lt-drawn', ...boxOf(this.#drawn) }));
    this.layer.replaceChildren(...shapes);
    this.#list.replaceChildren(...this.#masks.map((mask, place) => el('li', {},
      el('span', { text: `${place + 1}. ${mask.camera || 'all cameras'}, ${sizeOf(mask.points)}` }),
      button(`Remove mask ${place + 1}`, () => {
        this.#masks = this.#masks.filter((each) => each !== mask);
        this.#draw();
      }, { path: PATHS.close, words: '' }))));
    set(this.#list, 'aria-label', 'Masks');
  }
}

function boxOf({ from, to }) {
  return {
    x: Math.min(from[0], to[0]),
    y: Math.min(from[1], to[1]),
    width: Math.abs(to[0] - from[0]),
    height: Math.abs(to[1] - from[1]),
  };
}

/** "20 × 10 % of the picture" */
function sizeOf(points) {
  const across = (axis) => {
    const values = points.map((point) => point[axis]);
    return Math.round(100 * (Math.max(...values) - Math.min(...values)));
  };
  return `${across(0)} × ${across(1)} % of the picture`;
}
