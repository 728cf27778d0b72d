// In order: tables, which answer at once; then plotly and the plots.

const studies = {};

document.addEventListener('click', event => {
  const button = event.target.closest('[data-open]');
  const row = button ?? (event.target.closest('a, button, input') ? null : event.target.closest('tr[data-row]'));
  if (!row || (!button && getSelection().toString())) return;  // who selects text of a row wants no card
  const key = row.dataset.of ?? row.closest('[data-of]').dataset.of;
  if (studies[key]) openCard(studies[key], Number(row.dataset.open ?? row.dataset.row));
});

/** Open the card of the point that was chosen in a plot, where it is a trial's. */
function openPoint(key, point) {
  const ofTrial = (point.data.hovertemplate || '').includes('trial %{customdata[0]}');
  if (ofTrial && studies[key]) openCard(studies[key], point.customdata[0]);
}

/** Hide the rest of a long table until it is asked for; without scripts it is all there. */
function fold() {
  for (const button of document.querySelectorAll('[data-more]')) {
    const rest = button.closest('p').previousElementSibling.querySelector('tbody.more');
    rest.hidden = true;
    button.hidden = false;
    button.addEventListener('click', () => { rest.hidden = false; button.hidden = true; rest.querySelector('button').focus(); });
  }
}

async function start() {
  fold();
  const inflates = typeof DecompressionStream !== 'undefined';
  const library = inflates ? inflated(document.getElementById('plotly')) : null;  // while the tables are made
  const keys = [...document.querySelectorAll('[data-study]')].map(section => section.dataset.study);
  let missing = false;
  for (const key of keys) {
    const data = await held(`${key}-trials`);
    missing ||= data === null;
    if (data) studies[key] = {data, table: new Trials(key, data)};
  }
  document.documentElement.dataset.tables = 'ready';
  await breathe();
  if (!inflates) {
    without(`This browser cannot inflate what the page holds compressed${missing ? ', the table of all trials and the cards among it' : ''}.`);
  } else if (await runPlotly(library)) {
    if (document.getElementById('together-figures')) await drawFigures('together', () => {});
    for (const key of keys) await drawFigures(key, openPoint);
  } else {
    without('The library that draws plots did not run.');
  }
  document.documentElement.dataset.plots = 'ready';
}

start();
