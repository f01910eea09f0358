// The administrator's part: the token, the subscriptions, and the pushes.

import {$, busy, count, h, mark, notice, number, show, time} from './dom.js';
import {request, sentence} from './api.js';
import * as compose from './compose.js';
import * as job from './job.js';

// The token is in memory, and in the tab's storage if the visitor chooses this.
const kept = 'webpush.token';
let token = '';
let next = '';        // the page of subscriptions that comes next

/** Makes a request as the administrator. If the token is no longer valid, the page is locked. */
async function asAdmin(path, options = {}) {
  try {
    return await request(path, {...options, token});
  } catch (e) {
    if (e.status === 401 && !$('unlocked').hidden) lock('The server no longer accepts the token.');
    throw e;
  }
}

function lock(reason = '') {
  token = '';
  try {
    sessionStorage.removeItem(kept);
  } catch {
    // No storage here: nothing is in it.
  }
  job.leave();
  show($('unlocked'), false);
  show($('lock'), false);
  show($('token-form'));
  $('token').value = '';
  mark($('token'), reason);
  $('token').focus();
}

async function unlock(text, asked) {
  token = text;
  try {
    await load();
  } catch (e) {
    token = '';
    if (e.status === 401 || e.status === 403) {
      try {
        sessionStorage.removeItem(kept);
      } catch {
        // As above.
      }
      if (asked) {
        mark($('token'), 'This is not the token. It is in the file that the server names when it starts, or in WEBPUSH_ADMIN_TOKEN.');
        $('token').focus();
        $('token').select();
      }
      return;
    }
    mark($('token'), `${e.title ?? e.message}. ${e.hint ?? ''}`);
    return;
  }
  if ($('keep').checked) {
    try {
      sessionStorage.setItem(kept, token);
    } catch {
      // Then it is asked for again after a reload.
    }
  }
  $('token').value = '';
  mark($('token'));
  show($('token-form'), false);
  show($('unlocked'));
  show($('lock'));
  if (asked) $('list-title').focus();
  job.enter({asAdmin, token: () => token, onEnd: load});
}

/** Reads the subscriptions' counts and their first page, and whether the server has a problem. */
async function load() {
  const health = request('healthz').catch(problem => ({problem}));
  const list = await asAdmin('subscriptions?limit=50');
  const {problem, warning} = await health;
  notice($('list-problem'), problem ?? (warning ? {title: sentence(warning), level: 'warn'} : null));
  const services = Object.entries(list.services).filter(([, n]) => n > 0).sort((a, b) => b[1] - a[1] || a[0].localeCompare(b[0]));
  $('list-total').textContent = list.total === 0
    ? 'There are no subscriptions yet. Subscribe this browser above, or send subscriptions to POST /subscription.'
    : `${count(list.total, 'subscription')} with ${count(services.length, 'push service')}`;
  show($('services'), list.total > 0);
  // Services without a name are their origins, if this page has all of them.
  const others = [...new Set(list.subscriptions.filter(s => s.service === 'other').map(s => s.origin))];
  const other = others.length === 0 ? names.other : list.next ? `${names.other}, such as ${others[0]}` : others.join(', ');
  $('services').tBodies[0].replaceChildren(...services.map(([service, n]) => {
    const share = h('span', {className: 'share', role: 'img', 'aria-label': percent(n / list.total)});
    share.style.width = `${100 * n / services[0][1]}%`;
    return h('tr', {}, h('th', {scope: 'row'}, service === 'other' ? other : names[service] ?? service), h('td', {className: 'number'}, number(n)), h('td', {}, share));
  }));
  // Only while keys are replaced, or if something is wrong.
  const keys = list.keys.filter(k => k.subscriptions > 0 || k.use === 'old');
  $('keys').textContent = 'By key: ' + keys.map(k => `${uses[k.use]}${k.fingerprint ? ` (${k.fingerprint.slice(0, 15)}…)` : ''}: ${number(k.subscriptions)}`).join('; ');
  show($('keys'), list.total > 0 && keys.some(k => k.use !== 'current'));
  show($('entries'), list.total > 0);
  $('entries').querySelector('tbody').replaceChildren();
  append(list);
}

const uses = {current: 'current key', old: 'old key', missing: 'key that this server does not have', unknown: 'key not known'};

const names = {
  mozilla: 'Mozilla (Firefox)', fcm: 'Google (Chrome and others)', apple: 'Apple (Safari)', wns: 'Microsoft (Edge)',
  unifiedpush: 'UnifiedPush', other: 'Other push services',
};

const percent = share => `${share > 0 && share < .01 ? 'less than 1' : Math.round(100 * share)}%`;

function append(list) {
  $('entries').querySelector('tbody').append(...list.subscriptions.map(s => h('tr', {},
    h('td', {}, s.service === 'other' ? s.origin : names[s.service] ?? s.service),
    h('td', {}, s.user || '–'),
    h('td', {}, ...(s.tags?.length ? s.tags.map(t => h('span', {className: 'chip'}, t)) : ['–'])),
    h('td', {}, time(s.created)))));
  next = list.next ?? '';
  show($('more'), next !== '');
}

async function onMore() {
  await busy($('more'), 'Reading…', async () => {
    try {
      append(await asAdmin(`subscriptions?limit=50&after=${encodeURIComponent(next)}`));
    } catch (e) {
      notice($('list-problem'), e);
    }
  });
}

/** Starts the section with the settings of the server; a token that was kept opens it. */
export function start(config) {
  $('token-form').addEventListener('submit', event => {
    event.preventDefault();
    const text = $('token').value.trim();
    if (text === '') {
      mark($('token'), 'Type or paste the token first.');
      $('token').focus();
      return;
    }
    mark($('token'));
    busy($('unlock'), 'Unlocking…', () => unlock(text, true));
  });
  $('lock').addEventListener('click', () => lock());
  $('reload').addEventListener('click', () => busy($('reload'), 'Reading…', () => load().catch(e => notice($('list-problem'), e))));
  $('more').addEventListener('click', onMore);
  compose.start({asAdmin, onSent: job.open, track: config.track});
  // A link of the server may bring the token in its fragment, which browsers
  // never send. It must not stay in the address bar or the history.
  let text = new URLSearchParams(location.hash.slice(1)).get('token');
  if (text) {
    history.replaceState(null, '', location.pathname + location.search);
    unlock(text, false);
    return;
  }
  try {
    text = sessionStorage.getItem(kept);
  } catch {
    // No storage here.
  }
  if (text) {
    $('keep').checked = true;
    unlock(text, false);
  }
}
