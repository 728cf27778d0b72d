// Plots: plotly is inflated and run, then they are drawn one after another; colours follow the page.

const drawn = [];
let printing = false;

/** Run plotly's script, given a promise of its text. */
async function runPlotly(source) {
  document.head.append(make('script', {}, await source));
  return typeof Plotly !== 'undefined';
}

/** Say that there are no plots, and why; their findings stand below each place. */
function without(reason) {
  for (const place of document.querySelectorAll('.plot')) place.classList.add('missing');
  const text = `${reason} So plots are missing here; what each would show stands in words in its place.`;
  document.querySelector('main').prepend(make('p', {class: 'notice', role: 'note'}, text));
}

/** Return a figure's data and layout in the colours of the page, and no wider than it. */
function dressed(entry) {
  let text = entry.text;
  if (dark.matches && !printing) {
    for (const [light, other] of Object.entries(DARK)) text = text.replaceAll(light, other);
  }
  const figure = JSON.parse(text);
  const width = printing ? 660 : entry.place.clientWidth;
  const layout = {...figure.layout, width, autosize: false};
  if (printing) layout.height = 0.8 * layout.height;  // two on a page
  if (narrow.matches && !printing) layout.font = {...(layout.font || {}), size: 11};
  figure.data.filter(trace => trace.type === 'parcoords').forEach(trace => squeeze(trace, layout, width));
  return {data: figure.data, layout, config: {...figure.config, responsive: false}};
}

/** Give a plot of parallel axes room for the last axis' name, and shorten long names of ticks. */
function squeeze(trace, layout, width) {
  const most = Math.max(12, Math.floor(width / 30));
  const short = text => text.length > most ? `${text.slice(0, most - 1)}…` : text;
  for (const axis of trace.dimensions) if (axis.ticktext) axis.ticktext = axis.ticktext.map(short);
  const longest = Math.max(2, ...(trace.dimensions[0].ticktext || []).map(text => text.length));
  layout.margin = {...layout.margin, l: 24 + 6.5 * longest, r: 72};
}

async function draw(entry) {
  const {data, layout, config} = dressed(entry);
  await Plotly.react(entry.place, data, layout, config);
  entry.width = entry.place.clientWidth;
  named(entry.place);
  if (entry.place.querySelector('.no-webgl') && !entry.place.classList.contains('missing')) {
    entry.place.classList.add('missing');
    entry.place.after(make('p', {class: 'notice', role: 'note'}, 'This plot needs WebGL, which this browser does not offer.'));
  }
}

/** To readers of the screen a plot is one image, whose text says what it shows; its buttons are buttons. */
function named(place) {
  place.querySelectorAll('.main-svg').forEach((svg, layer) => {
    if (layer) svg.setAttribute('aria-hidden', 'true');
    else { svg.setAttribute('role', 'img'); svg.setAttribute('aria-labelledby', place.dataset.alt); }
  });
}

async function drawFigures(key, open) {
  const figures = await held(`${key}-figures`);
  if (figures === null) return false;
  for (const place of document.querySelectorAll(`.plot[data-of="${key}"]`)) {
    const entry = {place, text: JSON.stringify(figures[place.dataset.plot])};
    drawn.push(entry);
    await draw(entry);
    place.on('plotly_click', event => open(key, event.points[0]));
    await breathe();
  }
  return true;
}

let rounds = 0;

/** Draw all plots anew, one after another; a later round takes the place of one that is not done. */
async function redraw() {
  const round = ++rounds;
  document.documentElement.dataset.plots = 'drawing';
  for (const entry of drawn) {
    await draw(entry);
    await breathe();
    if (round !== rounds) return;
  }
  document.documentElement.dataset.plots = 'ready';
}

let resizing = 0;
addEventListener('resize', () => {
  clearTimeout(resizing);
  resizing = setTimeout(() => { if (!printing && drawn.some(entry => entry.width !== entry.place.clientWidth)) redraw(); }, 150);
});
dark.addEventListener('change', redraw);
// plotly draws at once what needs no WebGL, so the pages to print have their plots in light colours and in their width
addEventListener('beforeprint', () => { printing = true; drawn.forEach(draw); });
addEventListener('afterprint', () => { printing = false; redraw(); });
