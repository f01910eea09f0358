// The section “This browser”: subscribe, unsubscribe, the subscription as JSON,
// and a message to yourself.

import {$, busy, copies, h, notice, number, show} from './dom.js';
import {Problem, request} from './api.js';
import {current, madeWith, obstacle, subscribe} from './push.js';

const stateURL = new URL('state', document.baseURI).href;

let config;          // what the server says: publicKey, and file for `webpush subscribe`
let subscription;    // of this browser, or null
let saved = false;   // the command has it: it is gone, and nothing more is asked of it

/** Remembers for the service worker, and for the next visit, what belongs to the subscription. */
async function remember(about) {
  try {
    const cache = await caches.open('webpush');
    if (subscription) await cache.put(stateURL, new Response(JSON.stringify({subscription: subscription.toJSON(), publicKey: config.publicKey, ...about})));
    else await cache.delete(stateURL);
  } catch {
    // No storage here: then the browser must say by itself which subscription it has replaced.
  }
}

async function remembered() {
  try {
    return await (await caches.open('webpush')).match(stateURL).then(r => r?.json()) ?? {};
  } catch {
    return {};
  }
}

const fileName = () => config.file ?? 'subscription.json';
const quoted = name => (/^[\w./@%+=:,-]+$/.test(name) ? name : `'${name.replaceAll("'", "'\\''")}'`);
const command = () => `webpush send -f ${quoted(fileName())} --title Hello --body "From the terminal"`;
const json = () => JSON.stringify(subscription, null, 2);

let downloadURL = '';

function state(kind, badge, text) {
  $('state').dataset.state = kind;
  $('state').textContent = badge;
  $('explain').textContent = text;
  show($('explain'), text !== '');
}

/** Shows what is the case now. */
function render() {
  const blocked = obstacle();
  const other = subscription && !madeWith(subscription, config.publicKey);
  const on = subscription && !other && (!config.file || saved);
  notice($('problem'), on ? null : blocked);
  show($('subscribe-form'), !on && !blocked);
  show($('subscribed'), Boolean(on));
  show($('test'), Boolean(on) && !config.file);
  show($('about'), !config.file);
  show($('ask'), globalThis.Notification?.permission === 'default');
  $('subscribe').textContent = other ? 'Subscribe again' : subscription && config.file ? 'Save the subscription' : 'Subscribe';
  show($('unsubscribe'), !config.file);
  if (on) {
    if (saved) state('on', 'Saved', `Your subscription is in ${config.file}, and the command has ended. You can close this tab.`);
    else if (blocked) state('warn', 'Subscribed, but blocked', 'Messages reach this browser, but it may not show them.');
    else state('on', 'Subscribed', 'This server can send messages to this browser.');
    if (!saved && blocked) notice($('problem'), {...blocked, level: 'warn'});
    $('json').textContent = json();
    $('command').textContent = command();
    if (downloadURL) URL.revokeObjectURL(downloadURL);
    downloadURL = URL.createObjectURL(new Blob([json() + '\n'], {type: 'application/json'}));
    $('download').href = downloadURL;
  } else if (blocked) state('bad', 'Not possible here', '');
  else if (other) state('warn', 'Key changed', 'The server has another key now than the one this browser subscribed with, so its messages would be refused. Subscribe again.');
  else if (subscription) state('wait', 'Subscribed, not saved', `This browser has a subscription. Save it, and it is written to ${config.file}.`);
  else state('wait', 'Not subscribed', config.file ? `Subscribe, and the subscription is written to ${config.file}.` : 'This browser gets no messages from this server.');
}

/** Gives the subscription to the server; the server takes the same one again. */
async function store() {
  const about = {user: $('user').value.trim(), tags: $('tags').value.split(',').map(t => t.trim()).filter(Boolean)};
  const body = {...subscription.toJSON()};
  if (about.user) body.user = about.user;
  if (about.tags.length) body.tags = about.tags;
  await request('subscription', {method: 'POST', body});
  await remember(about);
}

async function onSubscribe(event) {
  event.preventDefault();
  await busy($('subscribe'), 'Subscribing…', async () => {
    notice($('problem'), null);
    const before = subscription?.endpoint;
    try {
      subscription = await subscribe(config.publicKey);
      if (before && before !== subscription.endpoint && !config.file) {
        await request('subscription', {method: 'DELETE', body: {endpoint: before}}).catch(() => {});
      }
      await store();
      saved = Boolean(config.file);
      render();
      $('browser-title').focus();
    } catch (e) {
      // The server refuses what the browser has made: keep none that nobody knows.
      if (subscription && e instanceof Problem && e.status >= 400 && e.status < 500 && !config.file) {
        await subscription.unsubscribe().catch(() => {});
      }
      subscription = await current().catch(() => null);
      render();
      notice($('problem'), e instanceof Problem ? e : {title: 'Subscribing failed', detail: e.message});
      $('problem').focus();
    }
  });
}

async function onUnsubscribe() {
  await busy($('unsubscribe'), 'Unsubscribing…', async () => {
    const {endpoint} = subscription;
    try {
      await subscription.unsubscribe();
      subscription = null;
      await remember();
      await request('subscription', {method: 'DELETE', body: {endpoint}});
    } catch (e) {
      // The push service refuses the endpoint from now on, so the server finds out by itself.
      subscription = await current().catch(() => null);
      render();
      notice($('problem'), {
        title: subscription ? 'The browser did not unsubscribe' : 'Unsubscribed, but the server was not told',
        detail: e.message, level: 'warn', hint: subscription ? 'Try again.' : 'It removes the subscription when it next sends to it.',
      });
      return;
    }
    render();
    $('browser-title').focus();
  });
}

let sentAt = 0;

async function onTest(event) {
  event.preventDefault();
  await busy($('test-send'), 'Sending…', async () => {
    notice($('test-problem'), null);
    $('test-status').textContent = '';
    sentAt = performance.now();
    const body = {endpoint: subscription.endpoint, title: $('test-text-title').value || 'Hello', body: $('test-text-body').value};
    try {
      try {
        await request('subscription/test', {method: 'POST', body});
      } catch (e) {
        if (e.code !== 'not-found') throw e;
        await store(); // the server has lost it
        await request('subscription/test', {method: 'POST', body});
      }
      $('test-status').textContent = 'The push service has taken it.';
    } catch (e) {
      notice($('test-problem'), e);
      $('test-problem').focus();
    }
  });
}

const kinds = {none: 'without payload', notification: 'notification', declarative: 'declarative push', text: 'text', json: 'JSON', bytes: 'bytes'};

/** Shows what the service worker says. */
function onMessage({data: m}) {
  if (m.type === 'changed') return void refresh();
  if (m.type !== 'push' && m.type !== 'click') return;
  show($('arrived-none'), false);
  const now = new Date();
  const when = h('p', {className: 'when'}, h('time', {dateTime: now.toISOString()}, now.toLocaleTimeString('en-GB')));
  let item;
  if (m.type === 'click') {
    when.append(m.url ? ` · clicked: opens ${m.url}` : ' · clicked');
    item = h('li', {}, when);
  } else {
    when.append(` · ${kinds[m.kind]}${m.bytes ? `, ${number(m.bytes)} bytes` : ''}`);
    if (sentAt) when.append(` · ${number(Math.round(performance.now() - sentAt))} ms after you sent it`);
    sentAt = 0;
    item = h('li', {}, h('p', {className: 'name'}, m.title), m.body ? h('p', {}, m.body) : null, when,
      m.problem ? h('p', {className: 'error'}, m.problem) : null,
      m.text ? h('details', {}, h('summary', {}, 'Payload'), h('pre', {tabIndex: 0}, m.text)) : null);
  }
  item.dataset.kind = m.type === 'click' ? 'click' : m.kind;
  $('arrived').prepend(item);
  while ($('arrived').children.length > 50) $('arrived').lastChild.remove();
}

async function refresh() {
  try {
    subscription = await current();
  } catch {
    subscription = null; // a private window may refuse to say
  }
  render();
}

/** Starts the section with what the server says. */
export async function start(c) {
  config = c;
  $('subscribe-form').addEventListener('submit', onSubscribe);
  $('unsubscribe').addEventListener('click', onUnsubscribe);
  $('test-form').addEventListener('submit', onTest);
  copies($('copy-json'), json);
  copies($('copy-command'), command);
  $('download').download = fileName().split('/').pop();
  $('download').textContent = `Download ${$('download').download}`;
  const about = await remembered();
  $('user').value = about.user ?? '';
  $('tags').value = about.tags?.join(', ') ?? '';
  await refresh();
  if ('serviceWorker' in navigator) {
    navigator.serviceWorker.addEventListener('message', onMessage);
    navigator.serviceWorker.startMessages();
  }
  // What was changed in the browser's settings shows without a reload.
  addEventListener('visibilitychange', () => document.visibilityState === 'visible' && !saved && refresh());
  navigator.permissions?.query({name: 'notifications'}).then(p => p.addEventListener('change', () => !saved && refresh()), () => {});
  // The server may have lost it, so that it is given again at each visit.
  if (!config.file && subscription && madeWith(subscription, config.publicKey)) {
    await store().catch(e => notice($('problem'), {title: 'The server does not take this browser\'s subscription', detail: e.message, hint: e.hint}));
  }
}
