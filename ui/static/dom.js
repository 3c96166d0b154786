/**
 * Elements, made and kept without HTML text: every word becomes a text node.
 *
 * What is drawn is not known here.
 */

const SVG = 'http://www.w3.org/2000/svg';

/**
 * A new element.
 * @param {string} tag
 * @param {Object<string, any>} [props] `class`, `text`, `on` (listeners by name), `style` (CSS
 *   properties by name); all others are attributes: null and false leave one out.
 * @param {...(Node|string|null|undefined|false)} children what is empty is left out
 * @returns {any}
 */
export function el(tag, props = {}, ...children) {
  return filled(document.createElement(tag), props, children);
}

/** The same for SVG. */
export function svg(tag, props = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), props, children);
}

function filled(element, props, children) {
  for (const [name, value] of Object.entries(props)) {
    if (name === 'on') {
      for (const [event, called] of Object.entries(value)) element.addEventListener(event, called);
    } else if (name === 'style') {
      for (const [property, said] of Object.entries(value)) {
        element.style.setProperty(property, said);
      }
    } else if (name === 'text') element.textContent = value;
    else set(element, name, value);
  }
  element.append(...children.filter((child) => child instanceof Node || (child && child !== true)));
  return element;
}

/** Give an attribute, or take it away (null, undefined, false); nothing happens if it is so. */
export function set(element, name, value) {
  if (value === null || value === undefined || value === false) element.removeAttribute(name);
  else {
    const said = value === true ? '' : String(value);
    if (element.getAttribute(name) !== said) element.setAttribute(name, said);
  }
}

/** Give an element a text; nothing happens (and nothing is read aloud) if it has it. */
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/** Show or hide. */
export function show(element, isShown) {
  element.hidden = !isShown;
}

/** An icon: one path in a box of 24. */
export function icon(path) {
  return svg('svg', { class: 'lt-icon', viewBox: '0 0 24 24', 'aria-hidden': 'true' },
    svg('path', { d: path }));
}

/** A button; `label` is read aloud where it shows an icon alone. */
export function button(label, clicked, { path = '', words = label, ...props } = {}) {
  const isBare = words === '';
  return el('button', {
    type: 'button',
    class: 'lt-button',
    title: isBare ? label : null,
    'aria-label': isBare ? label : null,
    on: { click: clicked },
    ...props,
  }, path && icon(path), !isBare && el('span', { text: words }));
}

/**
 * Make an element's children stand for `items`, keeping those that are there: what has the focus
 * keeps it.
 * @param {Element} parent
 * @param {Array<any>} items
 * @param {(item: any) => string|number} keyOf
 * @param {(item: any) => any} make
 * @param {(element: any, item: any) => void} [update]
 */
export function keyed(parent, items, keyOf, make, update = () => {}) {
  const there = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let next = parent.firstElementChild;
  for (const item of items) {
    const key = String(keyOf(item));
    let child = there.get(key);
    there.delete(key);
    if (!child) {
      child = make(item);
      child.dataset.key = key;
    }
    update(child, item);
    if (child === next) next = next.nextElementSibling;
    else parent.insertBefore(child, next);
  }
  for (const child of there.values()) child.remove();
}

/** Paths of icons, in a box of 24. */
export const PATHS = {
  camera: 'M4 7h10a1 1 0 0 1 1 1v8a1 1 0 0 1-1 1H4a1 1 0 0 1-1-1V8a1 1 0 0 1 1-1zm11 4 6-3v8l-6-3z',
  stop: 'M7 7h10v10H7z',
  close: 'M6 6l12 12M18 6 6 18',
  mask: 'M3 5h18v14H3zM7 9h6v5H7z',
  full: 'M4 9V4h5M15 4h5v5M20 15v5h-5M9 20H4v-5',
  pause: 'M8 5v14M16 5v14',
  play: 'M7 5l12 7-12 7z',
  left: 'M15 5l-7 7 7 7',
  right: 'M9 5l7 7-7 7',
  plus: 'M12 5v14M5 12h14',
  minus: 'M5 12h14',
  fit: 'M4 12h16M8 8l-4 4 4 4M16 8l4 4-4 4',
  lock: 'M6 11h12v9H6zM8 11V8a4 4 0 0 1 8 0v3',
  bin: 'M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13',
  save: 'M12 4v11M7 10l5 5 5-5M5 20h14',
  ask: 'M4 5h16v11H10l-4 4v-4H4z',
  bell: 'M6 17V11a6 6 0 0 1 12 0v6l2 2H4zM10 21h4',
  clock: 'M12 3a9 9 0 1 0 0 18a9 9 0 1 0 0-18M12 7v5l4 2',
  image: 'M3 5h18v14H3zM3 16l5-5 4 4 3-3 6 6',
};
