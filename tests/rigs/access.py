"""Whether a page can be used by those who see little, or nothing: names and contrast, by script.

What is on the page is not known here; words over pictures are left out, whose ground changes.
"""

from __future__ import annotations

from playwright.sync_api import Page

LEAST_CONTRAST = 4.5  # WCAG AA, of words of usual size

# What is seen and can be used, with the name that a reader of screens says.
NAMELESS = """() => {
  const seen = (e) => e.checkVisibility({ visibilityProperty: true })
    && !e.closest('[aria-hidden]');
  const nameOf = (e) => (e.getAttribute('aria-label')
    || [...(e.getAttribute('aria-labelledby') ?? '').split(' ')].filter(Boolean)
      .map((id) => document.getElementById(id)?.textContent ?? '').join(' ')
    || [...(e.labels ?? [])].map((label) => label.textContent).join(' ')
    || e.title || (/^(INPUT|TEXTAREA|SELECT)$/.test(e.tagName) ? '' : e.innerText) || '').trim();
  const used = document.querySelectorAll('button, a[href], input, select, textarea, [role=slider]');
  return [...used].filter((e) => seen(e) && !nameOf(e)).map((e) => e.outerHTML.slice(0, 200));
}"""

# Words that are set on plain grounds, and how well they stand out from them.
FAINT = """(least) => {
  const pen = Object.assign(document.createElement('canvas'), { width: 1, height: 1 })
    .getContext('2d', { willReadFrequently: true });
  const rgba = (colour) => {
    pen.clearRect(0, 0, 1, 1);
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = pen.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (front, back) => [0, 1, 2]
    .map((k) => front[k] * front[3] + back[k] * (1 - front[3]));
  const ground = (e) => {
    const above = [];
    for (let at = e; at; at = at.parentElement) {
      above.unshift(rgba(getComputedStyle(at).backgroundColor));
    }
    const page = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255];
    return above.reduce((back, front) => over(front, back), page);
  };
  const light = (colour) => colour.slice(0, 3).map((value) => value / 255)
    .map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4))
    .reduce((sum, v, k) => sum + v * [0.2126, 0.7152, 0.0722][k], 0);
  const found = new Map();
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const e = walker.currentNode.parentElement;
    const words = walker.currentNode.textContent.trim();
    if (!words || e.closest('script, style, svg, .lt-unseen, .lt-stage, :disabled')) continue;
    if (!e.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const back = ground(e);
    const front = over(rgba(getComputedStyle(e).color), back);
    const [a, b] = [light(front), light(back)].sort((x, y) => y - x);
    const contrast = (a + 0.05) / (b + 0.05);
    if (contrast < least) found.set(words.slice(0, 60), Number(contrast.toFixed(2)));
  }
  return Object.fromEntries(found);
}"""


def nameless(page: Page) -> list[str]:
    """HTML of what can be used and has no name that could be read aloud."""
    found: list[str] = page.evaluate(NAMELESS)
    return found


def faint(page: Page) -> dict[str, float]:
    """Words that stand out too little from their ground, with their contrast."""
    found: dict[str, float] = page.evaluate(FAINT, LEAST_CONTRAST)
    return found
