/**
 * The first of the page's modules: the others begin when a question can be typed.
 *
 * Until then every file and every millisecond is Gradio's, which draws the places for them.
 */

const BOX = '#lt-question textarea, #lt-question input';
const MODULES = ['./main.js', './upload.js'];

function begin() {
  for (const name of MODULES) import(name);
}

if (document.querySelector(BOX)) begin();
else {
  const watcher = new MutationObserver(() => {
    if (!document.querySelector(BOX)) return;
    watcher.disconnect();
    requestAnimationFrame(() => setTimeout(begin)); // after the box is drawn
  });
  watcher.observe(document.documentElement, { childList: true, subtree: true });
}
