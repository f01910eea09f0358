// The server's REST API. URLs are relative, so the page also works below a path of a
// larger site.

/** A request that failed: a problem (RFC 9457), or no response. */
export class Problem extends Error {
  constructor(title, {detail = '', hint = '', status = 0, code = '', wait = 0} = {}) {
    super(title);
    Object.assign(this, {title, detail, hint, status, code, wait});
  }
}

async function problemOf(response) {
  let p = {};
  try {
    p = await response.json();
  } catch {
    // Not JSON: probably a page of a proxy.
  }
  const wait = Number(response.headers.get('Retry-After'));
  const reason = p.answer?.reason ? `It says: ${p.answer.reason}` : '';
  return new Problem(sentence(p.detail || p.title || `The server responded with status ${response.status}`), {
    detail: reason,
    hint: wait ? `Try again in ${wait} s.` : sentence(p.hint ?? ''),
    status: response.status,
    code: p.code,
    wait,
  });
}

/** Makes a sentence of a problem of the server. */
export const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.:?!…]$/.test(text) ? '' : '.');

const away = () => new Problem('The server does not respond', {hint: 'Check that it is running, then try again.'});

async function ask(path, {method = 'GET', body, token, signal, accept = 'application/json'} = {}) {
  const headers = {Accept: accept};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let response;
  try {
    response = await fetch(path, {
      method, headers, signal, cache: 'no-store', redirect: 'error', credentials: 'same-origin',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    throw e.name === 'AbortError' ? e : away();
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Makes a request and returns the parsed JSON of the response, or null if it is empty. */
export async function request(path, options) {
  const response = await ask(path, options);
  const text = await response.text();
  return text === '' ? null : JSON.parse(text);
}

/**
 * Reads server-sent events, because EventSource cannot send an Authorization
 * header. Yields {event, data, id} until the stream ends.
 */
export async function* events(path, options) {
  const response = await ask(path, {...options, accept: 'text/event-stream'});
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = '', event = '', data = [], id = '';
  try {
    for (;;) {
      let chunk;
      try {
        chunk = await reader.read();
      } catch (e) {
        throw e.name === 'AbortError' ? e : away();
      }
      if (chunk.done) return;
      const lines = (rest + chunk.value).split('\n');
      rest = lines.pop();
      for (let line of lines) {
        line = line.replace(/\r$/, '');
        if (line === '') {
          if (data.length) yield {event: event || 'message', data: data.join('\n'), id};
          event = '';
          data = [];
          continue;
        }
        const at = line.indexOf(':');
        const name = at < 0 ? line : line.slice(0, at);
        const value = at < 0 ? '' : line.slice(at + 1).replace(/^ /, '');
        if (name === 'event') event = value;
        else if (name === 'data') data.push(value);
        else if (name === 'id') id = value;
      }
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
