// A push at work: its progress as it happens, what became of its messages, and
// the pushes before it.

import {$, busy, count, h, notice, number, show, time} from './dom.js';
import {events} from './api.js';
import {draw, thin} from './chart.js';

/** What can become of a message, in the order of the bar and the table. */
const classes = [
  ['delivered', 'Delivered', 'the push service has taken it'],
  ['gone', 'Gone', 'the subscription has ended, and is removed'],
  ['rejected', 'Rejected', 'the push service refuses the message or the key'],
  ['temporary', 'Not now', 'not delivered, even after some tries'],
  ['invalid', 'Invalid', 'nothing could be sent to this subscription'],
  ['skipped', 'Skipped', 'not tried'],
];

const states = {
  queued: ['wait', 'Waiting'], running: ['run', 'Sending'], done: ['on', 'Done'],
  cancelled: ['warn', 'Cancelled'], failed: ['bad', 'Failed'],
};

const isOver = state => !['queued', 'running'].includes(state);

let admin;           // {asAdmin, token, onEnd} while the page is unlocked
let watched = null;  // {id, controller, points, said} of the push that is shown

const audience = to => (to?.user ? `user “${to.user}”` : to?.tag ? `tag “${to.tag}”` : 'everybody');
const wait = (ms, signal) => new Promise(resolve => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), {once: true});
});

const duration = s => (s < 10 ? `${s.toFixed(1)} s` : s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

/** Shows a push as the server tells it. */
function render(job) {
  const {counts, done} = job;
  const total = Math.max(job.total, done);
  const over = isOver(job.state);
  const [kind, label] = states[job.state] ?? ['wait', job.state];
  $('job-title').textContent = `Push to ${audience(job.to)}`;
  $('job-state').dataset.state = kind;
  $('job-state').textContent = label;

  // Time goes by this clock while it is watched, which may differ from the
  // server's, and by the server's when it is over.
  const begun = Date.parse(job.started ?? job.created);
  if (job.started && watched.since === undefined) {
    watched.since = performance.now() - Math.max(0, Date.now() - begun);
  }
  const at = over && job.finished ? (Date.parse(job.finished) - begun) / 1000 : watched.since === undefined ? 0 : (performance.now() - watched.since) / 1000;
  const {points} = watched;
  if (points.length === 0 && done > 0) points.push({at: 0, done: 0});
  if (points.length === 0 || at > points.at(-1).at) points.push({at, done});
  else points.at(-1).done = done;
  watched.points = thin(points, 240);

  const mean = at > 0 ? done / at : 0;
  const recent = points.findLast(p => p.at < at - 3) ?? points[0];
  const rate = over || recent.at === at ? mean : (done - recent.done) / (at - recent.at);
  const parts = [`${number(done)} of ${count(total, 'message')}`];
  if (done > 0 && at > 0) parts.push(`${number(Math.round(rate))} a second`);
  if (over) parts.push(`in ${duration(at)}`);
  else if (rate > 0 && done < total) parts.push(`${duration((total - done) / rate)} left`);
  $('job-line').textContent = parts.join(' · ');

  const bar = $('job-bar');
  const share = total > 0 ? Math.floor(100 * done / total) : over ? 100 : 0;
  bar.setAttribute('aria-valuenow', share);
  bar.setAttribute('aria-valuetext', `${number(done)} of ${number(total)}`);
  for (const [name] of classes) {
    let part = bar.querySelector(`[data-class=${name}]`);
    if (!part) {
      part = h('span');
      part.dataset.class = name;
      bar.append(part);
    }
    part.style.width = `${total > 0 ? 100 * (counts[name] ?? 0) / total : 0}%`;
    show(part, Boolean(counts[name]));
  }
  show($('job-chart'), watched.points.length > 1);
  show($('chart-caption'), watched.points.length > 1);
  if (watched.points.length > 1) draw($('job-chart'), watched.points);

  $('job-counts').replaceChildren(...classes.filter(([name]) => counts[name] || name === 'delivered').map(([name, title, meaning]) => {
    const row = h('tr', {}, h('th', {scope: 'row'}, h('span', {className: 'swatch', 'aria-hidden': 'true'}), title),
      h('td', {className: 'number'}, number(counts[name] ?? 0)), h('td', {}, meaning));
    row.dataset.class = name;
    return row;
  }));
  show($('job-cancel'), !over);
  const stopped = job.state === 'failed';
  show($('job-retry'), stopped || job.state === 'done' && counts.temporary > 0);
  $('job-retry').textContent = stopped ? 'Go on' : `Try ${count(counts.temporary ?? 0, 'message')} again`;
  show($('failures'), (counts.rejected ?? 0) + (counts.temporary ?? 0) + (counts.invalid ?? 0) > 0);
  if (job.state === 'failed') notice($('job-problem'), {title: 'The push has stopped', detail: job.problem});

  // A screen reader hears each quarter and the end, not every message.
  const quarter = Math.floor(share / 25);
  const says = over ? `${label}: ${number(done)} of ${count(total, 'message')}, ${number(counts.delivered ?? 0)} delivered.` : quarter > 0 ? `${25 * quarter} percent sent.` : '';
  if (says && says !== watched.said) {
    watched.said = says;
    $('job-says').textContent = says;
  }
}

/** Follows a push until it is over, over lost connections, too. */
async function watch(id) {
  watched?.controller.abort();
  const controller = new AbortController();
  const mine = watched = {id, controller, points: [], said: ''};
  $('failures').open = false;
  notice($('job-problem'), null);
  $('job-says').textContent = '';
  const path = `push/${encodeURIComponent(id)}`;
  let job;
  const see = seen => {
    if (watched !== mine) return;
    job = seen;
    render(job);
  };
  for (let pause = 500; watched === mine; pause = Math.min(pause * 2, 15000)) {
    try {
      see(await admin.asAdmin(path, {signal: controller.signal}));
      notice($('job-problem'), job.state === 'failed' ? {title: 'The push has stopped', detail: job.problem} : null);
      if (isOver(job.state)) break;
      for await (const e of events(`${path}/events`, {token: admin.token(), signal: controller.signal})) {
        const data = JSON.parse(e.data);
        if (data.state) {
          see(data);
          pause = 500;
        }
        if (isOver(job.state)) break;
      }
      if (isOver(job.state)) break;
    } catch (e) {
      if (watched !== mine || e.name === 'AbortError') return;
      notice($('job-problem'), {...e, title: e.title ?? e.message, level: 'warn', hint: e.status === 404 ? 'The server has forgotten this push.' : 'The push goes on without this page. Trying again…'});
      if (e.status >= 400 && e.status < 500) return;
    }
    await wait(pause, controller.signal);
  }
  if (watched !== mine) return;
  controller.abort();
  await Promise.allSettled([admin.onEnd(), list()]);
}

/** Shows a push that was just made, or an earlier one. */
export async function open(job) {
  show($('job'));
  $('job-title').focus();
  $('job').scrollIntoView({block: 'nearest'});
  watch(job.id);
  await list().catch(() => {});
}

/** Reads the pushes there are. */
async function list() {
  const {jobs} = await admin.asAdmin('push');
  show($('jobs'), jobs.length > 0);
  $('jobs-rows').replaceChildren(...jobs.map(job => {
    const look = h('button', {type: 'button', className: 'small', 'aria-label': `Show the push to ${audience(job.to)} of ${new Date(job.created).toLocaleString('en-GB')}`}, 'Show');
    look.addEventListener('click', () => open(job));
    const [kind, label] = states[job.state] ?? ['wait', job.state];
    const badge = h('span', {className: 'badge'}, label);
    badge.dataset.state = kind;
    return h('tr', {}, h('td', {}, time(job.created)), h('td', {}, badge),
      h('td', {}, `${number(job.counts.delivered ?? 0)} of ${number(job.total)}`), h('td', {}, audience(job.to)), h('td', {}, look));
  }));
  return jobs;
}

/** The page was unlocked: shows the earlier pushes, and one that still runs. */
export async function enter(a) {
  admin = a;
  try {
    const running = (await list()).find(job => !isOver(job.state));
    if (running) {
      show($('job'));
      watch(running.id);
    }
  } catch {
    // The list is shown with the next push.
  }
}

/** The page was locked: nothing more is asked of the server. */
export function leave() {
  watched?.controller.abort();
  watched = null;
  show($('job'), false);
  show($('jobs'), false);
  $('jobs-rows').replaceChildren();
}

$('job-cancel').addEventListener('click', () => busy($('job-cancel'), 'Cancelling…', async () => {
  try {
    await admin.asAdmin(`push/${encodeURIComponent(watched.id)}`, {method: 'DELETE'});
    $('job-title').focus();
  } catch (e) {
    notice($('job-problem'), e);
  }
}));

$('job-retry').addEventListener('click', () => busy($('job-retry'), '', async () => {
  try {
    await open(await admin.asAdmin(`push/${encodeURIComponent(watched.id)}/retry`, {method: 'POST'}));
  } catch (e) {
    notice($('job-problem'), e);
  }
}));

/** Reads why messages were not delivered, as of now. */
async function failures() {
  if (!$('failures').open) return;
  try {
    const {results, next} = await admin.asAdmin(`push/${encodeURIComponent(watched.id)}?results=all&limit=100`);
    $('failures-rows').replaceChildren(...results.map(r => h('tr', {},
      h('td', {}, r.origin), h('td', {}, classes.find(([name]) => name === r.class)?.[1] ?? r.class),
      h('td', {className: 'number'}, r.status ?? '–'), h('td', {className: 'wide'}, r.problem, r.hint ? h('p', {className: 'help'}, r.hint) : null))));
    show($('failures-more'), Boolean(next));
  } catch (e) {
    notice($('job-problem'), e);
  }
}

$('failures').addEventListener('toggle', failures);
