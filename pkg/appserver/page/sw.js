// The service worker receives push messages, shows each as a notification, and
// reports to the pages that are open. It also works when no page is open.

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

self.addEventListener('push', event => event.waitUntil(received(event.data)));

// Always show a notification: browsers remove subscriptions that get silent
// messages.
async function received(data) {
  const message = read(data);
  const id = idOf(message.options);
  const at = Date.now();
  await report({type: 'push', id, at, kind: message.kind, bytes: message.bytes, text: message.text, title: message.title, body: message.options.body || ''});
  let shown = true, problem = '';
  try {
    await self.registration.showNotification(message.title, message.options);
  } catch {
    problem = 'The browser rejected some of its options, so it is shown without them.';
    try {
      await self.registration.showNotification(message.title, {body: message.options.body, data: message.options.data});
    } catch {
      shown = false;
      problem = Notification.permission === 'granted'
        ? 'It was received, but your system does not show notifications. Check that notifications for this browser are on in the system settings.'
        : 'It was received, but this site may not show notifications.';
    }
  }
  if (shown) await count(message.options, 'shown');
  await report({type: 'shown', id, arrived: at, at: Date.now(), shown, problem});
}

// Test messages carry an ID, so the page can match them.
const idOf = options => options?.data?.webpush?.id ?? '';

/**
 * Reads a message: without payload, the JSON of a notification (as `webpush send
 * --title` creates it), a declarative push, any text, or bytes.
 */
function read(data) {
  if (!data) return {kind: 'none', bytes: 0, text: '', title: 'A push message', options: {body: 'It has no payload.'}};
  const buffer = data.arrayBuffer();
  const bytes = buffer.byteLength;
  let text;
  try {
    text = new TextDecoder('utf-8', {fatal: true}).decode(buffer);
  } catch {
    return {kind: 'bytes', bytes, text: '', title: 'A push message', options: {body: `${bytes} bytes that are not text.`}};
  }
  let json = null;
  try {
    json = JSON.parse(text);
  } catch {
    // Text, then.
  }
  const declarative = json?.web_push === 8030;
  const n = declarative ? json.notification : json;
  if (n && typeof n === 'object' && typeof n.title === 'string' && n.title !== '') {
    const {title, navigate, ...options} = n;
    if (options.body !== undefined) options.body = String(options.body);
    if (navigate && (options.data === undefined || options.data === null)) options.data = {};
    if (navigate && typeof options.data === 'object' && !options.data.url) options.data = {...options.data, url: navigate};
    return {kind: declarative ? 'declarative' : 'notification', bytes, text, title, options: {icon: 'icon-180.png', ...options}};
  }
  return {kind: json === null ? 'text' : 'json', bytes, text, title: 'A push message', options: {body: text.length > 300 ? text.slice(0, 299) + '…' : text || 'It is empty.'}};
}

async function report(message) {
  for (const client of await self.clients.matchAll({type: 'window', includeUncontrolled: true})) client.postMessage(message);
}

self.addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(count(event.notification, 'clicked'));
  event.waitUntil(open(event.notification.data?.url, event.action, idOf(event.notification)));
});

self.addEventListener('notificationclose', event => event.waitUntil(Promise.all([
  count(event.notification, 'closed'),
  report({type: 'closed', id: idOf(event.notification), at: Date.now()}),
])));

// Reports an event to the server if the message has an ID for that. A server that
// tracks notifications adds it.
async function count(notification, event) {
  const id = notification.data?.webpush?.track;
  if (!id) return;
  await fetch(new URL('report', self.registration.scope), {
    method: 'POST', keepalive: true, headers: {'Content-Type': 'application/json'}, body: JSON.stringify({id, event}),
  }).catch(() => {});
}

// A click opens the notification's URL, or an open page if it has none.
async function open(target, action, id) {
  let url = null;
  try {
    url = new URL(target || '', self.registration.scope);
  } catch {
    // Not a URL: the page itself.
  }
  await report({type: 'click', id, at: Date.now(), action, url: target ? String(target) : ''});
  const windows = await self.clients.matchAll({type: 'window', includeUncontrolled: true});
  if (!target || !url || !/^https?:$/.test(url.protocol)) {
    return windows.length ? windows[0].focus() : self.clients.openWindow(self.registration.scope);
  }
  const there = windows.find(w => w.url === url.href);
  return there ? there.focus() : self.clients.openWindow(url.href);
}

// The browser has replaced or removed the subscription, and the server needs the
// new one. Some browsers provide neither of the two, so the page keeps the last one
// in a cache.
self.addEventListener('pushsubscriptionchange', event => event.waitUntil(changed(event)));

const stateURL = new URL('state', self.registration.scope).href;

// Encodes bytes in base64url, as the server encodes keys.
const encodeKey = buffer => btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');

async function changed(event) {
  const cache = await caches.open('webpush');
  const kept = await cache.match(stateURL).then(r => r?.json()).catch(() => null);
  const old = event.oldSubscription?.toJSON() ?? kept?.subscription;
  let fresh = event.newSubscription ?? await self.registration.pushManager.getSubscription();
  if (!fresh) {
    // The server may have replaced its key since.
    const now = await fetch(new URL('subscription', self.registration.scope)).then(r => r.ok ? r.json() : null).catch(() => null);
    const key = now?.publicKey ?? event.oldSubscription?.options?.applicationServerKey ?? kept?.publicKey;
    if (!key) return;
    fresh = await self.registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
  }
  await cache.put(stateURL, new Response(JSON.stringify({...kept, subscription: fresh.toJSON()})));
  const made = fresh.options?.applicationServerKey;
  const body = JSON.stringify({old: old ?? null, new: {...fresh.toJSON(), ...(made && {applicationServerKey: encodeKey(made)})}});
  // The server may be busy or unreachable for a moment, and nobody else informs it.
  for (const pause of [0, 2000, 8000]) {
    await new Promise(resolve => setTimeout(resolve, pause));
    const response = await fetch(new URL('subscription/change', self.registration.scope), {method: 'POST', headers: {'Content-Type': 'application/json'}, body}).catch(() => null);
    if (response && response.status < 500 && response.status !== 429) break;
  }
  await report({type: 'changed'});
}
