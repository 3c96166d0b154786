/**
 * Send a video file to the take of this page, with its progress, into the place `lt-upload`.
 *
 * The file goes straight to the server's own route, which bounds and checks it; what becomes of it
 * there is shown among the sources.
 */

const PLACE = 'lt-upload';
const take = () => window.longtake?.take ?? new URLSearchParams(location.search).get('take') ?? 'live';

/**
 * @param {string} name of an element
 * @param {Record<string, string>} attributes
 * @param {...(Node|string)} children
 */
function make(name, attributes, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

/**
 * What the server says was wrong, else words of our own.
 * @param {XMLHttpRequest} request
 */
function trouble(request) {
  try {
    return JSON.parse(request.responseText).error.message;
  } catch {
    return request.status
      ? `The server refused the file (${request.status}).`
      : 'The connection to the server was lost. Choose the file again to send it again.';
  }
}

/** @param {HTMLElement} place an empty one */
function fill(place) {
  const file = make('input', { type: 'file', accept: 'video/*,.ts,.mkv', id: 'lt-file' });
  const label = make('label', { for: 'lt-file', class: 'lt-file' }, 'Upload a video');
  const bar = make('progress', { max: '1', value: '0', 'aria-label': 'Sent' });
  const stop = make('button', { type: 'button' }, 'Cancel');
  const row = make('div', { class: 'lt-sending', hidden: '' }, bar, stop);
  const said = make('p', { class: 'lt-said', role: 'status' });
  place.append(file, label, row, said);

  file.addEventListener('change', () => {
    const chosen = file.files?.[0];
    if (!chosen) return;
    const request = new XMLHttpRequest();
    const form = new FormData();
    form.append('file', chosen);
    const over = (/** @type {string} */ words, isTrouble = false) => {
      said.textContent = words;
      said.classList.toggle('lt-trouble', isTrouble);
      row.hidden = true;
      label.hidden = false;
      file.value = '';
    };
    request.upload.addEventListener('progress', (event) => {
      if (!event.lengthComputable) return;
      bar.value = event.loaded / event.total;
      said.textContent = event.loaded < event.total
        ? `${chosen.name}: ${Math.floor((100 * event.loaded) / event.total)} %`
        : `${chosen.name}: being looked at`;
    });
    request.addEventListener('load', () => (request.status === 201
      ? over(`${chosen.name} is being watched.`)
      : over(trouble(request), true)));
    request.addEventListener('error', () => over(trouble(request), true));
    request.addEventListener('abort', () => over('Not sent.'));
    stop.onclick = () => request.abort();
    row.hidden = false;
    label.hidden = true;
    bar.value = 0;
    request.open('POST', `/v1/takes/${encodeURIComponent(take())}/sources/file`);
    request.send(form);
  });
}

/** Gradio draws late, and may draw again. */
function look() {
  const place = document.getElementById(PLACE);
  if (place && !place.firstChild) fill(place);
}

new MutationObserver(look).observe(document.documentElement, { childList: true, subtree: true });
look();
