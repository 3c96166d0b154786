/**
 * The server's HTTP verbs for the take that this page shows.
 *
 * Whatever is refused comes as a `Problem` that holds the server's own words.
 */

/** What the server refused, or that it was not there. */
export class Problem extends Error {
  /** @param {string} message @param {number} status 0: no answer came. */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * JSON of an answer, null for an empty one.
 * @param {string} path
 * @param {{method?: string, body?: any, signal?: AbortSignal}} [options] `body` is sent as JSON.
 */
export async function call(path, { method = 'GET', body, signal } = {}) {
  const sent = { method, signal, headers: { Accept: 'application/json' } };
  if (body !== undefined) {
    sent.headers['Content-Type'] = 'application/json';
    sent.body = JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, sent);
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new Problem('The server does not answer. Is it running, and are you connected?', 0);
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  throw new Problem(await wordsOf(response), response.status);
}

async function wordsOf(response) {
  try {
    const said = (await response.json()).error?.message;
    if (said) return said;
  } catch { /* no JSON: the status alone has to do */ }
  return `The server answered ${response.status} ${response.statusText}.`;
}

/** One take, by its id. */
export class Take {
  constructor(id) {
    this.id = id;
    this.path = `/v1/takes/${encodeURIComponent(id)}`;
  }

  /** Where a verb of it is; what is null or undefined in `query` is left out. */
  url(verb, query = {}) {
    const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined);
    const search = new URLSearchParams(given).toString();
    return `${this.path}/${verb}${search && `?${search}`}`;
  }

  /** The same for a WebSocket. */
  socketUrl(verb, query = {}) {
    return `${location.origin.replace(/^http/, 'ws')}${this.url(verb, query)}`;
  }

  get(verb, query, signal) {
    return call(this.url(verb, query), { signal });
  }

  post(verb, body) {
    return call(this.url(verb), { method: 'POST', body });
  }

  patch(verb, body) {
    return call(this.url(verb), { method: 'PATCH', body });
  }

  remove(verb) {
    return call(this.url(verb), { method: 'DELETE' });
  }
}

/** The id of the take that this page shows: the one named, else the only one, else `live`. */
export async function takeShown() {
  const named = new URLSearchParams(location.search).get('take');
  if (named) return named;
  const { takes } = await call('/v1/takes');
  return takes.length === 1 ? takes[0].id : 'live';
}
