/**
 * The line above the picture: what is wrong with the link or the camera, and the way out.
 */

import { call } from './api.js';
import { el, show } from './dom.js';
import { LINK } from './view_socket.js';
import { loginLink } from './toasts.js';

/**
 * Draw what there is to say into `place`, which is hidden when there is nothing.
 * @param {import('./view_socket.js').ViewSocket} view
 * @param {import('./webcam.js').Webcam} webcam
 * @param {HTMLElement} place
 */
export function noticeOf(view, webcam, place) {
  const end = view.end;
  const shown = view.state && view.state.sources.find((s) => s.state === 'failed' && s.error);
  const words = end ? ended(end)
    : view.link === LINK.lost ? 'The connection to the server was lost. Trying again ...'
      : webcam.note || (shown ? shown.error : '');
  show(place, words !== '');
  if (place.dataset.words === words) return;
  place.dataset.words = words;
  place.replaceChildren(words);
  if (end?.code === 4401) place.append(' ', el('a', { href: loginLink().href, text: 'Log in' }));
  if (end?.code === 4404) others(view.take.id, place);
}

function ended({ code, reason }) {
  if (code === 4401) return 'This server wants to know who you are.';
  if (code === 4403) return 'This server does not let a page of this address in.';
  if (code === 1013) return reason || 'Too many look at this server now. Trying again soon ...';
  return `${reason.charAt(0).toUpperCase()}${reason.slice(1)}.`.replace('..', '.');
}

async function others(id, place) {
  const said = await call('/v1/takes').catch(() => ({ takes: [] }));
  for (const take of said.takes.filter((each) => each.id !== id)) {
    const href = `/?take=${encodeURIComponent(take.id)}`;
    place.append(' ', el('a', { href, text: `Look at ${take.id}` }));
  }
}
