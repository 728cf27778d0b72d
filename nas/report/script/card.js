// The card of a trial: its figures, its network, its curves, and what to type to train or export it.

const card = document.getElementById('card');

function row(term, text) {
  return text === null || text === '-' ? null : make('div', {}, make('dt', {}, term), make('dd', {}, text));
}

function openCard(study, number) {
  const i = study.data.columns.number.indexOf(number);
  if (i < 0) return;
  card.replaceChildren(...cardContent(study, i));
  card.showModal();
  card.scrollTop = 0;
  card.querySelector('h2').focus();
  const width = card.querySelector('.drawings').clientWidth;
  card.querySelector('.drawings').replaceChildren(...drawings(study, i, width));
}

function cardContent(study, i) {
  const c = study.data.columns;
  const [number, state] = [at(c, 'number', i), at(c, 'state', i)];
  const close = make('button', {type: 'button', autofocus: ''}, 'Close');
  close.addEventListener('click', () => card.close());
  const title = make('h2', {id: 'card-title', tabindex: '-1'}, `Trial ${number}: ${at(c, 'space', i)}`);
  const place = ['', 'It may be on the front.', 'It is on the front.'][at(c, 'place', i)];
  return [
    make('header', {}, title, close),
    make('p', {}, `${coefficients(c, i)}; ${state}. ${place}`.trim()),
    at(c, 'error', i) ? make('p', {class: 'notice'}, at(c, 'error', i)) : null,
    make('dl', {}, ...[
      row('expected', plusMinus(at(c, 'shrunk_accuracy', i), at(c, 'standard_error', i))),
      row('measured', `${measured(c, i)}${at(c, 'seeds', i) ? `, ${at(c, 'seeds', i)} seed${at(c, 'seeds', i) > 1 ? 's' : ''}` : ''}`),
      row('P(front)', chance(at(c, 'front_probability', i))),
      row('within noise of', at(c, 'within_noise_of', i) === null ? null : `#${at(c, 'within_noise_of', i)}`),
      row('FLOPs, parameters, activations', `${count(at(c, 'flops', i))}, ${count(at(c, 'params', i))}, ${count(at(c, 'activations', i))}`),
      row('trained in', trainedIn(c, i)),
      row('repeats', at(c, 'repeat_of', i) === null ? null : `the network of trial ${at(c, 'repeat_of', i)}, whose accuracy was used again`),
      row('seed', at(c, 'seed', i)),
      row('digest', at(c, 'digest', i)),
    ].filter(one => one !== null)),
    make('div', {class: 'drawings'}),
    make('h3', {}, 'Take it'),
    ...commands(study, number),
  ].filter(one => one !== null);
}

function trainedIn(c, i) {
  const time = seconds(at(c, 'train_seconds', i));
  if (time === '-') return null;
  const epochs = at(c, 'epochs', i);
  const device = at(c, 'device', i);
  const parts = at(c, 'micro_batch', i);
  return `${time}${epochs ? `, ${epochs} epoch${epochs > 1 ? 's' : ''}` : ''}${device ? `, on ${device}` : ''}${parts ? `, in micro-batches of ${parts}` : ''}`;
}

function drawings(study, i, width) {
  const {data} = study;
  const sections = data.networks[at(data.columns, 'digest', i)];
  const again = (data.repeats[at(data.columns, 'number', i)] || []);
  const curve = curveDrawing([data.curves[i], ...again.map(one => one.curve)].filter(([epochs], place) => place === 0 || epochs.length), width, data.metric);
  const found = [make('h3', {}, 'The network')];
  if (sections) found.push(networkDrawing(sections, data.parts, at(data.columns, 'resolution', i), width), stageTable(sections));
  else found.push(make('p', {class: 'notice'}, `This page does not hold the drawings of ${data.left_out.toLocaleString('en')} networks, this one among them: it would be too large. Its architecture is in the study's database, and in what nas export writes.`));
  if (curve) found.push(make('h3', {}, 'Its learning curve'), curve, make('p', {}, legend(again)));
  return found;
}

function legend(again) {
  if (!again.length) return 'One training. Its noise shows only with further seeds.';
  const ends = again.map(one => one.state === 'trained' ? `seed ${one.seed}: ${percent(one.accuracy)}` : `seed ${one.seed}: ${one.state}${one.error ? ` (${one.error})` : ''}`);
  return `The solid line is the trial's own training. Further trainings (dashed where their curve was kept): ${ends.join(', ')}.`;
}

function stageTable(sections) {
  const names = ['section', 'blocks', 'channels', 'px', 'FLOPs', 'share', 'parameters', 'activations', 'peak memory'];
  const total = sections.reduce((sum, section) => sum + section[3], 0) || 1;
  const rows = sections.map(([name, channels, size, flops, params, activations, memory, runs]) => {
    const blocks = runs.reduce((sum, [, times]) => sum + times, 0) || 1;
    const cells = [blocks, channels, size, count(flops), chance(flops / total), count(params), count(activations), `${count(memory)}B`];
    return make('tr', {}, make('th', {scope: 'row', 'data-label': names[0]}, name), ...cells.map((cell, place) => make('td', {'data-label': names[place + 1]}, String(cell))));
  });
  return make('div', {class: 'table'}, make('table', {},
    make('caption', {}, 'What leaves each section, and what it costs for one image'),
    make('thead', {}, make('tr', {}, ...names.map(name => make('th', {scope: 'col'}, name)))), make('tbody', {}, ...rows)));
}

function commands(study, number) {
  const {file, name} = study.data;
  return [`nas train ${file}#${number} --seeds 3`, `nas export ${file} --trial ${number} -o ${name}-${number}`].map(text => {
    const button = make('button', {type: 'button', 'aria-label': `Copy: ${text}`}, 'Copy');
    button.addEventListener('click', () => copy(text, button));
    return make('div', {class: 'command'}, make('code', {}, ...text.split(' ').flatMap(word => [make('span', {}, word), ' '])), button);
  });
}

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    button.textContent = 'Copied';
  } catch {
    getSelection().selectAllChildren(button.previousSibling);
    button.textContent = 'Selected: press Ctrl+C';
  }
  tell(button.textContent);
}

card.addEventListener('click', event => { if (event.target === card) card.close(); });
