// Runs the service worker that is its argument, with the objects of a browser
// that it uses, and checks what it reports.

import assert from 'node:assert/strict';
import {readFile} from 'node:fs/promises';
import vm from 'node:vm';

const handlers = {};
const requests = [];
const self = {
  addEventListener: (name, handler) => (handlers[name] = handler),
  registration: {scope: 'https://push.example.com/', showNotification: async () => {}},
  clients: {matchAll: async () => [], openWindow: async () => {}},
  location: {href: 'https://push.example.com/'},
};
vm.runInNewContext(await readFile(process.argv[2], 'utf8'), {
  self, URL, TextDecoder, Notification: {permission: 'granted'},
  fetch: async (url, options) => (requests.push([String(url), options.method, JSON.parse(options.body)]), {ok: true}),
});

/** Lets the worker handle an event, to the end of all that it waits for. */
async function dispatch(name, event) {
  const waits = [];
  handlers[name]({...event, waitUntil: p => waits.push(p)});
  await Promise.all(waits);
}

for (const track of ['ABCDEFGHIJKLMNOPQRSTUVWXYZ', undefined]) {
  const message = {title: 'T', data: track ? {webpush: {track}} : {own: 1}};
  const bytes = new TextEncoder().encode(JSON.stringify(message));
  const notification = {...message, close: () => {}};
  requests.length = 0;
  await dispatch('push', {data: {json: () => message, arrayBuffer: () => bytes.buffer}});
  await dispatch('notificationclick', {notification, action: ''});
  await dispatch('notificationclose', {notification});
  const want = track ? ['shown', 'clicked', 'closed'].map(event => ['https://push.example.com/report', 'POST', {id: track, event}]) : [];
  assert.deepEqual(JSON.parse(JSON.stringify(requests)), want);
}
