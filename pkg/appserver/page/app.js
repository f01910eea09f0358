// Starts the page: this browser's part, and the administrator's.

import {$, notice, show} from './dom.js';
import {request} from './api.js';
import * as browser from './browser.js';
import * as admin from './admin.js';

async function begin() {
  let config;
  try {
    config = await request('subscription');
  } catch (e) {
    $('state').dataset.state = 'bad';
    $('state').textContent = 'No server';
    notice($('problem'), {title: e.title ?? 'The server does not respond', detail: e.detail, hint: e.hint ?? 'Load the page again.'});
    return;
  }
  if (config.file) {
    document.title = 'Get a subscription · Web Push';
    $('headline').textContent = 'Get a subscription into a file';
    $('lead').textContent = `webpush subscribe waits in your terminal and writes this browser's subscription to ${config.file}.`;
    show($('foot'), false);
  } else {
    show($('nav'));
    show($('admin'));
    admin.start(config);
  }
  await browser.start(config);
}

begin();
