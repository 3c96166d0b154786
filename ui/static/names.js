/**
 * Names for those of Gradio's buttons that show an icon alone: readers of screens say them.
 */

import { set } from './dom.js';

const NAMES = {
  '#lt-question .submit-button': 'Send the question',
  '#lt-question .stop-button': 'Stop the answer',
};

function give() {
  for (const [place, name] of Object.entries(NAMES)) {
    for (const button of document.querySelectorAll(place)) set(button, 'aria-label', name);
  }
}

/** Give them now, and again whenever Gradio draws anew. */
export function nameButtons() {
  give();
  new MutationObserver(give).observe(document.documentElement, { childList: true, subtree: true });
}
