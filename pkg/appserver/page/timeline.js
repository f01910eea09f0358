// The messages that arrived, and the timeline of each test message: encrypted,
// accepted, received, shown, clicked.

import {$, h, number, show} from './dom.js';

const most = 50;   // entries

const kinds = {none: 'without payload', notification: 'notification', declarative: 'declarative push', text: 'text', json: 'JSON', bytes: 'bytes'};

const steps = {
  encrypted: 'Encrypted', scheduled: 'Scheduled', accepted: 'Accepted', refused: 'Not accepted', received: 'Received', shown: 'Shown', unshown: 'Not shown',
  clicked: 'Clicked', closed: 'Closed',
};

const order = Object.keys(steps);

const known = new Map();   // entries of test messages, by ID
let last = null;           // the latest message without an ID

const clock = at => {
  const t = new Date(at);
  return h('time', {dateTime: t.toISOString()}, t.toLocaleTimeString(undefined, {hour: '2-digit', minute: '2-digit', second: '2-digit', fractionalSecondDigits: 3}));
};

/** An entry of the log. */
class Entry {
  constructor(title, body) {
    this.item = h('li', {}, h('p', {className: 'name'}, title), body ? h('p', {}, body) : null);
    this.when = h('p', {className: 'when'});
    this.way = h('ol', {className: 'way', 'aria-label': 'Timeline'});
    this.problem = h('p', {className: 'error'});
    this.item.append(this.when, this.way, this.problem);
    this.begun = 0;
    this.seen = new Set();
    show($('arrived-none'), false);
    $('arrived').prepend(this.item);
    while ($('arrived').children.length > most) {
      const old = $('arrived').lastChild;
      for (const [id, e] of known) if (e.item === old) known.delete(id);
      old.remove();
    }
  }

  /**
   * Adds a step with its time, and the time since the first. A message can arrive
   * before the response of the push service, so steps are put in order.
   */
  step(name, at, more = '') {
    if (this.seen.has(name)) return;
    this.seen.add(name);
    this.begun ||= at;
    const line = h('li', {}, h('strong', {}, steps[name]), more ? ` ${more}` : '', ' ', clock(at));
    if (at > this.begun) line.append(h('span', {className: 'muted'}, ` +${number(at - this.begun)} ms`));
    line.dataset.step = name;
    const later = [...this.way.children].find(l => order.indexOf(l.dataset.step) > order.indexOf(name)) ?? null;
    this.way.insertBefore(line, later);
  }

  accepted({status, latencyMs, service, request, response, note}) {
    this.step('accepted', this.begun + latencyMs, `${status}`);
    if (note) this.problem.textContent = note;
    if (!request) return;
    const lines = headers => Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join('\n');
    const text = `${request.method} ${request.url}\n${lines(request.headers)}\n\n(${number(request.bytes)} bytes)\n\n${response.status}\n${lines(response.headers)}`;
    this.item.append(h('details', {}, h('summary', {}, 'Request and response'), h('pre', {tabIndex: 0, 'aria-label': 'Request and response'}, text)));
  }

  failed(e) {
    this.step('refused', Date.now(), e.status ? `(${e.status})` : '');
    this.problem.textContent = e.title ?? e.message;
  }

  received(m) {
    this.item.dataset.kind = m.kind;
    this.step('received', m.at);
    this.when.textContent = `${kinds[m.kind]}${m.bytes ? `, ${number(m.bytes)} bytes` : ''}`;
    if (m.text) this.item.append(h('details', {}, h('summary', {}, 'Payload'), h('pre', {tabIndex: 0, className: 'payload', 'aria-label': 'Payload'}, m.text)));
  }
}

/** A test message is about to be sent. */
export function begin(id, title, body) {
  const entry = new Entry(title, body);
  entry.step('encrypted', Date.now());
  known.set(id, entry);
  return entry;
}

/** Handles a message of the service worker. */
export function receive(m) {
  let entry = known.get(m.id);
  switch (m.type) {
  case 'push':
    if (!entry) {
      entry = new Entry(m.title, m.body);
      if (m.id) known.set(m.id, entry);
      else last = {entry, at: m.at};
    }
    entry.received(m);
    break;
  case 'shown':
    entry ??= last?.at === m.arrived ? last.entry : null;
    if (!entry) return;
    entry.step(m.shown ? 'shown' : 'unshown', m.at);
    if (m.problem) entry.problem.textContent = m.problem;
    entry.item.dataset.shown = m.shown;
    break;
  case 'click':
    entry?.step('clicked', m.at, m.url ? `opens ${m.url}` : '');
    break;
  case 'closed':
    entry?.step('closed', m.at);
    break;
  }
}
