// The server's REST API. Addresses are relative, so that the page also works
// below a path of a larger site.

/** A response that says what is wrong (RFC 9457), or no response. */
export class Problem extends Error {
  constructor(title, {detail = '', hint = '', status = 0, code = '', wait = 0} = {}) {
    super(title);
    Object.assign(this, {title, detail, hint, status, code, wait});
  }
}

async function problemOf(answer) {
  let p = {};
  try {
    p = await answer.json();
  } catch {
    // Not JSON: mostly a proxy's page.
  }
  const wait = Number(answer.headers.get('Retry-After'));
  const reason = p.answer?.reason ? `It says: ${p.answer.reason}` : '';
  return new Problem(sentence(p.detail || p.title || `The server responded with status ${answer.status}`), {
    detail: reason,
    hint: wait ? `Try again in ${wait} s.` : sentence(p.hint ?? ''),
    status: answer.status,
    code: p.code,
    wait,
  });
}

// The server words its problems for a line of their own.
const sentence = text => text && text[0].toUpperCase() + text.slice(1) + (/[.:?!…]$/.test(text) ? '' : '.');

const away = () => new Problem('The server does not respond', {hint: 'Check that it is running, then try again.'});

async function ask(path, {method = 'GET', body, token, signal, accept = 'application/json'} = {}) {
  const headers = {Accept: accept};
  if (token) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  let answer;
  try {
    answer = await fetch(path, {
      method, headers, signal, cache: 'no-store', redirect: 'error', credentials: 'same-origin',
      body: body === undefined ? undefined : JSON.stringify(body),
    });
  } catch (e) {
    throw e.name === 'AbortError' ? e : away();
  }
  if (!answer.ok) throw await problemOf(answer);
  return answer;
}

/** Makes a request and returns what the answer's JSON parses to, or null. */
export async function request(path, options) {
  const answer = await ask(path, options);
  const text = await answer.text();
  return text === '' ? null : JSON.parse(text);
}

/**
 * Reads server-sent events, which EventSource cannot with an Authorization
 * header. Yields {event, data, id} until the stream ends.
 */
export async function* events(path, options) {
  const answer = await ask(path, {...options, accept: 'text/event-stream'});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
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
