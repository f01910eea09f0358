// What the browser can do with push messages, and doing it. Everything that
// can go wrong comes out as a Problem that a visitor can act on.

import {Problem} from './api.js';

const browserName = () => {
  const ua = navigator.userAgent;
  if (/iPad|iPhone|iPod/.test(ua) || (/Mac/.test(navigator.platform) && navigator.maxTouchPoints > 1)) return 'ios';
  if (/Firefox\//.test(ua)) return 'firefox';
  if (/Edg\//.test(ua)) return 'edge';
  if (/Chrome\//.test(ua)) return 'chrome';
  if (/Safari\//.test(ua)) return 'safari';
  return '';
};

const undo = {
  firefox: ['Click the symbol at the left of the address.', 'Beside “Send notifications”, remove “Blocked”.', 'Come back to this page.'],
  chrome: ['Click the symbol at the left of the address.', 'Set “Notifications” to “Ask” or “Allow”.', 'Come back to this page.'],
  edge: ['Click the symbol at the left of the address.', 'Set “Notifications” to “Ask” or “Allow”.', 'Come back to this page.'],
  safari: ['In the menu Safari, open Settings, Websites, Notifications.', 'Set this site to “Allow”.', 'Come back to this page.'],
  ios: ['Open the Settings app, then Notifications.', 'Choose this web app, and allow notifications.', 'Come back to this page.'],
  '': ['Open the settings of this site in your browser.', 'Allow notifications.', 'Come back to this page.'],
};

/** Why this browser cannot subscribe here, or null. It asks the visitor nothing. */
export function obstacle() {
  const browser = browserName();
  if (!isSecureContext) {
    return {
      title: 'This address is not secure',
      detail: `Browsers give service workers and push messages to https:// addresses only, and to this machine's own: ${location.origin} is neither.`,
      steps: [
        `On the machine where the server runs, open http://localhost${location.port ? ':' + location.port : ''} instead.`,
        'From elsewhere, put a web server with a certificate before it and open its https:// address.',
      ],
    };
  }
  const installed = navigator.standalone === true || matchMedia('(display-mode: standalone)').matches;
  if (browser === 'ios' && !('PushManager' in window) && !installed) {
    return {
      title: 'On iPhone and iPad, add this page to the home screen first',
      detail: 'Safari there gives push messages to web apps on the home screen only, from iOS 16.4 on.',
      steps: ['Tap Share, the square with the arrow.', 'Tap “Add to Home Screen”.', 'Open the page from the home screen, and subscribe there.'],
    };
  }
  if (!('serviceWorker' in navigator)) {
    return {
      title: 'This window has no service workers',
      detail: 'A service worker of the site receives push messages. Firefox has none in private windows, and some settings turn them off.',
      steps: ['Open this page in a normal window.', 'If it is one, look whether the browser deletes all site data when it is closed.'],
    };
  }
  if (!('PushManager' in window) || !('Notification' in window)) {
    return {
      title: 'This browser has no push messages',
      detail: 'It has service workers, but not the Push API.',
      steps: ['Bring the browser up to date, or use Firefox, Chrome, Edge or Safari.'],
    };
  }
  if (Notification.permission === 'denied') return denied();
  return null;
}

function denied() {
  return {
    title: 'Notifications are blocked for this site',
    detail: 'You, or a rule of the browser, said no, so that the browser does not ask again. Private windows often block them without asking.',
    steps: undo[browserName()],
  };
}

/** The bytes of a key, as a page of a server gives them: base64url. */
export function encodeKey(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** The subscription that this browser has here, or null. */
export async function current() {
  if (!('serviceWorker' in navigator) || !('PushManager' in window)) return null;
  const registration = await navigator.serviceWorker.getRegistration();
  return registration ? registration.pushManager.getSubscription() : null;
}

/** Reports whether a subscription was made with this key; browsers that do not tell are believed. */
export function madeWith(subscription, publicKey) {
  const key = subscription.options?.applicationServerKey;
  return !key || encodeKey(key) === publicKey;
}

const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * Asks for permission and subscribes with this key; a subscription with
 * another key is ended first. It must be called by a click.
 */
export async function subscribe(publicKey) {
  let permission;
  try {
    permission = await Notification.requestPermission();
  } catch (e) {
    throw new Problem('The browser did not ask for permission', {detail: e.message, hint: 'Try again.'});
  }
  if (permission === 'denied') throw Object.assign(new Problem(''), denied());
  if (permission !== 'granted') {
    throw new Problem('You have not decided yet', {detail: 'The browser asked, and the question was closed without an answer.', hint: 'Choose “Subscribe” again, and allow notifications.'});
  }
  let registration;
  try {
    await navigator.serviceWorker.register('sw.js', {updateViaCache: 'none'});
    registration = await navigator.serviceWorker.ready;
  } catch (e) {
    throw new Problem('The service worker could not be started', {detail: e.message, hint: 'Private windows and settings that block site data are common reasons. Try a normal window.'});
  }
  const old = await registration.pushManager.getSubscription();
  if (old && madeWith(old, publicKey)) return old;
  if (old) await old.unsubscribe();

  // Some browsers never answer when they were asked before their connection
  // to the push service was up. So ask again, and take the first answer.
  const asked = [];
  for (const pause of [4000, 4000, 5000, 7000]) {
    asked.push(registration.pushManager.subscribe({userVisibleOnly: true, applicationServerKey: publicKey}));
    try {
      const subscription = await Promise.race([...asked, wait(pause)]);
      if (subscription) return subscription;
    } catch (e) {
      throw refused(e);
    }
  }
  throw new Problem('The browser\'s push service does not answer', {
    detail: 'Each browser has a push service of its maker, and cannot reach it now.',
    hint: 'Look whether the network lets it through, then try again.',
  });
}

/** Says what an error of pushManager.subscribe means. */
function refused(e) {
  switch (e.name) {
  case 'NotAllowedError':
  case 'PermissionDeniedError':
    return Object.assign(new Problem(''), denied(), {
      title: 'The browser does not allow push messages here',
      detail: `It says: ${e.message}. A private window does that, too, although it asks for permission.`,
    });
  case 'AbortError':
    return Object.assign(new Problem('The browser\'s push service refuses or is not there'), {
      detail: `It says: ${e.message}.`,
      steps: [
        'Look whether the network lets the browser reach its maker\'s servers: Chrome and its relatives use port 5228 besides 443.',
        'Brave: turn on “Use Google services for push messaging” in Privacy settings. A Chromium without Google\'s keys, or a browser that is driven by a test, has no push service at all.',
        'Then try again.',
      ],
    });
  case 'InvalidAccessError':
  case 'InvalidCharacterError':
    return new Problem('The browser refuses the server\'s public key', {detail: `It says: ${e.message}`, hint: 'The key must be the 65 bytes of a point on P-256: webpush app-server-key prints it.'});
  case 'InvalidStateError':
    return new Problem('This browser has a subscription with another key', {detail: `It says: ${e.message}`, hint: 'Choose “Subscribe” again, which ends the old one.'});
  }
  return new Problem('Subscribing failed', {detail: `The browser says: ${e.message || e.name}`, hint: 'Try again, in a normal window.'});
}
