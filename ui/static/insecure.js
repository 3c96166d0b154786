/**
 * Browsers give a camera to no page that came over plain http from another machine: three ways out.
 */

import { el } from './dom.js';

/** What is shown in place of the camera button. */
export function insecureBanner() {
  const port = location.port || '80';
  const flag = 'chrome://flags/#unsafely-treat-insecure-origin-as-secure';
  return el('div', { class: 'lt-insecure', role: 'note' },
    el('p', { text: 'The camera needs an encrypted page. Three ways to have one:' }),
    el('ol', {},
      el('li', {}, 'Start the server with ', el('code', { text: '--tls auto' }),
        ' and open it as https.'),
      el('li', {}, 'Make a tunnel, ',
        el('code', { text: `ssh -L ${port}:127.0.0.1:${port} ${location.hostname}` }),
        ', and open ', el('code', { text: `http://localhost:${port}` }), '.'),
      el('li', {}, 'In Chrome, name ', el('code', { text: location.origin }), ' at ',
        el('code', { text: flag }), '.')));
}
