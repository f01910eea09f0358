// A chart of the messages sent per second, as SVG.

import {number, svg} from './dom.js';

const height = 150, left = 48, right = 8, top = 10, bottom = 24;

/** Returns a round number that is at least n, for the top of a scale. */
function ceiling(n) {
  const unit = 10 ** Math.floor(Math.log10(Math.max(n, 1)));
  return [1, 2, 5, 10].map(f => f * unit).find(v => v >= n);
}

const seconds = s => (s < 120 ? `${Math.round(s)} s` : s < 7200 ? `${Math.round(s / 60)} min` : `${(s / 3600).toFixed(1)} h`);

/**
 * Returns the rates between points, each over at least this many seconds. Late
 * reports of progress can arrive at the same moment, which is not a rate.
 */
export function ratesOf(points, least) {
  const rates = [];
  let from = points[0];
  for (const p of points.slice(1)) {
    if (p.at - from.at < least) continue;
    rates.push({at: p.at, rate: (p.done - from.done) / (p.at - from.at)});
    from = p;
  }
  return rates;
}

/**
 * Draws points {at, done}, with the seconds since the start and the total number
 * of messages, as a rate over time. The counts contain the same information as
 * text, so the picture is hidden from screen readers.
 */
export function draw(into, points) {
  drawn.set(into, points);
  sizes.observe(into);
  const width = Math.max(into.clientWidth, 240);
  const end = Math.max(points.at(-1)?.at ?? 0, 1);
  const rates = ratesOf(points, Math.max(1, end / 60));
  const most = ceiling(Math.max(...rates.map(r => r.rate), 1));
  const x = at => left + (width - left - right) * at / end;
  const y = rate => height - bottom - (height - top - bottom) * rate / most;
  const picture = svg('svg', {viewBox: `0 0 ${width} ${height}`, 'aria-hidden': 'true', focusable: 'false'});
  for (const share of [0, .5, 1]) {
    const at = y(most * share);
    picture.append(
      svg('line', {class: 'grid', x1: left, x2: width - right, y1: at, y2: at}),
      svg('text', {class: 'scale', x: left - 8, y: at + 4, 'text-anchor': 'end'}, share === .5 && most < 2 ? '' : number(most * share)));
  }
  picture.append(
    svg('text', {class: 'scale', x: left, y: height - 6}, '0 s'),
    svg('text', {class: 'scale', x: width - right, y: height - 6, 'text-anchor': 'end'}, seconds(end)));
  if (rates.length) {
    const line = [`${x(0)},${y(rates[0].rate)}`, ...rates.map(r => `${x(r.at).toFixed(1)},${y(r.rate).toFixed(1)}`)].join(' ');
    picture.append(
      svg('polygon', {class: 'area', points: `${x(0)},${y(0)} ${line} ${x(rates.at(-1).at)},${y(0)}`}),
      svg('polyline', {class: 'curve', points: line}));
  }
  into.replaceChildren(picture);
}

// A picture is drawn for its width, to keep its text readable.
const drawn = new WeakMap();
const sizes = new ResizeObserver(entries => {
  for (const {target} of entries) {
    const picture = target.firstElementChild;
    if (target.clientWidth && picture && picture.viewBox.baseVal.width !== Math.max(target.clientWidth, 240)) draw(target, drawn.get(target));
  }
});

/** Reduces the points to at most n by dropping every second one. */
export function thin(points, n) {
  if (points.length <= n) return points;
  return points.filter((_, i) => i % 2 === 0 || i === points.length - 1);
}
