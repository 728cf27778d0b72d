// What all parts share: elements, numbers as text, and the data that the page holds.

const SVG = 'http://www.w3.org/2000/svg';
const dark = matchMedia('(prefers-color-scheme: dark)');
const narrow = matchMedia('(max-width: 54rem)');

/** Make an element; text never becomes markup. */
function make(tag, attributes = {}, ...children) {
  const drawn = ['svg', 'g', 'rect', 'path', 'line', 'text', 'title', 'circle', 'polyline'].includes(tag);
  const element = drawn ? document.createElementNS(SVG, tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children.filter(child => child !== null && child !== undefined));
  return element;
}

/** Write a count as the tables do: 401659392 is 402M. */
function count(value) {
  if (value === null || value === undefined) return '-';
  const rounded = Number(value.toPrecision(3));
  for (const [unit, factor] of [['T', 1e12], ['G', 1e9], ['M', 1e6], ['k', 1e3]]) {
    if (rounded >= factor) return `${Number((rounded / factor).toPrecision(3))}${unit}`;
  }
  return String(rounded);
}

function percent(share, digits = 2) {
  return share === null || share === undefined ? '-' : `${(100 * share).toFixed(digits)} %`;
}

/** Write a probability in whole percent; only 0 and 1 themselves are 0 % and 100 %. */
function chance(share) {
  if (share === null || share === undefined) return '-';
  return share < 1 && share >= 0.995 ? '>99 %' : share > 0 && share < 0.005 ? '<1 %' : percent(share, 0);
}

function seconds(value) {
  if (value === null || value === undefined) return '-';
  return value < 60 ? `${value.toFixed(1)} s` : value < 3600 ? `${(value / 60).toFixed(1)} min` : `${(value / 3600).toFixed(1)} h`;
}

/** Return the text of an element that holds something compressed. */
async function inflated(element) {
  const letters = atob(element.textContent);
  const bytes = new Uint8Array(letters.length);
  for (let place = 0; place < letters.length; place++) bytes[place] = letters.charCodeAt(place);
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Response(stream).text();
}

/** Return the document that an element holds; null where this browser cannot inflate it. */
async function held(id) {
  const element = document.getElementById(id);
  if (element === null) return null;
  if (element.type === 'application/json') return JSON.parse(element.textContent);
  return typeof DecompressionStream === 'undefined' ? null : JSON.parse(await inflated(element));
}

/** Let the browser draw and answer before going on. */
function breathe() {
  return new Promise(resolve => setTimeout(resolve, 0));
}

/** Tell readers of the screen what has changed. */
function tell(text) {
  document.getElementById('said').textContent = text;
}
