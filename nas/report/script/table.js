// The table of all trials: filtered, sorted, a page of rows at a time; and all of it as CSV.

const ROWS = narrow.matches ? 10 : 25;
const PRINTED = 300;

/** Return the value of a column at a row; columns of words hold places among them. */
function at(columns, key, row) {
  const column = columns[key];
  return Array.isArray(column) ? column[row] : column.words[column.at[row]];
}

const SHOWN = [
  ['trial', (c, i) => `#${at(c, 'number', i)}`, (c, i) => at(c, 'number', i)],
  ['network', null, (c, i) => network(c, i)],
  ['state', (c, i) => at(c, 'state', i), (c, i) => at(c, 'state', i)],
  ['expected', (c, i) => plusMinus(at(c, 'shrunk_accuracy', i), at(c, 'standard_error', i)), (c, i) => at(c, 'shrunk_accuracy', i)],
  ['measured', (c, i) => measured(c, i), (c, i) => at(c, 'mean_accuracy', i) ?? at(c, 'accuracy', i)],
  ['seeds', (c, i) => at(c, 'seeds', i) ?? '-', (c, i) => at(c, 'seeds', i)],
  ['P(front)', (c, i) => chance(at(c, 'front_probability', i)), (c, i) => at(c, 'front_probability', i)],
  ['FLOPs', (c, i) => count(at(c, 'flops', i)), (c, i) => at(c, 'flops', i)],
  ['parameters', (c, i) => count(at(c, 'params', i)), (c, i) => at(c, 'params', i)],
  ['activations', (c, i) => count(at(c, 'activations', i)), (c, i) => at(c, 'activations', i)],
  ['trained in', (c, i) => seconds(at(c, 'train_seconds', i)), (c, i) => at(c, 'train_seconds', i)],
];

function plusMinus(value, error) {
  return value === null ? '-' : `${(100 * value).toFixed(2)} ± ${(100 * error).toFixed(2)} %`;
}

function measured(c, i) {
  const mean = at(c, 'mean_accuracy', i);
  if (mean === null) return percent(at(c, 'accuracy', i));
  const spread = at(c, 'std_accuracy', i);
  return spread === null ? percent(mean) : plusMinus(mean, spread);
}

function network(c, i) {
  return `${at(c, 'space', i)} ${coefficients(c, i)}`;
}

function coefficients(c, i) {
  const [width, depth] = ['width', 'depth'].map(key => `${key} ${Number(at(c, key, i).toPrecision(4))}`);
  const chosen = at(c, 'choices', i);
  return `${width}, ${depth}, ${at(c, 'resolution', i)} px${chosen ? `, ${chosen}` : ''}`;
}

class Trials {
  constructor(key, data, open) {
    this.key = key;
    this.data = data;
    this.c = data.columns;
    this.open = open;
    this.table = document.querySelector(`[data-trials="${key}"]`);
    this.form = document.querySelector(`[data-filters="${key}"]`);
    this.pages = document.querySelector(`[data-pages="${key}"]`);
    this.rows = this.c.number.map((_, row) => row);
    this.sort = {column: 0, down: false};
    this.first = 0;
    this.words = null;
    this.controls();
    this.choose();
    addEventListener('beforeprint', () => this.show(PRINTED));
    addEventListener('afterprint', () => this.show());
  }

  controls() {
    const head = SHOWN.map(([name], column) => {
      const button = make('button', {type: 'button'}, name);
      button.addEventListener('click', () => this.by(column));
      return make('th', {scope: 'col'}, button);
    });
    this.table.tHead.append(make('tr', {}, ...head));
    const {state, sort, text, csv} = this.form.elements;
    for (const word of [...this.c.state.words].sort()) state.append(make('option', {value: word}, word));
    SHOWN.forEach(([name], column) => {
      sort.append(make('option', {value: `${column} up`}, `${name}, rising`), make('option', {value: `${column} down`}, `${name}, falling`));
    });
    let typing = 0;
    text.addEventListener('input', () => { clearTimeout(typing); typing = setTimeout(() => this.choose(), 120); });
    state.addEventListener('change', () => this.choose());
    sort.addEventListener('change', () => {
      const [column, way] = sort.value.split(' ');
      this.sort = {column: Number(column), down: way === 'down'};
      this.choose();
    });
    csv.addEventListener('click', () => this.download());
    this.form.addEventListener('submit', event => event.preventDefault());
    this.pages.querySelector('[name="before"]').addEventListener('click', () => this.turn(-ROWS));
    this.pages.querySelector('[name="after"]').addEventListener('click', () => this.turn(ROWS));
  }

  by(column) {
    const again = this.sort.column === column;
    this.sort = {column, down: again ? !this.sort.down : column > 2};
    this.form.elements.sort.value = `${column} ${this.sort.down ? 'down' : 'up'}`;
    this.choose();
  }

  /** Choose the rows that fit what is asked for, in order; what has no value comes last. */
  choose() {
    const text = this.form.elements.text.value.trim().toLowerCase();
    const state = this.form.elements.state.value;
    const value = SHOWN[this.sort.column][2];
    const way = this.sort.down ? -1 : 1;
    const wanted = this.c.number.map((_, row) => row).filter(row =>
      (!state || at(this.c, 'state', row) === state) && (!text || this.text(row).includes(text)));
    const keys = new Map(wanted.map(row => [row, value(this.c, row) ?? null]));
    this.rows = wanted.sort((one, other) => {
      const [a, b] = [keys.get(one), keys.get(other)];
      if (a === null || b === null) return (a === null) - (b === null) || one - other;
      return way * (a < b ? -1 : a > b ? 1 : 0) || one - other;
    });
    this.first = 0;
    this.show();
    tell(`${this.rows.length.toLocaleString('en')} trials`);
  }

  /** Return what a text is looked for in. */
  text(row) {
    this.words ??= this.c.number.map((_, i) =>
      `#${at(this.c, 'number', i)} ${network(this.c, i)} ${at(this.c, 'state', i)} ${at(this.c, 'error', i) ?? ''} ${at(this.c, 'digest', i)}`.toLowerCase());
    return this.words[row];
  }

  turn(by) {
    this.first = Math.max(0, Math.min(this.rows.length - 1, this.first + by));
    this.show();
  }

  show(most = ROWS) {
    const first = most > ROWS ? 0 : this.first;
    const shown = this.rows.slice(first, first + most);
    this.table.tBodies[0].replaceChildren(...shown.map(row => this.row(row)));
    this.table.querySelectorAll('thead th').forEach((cell, column) => {
      const order = column === this.sort.column ? (this.sort.down ? 'descending' : 'ascending') : null;
      if (order) cell.setAttribute('aria-sort', order); else cell.removeAttribute('aria-sort');
      cell.firstChild.textContent = SHOWN[column][0] + (order ? (this.sort.down ? ' ↓' : ' ↑') : '');
    });
    const [total, all] = [this.rows.length.toLocaleString('en'), this.c.number.length.toLocaleString('en')];
    const part = shown.length ? `${first + 1} to ${first + shown.length} of ${total}` : 'none';
    const of = total === all ? `${all} trials` : `${total} of ${all} trials`;
    this.table.caption.textContent = shown.length < this.rows.length ? `${of}; ${part} shown here` : of;
    this.pages.hidden = this.rows.length <= ROWS;
    this.pages.querySelector('span').textContent = part;
    this.pages.querySelector('[name="before"]').disabled = first === 0;
    this.pages.querySelector('[name="after"]').disabled = first + ROWS >= this.rows.length;
  }

  row(row) {
    const number = at(this.c, 'number', row);
    const cells = SHOWN.map(([name, write], column) => {
      if (column === 0) return make('th', {scope: 'row', 'data-label': name}, opener(this.key, number));
      if (write === null) return this.network(row, name);
      const text = write(this.c, row);
      return make('td', {'data-label': name, class: text === '-' ? 'none' : null}, text);
    });
    return make('tr', {'data-row': number}, ...cells);
  }

  network(row, name) {
    const error = at(this.c, 'error', row);
    const rest = [coefficients(this.c, row), error].filter(Boolean).map(text => make('small', {}, text));
    return make('td', {'data-label': name, class: 'words'}, make('div', {}, at(this.c, 'space', row), ...rest));
  }

  download() {
    const keys = Object.keys(this.c).filter(key => key !== 'place');
    const lines = [[...keys, 'place'], ...this.rows.map(row =>
      [...keys.map(key => at(this.c, key, row)), ['', 'contender', 'front'][at(this.c, 'place', row)]])];
    const text = lines.map(line => line.map(quoted).join(',')).join('\r\n') + '\r\n';
    const url = URL.createObjectURL(new Blob([text], {type: 'text/csv;charset=utf-8'}));
    make('a', {href: url, download: `${this.data.name}-trials.csv`}).click();
    setTimeout(() => URL.revokeObjectURL(url), 10000);
    tell(`${this.rows.length} trials written`);
  }
}

function quoted(value) {
  const text = value === null || value === undefined ? '' : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

function opener(key, number) {
  return make('button', {type: 'button', class: 'open', 'data-open': number, 'data-of': key, 'aria-label': `Card of trial ${number}`}, `#${number}`);
}
