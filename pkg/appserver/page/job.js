// A running push: its live progress, the outcomes of its messages, and earlier
// pushes.

import {$, busy, count, h, mark, notice, number, setTime, show, time, wrongTime} from './dom.js';
import {events} from './api.js';
import {draw, thin} from './chart.js';

/** The outcomes of a message, in the order of the bar and the table. */
const classes = [
  ['delivered', 'Delivered', 'accepted by the push service'],
  ['gone', 'Gone', 'the subscription no longer exists and is removed'],
  ['rejected', 'Rejected', 'the push service rejects the message or the key'],
  ['temporary', 'Temporary failure', 'not delivered after several attempts'],
  ['invalid', 'Invalid', 'the message could not be sent to this subscription'],
  ['expired', 'Expired', 'its time to live ended before it could be sent'],
  ['skipped', 'Skipped', 'not attempted'],
];

const states = {
  scheduled: ['wait', 'Scheduled'], queued: ['wait', 'Waiting'], running: ['run', 'Sending'], done: ['on', 'Done'],
  canceled: ['warn', 'Canceled'], failed: ['bad', 'Failed'],
};

/** The state in words: "Done" only if every message was delivered. */
function stateOf({state, counts, total, done}) {
  const delivered = counts.delivered ?? 0, all = Math.max(total, done);
  if (state !== 'done' || delivered === all) return states[state] ?? ['wait', state];
  return [delivered === 0 ? 'bad' : 'warn', `${number(delivered)} of ${number(all)} delivered`];
}

const isOver = state => !['scheduled', 'queued', 'running'].includes(state);

let admin;           // {asAdmin, token, onEnd} while the page is unlocked
let watched = null;  // {id, state, controller, points, said} of the push that is shown

const audience = to => (to?.user ? `user “${to.user}”` : to?.tag ? `tag “${to.tag}”` : 'everybody');
const wait = (ms, signal) => new Promise(resolve => {
  const timer = setTimeout(resolve, ms);
  signal?.addEventListener('abort', () => (clearTimeout(timer), resolve()), {once: true});
});

const duration = s => (s < .1 ? 'under 0.1 s' : s < 10 ? `${s.toFixed(1)} s` : s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

/** Shows a push as the server reports it. */
function render(job) {
  const {counts, done} = job;
  watched.state = job.state;
  const total = Math.max(job.total, done);
  const over = isOver(job.state);
  const [kind, label] = stateOf(job);
  $('job-title').textContent = `Push to ${audience(job.to)}`;
  $('job-state').dataset.state = kind;
  $('job-state').textContent = label;

  const waits = job.state === 'scheduled';
  for (const part of ['job-figure', 'job-table']) show($(part), !waits);
  show($('job-schedule'), waits);
  if (waits && watched.due !== job.sendAt) {
    watched.due = job.sendAt;
    setTime($('job-at'), new Date(job.sendAt));
    mark($('job-at'));
  }

  // Durations use this browser's clock while the push is watched, because it may
  // differ from the server's, and the server's clock when the push has finished.
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
  if (done > 1 && at >= 1) parts.push(`${number(Math.round(rate))} per second`);
  if (over) parts.push(`in ${duration(at)}`);
  else if (rate > 0 && done < total) parts.push(`${duration((total - done) / rate)} left`);
  if (waits) $('job-line').replaceChildren('It is sent on ', time(job.sendAt), ', to the subscriptions that exist then.');
  else $('job-line').textContent = parts.join(' · ');

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
  // A rate needs more than a moment and more than one message.
  const charted = watched.points.length > 1 && total > 1 && at >= 1;
  show($('job-chart'), charted);
  show($('chart-caption'), charted);
  if (charted) draw($('job-chart'), watched.points);

  $('job-counts').replaceChildren(...classes.filter(([name]) => counts[name] || name === 'delivered').map(([name, title, meaning]) => {
    const row = h('tr', {}, h('th', {scope: 'row'}, h('span', {className: 'swatch', 'aria-hidden': 'true'}), title),
      h('td', {className: 'number'}, number(counts[name] ?? 0)), h('td', {}, meaning));
    row.dataset.class = name;
    return row;
  }));
  if (job.reports) {
    const {shown, clicked, closed} = job.reports;
    $('job-line').append(` · reported: ${number(shown)} shown, ${number(clicked)} clicked, ${number(closed)} closed`);
  }
  const kept = job.withdrawn?.possible ?? 0;
  show($('job-cancel'), !over || job.state !== 'canceled' && kept > 0);
  $('job-cancel').textContent = over ? `Withdraw ${count(kept, 'message')}` : 'Cancel the push';
  if (job.state === 'canceled' && job.withdrawn) {
    const {done: withdrawn, failed, possible} = job.withdrawn;
    $('job-line').append(` · ${number(withdrawn)} withdrawn${failed ? `, ${number(failed)} could not be` : ''}${possible ? `, ${number(possible)} in progress` : ''}`);
  }
  const stopped = job.state === 'failed';
  const again = (counts.temporary ?? 0) + (counts.expired ?? 0);
  show($('job-retry'), stopped || job.state === 'done' && again > 0);
  $('job-retry').textContent = stopped ? 'Continue' : `Retry ${count(again, 'message')}`;
  show($('failures'), (counts.rejected ?? 0) + (counts.temporary ?? 0) + (counts.invalid ?? 0) + (counts.expired ?? 0) > 0);
  if (job.state === 'failed') notice($('job-problem'), {title: 'The push stopped', detail: job.problem});

  // A screen reader hears each quarter and the end, not every message.
  const quarter = Math.floor(share / 25);
  const says = over ? `${label}: ${number(done)} of ${count(total, 'message')}, ${number(counts.delivered ?? 0)} delivered.` : quarter > 0 ? `${25 * quarter} percent sent.` : '';
  if (says && says !== watched.said) {
    watched.said = says;
    $('job-says').textContent = says;
  }
}

/** Follows a push until it has finished, and reconnects if necessary. */
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
      notice($('job-problem'), job.state === 'failed' ? {title: 'The push stopped', detail: job.problem} : null);
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
      notice($('job-problem'), {...e, title: e.title ?? e.message, level: 'warn', hint: e.status === 404 ? 'The server no longer has this push.' : 'The push continues without this page. Reconnecting…'});
      if (e.status >= 400 && e.status < 500) return;
    }
    await wait(pause, controller.signal);
  }
  if (watched !== mine) return;
  controller.abort();
  await Promise.allSettled([admin.onEnd(), list()]);
}

/** Shows a new push, or an earlier one. */
export async function open(job) {
  show($('job'));
  $('job-title').focus();
  $('job').scrollIntoView({block: 'nearest'});
  watch(job.id);
  await list().catch(() => {});
}

/** Reads the list of pushes. */
async function list() {
  const [{jobs: last}, {jobs: scheduled}] = await Promise.all([admin.asAdmin('push'), admin.asAdmin('push?state=scheduled&limit=100')]);
  const jobs = [...scheduled, ...last.filter(job => !scheduled.some(s => s.id === job.id))];
  show($('jobs'), jobs.length > 0);
  $('jobs-rows').replaceChildren(...jobs.map(job => {
    const look = h('button', {type: 'button', className: 'small', 'aria-label': `Show the push to ${audience(job.to)} of ${new Date(job.created).toLocaleString()}`}, 'Show');
    look.addEventListener('click', () => open(job));
    const [kind, label] = stateOf(job);
    const badge = h('span', {className: 'badge'}, label);
    badge.dataset.state = kind;
    return h('tr', {}, h('td', {}, time(job.created)), h('td', {}, badge, job.state === 'scheduled' ? h('span', {className: 'when'}, time(job.sendAt)) : null),
      job.state === 'scheduled' ? h('td', {}, '–') : h('td', {}, `${number(job.counts.delivered ?? 0)} of ${number(job.total)}`), h('td', {}, audience(job.to)), h('td', {}, look));
  }));
  return jobs;
}

/** The page was unlocked: shows the earlier pushes, and one that is running. */
export async function enter(a) {
  admin = a;
  try {
    const running = (await list()).find(job => !isOver(job.state) && job.state !== 'scheduled');
    if (running) {
      show($('job'));
      watch(running.id);
    }
  } catch {
    // The list is shown with the next push.
  }
}

/** The page was locked: stops all requests. */
export function leave() {
  watched?.controller.abort();
  watched = null;
  show($('job'), false);
  show($('jobs'), false);
  $('jobs-rows').replaceChildren();
}

$('job-cancel').addEventListener('click', () => busy($('job-cancel'), 'Canceling…', async () => {
  try {
    const {id} = watched;
    let job = await admin.asAdmin(`push/${encodeURIComponent(id)}`, {method: 'DELETE'});
    $('job-title').focus();
    // The stream of events ends with the push; its messages are withdrawn after that.
    for (let pause = 250; job.withdrawn && watched?.id === id; pause = Math.min(2 * pause, 5000)) {
      render(job);
      if (!job.withdrawn.possible && !job.withdrawn.done && !job.withdrawn.failed && pause > 2000) break;
      if (!job.withdrawn.possible && job.withdrawn.done + job.withdrawn.failed > 0) break;
      await wait(pause);
      job = await admin.asAdmin(`push/${encodeURIComponent(id)}`);
    }
    await list();
  } catch (e) {
    notice($('job-problem'), e);
  }
}));

/** Moves the scheduled push to another time. */
async function move(sendAt) {
  try {
    render(await admin.asAdmin(`push/${encodeURIComponent(watched.id)}`, {method: 'PATCH', body: {sendAt}}));
    notice($('job-problem'), null);
    $('job-title').focus();
    $('job-says').textContent = $('job-line').textContent;
    await list();
  } catch (e) {
    notice($('job-problem'), e);
  }
}

$('job-schedule').addEventListener('submit', event => {
  event.preventDefault();
  if (!mark($('job-at'), wrongTime($('job-at')))) {
    $('job-at').focus();
    return;
  }
  busy($('job-move'), '', () => move(new Date($('job-at').value).toISOString()));
});
$('job-at').addEventListener('input', () => mark($('job-at')));
$('job-now').addEventListener('click', () => busy($('job-now'), '', () => move('0s')));

/** Sends failures again: those with one cause, or all that are temporary or expired. */
async function retry(cause) {
  try {
    await open(await admin.asAdmin(`push/${encodeURIComponent(watched.id)}/retry`, {method: 'POST', body: cause}));
  } catch (e) {
    notice($('job-problem'), e);
  }
}

$('job-retry').addEventListener('click', () => busy($('job-retry'), '', () => retry()));

/** Groups failures by their cause: push service, class, status, and reason. The largest group is first. */
function grouped(results) {
  const groups = new Map();
  for (const r of results) {
    const key = JSON.stringify([r.origin, r.class, r.status, r.problem]);
    groups.set(key, [...(groups.get(key) ?? []), r]);
  }
  return [...groups.values()].sort((a, b) => b.length - a.length);
}

/** Reads and shows the causes of failures so far. */
async function failures() {
  if (!$('failures').open) return;
  const {id} = watched;
  try {
    const {results, next} = await admin.asAdmin(`push/${encodeURIComponent(id)}?results=all&limit=1000`);
    if (watched?.id !== id) return;
    $('failures-groups').replaceChildren(...grouped(results).map(group => {
      const [r] = group;
      const title = classes.find(([name]) => name === r.class)?.[1] ?? r.class;
      const swatch = h('span', {className: 'swatch', 'aria-hidden': 'true'});
      const download = h('button', {type: 'button', className: 'small'}, 'Download these');
      download.addEventListener('click', () => save(`push-${id}-${r.class}.ndjson`, group.map(one => JSON.stringify(one)).join('\n') + '\n'));
      const actions = h('div', {className: 'actions'}, download);
      if (['done', 'failed'].includes(watched.state)) {
        const again = h('button', {type: 'button', className: 'small'}, 'Retry these');
        again.addEventListener('click', () => busy(again, '', () => retry({class: r.class, origin: r.origin, status: r.status ?? 0, problem: r.problem})));
        actions.prepend(again);
      }
      const item = h('li', {}, h('p', {className: 'name'}, swatch, `${count(group.length, 'message')}: ${title}${r.status ? `, status ${r.status}` : ''} from ${r.origin}`),
        h('p', {}, r.problem), r.hint ? h('p', {className: 'help'}, r.hint) : null, actions);
      item.dataset.class = r.class;
      return item;
    }));
    show($('failures-more'), Boolean(next));
  } catch (e) {
    notice($('job-problem'), e);
  }
}

/** Saves a text as a file. */
function save(name, text) {
  const url = URL.createObjectURL(new Blob([text], {type: 'application/x-ndjson'}));
  h('a', {href: url, download: name}).click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

$('failures').addEventListener('toggle', failures);
