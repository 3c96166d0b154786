/**
 * What a visitor is told for a moment, in the corner; errors stay longer and are read aloud at once.
 *
 * Gradio's own toasts come from its forms; these come from the scripts.
 */

import { button, el, PATHS } from './dom.js';
import { Problem } from './api.js';

const SHOWN_MS = 5000;
const PROBLEM_MS = 10000;
const MOST = 4;

const corner = el('div', { id: 'lt-toasts', role: 'region', 'aria-label': 'Messages' });

/**
 * @param {string} words
 * @param {{kind?: 'note'|'problem'|'alert', link?: {href: string, words: string}}} [options]
 */
export function toast(words, { kind = 'note', link } = {}) {
  if (!corner.isConnected) document.body.append(corner);
  const last = corner.lastElementChild;
  if (last?.dataset.words === words) last.remove(); // said again: not piled up
  const shown = el('div', {
    class: `lt-toast lt-${kind}`,
    role: kind === 'note' ? 'status' : 'alert',
    'data-words': words,
  },
  el('p', {}, words, link ? ' ' : '', link && el('a', { href: link.href, text: link.words })),
  button('Dismiss', () => shown.remove(), { path: PATHS.close, words: '' }));
  corner.append(shown);
  while (corner.children.length > MOST) corner.firstElementChild.remove();
  setTimeout(() => shown.remove(), kind === 'note' ? SHOWN_MS : PROBLEM_MS);
}

/** Where a visitor logs in, and comes back from. */
export function loginLink() {
  const here = location.pathname + location.search;
  return { href: `/login?next=${encodeURIComponent(here)}`, words: 'Log in' };
}

/** Await something a visitor wanted; what is refused is told. Returns undefined then. */
export async function telling(promise) {
  try {
    return await promise;
  } catch (error) {
    if (!(error instanceof Problem)) throw error;
    const link = error.status === 401 ? loginLink() : undefined;
    toast(error.message, { kind: 'problem', link });
    return undefined;
  }
}
