// A network drawn from its blocks: a bar for each, as wide as its feature map; and its learning curves.

const MOST_BARS = 12;

/** Return the drawing of a network. Sections are [name, channels, size, FLOPs, parameters, activations, memory, runs]. */
function networkDrawing(sections, parts, resolution, width) {
  const total = sections.reduce((sum, section) => sum + section[3], 0) || 1;
  const words = Math.min(250, width * 0.4);
  const side = Math.min(170, width * 0.33);
  const middle = width - words - side - 16;
  const scale = size => Math.max(6, middle * Math.sqrt(size / resolution));
  const svg = make('svg', {width, role: 'img'});
  let y = 4;
  for (const [name, channels, size, flops, , , , runs] of sections) {
    const label = runs.map(([part, times]) => `${times > 1 ? `${times} × ` : ''}${parts[part][0]}`).join(', then ');
    const lines = wrapped(label || 'average pool → linear', Math.floor(words / 7)).slice(0, 3);
    const bars = spread(runs, parts);
    const height = Math.max(22 + 15 * lines.length, bars.length * 9 + 8);
    svg.append(make('text', {x: 0, y: y + 14, 'font-weight': 600}, name));
    lines.forEach((line, index) => svg.append(make('text', {x: 0, y: y + 30 + 15 * index, class: 'quiet'}, line)));
    svg.append(...section(bars, {x: words + middle / 2, y: y + 6, wide: scale(size), channels}));
    shareBar(svg, {x: width - side, y, side, share: flops / total, text: size > 1 || name !== 'classifier' ? `${channels} ch, ${size} px` : `${channels} classes`});
    y += height;
  }
  svg.setAttribute('height', y);
  svg.setAttribute('viewBox', `0 0 ${width} ${y}`);
  svg.setAttribute('aria-label', sections.map(([name, channels, size, flops]) =>
    `${name}: ${channels} channels, ${size} px, ${percent(flops / total, 0)} of the FLOPs`).join('; '));
  return svg;
}

/** Return a section's parts one by one; of very many, the first. */
function spread(runs, parts) {
  const all = runs.flatMap(([part, times]) => Array(times).fill(parts[part]));
  return all.slice(0, MOST_BARS).map((part, index) => ({part, more: index === MOST_BARS - 1 ? all.length - MOST_BARS : 0}));
}

function section(bars, {x, y, wide, channels}) {
  if (!bars.length) return [make('rect', {x: x - 3, y, width: 6, height: 6, class: 'block'})];
  return bars.flatMap(({part: [label, branches, shortcut], more}, index) => {
    const top = y + 9 * index;
    const whole = branches.reduce((sum, one) => sum + one, 0) || channels;
    let left = x - wide / 2;
    const drawn = branches.map(own => {
      const part = Math.max(1, wide * own / whole - (branches.length > 1 ? 1.5 : 0));
      const bar = make('rect', {x: left, y: top, width: part, height: 6, rx: 1, class: 'block'}, make('title', {}, label));
      left += wide * own / whole;
      return bar;
    });
    if (shortcut) drawn.push(make('path', {d: `M ${x - wide / 2 - 1} ${top - 1.5} q -7 4.5 0 9`, class: 'line'}));
    if (more > 0) drawn.push(make('text', {x: x + wide / 2 + 4, y: top + 8, class: 'quiet'}, `+ ${more}`));
    return drawn;
  });
}

function shareBar(svg, {x, y, side, share, text}) {
  svg.append(
    make('text', {x, y: y + 14}, text),
    make('rect', {x, y: y + 21, width: side - 44, height: 8, class: 'rest'}),
    make('rect', {x, y: y + 21, width: Math.max(1, (side - 44) * share), height: 8, class: 'share'}),
    make('text', {x: x + side, y: y + 29, 'text-anchor': 'end', class: 'quiet'}, chance(share)),
  );
}

/** Break a text into lines of so many letters at most. */
function wrapped(text, letters) {
  const lines = [''];
  for (const word of text.split(' ')) {
    const last = lines[lines.length - 1];
    if (last && last.length + word.length + 1 > letters) lines.push(word); else lines[lines.length - 1] = last ? `${last} ${word}` : word;
  }
  return lines;
}

/** Return learning curves: the trial's own, and those of further seeds. A curve is [epochs, accuracies in percent]. */
function curveDrawing(curves, width, metric) {
  const points = curves.flatMap(([epochs, values]) => epochs.map((epoch, i) => [epoch, values[i]])).filter(([, value]) => value !== null);
  if (!points.length) return null;
  const height = 220, left = 52, bottom = 34;
  const last = Math.max(...points.map(([epoch]) => epoch));
  const values = points.map(([, value]) => value);
  const [ticks, low, high] = ticksOf(Math.min(...values), Math.max(...values));
  const x = epoch => left + (width - left - 12) * (last > 1 ? (epoch - 1) / (last - 1) : 0.5);
  const y = value => 10 + (height - bottom - 14) * (high - value) / (high - low);
  const svg = make('svg', {width, height, viewBox: `0 0 ${width} ${height}`, role: 'img'});
  for (const tick of ticks) {
    svg.append(make('line', {x1: left, x2: width - 8, y1: y(tick), y2: y(tick), class: 'grid'}),
      make('text', {x: left - 6, y: y(tick) + 4, 'text-anchor': 'end', class: 'quiet'}, `${Number(tick.toPrecision(6))} %`));
  }
  for (const epoch of new Set([1, Math.ceil(last / 2), last])) {
    svg.append(make('text', {x: x(epoch), y: height - 16, 'text-anchor': epoch === last && last > 1 ? 'end' : 'middle', class: 'quiet'}, String(epoch)));
  }
  svg.append(make('text', {x: (left + width) / 2, y: height - 2, 'text-anchor': 'middle', class: 'quiet'}, 'epoch'));
  curves.slice().reverse().forEach(([epochs, own], index, all) => {
    const kept = epochs.map((epoch, i) => [epoch, own[i]]).filter(([, value]) => value !== null);
    const mine = index === all.length - 1 ? 'own' : 'seed';
    if (kept.length === 1) svg.append(make('circle', {cx: x(kept[0][0]), cy: y(kept[0][1]), r: 4, class: mine === 'own' ? 'block' : 'line'}));
    else svg.append(make('polyline', {points: kept.map(([epoch, value]) => `${x(epoch)},${y(value)}`).join(' '), class: mine}));
  });
  const ends = curves.map(([, own]) => own[own.length - 1]).filter(value => value !== null && value !== undefined);
  svg.setAttribute('aria-label', `Validation ${metric} after each of ${last} epochs; it ends at ${ends.map(end => `${end.toFixed(2)} %`).join(', ')}`);
  return svg;
}

function ticksOf(low, high) {
  const span = Math.max(high - low, 0.5);
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 25, 50].find(one => span / one <= 5) || 50;
  const first = Math.floor(low / step) * step, last = Math.max(Math.ceil(high / step) * step, first + step);
  const ticks = [];
  for (let tick = first; tick <= last + step / 2; tick += step) ticks.push(tick);
  return [ticks, first, ticks[ticks.length - 1]];
}
