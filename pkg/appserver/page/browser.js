// The section “This browser”: subscribe, unsubscribe, the subscription as JSON,
// and test messages.

import {$, busy, copies, h, notice, show} from './dom.js';
import {Problem, request} from './api.js';
import {current, encodeKey, madeWith, obstacle, subscribe, withKey} from './push.js';
import * as timeline from './timeline.js';

const stateURL = new URL('state', document.baseURI).href;

let config;          // settings of the server: publicKey, and file for `webpush subscribe`
let subscription;    // this browser's subscription, or null
let saved = false;   // the command has saved it and exited

/** Stores the subscription and its user and tags, for the service worker and the next visit. */
async function remember(about) {
  try {
    const cache = await caches.open('webpush');
    if (subscription) await cache.put(stateURL, new Response(JSON.stringify({subscription: subscription.toJSON(), publicKey: config.publicKey, ...about})));
    else await cache.delete(stateURL);
  } catch {
    // No storage: the browser itself must report which subscription it has replaced.
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

/** Shows the current state. */
function render() {
  const blocked = obstacle();
  const other = subscription && !madeWith(subscription, config.publicKey);
  const on = subscription && !other && (!config.file || saved);
  capabilities();
  notice($('problem'), on ? null : blocked);
  show($('subscribe-form'), !on && !blocked);
  show($('subscribed'), Boolean(on));
  show($('test'), Boolean(on) && !config.file);
  show($('about'), !config.file);
  show($('ask'), globalThis.Notification?.permission === 'default');
  $('subscribe').textContent = other ? 'Subscribe again' : subscription && config.file ? 'Save the subscription' : 'Subscribe';
  show($('unsubscribe'), !config.file);
  if (on) {
    if (saved) state('on', 'Saved', `Your subscription is in ${config.file}, and the command has exited. You can close this tab.`);
    else if (blocked) state('warn', 'Subscribed, but blocked', 'Messages reach this browser, but it is not allowed to show them.');
    else state('on', 'Subscribed', 'This server can send messages to this browser.');
    if (!saved && blocked) notice($('problem'), {...blocked, level: 'warn'});
    $('json').textContent = json();
    $('command').textContent = command();
    if (downloadURL) URL.revokeObjectURL(downloadURL);
    downloadURL = URL.createObjectURL(new Blob([json() + '\n'], {type: 'application/json'}));
    $('download').href = downloadURL;
  } else if (blocked) state('bad', 'Not possible here', '');
  else if (other) state('warn', 'Key changed', 'This browser subscribed with a key that the server has replaced. Subscribe again to use the current key.');
  else if (subscription) state('wait', 'Subscribed, not saved', `This browser has a subscription. When you save it, it is written to ${config.file}.`);
  else state('wait', 'Not subscribed', config.file ? `When you subscribe, the subscription is written to ${config.file}.` : 'This browser does not receive messages from this server.');
}

/** Sends the subscription to the server, which also accepts one that it has. */
async function store() {
  const about = {user: $('user').value.trim(), tags: $('tags').value.split(',').map(t => t.trim()).filter(Boolean)};
  const body = withKey(subscription);
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
      // The server refuses the new subscription: remove it, because nobody else knows it.
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
      // The push service rejects the endpoint from now on, so the server will notice.
      subscription = await current().catch(() => null);
      render();
      notice($('problem'), {
        title: subscription ? 'The browser did not unsubscribe' : 'Unsubscribed, but the server does not know it yet',
        detail: e.message, level: 'warn', hint: subscription ? 'Try again.' : 'The server removes the subscription after the next message to it.',
      });
      return;
    }
    render();
    $('browser-title').focus();
  });
}

/** Returns the body of POST /subscription/test, with only the values that differ from the defaults. */
function test() {
  const body = {endpoint: subscription.endpoint, title: $('test-text-title').value || 'Hello', body: $('test-text-body').value};
  const ttl = Number($('test-ttl').value), delay = Number($('test-delay').value);
  if (ttl !== 300) body.ttl = ttl;
  if ($('test-urgency').value !== 'high') body.urgency = $('test-urgency').value;
  if ($('test-topic').value.trim()) body.topic = $('test-topic').value.trim();
  if ($('test-encoding').value !== 'aes128gcm') body.encoding = $('test-encoding').value;
  if (delay) body.delay = delay;
  return body;
}

async function onTest(event) {
  event.preventDefault();
  if (throttled) return;
  await busy($('test-send'), 'Sending…', async () => {
    notice($('test-problem'), null);
    $('test-status').textContent = '';
    const body = {...test(), id: encodeKey(crypto.getRandomValues(new Uint8Array(12)))};
    const message = timeline.begin(body.id, body.title, body.body);
    try {
      let receipt;
      try {
        receipt = await request('subscription/test', {method: 'POST', body});
      } catch (e) {
        if (e.code !== 'not-found') throw e;
        await store(); // the server no longer has it
        receipt = await request('subscription/test', {method: 'POST', body});
      }
      if (receipt.sendAt) {
        message.step('scheduled', Date.parse(receipt.sendAt));
        $('test-status').textContent = `It is sent in ${body.delay} seconds. You can close this tab now.`;
      } else {
        message.accepted(receipt);
        $('test-status').textContent = 'The push service accepted it.';
      }
    } catch (e) {
      message.failed(e);
      notice($('test-problem'), e);
      $('test-problem').focus();
      if (e.status === 429) throttle(e.wait || 5);
    }
  });
}

let throttled = 0;   // a timer, while the server accepts no test messages

/** Counts down on the button, and then enables it again. */
function throttle(seconds) {
  const until = performance.now() + seconds * 1000;
  const label = $('test-send').textContent;
  $('test-send').setAttribute('aria-disabled', 'true');
  const tick = () => {
    const left = Math.ceil((until - performance.now()) / 1000);
    if (left > 0) {
      $('test-send').textContent = `Send in ${left} s`;
      return;
    }
    clearInterval(throttled);
    throttled = 0;
    $('test-send').textContent = 'Send';
    $('test-send').removeAttribute('aria-disabled');
    notice($('test-problem'), null);
  };
  clearInterval(throttled);
  throttled = setInterval(tick, 250);
  // busy restores the button after this function returns.
  setTimeout(() => {
    if (!throttled) return;
    $('test-send').setAttribute('aria-disabled', 'true');
    tick();
  }, 0);
}

/** Handles a message of the service worker. */
function onMessage({data: m}) {
  if (m.type === 'changed') return void refresh();
  timeline.receive(m);
}

/** Lists what this browser supports. */
function capabilities() {
  const yes = (name, value, why = '') => h('li', {}, h('span', {}, name), h('span', {}, value, why ? h('span', {className: 'muted'}, ` ${why}`) : null));
  const encodings = globalThis.PushManager?.supportedContentEncodings ?? [];
  const list = [
    yes('Service workers', 'serviceWorker' in navigator ? 'yes' : 'no'),
    yes('Push API', 'PushManager' in window ? 'yes' : 'no'),
    yes('Notifications', {granted: 'allowed', denied: 'blocked', default: 'not asked yet'}[globalThis.Notification?.permission] ?? 'no'),
    yes('Payload encodings', encodings.length ? encodings.join(', ') : 'not stated'),
    yes('Declarative push', 'pushManager' in window ? 'yes' : 'no', 'pushManager' in window ? '' : '(needs the service worker)'),
    yes('Notification buttons', globalThis.Notification?.maxActions ? String(Notification.maxActions) : 'none or not stated'),
  ];
  if (subscription) list.push(yes('Push service', new URL(subscription.endpoint).origin));
  $('capabilities-list').replaceChildren(...list);
}

/**
 * Replaces a subscription that was created with another key than the server's
 * current one. Only used if the visitor has allowed notifications, so there is no prompt.
 */
async function renew() {
  const old = subscription.toJSON();
  state('wait', 'Renewing', 'The server has a new key. This browser subscribes again.');
  try {
    subscription = await subscribe(config.publicKey);
    await request('subscription/change', {method: 'POST', body: {old, new: withKey(subscription)}});
  } catch (e) {
    notice($('problem'), {title: 'The subscription was not renewed', detail: e.message, hint: e.hint ?? 'Choose “Subscribe again”.'});
  }
  await refresh();
}

async function refresh() {
  try {
    subscription = await current();
  } catch {
    subscription = null; // a private window may refuse access
  }
  render();
}

/** Starts the section with the settings of the server. */
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
  // A change of the browser's settings is shown without a reload.
  addEventListener('visibilitychange', () => document.visibilityState === 'visible' && !saved && refresh());
  navigator.permissions?.query({name: 'notifications'}).then(p => p.addEventListener('change', () => !saved && refresh()), () => {});
  // The server may no longer have it, so the page posts it at each visit.
  if (!config.file && subscription && !madeWith(subscription, config.publicKey) && Notification.permission === 'granted') await renew();
  if (!config.file && subscription && madeWith(subscription, config.publicKey)) {
    await store().catch(e => notice($('problem'), {title: 'The server does not accept this browser\'s subscription', detail: e.message, hint: e.hint}));
  }
}
