'use strict';
(() => {
const data = JSON.parse(document.getElementById('data').textContent);
const [ID, WHO, SAID, HEARD, LETTERS, WORD_ERRORS, WORDS, ERRORS, SIGNS, LENGTH, SURE, PLACES, FILE, GROUPS, NUMBER] = Array(15).keys();
const STEP = 50, RUN = 12;
const NAMES = { S: 'sub', D: 'del', I: 'ins', '=': 'hit' };
const table = document.querySelector('.lines');
const columns = [...table.tHead.rows[0].cells].map(cell => ({ cell, label: cell.textContent, field: +cell.dataset.sort }));
const shown = new Map();  // number of a line -> its part of the table; the worst are there from the beginning
const state = { text: '', kind: '', who: '', edit: null, field: ERRORS, down: true, count: STEP };

const near = new IntersectionObserver(entries => {  // players take long to make: only those at most a screen away
  for (const { isIntersecting, target } of entries) if (isIntersecting) { near.unobserve(target); target.dispatchEvent(new Event('near')); }
}, { rootMargin: '100%' });

function make(tag, attributes = {}, ...inside) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...inside);
  return node;
}
const percent = rate => (100 * rate).toFixed(2) + '\u00a0%';
const grouped = number => number.toLocaleString('en');
const rateOf = line => line[ERRORS] / Math.max(line[SIGNS], 1);

function tokens(line) {  // [letter, said, heard] of a line
  const split = text => data.words ? (text ? text.split(' ') : []) : Array.from(text);
  const said = split(line[SAID]), heard = split(line[HEARD]);
  let i = 0, j = 0;
  return Array.from(line[LETTERS], letter => [letter, letter === 'I' ? null : said[i++], letter === 'D' ? null : heard[j++]]);
}

function visible(text) {
  if (text === ' ') return '␣';
  if (Array.from(text).length === 1 && /\p{M}/u.test(text)) return '◌' + text;
  if (/^[\p{C}\p{Z}]$/u.test(text)) return 'U+' + text.codePointAt(0).toString(16).toUpperCase().padStart(4, '0');
  return text;
}

function alignedNode(line) {
  const box = make('div', { class: data.words ? 'aligned' : 'aligned characters', dir: 'auto', lang: '' });
  const parts = [];
  for (const [letter, said, heard] of tokens(line)) {
    const last = parts[parts.length - 1];
    if (!data.words && letter === '=' && last && last[0] === '=' && Array.from(last[1]).length < RUN && !/\s/.test(said + last[1])) last[1] = last[2] = last[1] + said;
    else parts.push([letter, said, heard]);
  }
  for (const [letter, said, heard] of parts) {
    const side = (text, name) => text === null ? make('span', { class: name }, make('span', { class: 'nothing' }, '∅'))
      : make('span', { class: name }, visible(text));
    const token = make('span', { class: 'token ' + NAMES[letter] }, side(said, 'said'), side(heard, 'heard'));
    if (letter === '=') token.lastChild.setAttribute('aria-hidden', 'true');
    else token.append(make('span', { class: 'kind' }, letter));
    if (!data.words && heard !== null && /\s/.test(heard)) token.classList.add('space');
    box.append(token);
  }
  return box;
}

function cellText(line, field) {
  if (field === WHO) return line[WHO] ?? '';
  if (field === WORD_ERRORS) return `${grouped(line[WORD_ERRORS])} of ${grouped(line[WORDS])}`;
  if (field === ERRORS) return percent(rateOf(line));
  if (field === SURE) return line[SURE] === null ? '' : line[SURE].toFixed(3);
  return field === LENGTH ? line[LENGTH].toFixed(2) : grouped(line[SIGNS]);
}

function partOf(line) {
  let part = shown.get(line[NUMBER]);
  if (!part) {
    part = make('tbody', { role: 'rowgroup', class: 'line' });
    const figures = make('tr', { role: 'row', class: 'figures' }, make('th', { scope: 'row', role: 'rowheader' }, make('bdi', {}, line[ID])));
    for (const { label, field } of columns.slice(1)) {
      figures.append(make('td', { role: 'cell', 'data-label': label }, make('bdi', {}, cellText(line, field))));
    }
    const cell = make('td', { role: 'cell', colspan: columns.length });
    if (line[FILE] && data.kind === 'audio') {
      cell.append(make('div', { class: 'player' }));
    } else if (line[FILE]) {
      cell.append(make('img', { class: 'picture', src: line[FILE], loading: 'lazy', alt: `Line ${line[ID]} as it was written` }));
    }
    cell.append(alignedNode(line));
    part.append(figures, make('tr', { role: 'row', class: 'text' }, cell));
    shown.set(line[NUMBER], part);
  }
  if (!part.dataset.ready) ready(part, line);
  return part;
}

function ready(part, line) {  // what a line can do with a script
  part.dataset.ready = '1';
  const exhibit = data.exhibits[line[NUMBER]], cell = part.querySelector('.text td');
  const player = part.querySelector('.player'), picture = part.querySelector('img');
  if (picture) warn(picture);
  if (picture && exhibit && exhibit.symbols.length) placeSymbols(picture, exhibit.symbols);
  const draw = exhibit && exhibit.posteriors;
  let cursor = null;
  if (draw) {
    const box = make('div', { class: 'posteriors', role: 'region', 'aria-label': 'Posteriors', tabindex: '0', hidden: '' });
    const button = make('button', { type: 'button', 'aria-expanded': 'false' }, 'Posteriors');
    button.addEventListener('click', () => {
      if (!box.firstChild) cursor = drawPosteriors(box, exhibit, line, data.kind === 'image' ? part.querySelector('.plate img') : null);
      box.hidden = !box.hidden;
      button.setAttribute('aria-expanded', String(!box.hidden));
    });
    cell.append(make('div', { class: 'tools' }, button), box);
  }
  if (player) {
    player.addEventListener('near', () => play(part, line, makeAudio(player, line), share => cursor && cursor(share)), { once: true });
    near.observe(player);
  }
}

function warn(medium) {
  medium.addEventListener('error', () => medium.replaceWith(make('p', { class: 'quiet' }, 'The file is not there any more, or cannot be shown here.')));
}

function makeAudio(player, line) {  // what is embedded stands there for readers without a script
  const given = player.querySelector('noscript');
  const src = given ? new DOMParser().parseFromString(given.textContent, 'text/html').querySelector('audio').getAttribute('src') : line[FILE];
  const audio = make('audio', { controls: '', preload: 'none', src, 'aria-label': `Line ${line[ID]} as it was recorded` });
  warn(audio);
  player.replaceChildren(audio);
  return audio;
}

function timedWords(part, line) {  // words of a line with their times, each with the tokens that show it
  const places = line[PLACES] || [], texts = line[HEARD].split(/\s+/).filter(Boolean), nodes = texts.map(() => []);
  if (!places.length || places.length !== 2 * texts.length) return [];
  let word = 0;
  for (const token of part.querySelectorAll('.token:not(.del)')) {
    if (data.words) nodes[word++].push(token);
    else if (token.classList.contains('space')) word += nodes[word]?.length ? 1 : 0;
    else nodes[word]?.push(token);
  }
  return texts.map((text, i) => ({ text, nodes: nodes[i], start: places[2 * i] / 1000, end: places[2 * i + 1] / 1000 })).filter(({ nodes }) => nodes.length);
}

function play(part, line, audio, move) {
  const timed = timedWords(part, line), buttons = [];
  for (const { text, nodes, start } of timed) {
    const heard = nodes[0].querySelector('.heard');
    const button = make('button', { type: 'button', class: 'heard', tabindex: '-1', 'data-at': start, title: `at ${start.toFixed(2)} s`, 'aria-label': `${text}: play from ${start.toFixed(2)} s` }, ...heard.childNodes);
    heard.replaceWith(button);
    if (data.words && nodes[0].classList.contains('hit')) nodes[0].firstElementChild.setAttribute('aria-hidden', 'true');  // read once
    buttons.push(button);
    for (const node of nodes) node.addEventListener('click', () => { walk(button); audio.currentTime = start; audio.play(); });
  }
  const walk = to => { for (const button of buttons) button.tabIndex = button === to ? 0 : -1; };
  if (buttons.length) {  // one stop of the tab key; arrows go from word to word
    const box = part.querySelector('.aligned');
    walk(buttons[0]);
    box.setAttribute('role', 'group');
    box.setAttribute('aria-label', 'Words: arrow keys go from word to word, Enter plays from there');
    box.addEventListener('keydown', event => {
      const forward = getComputedStyle(box).direction === 'rtl' ? 'ArrowLeft' : 'ArrowRight', at = buttons.indexOf(event.target), last = buttons.length - 1;
      const backward = forward === 'ArrowLeft' ? 'ArrowRight' : 'ArrowLeft';
      const to = { [forward]: Math.min(at + 1, last), [backward]: Math.max(at - 1, 0), Home: 0, End: last }[event.key];
      if (at < 0 || to === undefined || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      walk(buttons[to]);
      buttons[to].focus();
    });
  }
  const light = () => {
    for (const { nodes, start, end } of timed) for (const node of nodes) node.classList.toggle('now', !audio.ended && audio.currentTime >= start && audio.currentTime < end);
    if (audio.duration) move(audio.currentTime / audio.duration);
  };
  const tick = () => { light(); if (!audio.paused) requestAnimationFrame(tick); };
  audio.addEventListener('play', tick);
  for (const event of ['pause', 'seeked', 'ended', 'timeupdate']) audio.addEventListener(event, light);
  audio.addEventListener('play', () => document.querySelectorAll('audio').forEach(other => other !== audio && other.pause()));
}

function placeSymbols(picture, symbols) {
  const sheet = make('div', { class: 'sheet' }), plate = make('div', { class: 'plate', tabindex: '0', role: 'region', 'aria-label': 'Picture and where its characters were found' }, sheet);
  picture.replaceWith(plate);
  sheet.append(picture);
  for (const [text, start, end] of symbols) {
    const span = make('span', { class: 'span', 'aria-hidden': 'true' }, text === ' ' ? '' : text);
    span.style.left = 100 * start + '%';
    span.style.width = 100 * Math.max(end - start, 0.002) + '%';
    sheet.append(span);
  }
}

function drawPosteriors(box, exhibit, line, image) {
  const { ends, blank, spikes } = exhibit.posteriors, bytes = text => Array.from(atob(text), c => c.charCodeAt(0) / 255);
  const frames = bytes(blank), high = 92, top = 34, left = 30;
  const wide = image ? image.clientWidth || image.naturalWidth : Math.min(Math.max(frames.length * 7, 520), 2400);
  if (image) {  // frames stand below the columns they come from, and stay there when either is scrolled
    const plate = image.closest('.plate');
    plate.style.paddingInlineStart = `${left}px`;
    box.addEventListener('scroll', () => { plate.scrollLeft = box.scrollLeft; });
    plate.addEventListener('scroll', () => { box.scrollLeft = plate.scrollLeft; });
  }
  const svg = (tag, attributes, text) => {
    const node = document.createElementNS('http://www.w3.org/2000/svg', tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    return node;
  };
  const share = frame => Math.min(Math.max(ends[0] + (ends[1] - ends[0]) * frame / Math.max(frames.length, 1), 0), 1);
  const x = frame => left + wide * share(frame), y = p => top + high * (1 - p);
  const picture = svg('svg', { width: left + wide + 10, height: top + high + 24, viewBox: `0 0 ${left + wide + 10} ${top + high + 24}`, role: 'img' });
  picture.append(svg('title', {}, `Probability of each symbol in each of ${frames.length} frames of line ${line[ID]}; dashed grey: blank`));
  for (const level of [0, 0.5, 1]) {
    picture.append(svg('line', { class: 'grid', x1: left, x2: left + wide, y1: y(level), y2: y(level) }));
    picture.append(svg('text', { x: left - 4, y: y(level) + 4, 'text-anchor': 'end' }, level));
  }
  const points = (values, first) => values.map((p, i) => `${x(first + i + 0.5).toFixed(1)},${y(p).toFixed(1)}`);
  picture.append(svg('polyline', { class: 'blank', points: points(frames, 0).join(' ') }));
  const kinds = [...new Set(spikes.map(spike => spike[0]))];
  const raised = [-99, -99];
  for (const [symbol, first, text] of spikes) {
    const values = bytes(text), most = Math.max(...values), at = first + values.indexOf(most) + 0.5;
    const line = [`${x(first).toFixed(1)},${y(0)}`, ...points(values, first), `${x(first + values.length).toFixed(1)},${y(0)}`];
    picture.append(svg('polyline', { class: `curve curve-${1 + kinds.indexOf(symbol) % 2}`, points: line.join(' ') }));
    if (most >= 0.3) {
      const place = x(at), row = place - raised[0] > 9 || place - raised[0] > place - raised[1] ? 0 : 1;
      raised[row] = place;
      picture.append(svg('text', { x: place, y: top - 6 - 13 * row, 'text-anchor': 'middle' }, visible(symbol)));
    }
  }
  const unit = data.kind === 'audio' ? `${line[LENGTH].toFixed(2)} s` : `${frames.length} frames`;
  picture.append(svg('text', { x: left + wide, y: top + high + 18, 'text-anchor': 'end' }, unit));
  picture.append(svg('text', { x: left, y: top + high + 18 }, '0'));
  const cursor = svg('line', { class: 'cursor', x1: left, x2: left, y1: top, y2: top + high });
  if (data.kind === 'audio') picture.append(cursor);
  picture.style.width = `${left + wide + 10}px`;
  box.append(picture);
  return position => { for (const end of ['x1', 'x2']) cursor.setAttribute(end, left + wide * position); };
}

function fits(line) {
  const { text, kind, who, edit } = state;
  if (kind === 'wrong' ? !line[ERRORS] : kind === 'right' ? line[ERRORS] : kind && !line[LETTERS].includes(kind)) return false;
  if (who && line[WHO] !== who) return false;
  if (edit && !tokens(line).some(([letter, said, heard]) => letter !== '=' && (edit.letter === undefined || edit.letter === letter)
    && (edit.said === undefined || edit.said === said) && (edit.heard === undefined || edit.heard === heard))) return false;
  return !text || [ID, WHO, SAID, HEARD].some(field => line[field] && line[field].toLowerCase().includes(text)) || line[GROUPS].some(name => name.toLowerCase().includes(text));
}

const key = line => state.field === ERRORS ? rateOf(line) : line[state.field];
function compare(a, b) {
  const p = key(a), q = key(b);
  if (p === null || q === null) return (p === null) - (q === null);
  const order = typeof p === 'string' ? p.localeCompare(q, 'en', { numeric: true }) : p - q || (a[ERRORS] - b[ERRORS]);
  return (state.down ? -order : order) || a[NUMBER] - b[NUMBER];
}

function show() {
  const found = data.lines.filter(fits).sort(compare);
  const some = found.slice(0, state.count);
  for (const part of [...table.tBodies]) {
    part.querySelectorAll('audio').forEach(audio => audio.pause());
    part.remove();
  }
  table.append(...some.map(partOf));
  for (const { cell, field } of columns) {
    if (field === state.field) cell.setAttribute('aria-sort', state.down ? 'descending' : 'ascending');
    else cell.removeAttribute('aria-sort');
  }
  const listed = data.total > data.lines.length ? ` (of ${grouped(data.total)}; the others are in report.json)` : '';
  status.textContent = `${grouped(found.length)} of ${grouped(data.lines.length)} lines${listed}` + (found.length > some.length ? `, the first ${grouped(some.length)} shown` : '');
  more.hidden = found.length <= some.length;
  chip.hidden = !state.edit;
  if (state.edit) chip.textContent = `Only lines with ${state.edit.name} ✕`;
}
function change(changes) { Object.assign(state, { count: STEP }, changes); show(); }

const status = make('p', { role: 'status', class: 'quiet' });
const more = make('button', { type: 'button', class: 'more' }, `Show ${STEP} more`);
more.addEventListener('click', () => { state.count += STEP; show(); });
const chip = make('button', { type: 'button', hidden: '', 'aria-label': 'Remove this filter' });
chip.removeAttribute('aria-label');
chip.addEventListener('click', () => change({ edit: null }));
const search = make('input', { type: 'search', autocomplete: 'off', spellcheck: 'false', id: 'find' });
let wait = 0;
search.addEventListener('input', () => { clearTimeout(wait); wait = setTimeout(() => change({ text: search.value.trim().toLowerCase() }), 120); });
const choice = (name, options, use) => {
  const box = make('select', {}, ...options.map(([value, text]) => make('option', { value }, text)));
  box.addEventListener('change', () => use(box.value));
  return make('label', {}, name, box);
};
const controls = make('div', { class: 'controls', role: 'search', 'aria-label': 'Lines' }, make('label', {}, 'Find in ids and texts', search),
  choice('Show', [['', 'All lines'], ['wrong', 'With errors'], ['right', 'Without errors'], ['S', 'With substitutions'], ['D', 'With deletions'], ['I', 'With insertions']], kind => change({ kind })));
const people = [...new Set(data.lines.map(line => line[WHO]).filter(Boolean))].sort((a, b) => a.localeCompare(b, 'en', { numeric: true }));
if (people.length > 1 && people.length <= 500) controls.append(choice(data.person[0].toUpperCase() + data.person.slice(1), [['', 'All'], ...people.map(name => [name, name])], who => change({ who })));
controls.append(chip);

for (const part of table.tBodies) shown.set(+part.dataset.line, part);
for (const column of columns) {
  const button = make('button', { type: 'button' }, column.label);
  button.addEventListener('click', () => change(column.field === state.field ? { down: !state.down } : { field: column.field, down: ![ID, WHO, SURE].includes(column.field) }));
  column.cell.replaceChildren(button);
}
for (const row of document.querySelectorAll('tr[data-said], tr[data-heard]')) {  // a count leads to its lines
  const { said, heard, operation } = row.dataset, cell = row.querySelector('.count');
  const name = said === undefined ? `“${heard}” made up` : heard === undefined ? `“${said}” missed` : `“${said}” read as “${heard}”`;
  const button = make('button', { type: 'button', title: `Show the lines with ${name}`, 'aria-label': `${cell.textContent}: show the lines with ${name}` }, cell.textContent);
  const letter = operation === undefined ? undefined : operation[0].toUpperCase();
  button.addEventListener('click', () => { change({ edit: { said, heard, letter, name } }); document.getElementById('lines').scrollIntoView(); chip.focus({ preventScroll: true }); });
  cell.replaceChildren(button);
}
document.getElementById('static')?.remove();
document.getElementById('controls').append(controls, status);
document.getElementById('after').append(more);
show();
})();
