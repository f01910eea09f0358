// Small helpers for the page's elements.

/** The element with this id. */
export const $ = id => document.getElementById(id);

/**
 * Creates an element. Properties that the element does not have are set as
 * attributes; children are nodes or text.
 */
export function h(name, properties = {}, ...children) {
  const e = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (key in e) e[key] = value;
    else e.setAttribute(key, value);
  }
  e.append(...children.filter(c => c !== null && c !== undefined));
  return e;
}

/** Creates an SVG element. */
export function svg(name, attributes = {}, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', name);
  for (const [key, value] of Object.entries(attributes)) e.setAttribute(key, value);
  e.append(...children);
  return e;
}

/** Shows an element, or hides it. */
export function show(element, visible = true) {
  element.hidden = !visible;
}

/**
 * Shows a problem and its solution in a notice. Steps are a list. Without a
 * problem, the notice is hidden.
 */
export function notice(element, problem) {
  element.replaceChildren();
  show(element, Boolean(problem));
  if (!problem) return;
  element.classList.toggle('bad', problem.level !== 'warn');
  element.append(h('p', {}, h('strong', {}, problem.title)));
  if (problem.detail) element.append(h('p', {}, problem.detail));
  if (problem.hint) element.append(h('p', {}, problem.hint));
  if (problem.steps?.length) element.append(h('ol', {}, ...problem.steps.map(s => h('li', {}, s))));
}

/** Marks a field as invalid, with the reason below it, or as valid. */
export function mark(field, reason = '') {
  field.setAttribute('aria-invalid', String(reason !== ''));
  const id = field.getAttribute('aria-describedby')?.split(' ').find(i => i.endsWith('-problem'));
  if (id) $(id).textContent = reason;
  return reason === '';
}

/**
 * Runs the action of a button. Until it is done, the button shows the label and
 * ignores clicks. It keeps the focus, which a disabled button would lose.
 */
export async function busy(button, label, work) {
  if (button.getAttribute('aria-disabled') === 'true') return;
  const text = button.textContent;
  button.setAttribute('aria-disabled', 'true');
  if (label) button.textContent = label;
  try {
    return await work();
  } finally {
    button.removeAttribute('aria-disabled');
    if (button.textContent === label) button.textContent = text;
  }
}

/** Makes a button copy a text and confirm that it did. */
export function copies(button, text) {
  const label = button.textContent;
  button.addEventListener('click', async () => {
    let said = 'Copied';
    try {
      await navigator.clipboard.writeText(text());
    } catch {
      said = 'Not allowed: select and copy it';
    }
    button.textContent = said;
    const says = h('span', {className: 'away', role: 'status'});
    button.after(says);
    says.textContent = said;
    setTimeout(() => {
      button.textContent = label;
      says.remove();
    }, 2000);
  });
}

const whole = new Intl.NumberFormat('en');

/** Formats a number. */
export const number = n => whole.format(n);

/** Formats a number with its noun: "1 subscription", "2 subscriptions". */
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? '' : 's'}`;

const stamp = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit'});
const thisYear = new Intl.DateTimeFormat(undefined, {day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'});

/** Returns the problem with the time in a field, or ''. */
export function wrongTime(field) {
  const at = new Date(field.value).getTime();
  if (Number.isNaN(at)) return 'Enter a date and a time.';
  if (at <= Date.now()) return 'This time has passed.';
  return at - Date.now() > 366 * 86400e3 ? 'This is more than a year ahead.' : '';
}

/** Sets the value of a field for a date and time, in this browser's time zone. */
export function setTime(field, date) {
  field.value = new Date(date.getTime() - date.getTimezoneOffset() * 60e3).toISOString().slice(0, 16);
}

/** Returns a time element with a formatted time. */
export function time(text) {
  const t = new Date(text);
  return Number.isNaN(t.getTime()) ? h('span', {}, '–') : h('time', {dateTime: t.toISOString()}, (t.getFullYear() === new Date().getFullYear() ? thisYear : stamp).format(t));
}
