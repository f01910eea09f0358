// The form for a new message: its size, preview, and recipients.

import {$, busy, copies, count, h, mark, notice, number, setTime, show, time, wrongTime} from './dom.js';
import {Problem} from './api.js';

/** The largest payload for a body of 4096 bytes, encrypted as aes128gcm (RFC 8188, RFC 8291). */
const maxPayload = 3993;

const form = $('compose');
const kind = () => form.elements.kind.value;
const to = () => form.elements.to.value;
const later = () => form.elements.when.value === 'later';

let admin;

/** Returns the notification's fields for POST /push; data is text until it is valid JSON. */
function notification() {
  const n = {};
  for (const name of ['title', 'body', 'icon', 'image', 'badge', 'tag', 'url']) {
    const value = name === 'body' ? $('n-body').value : $(`n-${name}`).value.trim();
    if (value !== '') n[name] = value;
  }
  const actions = [1, 2].map(i => $(`n-action-${i}`).value.trim()).filter(Boolean);
  if (actions.length) n.actions = actions.map(title => ({action: title.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'action', title}));
  const data = $('n-data').value.trim();
  if (data !== '') {
    try {
      n.data = JSON.parse(data);
    } catch {
      n.data = data;
    }
  }
  return n;
}

/** Returns the JSON that the server creates from the fields, in the same order. */
function notificationPayload({title, body, icon, image, badge, tag, url, actions, data}) {
  if (url !== undefined && (data === undefined || data && typeof data === 'object' && !Array.isArray(data) && !('url' in data))) data = {...data, url};
  return JSON.stringify({title, body, icon, image, badge, tag, navigate: url, actions, data})
    .replaceAll('\u2028', '\\u2028').replaceAll('\u2029', '\\u2029');
}

function payload() {
  switch (kind()) {
  case 'notification': return notificationPayload(notification());
  case 'text': return $('payload').value;
  }
  return '';
}

/** The bytes that a server adds to a notification that it tracks: {"webpush":{"track":"…"}} in data. */
function trackBytes() {
  if (!admin.track || kind() !== 'notification') return 0;
  const {url, data} = notification();
  if (data !== undefined && (data === null || typeof data !== 'object' || Array.isArray(data) || 'webpush' in data)) return 0;
  const id = `"webpush":{"track":"${'A'.repeat(26)}"}`.length;
  if (data === undefined && url === undefined) return id + ',"data":{}'.length;
  return data !== undefined && Object.keys(data).length === 0 && url === undefined ? id : id + 1; // a comma
}

const sizeOf = text => bytesOf(text) + trackBytes();

const tooLong = size => (size > maxPayload ? `${number(size - maxPayload)} bytes too many: push services do not accept larger messages.` : '');

const bytesOf = text => new TextEncoder().encode(text).length;

/** Shows size, preview, and the fields that belong to the choices. */
function render() {
  for (const part of form.querySelectorAll('[data-kind]')) show(part, part.dataset.kind.split(' ').includes(kind()));
  const text = payload();
  const size = sizeOf(text);
  const left = maxPayload - size;
  const gauge = $('budget');
  gauge.setAttribute('aria-valuenow', Math.min(size, maxPayload));
  gauge.setAttribute('aria-valuetext', `${number(size)} of ${number(maxPayload)} bytes`);
  gauge.dataset.state = left < 0 ? 'over' : left < 500 ? 'near' : 'fits';
  gauge.firstElementChild.style.width = `${Math.min(100, 100 * size / maxPayload)}%`;
  $('budget-text').textContent = `${number(size)} of ${number(maxPayload)} bytes`;
  $('budget-problem').textContent = tooLong(size);

  const n = notification();
  $('p-title').textContent = n.title ?? '';
  $('p-body').textContent = n.body ?? '';
  $('p-site').textContent = location.host;
  const icon = ownPicture(n.icon);
  if ($('p-icon').getAttribute('src') !== icon) $('p-icon').src = icon;
  show($('p-image'), Boolean(n.image));
  $('p-image').textContent = n.image ? `Picture: ${n.image.slice(0, 120)}` : '';
  show($('p-actions'), Boolean(n.actions));
  $('p-actions').replaceChildren(...(n.actions ?? []).map(a => h('span', {}, a.title)));
  $('p-json').textContent = kind() === 'notification' ? JSON.stringify(JSON.parse(text), null, 2) : text;

  const label = {user: 'User', tag: 'Tag'}[to()];
  show($('to-field'), Boolean(label));
  if (label) $('to-label').textContent = label;
  show($('at-field'), later());
  if (later() && $('at').value === '') { // between one and two hours ahead, at a full hour
    setTime($('at'), new Date(Math.ceil(Date.now() / 3600e3 + 1) * 3600e3));
  }
  $('send').textContent = later() ? 'Schedule…' : 'Send…';
  const topic = $('topic').value.trim();
  $('delivery-summary').textContent = `kept for ${$('ttl').selectedOptions[0].text}, ${$('urgency').selectedOptions[0].text} urgency${topic ? `, topic ${topic}` : ''}`;
}

/** Returns the icon if it is on this site, because the page loads nothing from others. */
function ownPicture(text) {
  try {
    const url = new URL(text, document.baseURI);
    if (text && url.origin === location.origin) return url.href;
  } catch {
    // Not a URL, yet.
  }
  return 'icon.svg';
}

const isURL = text => {
  try {
    return /^https?:$/.test(new URL(text, document.baseURI).protocol);
  } catch {
    return false;
  }
};

/** Marks invalid fields and returns the first one, or null. */
function invalid() {
  const wrong = [];
  const check = (field, reason) => mark(field, reason) || wrong.push(field);
  if (kind() === 'notification') {
    const n = notification();
    check($('n-title'), n.title ? '' : 'A notification needs a title.');
    for (const name of ['url', 'icon', 'image', 'badge']) {
      check($(`n-${name}`), n[name] === undefined || isURL(n[name]) ? '' : 'This is not a web address. Write it as https://…');
    }
    const data = $('n-data').value.trim();
    let reason = '';
    if (data !== '') {
      try {
        const v = JSON.parse(data);
        if (n.url && (v === null || typeof v !== 'object' || Array.isArray(v))) reason = 'With an address to open, the data must be an object: {…}.';
      } catch (e) {
        reason = `This is not JSON: ${e.message}`;
      }
    }
    check($('n-data'), reason);
  }
  if (kind() !== 'none') {
    const empty = kind() === 'text' && $('payload').value === '';
    check($(kind() === 'text' ? 'payload' : 'n-body'), empty ? 'Write something, or choose “Nothing”.' : tooLong(sizeOf(payload())));
  }
  check($('to-value'), to() === 'all' || $('to-value').value.trim() ? '' : `Enter a ${to()}.`);
  if (later()) check($('at'), wrongTime($('at')));
  check($('topic'), /^[A-Za-z0-9_-]{0,32}$/.test($('topic').value.trim()) ? '' : 'Only A–Z a–z 0–9 - and _, at most 32 of them.');
  for (const field of wrong) {
    const around = field.closest('details');
    if (around) around.open = true;
  }
  return wrong[0] ?? null;
}

/** The body of POST /push. */
function message() {
  const body = {
    ttl: Number($('ttl').value),
    urgency: $('urgency').value,
    to: to() === 'all' ? {all: true} : {[to()]: $('to-value').value.trim()},
  };
  if (kind() === 'notification') body.notification = notification();
  if (kind() === 'text') body.payload = $('payload').value;
  if ($('topic').value.trim()) body.topic = $('topic').value.trim();
  if ($('cancelable').checked) body.cancelable = true;
  if (later()) body.sendAt = new Date($('at').value).toISOString();
  return body;
}

/** Returns the number of recipients in words, or '' for none. For a user or tag, it counts up to 1000. */
async function recipients({to}) {
  if (to.all) {
    const {total} = await admin.asAdmin('subscriptions?limit=1');
    return total && count(total, 'subscription');
  }
  const {subscriptions, next} = await admin.asAdmin(`subscriptions?limit=1000&${new URLSearchParams(to)}`);
  return subscriptions.length && (next ? `${number(subscriptions.length)} subscriptions or more` : count(subscriptions.length, 'subscription'));
}

/** Asks for confirmation; resolves to the choice. */
function confirm(title, text, yes) {
  $('confirm-title').textContent = title;
  $('confirm-text').textContent = text;
  $('confirm-yes').textContent = yes;
  const dialog = $('confirm');
  return new Promise(resolve => {
    const end = choice => {
      controller.abort();
      dialog.close();
      resolve(choice);
    };
    const controller = new AbortController();
    const {signal} = controller;
    $('confirm-yes').addEventListener('click', () => end(true), {signal});
    $('confirm-no').addEventListener('click', () => end(false), {signal});
    dialog.addEventListener('close', () => end(false), {signal}); // Escape
    dialog.showModal();
    $('confirm-no').focus();
  });
}

async function onSubmit(event) {
  event.preventDefault();
  notice($('compose-problem'), null);
  const wrong = invalid();
  if (wrong) {
    wrong.focus();
    return;
  }
  await busy($('send'), '', async () => {
    try {
      const body = message();
      const n = later() ? '' : await recipients(body);
      const who = {all: '', user: ` of the user “${body.to.user}”`, tag: ` with the tag “${body.to.tag}”`}[to()];
      if (!later() && !n) {
        throw new Problem('No recipients', {detail: to() === 'all' ? 'There are no subscriptions yet.' : `There are no subscriptions${who}.`, hint: 'Choose other recipients.'});
      }
      const what = {notification: `“${body.notification?.title}”`, text: 'The text', none: 'A message without payload'}[kind()];
      const sure = later()
        ? await confirm('Schedule this message?', `${what} goes to all subscriptions${who} that exist on ${time(body.sendAt).textContent}. Until then, you can change the time or cancel it.`, 'Schedule')
        : await confirm(`Send to ${n}?`, `${what} goes to all subscriptions${who}. ${body.cancelable ? 'It can be withdrawn from some push services only.' : 'Sent messages cannot be withdrawn.'}`, 'Send');
      if (!sure) return;
      await admin.onSent(await admin.asAdmin('push', {method: 'POST', body}));
    } catch (e) {
      notice($('compose-problem'), e);
      $('compose-problem').focus();
    }
  });
}

const quoted = text => `'${text.replaceAll("'", `'\\''`)}'`;

/** The composed message as a curl command. The token comes from the environment, so it is not in the history. */
const asCurl = () => `curl ${quoted(new URL('push', document.baseURI).href)} -H "Authorization: Bearer $WEBPUSH_ADMIN_TOKEN" -H 'Content-Type: application/json' -d ${quoted(JSON.stringify(message()))}`;

/** The composed message as a fetch call. */
const asFetch = () => `await fetch(${JSON.stringify(new URL('push', document.baseURI).href)}, {
  method: 'POST',
  headers: {Authorization: \`Bearer \${token}\`, 'Content-Type': 'application/json'},
  body: JSON.stringify(${JSON.stringify(message(), null, 2).replaceAll('\n', '\n  ')}),
});`;

/** The composed message as a command that sends it to a file of subscriptions. */
function asSend() {
  const m = message();
  const words = ['webpush', 'send', '-f', 'subscription.json'];
  if (kind() !== 'none') words.push('-p', quoted(payload()));
  words.push('--ttl', `${m.ttl}s`, '--urgency', m.urgency);
  if (m.topic) words.push('--topic', m.topic);
  return words.join(' ');
}

/** Starts the form. */
export function start(a) {
  admin = a;
  copies($('copy-curl'), asCurl);
  copies($('copy-send'), asSend);
  copies($('copy-fetch'), asFetch);
  form.addEventListener('input', event => {
    if (event.target.getAttribute('aria-invalid') === 'true') mark(event.target);
    render();
  });
  form.addEventListener('submit', onSubmit);
  render();
}
