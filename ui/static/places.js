/**
 * Where things stand: Gradio draws places late and may draw them anew, with the same id.
 *
 * What stands in a place is made once and put back whenever its place comes anew, as it was.
 */

const roots = new Map();

function fill() {
  for (const [id, root] of roots) {
    const place = document.getElementById(id);
    if (!place || root.parentElement === place) continue;
    place.replaceChildren(root);
    place.closest('.prose')?.classList.remove('prose'); // Gradio's look of running text
  }
}

/** Let `root` stand in the place `id` from when there is one. */
export function stand(id, root) {
  roots.set(id, root);
  fill();
}

let isDue = false;
new MutationObserver(() => {
  if (isDue) return;
  isDue = true;
  queueMicrotask(() => {
    isDue = false;
    fill();
  });
}).observe(document.documentElement, { childList: true, subtree: true });

/** Put the caret where questions are typed. */
export function focusQuestion() {
  const box = document.querySelector('#lt-question textarea, #lt-question input');
  box?.scrollIntoView({ block: 'nearest' });
  box?.focus();
}
