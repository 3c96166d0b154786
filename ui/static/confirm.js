/**
 * "Are you sure?" before what cannot be undone.
 */

import { button, el } from './dom.js';

/** Whether the visitor said yes. */
export function confirmed(question, words, yes) {
  const { promise, resolve } = Promise.withResolvers?.() ?? resolvers();
  const close = (answer) => {
    dialog.close();
    resolve(answer);
  };
  const agree = button(yes, () => close(true));
  agree.classList.add('lt-danger');
  const dialog = el('dialog', { class: 'lt-dialog', 'aria-labelledby': 'lt-sure' },
    el('h2', { id: 'lt-sure', text: question }), el('p', { text: words }),
    el('div', { class: 'lt-buttons' }, button('Cancel', () => close(false)), agree));
  dialog.addEventListener('close', () => {
    dialog.remove();
    resolve(false);
  });
  document.body.append(dialog);
  dialog.showModal();
  return promise;
}

function resolvers() {
  let resolve;
  const promise = new Promise((done) => { resolve = done; });
  return { promise, resolve };
}
