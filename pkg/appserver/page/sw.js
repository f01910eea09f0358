// The service worker: it receives push messages, shows each as a notification
// and tells the pages that are open. It works when no page is, too.

self.addEventListener('install', () => self.skipWaiting());
self.addEventListener('activate', event => event.waitUntil(self.clients.claim()));

self.addEventListener('push', event => event.waitUntil(received(event.data)));

// A notification must be shown whatever came: browsers end subscriptions that
// get silent messages.
async function received(data) {
  const message = read(data);
  let problem = '';
  try {
    await self.registration.showNotification(message.title, message.options);
  } catch (e) {
    problem = `The browser did not show it as it is: ${e.message || e}`;
    try {
      await self.registration.showNotification(message.title, {body: message.options.body, data: message.options.data});
    } catch (e) {
      problem = `The browser could not show it: ${e.message || e}`;
    }
  }
  await tell({type: 'push', kind: message.kind, bytes: message.bytes, text: message.text, title: message.title, body: message.options.body || '', problem});
}

/**
 * Understands a message: no payload, the JSON of a notification as `webpush
 * send --title` makes it, a declarative push, any text, or bytes.
 */
function read(data) {
  if (!data) return {kind: 'none', bytes: 0, text: '', title: 'A push message', options: {body: 'It has no payload.'}};
  const buffer = data.arrayBuffer();
  const bytes = buffer.byteLength;
  let text;
  try {
    text = new TextDecoder('utf-8', {fatal: true}).decode(buffer);
  } catch {
    return {kind: 'bytes', bytes, text: '', title: 'A push message', options: {body: `${bytes} bytes that are no text.`}};
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

async function tell(message) {
  for (const client of await self.clients.matchAll({type: 'window', includeUncontrolled: true})) client.postMessage(message);
}

self.addEventListener('notificationclick', event => {
  event.notification.close();
  event.waitUntil(open(event.notification.data?.url, event.action));
});

// A click leads to the notification's URL, else to the page that is open.
async function open(target, action) {
  let url = null;
  try {
    url = new URL(target || '', self.registration.scope);
  } catch {
    // Not a URL: the page itself.
  }
  await tell({type: 'click', action, url: target ? String(target) : ''});
  const windows = await self.clients.matchAll({type: 'window', includeUncontrolled: true});
  if (!target || !url || !/^https?:$/.test(url.protocol)) {
    return windows.length ? windows[0].focus() : self.clients.openWindow(self.registration.scope);
  }
  const there = windows.find(w => w.url === url.href);
  return there ? there.focus() : self.clients.openWindow(url.href);
}

// The browser has replaced the subscription, or ended it: the server must know
// the new one. Some browsers name neither of the two, so the page keeps the
// last in a cache.
self.addEventListener('pushsubscriptionchange', event => event.waitUntil(changed(event)));

const stateURL = new URL('state', self.registration.scope).href;

async function changed(event) {
  const cache = await caches.open('webpush');
  const kept = await cache.match(stateURL).then(r => r?.json()).catch(() => null);
  const old = event.oldSubscription?.toJSON() ?? kept?.subscription;
  let fresh = event.newSubscription ?? await self.registration.pushManager.getSubscription();
  if (!fresh) {
    const key = event.oldSubscription?.options?.applicationServerKey ?? kept?.publicKey;
    if (!key) return;
    fresh = await self.registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: key});
  }
  await cache.put(stateURL, new Response(JSON.stringify({...kept, subscription: fresh.toJSON()})));
  const body = JSON.stringify({old: old ?? null, new: fresh.toJSON()});
  // The server may be busy or away for a moment, and nobody else tells it.
  for (const pause of [0, 2000, 8000]) {
    await new Promise(resolve => setTimeout(resolve, pause));
    const answer = await fetch(new URL('subscription/change', self.registration.scope), {method: 'POST', headers: {'Content-Type': 'application/json'}, body}).catch(() => null);
    if (answer && answer.status < 500 && answer.status !== 429) break;
  }
  await tell({type: 'changed'});
}
