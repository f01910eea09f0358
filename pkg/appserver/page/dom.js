// Small helpers for the page's elements.

/** The element with this id. */
export const $ = id => document.getElementById(id);

/**
 * Makes an element. Properties are set as properties where the element has
 * them, else as attributes; children are nodes or text.
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

/** Makes an element of SVG; its properties are attributes. */
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
 * Shows a problem in a notice: what is wrong, and what to do about it. Steps
 * are a list. Without a problem the notice goes away.
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

/** Marks a field as wrong, with the reason under it, or as right again. */
export function mark(field, reason = '') {
  field.setAttribute('aria-invalid', String(reason !== ''));
  const id = field.getAttribute('aria-describedby')?.split(' ').find(i => i.endsWith('-problem'));
  if (id) $(id).textContent = reason;
  return reason === '';
}

/**
 * Runs what a button starts; meanwhile the button says so and does nothing
 * more. It keeps the focus, which a disabled one would lose.
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

/** Lets a button copy a text, and say that it did. */
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

/** A number for people. */
export const number = n => whole.format(n);

/** A number with its noun: "1 subscription", "2 subscriptions". */
export const count = (n, noun) => `${number(n)} ${noun}${n === 1 ? '' : 's'}`;

const stamp = new Intl.DateTimeFormat('en-GB', {day: 'numeric', month: 'short', year: 'numeric', hour: '2-digit', minute: '2-digit'});
const thisYear = new Intl.DateTimeFormat('en-GB', {day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit'});

/** The problem with a time to send at that a field has, or ''. */
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

/** A time for people, as a time element. */
export function time(text) {
  const t = new Date(text);
  return Number.isNaN(t.getTime()) ? h('span', {}, '–') : h('time', {dateTime: t.toISOString()}, (t.getFullYear() === new Date().getFullYear() ? thisYear : stamp).format(t));
}
