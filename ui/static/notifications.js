/**
 * The browser's own notifications, for a page that is not looked at.
 */

const isThere = () => 'Notification' in globalThis && globalThis.isSecureContext;

/** Whether the visitor has not said yet if he wants them. */
export function mayAsk() {
  return isThere() && Notification.permission === 'default';
}

export function canNotify() {
  return isThere() && Notification.permission === 'granted';
}

/** @param {string} words @param {string} tag the same event is told once, however many pages show it */
export function notify(words, tag) {
  if (!canNotify() || !document.hidden) return;
  try {
    const told = new Notification('longtake', { body: words, tag, icon: '/static/favicon.svg' });
    told.addEventListener('click', () => {
      focus();
      told.close();
    });
  } catch { /* browsers of phones allow them to service workers alone: the toast is there */ }
}
