// Subscribing to push messages. Every failure becomes a Problem that a visitor
// can act on.

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
  firefox: ['Click the symbol at the left of the address.', 'Next to “Send notifications”, remove “Blocked”.', 'Come back to this page.'],
  chrome: ['Click the symbol at the left of the address.', 'Set “Notifications” to “Ask” or “Allow”.', 'Come back to this page.'],
  edge: ['Click the symbol at the left of the address.', 'Set “Notifications” to “Ask” or “Allow”.', 'Come back to this page.'],
  safari: ['In the menu Safari, open Settings, Websites, Notifications.', 'Set this site to “Allow”.', 'Come back to this page.'],
  ios: ['Open the Settings app, then Notifications.', 'Choose this web app, and allow notifications.', 'Come back to this page.'],
  '': ['Open the settings of this site in your browser.', 'Allow notifications.', 'Come back to this page.'],
};

/** The reason why this browser cannot subscribe here, or null. It does not prompt the visitor. */
export function obstacle() {
  const browser = browserName();
  if (!isSecureContext) {
    return {
      title: 'This address is not secure',
      detail: `Browsers allow service workers and push messages only on https:// addresses and on this machine's own address. ${location.origin} is neither.`,
      steps: [
        `On the machine where the server runs, open http://localhost${location.port ? ':' + location.port : ''} instead.`,
        'From another device, put a web server with a certificate in front of it and open its https:// address.',
      ],
    };
  }
  const installed = navigator.standalone === true || matchMedia('(display-mode: standalone)').matches;
  if (browser === 'ios' && !('PushManager' in window) && !installed) {
    return {
      title: 'On iPhone and iPad, add this page to the home screen first',
      detail: 'On these devices, push messages work only in web apps on the home screen, with iOS 16.4 or later.',
      steps: ['Tap Share, the square with the arrow.', 'Tap “Add to Home Screen”.', 'Open the page from the home screen, and subscribe there.'],
    };
  }
  if (!('serviceWorker' in navigator)) {
    return {
      title: 'This window does not support service workers',
      detail: 'The service worker of the site receives push messages. Firefox does not run service workers in private windows, and some settings turn them off.',
      steps: ['Open this page in a normal window.', 'If it is one, check whether the browser deletes all site data when it is closed.'],
    };
  }
  if (!('PushManager' in window) || !('Notification' in window)) {
    return {
      title: 'This browser does not support push messages',
      detail: 'It supports service workers, but not the Push API.',
      steps: ['Update the browser, or use Firefox, Chrome, Edge, or Safari.'],
    };
  }
  if (Notification.permission === 'denied') return denied();
  return null;
}

function denied() {
  return {
    title: 'Notifications are blocked for this site',
    detail: 'You or a browser policy blocked them, so the browser does not ask again. Private windows often block them without asking.',
    steps: undo[browserName()],
  };
}

/** Encodes bytes in base64url, as the server encodes keys. */
export function encodeKey(buffer) {
  return btoa(String.fromCharCode(...new Uint8Array(buffer))).replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** The current subscription of this browser, or null. */
export async function current() {
  if (!('serviceWorker' in navigator) || !('PushManager' in window)) return null;
  const registration = await navigator.serviceWorker.getRegistration();
  return registration ? registration.pushManager.getSubscription() : null;
}

/** Reports whether a subscription was made with this key; true if the browser does not say. */
export function madeWith(subscription, publicKey) {
  const key = subscription.options?.applicationServerKey;
  return !key || encodeKey(key) === publicKey;
}

/** The JSON of a subscription, with the key that it was made with if the browser says it. */
export function withKey(subscription) {
  const key = subscription.options?.applicationServerKey;
  return {...subscription.toJSON(), ...(key && {applicationServerKey: encodeKey(key)})};
}

const wait = ms => new Promise(resolve => setTimeout(resolve, ms));

/**
 * Asks for permission and subscribes with this key. A subscription with
 * another key is removed first. Call it from a click.
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
    throw new Problem('You have not decided yet', {detail: 'The prompt was closed without a choice.', hint: 'Choose “Subscribe” again, and allow notifications.'});
  }
  let registration;
  try {
    await navigator.serviceWorker.register('sw.js', {updateViaCache: 'none'});
    registration = await navigator.serviceWorker.ready;
  } catch (e) {
    throw new Problem('The service worker could not be started', {detail: e.message, hint: 'Common reasons are private windows and settings that block site data. Try a normal window.'});
  }
  const old = await registration.pushManager.getSubscription();
  if (old && madeWith(old, publicKey)) return old;
  if (old) await old.unsubscribe();

  // Some browsers never respond to a request made before they were connected to
  // the push service. Ask again, and use the first response.
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
  throw new Problem('The browser\'s push service does not respond', {
    detail: 'Each browser uses the push service of its vendor, and this one cannot reach it now.',
    hint: 'Check that the network allows the connection, then try again.',
  });
}

/** Explains an error of pushManager.subscribe. */
function refused(e) {
  switch (e.name) {
  case 'NotAllowedError':
  case 'PermissionDeniedError':
    return Object.assign(new Problem(''), denied(), {
      title: 'The browser does not allow push messages here',
      detail: `It says: ${e.message}. Private windows do this too, although they ask for permission.`,
    });
  case 'AbortError':
    // Chromium also uses this error for a permission that it withholds.
    if (/permission/i.test(e.message)) return Object.assign(new Problem(''), denied(), {detail: `The browser says: ${e.message}.`});
    return Object.assign(new Problem('The browser\'s push service refused or cannot be reached'), {
      detail: `It says: ${e.message}.`,
      steps: [
        'Check that the network lets the browser reach its vendor\'s servers: Chrome and other Chromium browsers use port 5228 in addition to 443.',
        'Brave: turn on “Use Google services for push messaging” in Privacy settings. A Chromium without Google\'s keys, or a browser driven by a test, has no push service.',
        'Then try again.',
      ],
    });
  case 'InvalidAccessError':
  case 'InvalidCharacterError':
    return new Problem('The browser refuses the server\'s public key', {detail: `It says: ${e.message}`, hint: 'The key must be the 65 bytes of a point on P-256: webpush app-server-key prints it.'});
  case 'InvalidStateError':
    return new Problem('This browser has a subscription with another key', {detail: `It says: ${e.message}`, hint: 'Choose “Subscribe” again to replace it.'});
  }
  return new Problem('Subscribing failed', {detail: `The browser says: ${e.message || e.name}`, hint: 'Try again, in a normal window.'});
}
