// Goes through the page in Chromium. Its standard input is a JSON object: the
// site's url and token, a sink for pushes, and where tools and pictures are.

import assert from 'node:assert/strict';
import {createRequire} from 'node:module';
import {mkdir, readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {text as readAll} from 'node:stream/consumers';

const config = JSON.parse(await readAll(process.stdin));
const require = createRequire(join(config.modules, 'x.js'));
const {chromium} = require('playwright-core');
const axe = await readFile(join(config.modules, 'axe-core', 'axe.min.js'), 'utf8');
const args = [
  '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync', '--host-resolver-rules=MAP insecure.test 127.0.0.1',
];

await mkdir(config.shots, {recursive: true});

let profiles = 0;
const complaints = [];   // of a page: errors on its console, and what the content policy stopped
let expected = [];       // those that a step is about

/** A browser with a profile of its own, in which pushes are possible at all. */
async function browser(options = {}, prepare = () => {}) {
  const context = await chromium.launchPersistentContext(join(config.profile, String(++profiles)), {
    executablePath: config.chromium, args, viewport: {width: 1100, height: 900}, acceptDownloads: true, ...options,
  });
  context.setDefaultTimeout(30000);
  await context.addInitScript(() => {
    addEventListener('securitypolicyviolation', e => console.error(`the policy stopped ${e.violatedDirective} ${e.blockedURI}`));
    globalThis.asked = 0;
    const ask = globalThis.Notification?.requestPermission;
    if (ask) Notification.requestPermission = (...a) => (globalThis.asked++, ask.apply(Notification, a));
  });
  await prepare(context);
  const page = context.pages()[0] ?? await context.newPage();
  page.on('console', m => m.type() === 'error' && complaints.push(m.text()));
  page.on('pageerror', e => complaints.push(e.stack));
  return {context, page};
}

/** Sets the visitor's answer to the question for notifications, which lasts as long as the session. */
async function permit(browser, setting) {
  browser.cdp ??= await browser.context.newCDPSession(browser.page);
  await browser.cdp.send('Browser.setPermission', {permission: {name: 'notifications'}, setting, origin: config.url});
}

async function step(name, work) {
  const begun = performance.now();
  expected = [];
  await work();
  const unexpected = complaints.splice(0).filter(c => !expected.some(e => c.includes(e)));
  assert.deepEqual(unexpected, [], name);
  console.log(`ok ${name} (${Math.round(performance.now() - begun)} ms)`);
}

const state = (page, text) => page.locator('#state', {hasText: new RegExp(`^${text}$`)}).waitFor();
const visible = (page, selector) => page.locator(selector).isVisible();
const textOf = (page, selector) => page.locator(selector).innerText();
const focused = page => page.evaluate(() => document.activeElement.id || document.activeElement.className || document.activeElement.tagName);

async function shot(page, name) {
  await settled(page);
  await page.screenshot({path: join(config.shots, `${name}.png`), fullPage: true});
}

/**
 * Waits until no color is on its way to another, as it is for a moment after a change
 * of theme. Behind a dialog some never arrive; they take far less than a second.
 */
const settled = page => page.evaluate(() => Promise.race([
  Promise.allSettled(document.getAnimations().map(a => a.finished)).then(() => {}),
  new Promise(resolve => setTimeout(resolve, 1000)),
]));

/** Nothing that axe finds, and nothing wider than the window. */
async function accessible(page, name) {
  await page.evaluate(axe + ';null');
  await settled(page);
  const {violations} = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
  }));
  assert.deepEqual(violations.map(v => `${v.id}: ${v.help}: ${v.nodes.map(n => n.html + ' ' + (n.any[0]?.message ?? '')).join(' | ')}`), [], name);
  const {scroll, width} = await page.evaluate(() => ({scroll: document.documentElement.scrollWidth, width: innerWidth}));
  assert.ok(scroll <= width, `${name}: the page is ${scroll} wide in a window of ${width}`);
}

/** Accessible, and pictures, in both themes, on a desktop and on a phone. */
async function everywhere(page, name) {
  const before = page.viewportSize();
  for (const colorScheme of ['light', 'dark']) {
    for (const [where, width] of [['desktop', 1280], ['phone', 390]]) {
      await page.emulateMedia({colorScheme});
      await page.setViewportSize({width, height: 844});
      await accessible(page, `${name}, ${where}, ${colorScheme}`);
      await shot(page, `${name}-${where}-${colorScheme}`);
    }
  }
  await page.emulateMedia({colorScheme: 'light'});
  await page.setViewportSize(before);
}

const main = await browser();
const {page} = main;

await step('the page loads, and asks nothing', async () => {
  await page.goto(config.url);
  await permit(main, 'prompt');
  await state(page, 'Not subscribed');
  assert.equal(await page.evaluate(() => asked), 0);
  assert.equal(await page.evaluate(() => navigator.serviceWorker.getRegistration().then(r => r === undefined)), true);
  assert.equal(await visible(page, '#unlocked'), false);
  await accessible(page, 'start');
  await shot(page, 'start-light');
});

await step('the keyboard alone reaches everything, in order', async () => {
  const seen = [];
  for (let i = 0; i < 20; i++) {
    await page.keyboard.press('Tab');
    const at = await page.evaluate(() => {
      const e = document.activeElement;
      const style = getComputedStyle(e.closest('label') ?? e);
      return {
        name: e.id || e.textContent.trim(),
        marked: e.matches(':focus-visible') && (getComputedStyle(e).outlineStyle !== 'none' || style.outlineStyle !== 'none'),
        inside: e.getBoundingClientRect().bottom > 0,
      };
    });
    if (at.name === 'Skip to the content' && seen.length) break;
    seen.push(at.name);
    if (await page.evaluate(() => document.activeElement === document.body)) break;
    assert.ok(at.marked && at.inside, `${at.name} shows no focus`);
    if (at.name === 'API description') break;
  }
  assert.deepEqual(seen, ['Skip to the content', 'This browser', 'Send to everybody', 'Name and tags (optional)', 'subscribe', 'What this browser supports', 'token', 'unlock', 'keep', 'API description']);
  await page.evaluate(() => document.activeElement.blur());
  await page.reload();
  await state(page, 'Not subscribed');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  assert.equal(await focused(page), 'main');
  await page.keyboard.press('Tab'); // to the summary
  await page.keyboard.press('Enter');
  assert.ok(await visible(page, '#user'));
});

await step('no permission is explained, and given back', async () => {
  await permit(main, 'denied');
  await state(page, 'Not possible here');
  assert.match(await textOf(page, '#problem'), /blocked for this site[\s\S]*left of the address/);
  assert.equal(await visible(page, '#subscribe'), false);
  await accessible(page, 'blocked');
  await shot(page, 'blocked-light');
  await permit(main, 'granted');
  await state(page, 'Not subscribed');
  assert.ok(await visible(page, '#subscribe'));
});

await step('a push service that cannot be reached is explained', async () => {
  // This Chromium has no push service behind it.
  await page.click('#subscribe');
  await page.waitForSelector('#problem:not([hidden])', {timeout: 60000});
  assert.match(await textOf(page, '#problem'), /(push service|push messages)[\s\S]*(try again|private window)/i);
  assert.equal(await focused(page), 'problem');
  assert.equal(await textOf(page, '#subscribe'), 'Subscribe');
  await shot(page, 'refused-light');
});

await step('an address that is not secure is explained', async () => {
  await page.goto(config.url.replace('localhost', 'insecure.test'));
  await state(page, 'Not possible here');
  assert.match(await textOf(page, '#problem'), /not secure[\s\S]*http:\/\/localhost:\d+ instead/);
  await page.goto(config.url);
  await state(page, 'Not subscribed');
  expected = ['Cross-Origin-Opener-Policy header has been ignored'];
});

await step('an iPhone is told of the home screen', async () => {
  const phone = await browser({
    userAgent: 'Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1',
    viewport: {width: 390, height: 844},
  }, context => context.addInitScript(() => {
    delete globalThis.PushManager;
    delete globalThis.Notification;
  }));
  await phone.page.goto(config.url);
  await state(phone.page, 'Not possible here');
  assert.match(await textOf(phone.page, '#problem'), /home screen first[\s\S]*Tap Share/);
  await shot(phone.page, 'iphone');
  await phone.context.close();
});

await step('the service worker shows every kind of message, and tells the page', async () => {
  await permit(main, 'granted');
  const cdp = await main.context.newCDPSession(page);
  const registered = new Promise(resolve => cdp.on('ServiceWorker.workerRegistrationUpdated', ({registrations}) => {
    const mine = registrations.find(r => r.scopeURL.startsWith(config.url) && !r.isDeleted);
    if (mine) resolve(mine.registrationId);
  }));
  await cdp.send('ServiceWorker.enable');
  await page.evaluate(() => navigator.serviceWorker.register('sw.js').then(() => navigator.serviceWorker.ready).then(() => {}));
  const registrationId = await registered;
  let n = 0;
  for (const [data, kind, title, body, more] of [
    ['', 'none', 'A push message', 'It has no payload.', {}],
    ['Grüße', 'text', 'A push message', 'Grüße', {}],
    ['[1,2]', 'json', 'A push message', '[1,2]', {}],
    ['null', 'text', 'A push message', 'null', {}],
    ['{"title":""}', 'json', 'A push message', '{"title":""}', {}],
    ['{"title":"T","body":"B","tag":"t","navigate":"https://example.com/"}', 'notification', 'T', 'B', {tag: 't', data: {url: 'https://example.com/'}}],
    ['{"title":"D","data":{"url":"/x","id":7},"navigate":"/y"}', 'notification', 'D', '', {data: {url: '/x', id: 7}}],
    ['{"web_push":8030,"notification":{"title":"W","body":"w","navigate":"https://example.com/w"}}', 'declarative', 'W', 'w', {data: {url: 'https://example.com/w'}}],
    ['{"title":"Bad","body":"b","silent":true,"vibrate":[1]}', 'notification', 'Bad', 'b', {}],
  ]) {
    await cdp.send('ServiceWorker.deliverPushMessage', {origin: config.url, registrationId, data});
    n++;
    await page.waitForFunction(n => document.querySelectorAll('#arrived > li').length === n, n);
    const item = page.locator('#arrived > li').first();
    assert.equal(await item.getAttribute('data-kind'), kind, data);
    assert.equal(await item.locator('.name').textContent(), title, data);
    await page.waitForFunction(() => document.querySelector('#arrived > li').dataset.shown);
    assert.equal(await item.locator('.error').textContent() !== '', title === 'Bad', data);
    const shown = await page.evaluate(async title => {
      const all = await (await navigator.serviceWorker.ready).getNotifications();
      const n = all.filter(n => n.title === title).at(-1);
      const found = n && {body: n.body, tag: n.tag, data: n.data};
      all.forEach(n => n.close());
      return found;
    }, title);
    assert.deepEqual(shown, {body, tag: '', data: null, ...more}, data);
  }
  // The server is told of a new subscription, also when it is busy at first.
  const worker = main.context.serviceWorkers().find(w => w.url().startsWith(config.url));
  const told = await worker.evaluate(async () => {
    const real = self.fetch, told = [];
    self.fetch = async (url, {body}) => {
      told.push([new URL(url).pathname, JSON.parse(body)]);
      return new Response('', {status: told.length === 1 ? 429 : 201});
    };
    const made = endpoint => ({endpoint, toJSON: () => ({endpoint})});
    await changed({oldSubscription: made('https://push.example/old'), newSubscription: made('https://push.example/new')});
    self.fetch = real;
    await caches.delete('webpush');
    return told;
  });
  assert.deepEqual(told, Array(2).fill(['/subscription/change', {old: {endpoint: 'https://push.example/old'}, new: {endpoint: 'https://push.example/new'}}]));
  await cdp.detach();
});

// Chromium cannot subscribe without its maker's servers: Firefox does in
// another test. What the page does with a subscription is seen with this one.
const withSubscription = context => context.addInitScript(sink => {
  const json = {endpoint: `${sink}/own`, expirationTime: null, keys: {p256dh: 'BNcRdreALRFXTkOOUHK1EtK2wtaz5Ry4YfYCA_0QTpQtUbVlUls0VJXg7A8u-Ts1XbjhazAkj7I99e8QcYP7DkM', auth: 'tBHItJI5svbpez7KI4CCXg'}};
  let mine = null;
  PushManager.prototype.subscribe = async () => (mine = {endpoint: json.endpoint, options: {}, toJSON: () => json, unsubscribe: async () => (mine = null, true)});
  PushManager.prototype.getSubscription = async () => mine;
}, config.sink);

await step('a subscription is shown, copied and downloaded, and a test message is sent', async () => {
  const own = await browser({permissions: ['notifications', 'clipboard-read', 'clipboard-write']}, withSubscription);
  const {page} = own;
  await page.goto(config.url);
  await state(page, 'Not subscribed');
  await page.click('#about summary');
  await page.fill('#tags', 'own, own tag');
  await page.click('#subscribe');
  await state(page, 'Subscribed');
  assert.equal(await focused(page), 'browser-title');
  await page.click('#subscription summary');
  assert.equal(JSON.parse(await textOf(page, '#json')).endpoint, `${config.sink}/own`);
  await page.click('#copy-json');
  assert.equal(await page.evaluate(() => navigator.clipboard.readText()), await textOf(page, '#json'));
  await page.click('#copy-command');
  assert.match(await page.evaluate(() => navigator.clipboard.readText()), /^webpush send -f subscription\.json /);
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('#download')]);
  assert.equal(download.suggestedFilename(), 'subscription.json');
  assert.equal(JSON.parse(await readFile(await download.path(), 'utf8')).endpoint, `${config.sink}/own`);
  await page.click('#test-send');
  await page.locator('#test-status', {hasText: 'accepted'}).waitFor();
  assert.match(await textOf(page, '#arrived > li .way'), /Encrypted [\s\S]*Accepted 201 /);
  await page.click('#arrived > li summary');
  assert.match(await textOf(page, '#arrived > li pre'), /^POST http:\/\/127\.0\.0\.1:\d+\/…\n[\s\S]*TTL: 300[\s\S]*\n201\n/);
  // Messages are told apart by their ids, whatever their order.
  await page.click('#test-send');
  await page.waitForFunction(() => document.querySelectorAll('#arrived > li [data-step=accepted]').length === 2);
  await accessible(page, 'subscribed');
  await shot(page, 'subscribed-light');
  await page.emulateMedia({colorScheme: 'dark'});
  await page.setViewportSize({width: 390, height: 760});
  await page.locator('#test-form').evaluate(e => e.closest('section').scrollIntoView({behavior: 'instant'}));
  await settled(page);
  await page.screenshot({path: join(config.shots, 'readme-phone.png')});
  await page.emulateMedia({colorScheme: 'light'});
  await page.click('#unsubscribe');
  await state(page, 'Not subscribed');
  // The server has forgotten it.
  const left = await fetch(`${config.url}/subscriptions?tag=own`, {headers: {Authorization: `Bearer ${config.token}`}}).then(r => r.json());
  assert.equal(left.subscriptions.length, 0);
  // What the server refuses is told.
  await page.fill('#user', 'x'.repeat(200));
  await page.evaluate(() => (document.getElementById('user').value += '\u{1F44B}'));
  await page.click('#subscribe');
  await page.waitForSelector('#problem:not([hidden])');
  assert.match(await textOf(page, '#problem'), /204 bytes/);
  await state(page, 'Not subscribed');
  expected = ['status of 400'];
  await own.context.close();
});

await step('webpush subscribe has this part of the page alone', async () => {
  const own = await browser({permissions: ['notifications']}, withSubscription);
  await own.page.goto(config.command);
  await state(own.page, 'Not subscribed');
  await accessible(own.page, 'command');
  await shot(own.page, 'command-light');
  await own.page.click('#subscribe');
  await state(own.page, 'Saved');
  assert.match(await textOf(own.page, '#explain'), /is in own\.json, and the command has exited/);
  assert.match(await textOf(own.page, '#subscribed'), /as JSON/);
  await own.page.click('#subscription summary');
  assert.match(await textOf(own.page, '#command'), /^webpush send -f own\.json /);
  await own.page.emulateMedia({colorScheme: 'dark'});
  await accessible(own.page, 'command, saved');
  await shot(own.page, 'command-saved-dark');
  await own.context.close();
});

await step('a wrong token is refused, the right one opens', async () => {
  await page.click('#unlock');
  assert.match(await textOf(page, '#token-problem'), /paste the token/);
  await page.fill('#token', 'wrong');
  await page.keyboard.press('Enter');
  await page.locator('#token-problem', {hasText: 'This is not the token'}).waitFor();
  assert.equal(await focused(page), 'token');
  assert.equal(await page.getAttribute('#token', 'aria-invalid'), 'true');
  await accessible(page, 'wrong token');
  await shot(page, 'token-light');
  await page.fill('#token', config.token);
  await page.click('#unlock');
  await page.waitForSelector('#unlocked:not([hidden])');
  assert.equal(await focused(page), 'list-title');
  assert.equal(await page.inputValue('#token'), '');
  assert.deepEqual(await page.evaluate(() => [sessionStorage.length, localStorage.length, document.cookie]), [0, 0, '']);
  // Kept for the tab only when asked for, and forgotten when locked.
  await page.reload();
  await page.waitForSelector('#token');
  await page.check('#keep');
  await page.fill('#token', config.token);
  await page.click('#unlock');
  await page.waitForSelector('#unlocked:not([hidden])');
  await page.reload();
  await page.waitForSelector('#unlocked:not([hidden])');
  await page.evaluate(() => sessionStorage.clear());
  // A link brings the token in its fragment, which does not stay.
  await page.goto('about:blank');
  await page.goto(`${config.url}/#token=${config.token}`);
  await page.waitForSelector('#unlocked:not([hidden])');
  assert.equal(new URL(page.url()).hash, '');
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
  await page.click('#lock');
  assert.equal(await visible(page, '#unlocked'), false);
  await page.fill('#token', config.token);
  await page.click('#unlock');
  await page.waitForSelector('#unlocked:not([hidden])');
  expected = ['status of 401'];
});

await step('the subscriptions are counted and listed', async () => {
  assert.equal(await textOf(page, '#list-total'), `${config.total} subscriptions with 1 push service`);
  assert.match(await textOf(page, '#services tbody'), /^Other push services, such as http:\/\/127\.0\.0\.1:\d+\s+300/);
  await page.click('#entries summary');
  assert.equal(await page.locator('#entries tbody tr').count(), 50);
  assert.match(await textOf(page, '#entries tbody tr:first-child'), /<b>ann<\/b>\s+news/);
  await page.click('#more');
  await page.waitForFunction(() => document.querySelectorAll('#entries tbody tr').length === 100);
  await page.click('#entries summary');
});

await step('what is wrong with a message is said at its field', async () => {
  await page.click('#send');
  assert.equal(await focused(page), 'n-title');
  assert.match(await textOf(page, '#n-title-problem'), /needs a title/);
  await page.fill('#n-url', 'javascript:alert(1)');
  await page.click('#n-more summary');
  await page.fill('#n-data', '{"id": 7');
  await page.check('[name=to][value=user]');
  await page.click('#delivery summary');
  await page.fill('#topic', 'no spaces');
  await page.fill('#n-body', 'ä'.repeat(2100));
  await page.click('#n-more summary'); // an error in what is closed opens it
  await page.click('#send');
  assert.match(await textOf(page, '#n-url-problem'), /not a web address/);
  assert.match(await textOf(page, '#n-data-problem'), /not JSON/);
  assert.match(await textOf(page, '#to-problem'), /Enter a user/);
  assert.match(await textOf(page, '#topic-problem'), /at most 32/);
  assert.match(await textOf(page, '#budget-problem'), /\d+ bytes too many/);
  assert.equal(await visible(page, '#confirm'), false);
  await accessible(page, 'errors');
  await shot(page, 'errors-light');
});

await step('size and preview follow what is typed, and the size is that of the message', async () => {
  await page.fill('#n-title', 'You have mail');
  assert.equal(await textOf(page, '#n-title-problem'), '');
  await page.fill('#n-body', 'Grüße 👋 <i>&</i>\nsecond line');
  await page.fill('#n-url', 'https://example.com/mail?a=1&b=2');
  await page.fill('#n-data', '{"id": 7}');
  await page.fill('#n-action-1', 'Open');
  await page.fill('#n-action-2', 'Später');
  await page.fill('#topic', '');
  await page.check('[name=to][value=tag]');
  await page.fill('#to-value', 'news');
  assert.equal(await textOf(page, '#p-title'), 'You have mail');
  assert.equal(await textOf(page, '#p-body'), 'Grüße 👋 <i>&</i>\nsecond line');
  assert.equal(await textOf(page, '#p-actions'), 'Open\nSpäter');
  const size = Number((await textOf(page, '#budget-text')).match(/^\d+/)[0]);
  assert.equal(await page.getAttribute('#budget', 'aria-valuenow'), String(size));
  await page.click('#send');
  await page.waitForSelector('#confirm[open]');
  assert.equal(await textOf(page, '#confirm-title'), 'Send to 3 subscriptions?');
  assert.match(await textOf(page, '#confirm-text'), /“You have mail” goes to all subscriptions with the tag “news”/);
  assert.equal(await focused(page), 'confirm-no');
  await everywhere(page, 'confirm');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#confirm:not([open])', {state: 'attached'});
  assert.equal(await focused(page), 'send');
  assert.equal(await visible(page, '#job'), false);
  await page.keyboard.press('Enter');
  await page.waitForSelector('#confirm[open]');
  await page.click('#confirm-yes');
  await page.locator('#job-state', {hasText: 'Done'}).waitFor();
  assert.equal(await textOf(page, '#job-title'), 'Push to tag “news”');
  assert.match(await textOf(page, '#job-line'), /^3 of 3 messages/);
  const got = Number(await fetch(`${config.sink}/size/news-1`).then(r => r.text()));
  assert.equal(got, size + 103, 'the body is the payload with header, delimiter and tag'); // RFC 8188, RFC 8291
  // Text, and a message without payload.
  await page.check('[name=kind][value=text]');
  await page.fill('#payload', 'nur Text – 👋');
  assert.match(await textOf(page, '#budget-text'), /^17 of 3,993 bytes/);
  for (const [kind, size] of [['text', 17 + 103], ['none', 0]]) {
    await page.check(`[name=kind][value=${kind}]`);
    await page.click('#send');
    await page.click('#confirm-yes');
    await page.waitForFunction(async ([url, size]) => document.querySelector('#job-state').textContent === 'Done', [config.sink, size]);
    for (let i = 0; Number(await fetch(`${config.sink}/size/news-2`).then(r => r.text())) !== size; i++) {
      assert.ok(i < 100, `a message of kind ${kind} has not come with ${size} bytes`);
      await page.waitForTimeout(50);
    }
  }
  // Nobody.
  await page.fill('#to-value', 'weather');
  await page.click('#send');
  await page.waitForSelector('#compose-problem:not([hidden])');
  assert.match(await textOf(page, '#compose-problem'), /No recipients[\s\S]*“weather”/);
});

await step('a push is scheduled, moved, and canceled', async () => {
  await page.check('[name=kind][value=notification]');
  await page.check('[name=to][value=all]');
  await page.check('[name=when][value=later]');
  assert.equal(await textOf(page, '#send'), 'Schedule…');
  assert.ok(new Date(await page.inputValue('#at')) > new Date());
  await page.fill('#at', '2001-01-01T00:00');
  await page.click('#send');
  assert.match(await textOf(page, '#at-problem'), /has passed/);
  assert.equal(await focused(page), 'at');
  await accessible(page, 'schedule form');
  const local = (days, hour) => page.evaluate(([days, hour]) => {
    const t = new Date(Date.now() + days * 86400e3);
    return `${t.getFullYear()}-${String(t.getMonth() + 1).padStart(2, '0')}-${String(t.getDate()).padStart(2, '0')}T${hour}:30`;
  }, [days, hour]);
  await page.fill('#at', await local(3, '09'));
  await page.click('#send');
  await page.waitForSelector('#confirm[open]');
  assert.match(await textOf(page, '#confirm-text'), /exist on .*09:30.*change the time or cancel/);
  await accessible(page, 'schedule dialog');
  await page.click('#confirm-yes');
  await page.locator('#job-state', {hasText: 'Scheduled'}).waitFor();
  assert.match(await textOf(page, '#job-line'), /^It is sent on .*09:30/);
  assert.equal(await visible(page, '#job-bar'), false);
  await page.fill('#job-at', await local(4, '10'));
  await page.click('#job-move');
  await page.locator('#job-line', {hasText: '10:30'}).waitFor();
  await page.locator('#jobs-rows tr', {hasText: '10:30'}).waitFor();
  await page.fill('#job-at', '2001-01-01T00:00');
  await page.click('#job-move');
  assert.match(await textOf(page, '#job-at-problem'), /has passed/);
  await page.fill('#job-at', await local(4, '10'));
  await accessible(page, 'scheduled');
  await everywhere(page, 'scheduled');
  await page.click('#job-cancel');
  await page.locator('#job-state', {hasText: 'Canceled'}).waitFor();
  assert.equal(await visible(page, '#job-schedule'), false);
  // Another one is sent at once after all.
  await page.check('[name=to][value=tag]');
  await page.fill('#to-value', 'news');
  await page.click('#send');
  await page.click('#confirm-yes');
  await page.locator('#job-state', {hasText: 'Scheduled'}).waitFor();
  await page.click('#job-now');
  await page.locator('#job-state', {hasText: 'Done'}).waitFor();
  assert.match(await textOf(page, '#job-line'), /^3 of 3 messages/);
  await page.check('[name=when][value=now]');
});

await step('a push is followed as it runs, and canceled', async () => {
  await page.check('[name=kind][value=notification]');
  await page.check('[name=to][value=all]');
  await page.click('#send');
  await page.waitForSelector('#confirm[open]');
  assert.equal(await textOf(page, '#confirm-title'), 'Send to 300 subscriptions?');
  await page.click('#confirm-yes');
  await page.locator('#job-state', {hasText: 'Sending'}).waitFor();
  assert.equal(await focused(page), 'job-title');
  await page.waitForFunction(() => Number(document.querySelector('#job-bar').getAttribute('aria-valuenow')) > 0);
  const first = Number(await page.getAttribute('#job-bar', 'aria-valuenow'));
  await page.waitForFunction(first => Number(document.querySelector('#job-bar').getAttribute('aria-valuenow')) > first, first);
  await page.waitForSelector('#job-chart svg');
  // A page that is opened meanwhile finds it.
  await page.click('#lock');
  await page.fill('#token', config.token);
  await page.click('#unlock');
  await page.locator('#job-state', {hasText: 'Sending'}).waitFor();
  await page.click('#job-cancel');
  await page.locator('#job-state', {hasText: 'Canceled'}).waitFor();
  assert.equal(await visible(page, '#job-cancel'), false);
});

await step('a push to its end tells what became of it', async () => {
  await page.click('#send');
  await page.click('#confirm-yes');
  await page.locator('#job-state', {hasText: 'Sending'}).waitFor();
  await page.waitForFunction(() => Number(document.querySelector('#job-bar').getAttribute('aria-valuenow')) > 25);
  assert.match(await textOf(page, '#job-line'), /^\d+ of \d+ messages · \d+ per second · .* left · reported: \d+ shown, \d+ clicked, 0 closed$/);
  await page.locator('#job-line', {hasText: / [1-9]\d* shown, [1-9]\d* clicked, 0 closed$/}).waitFor();
  await page.waitForFunction(() => document.querySelectorAll('#job-counts tr').length === 3); // the picture keeps its size
  await settled(page);
  await page.locator('#job').screenshot({path: join(config.shots, 'readme-desktop.png')});
  await shot(page, 'running-light');
  await page.emulateMedia({colorScheme: 'dark'});
  await shot(page, 'running-dark');
  await page.emulateMedia({colorScheme: 'light'});
  await page.locator('#job-says', {hasText: 'percent sent'}).waitFor({state: 'attached'});
  await accessible(page, 'running');
  await page.locator('#job-state', {hasText: / delivered$/}).waitFor();
  const counts = await textOf(page, '#job-counts');
  assert.match(counts, /Delivered\s+28\d/);
  assert.match(counts, /Rejected\s+6/);
  assert.match(await page.locator('#job-says').textContent(), /^28\d of \d+ delivered: \d+ of \d+ messages, 28\d delivered\.$/);
  await page.click('#failures summary');
  await page.waitForSelector('#failures-groups > li');
  assert.equal(await page.locator('#failures-groups > li').count(), 1, 'one cause, one group');
  assert.match(await textOf(page, '#failures-groups'), /6 messages: Rejected, status 400 from http:\/\/127\.0\.0\.1/);
  assert.doesNotMatch(await textOf(page, '#failures-groups'), /refused-\d/); // an endpoint's path is a secret
  const [list] = await Promise.all([page.waitForEvent('download'), page.click('#failures-groups >> text=Download these')]);
  assert.equal((await readFile(await list.path(), 'utf8')).trim().split('\n').map(line => JSON.parse(line).status).join(), '400,400,400,400,400,400');
  // A retry of one cause names it.
  const [again] = await Promise.all([page.waitForRequest(/\/retry$/), page.click('#failures-groups >> text=Retry these')]);
  const {problem, ...cause} = again.postDataJSON();
  assert.deepEqual(cause, {class: 'rejected', origin: config.sink, status: 400});
  assert.ok(problem);
  for (let retried = {}; retried.state !== 'done' || retried.counts.rejected !== 6; await page.waitForTimeout(50)) {
    retried = await fetch(again.url().replace(/\/retry$/, ''), {headers: {Authorization: `Bearer ${config.token}`}}).then(r => r.json());
  }
  await page.waitForFunction(() => / delivered$/.test(document.querySelector('#job-state').textContent) && /Rejected\s+6/.test(document.querySelector('#job-counts').innerText));
  // The gone ones are removed.
  await page.locator('#list-total', {hasText: '294 subscriptions'}).waitFor();
  assert.equal(await page.locator('#jobs-rows tr').count(), 7);
  await page.locator('#jobs-rows button').last().click();
  await page.locator('#job-title', {hasText: 'news'}).waitFor();
  await page.locator('#jobs-rows button').first().click();
  await page.locator('#job-title', {hasText: 'everybody'}).waitFor();
  await page.locator('#job-state', {hasText: / delivered$/}).waitFor();
  await page.waitForSelector('#job-chart svg');
});

await step('what can go on is offered to go on, and nothing else', async () => {
  const cases = [['canceled', {temporary: 3}, null], ['failed', {delivered: 1}, 'Continue'], ['done', {temporary: 2, expired: 1}, 'Retry 3 messages'], ['done', {delivered: 4}, null]];
  const now = new Date().toISOString();
  const jobs = cases.map(([state, counts], i) => ({
    id: `made-${i}`, state, counts, services: {}, to: {tag: `case ${i}`}, total: 4, done: 4, created: now, started: now, finished: now,
    message: {payloadBytes: 1, ttl: 60}, problem: state === 'failed' ? 'the server failed; its log says why' : undefined,
  }));
  const made = /\/push(\/made-\d|\?state=scheduled.*)?$/;
  await page.route(made, route => route.fulfill({json: jobs.find(job => route.request().url().endsWith(job.id)) ?? {jobs: route.request().url().includes('?') ? [] : jobs}}));
  const reopen = async () => {
    await page.click('#lock');
    await page.fill('#token', config.token);
    await page.click('#unlock');
    await page.waitForSelector('#jobs-rows tr');
  };
  await reopen();
  for (const [i, [state, , offer]] of cases.entries()) {
    await page.locator('#jobs-rows button').nth(i).click();
    await page.locator('#job-title', {hasText: `case ${i}`}).waitFor();
    assert.equal(await visible(page, '#job-retry'), offer !== null, state);
    if (offer) assert.equal(await textOf(page, '#job-retry'), offer);
    if (state === 'failed') await everywhere(page, 'failed');
    await accessible(page, `push ${i}: ${state}`);
  }
  await page.unroute(made);
  await reopen();
  await page.locator('#jobs-rows button').first().click();
  await page.locator('#job-title', {hasText: 'everybody'}).waitFor();
  await page.waitForSelector('#job-chart svg');
});

await step('the chart shows no rate that there was not', async () => {
  const rates = await page.evaluate(async () => {
    const {ratesOf} = await import('./chart.js');
    return ratesOf([[0, 0], [1, 20], [2, 40], [5, 40], [5.001, 95], [5.002, 100], [6.1, 120]].map(([at, done]) => ({at, done})), 1);
  });
  assert.deepEqual(rates.map(r => Math.round(r.rate)), [20, 20, 0, 73]);
});

await step('the administrator sees what is wrong with the server', async () => {
  const cases = [
    [200, {status: 'ok', warning: 'another server has another key; use the same'}, 'Another server has another key; use the same.'],
    [507, {type: 'about:blank', title: 'Insufficient Storage', status: 507, code: 'store-full', detail: 'the disk is full'}, 'The disk is full.'],
    [200, {status: 'ok'}, ''],
  ];
  for (const [status, json, text] of cases) {
    await page.route('**/healthz', route => route.fulfill({status, json}));
    await page.click('#reload');
    await page.waitForFunction(text => document.querySelector('#list-problem').textContent === text, text);
    await accessible(page, `health ${status}`);
    await page.unroute('**/healthz');
  }
  expected = ['status of 507'];
});

await step('the timeline is in order, although a message can arrive before the response', async () => {
  const steps = await page.evaluate(async () => {
    const timeline = await import('./timeline.js');
    const entry = timeline.begin('early', 'Early', '');
    timeline.receive({type: 'push', id: 'early', kind: 'text', at: Date.now()});
    timeline.receive({type: 'shown', id: 'early', at: Date.now(), shown: true});
    entry.accepted({status: 201, latencyMs: 5});
    return [...entry.way.children].map(line => line.dataset.step);
  });
  assert.deepEqual(steps, ['encrypted', 'accepted', 'received', 'shown']);
});

await step('light and dark, wide and narrow', async () => {
  for (const colorScheme of ['light', 'dark']) {
    for (const [name, width] of [['wide', 1280], ['tablet', 768], ['phone', 390], ['narrow', 320]]) {
      await page.emulateMedia({colorScheme});
      await page.setViewportSize({width, height: 800});
      if (width === 390) {
        // The columns that say to whom, and lead to a push, stay on a phone.
        for (const cell of await page.locator('#jobs-rows tr:first-child td:nth-child(n+4)').all()) {
          const box = await cell.boundingBox();
          assert.ok(box && box.x >= 0 && box.x + box.width <= width, `${name}: a cell of the pushes is outside of the window`);
        }
      }
      await accessible(page, `${name} ${colorScheme}`);
      await shot(page, `all-${name}-${colorScheme}`);
    }
  }
  await page.setViewportSize({width: 1100, height: 900});
  await page.click('#entries summary');
  await everywhere(page, 'list');
  await page.click('#entries summary');
  const moves = () => page.evaluate(() => getComputedStyle(document.querySelector('.meter-bar > span')).transitionDuration);
  assert.equal(await moves(), '0.3s');
  await page.emulateMedia({reducedMotion: 'reduce', colorScheme: 'light'});
  assert.equal(await moves(), '0s');
});

await step('a server that is away is told, and found again', async () => {
  await main.context.setOffline(true);
  await page.click('#reload');
  await page.waitForSelector('#list-problem:not([hidden])');
  assert.match(await textOf(page, '#list-problem'), /does not respond/);
  await main.context.setOffline(false);
  await page.click('#reload');
  await page.waitForSelector('#list-problem', {state: 'hidden'});
  expected = ['ERR_INTERNET_DISCONNECTED'];
});

await main.context.close();
console.log('all steps passed');
