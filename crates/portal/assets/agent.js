// Keeps the agent's page in step with the box, and sends its forms without leaving it.
// What is enabled is what the box says can be done; nothing here decides.

import { TABS, post, send, session } from './session.js';

const page = document.getElementById('agent');
const by = (id) => document.getElementById(id);
const shown = Array.from(document.querySelectorAll('form.field input[name=n]'), (n) => n.value).join();
const acts = ['record.start', 'record.stop', 'blackout.start', 'blackout.stop'];
// Masked milliseconds of the blackout, when they were told, and whether they grow. What the timer
// showed stays the least until the blackout ends.
let timer = { ms: 0, at: 0, grows: false };
let shownSeconds = 0;
// The call that the typed values belong to, and values that its page lost to the next call.
const firstForm = document.querySelector('form.field');
let formCall = firstForm && firstForm.elements.call.value ? Number(firstForm.elements.call.value) : null;
let unsaved = null;

function put(id, text) {
  if (by(id).textContent !== text) by(id).textContent = text;
}

function tick() {
  const grown = timer.grows ? performance.now() - timer.at : 0;
  shownSeconds = Math.max(shownSeconds, Math.floor((timer.ms + grown) / 1000));
  const [minutes, seconds] = [Math.floor(shownSeconds / 60), shownSeconds % 60];
  put('timer', `${minutes}:${String(seconds).padStart(2, '0')}`);
}

function recordingText(state) {
  if (!state.recording) return 'Not recording';
  return state.masked ? 'Recording, blacked out' : 'Recording';
}

function callText(state) {
  if (!state.call) return 'No call';
  if (state.held) return 'Call on hold';
  return { in: 'Incoming call', out: 'Outgoing call' }[state.direction] || 'Call';
}

const fieldForms = Array.from(document.querySelectorAll('form.field'));

// Empties the form when its call is over, and offers what was typed for the call before.
function changeCall(call, inCall) {
  if (call === formCall) return;
  const typed = fieldForms.filter((form) => form.elements.value.value !== '');
  if (formCall !== null && typed.length > 0) {
    const values = typed.map((form) => ({
      n: form.elements.n.value,
      label: form.querySelector('label').textContent,
      value: form.elements.value.value,
    }));
    offerUnsaved({ call: formCall, values }, inCall);
  }
  for (const form of fieldForms) {
    form.elements.value.value = '';
    form.querySelector('.said').textContent = '';
    form.elements.call.value = call === null ? '' : call;
  }
  formCall = call;
  if (unsaved !== null && unsaved.call === call) {
    for (const { n, value } of unsaved.values) by(`field-${n}`).value = value;
    dropUnsaved();
  }
}

function offerUnsaved(lost, inCall) {
  unsaved = lost;
  by('unsaved-values').replaceChildren(...lost.values.map(({ label, value }) => {
    const row = document.createElement('div');
    const [term, text] = [document.createElement('dt'), document.createElement('dd')];
    term.textContent = label;
    text.textContent = value;
    row.append(term, text);
    return row;
  }));
  put('unsaved-why', inCall
    ? 'A new call has begun. You can still save what you typed for the call before, for a short time.'
    : 'The time to describe the call is over.');
  by('unsaved-save').hidden = !inCall;
  put('unsaved-said', '');
  by('unsaved').hidden = false;
}

function dropUnsaved() {
  unsaved = null;
  by('unsaved').hidden = true;
  by('unsaved-values').replaceChildren();
}

async function saveUnsaved() {
  const { call, values } = unsaved;
  const csrf = fieldForms[0].elements.csrf.value;
  for (const { n, value } of values) {
    const answer = await send('/agent/field', { csrf, n, value, call });
    tell(by('unsaved-said'), answer);
    if (!answer.ok) return;
  }
  dropUnsaved();
}

function show(state) {
  if (state.link === 'up' && shown !== state.fields.map(([n]) => n).join()) {
    location.reload();
    return;
  }
  page.dataset.link = state.link;
  page.dataset.recording = state.recording;
  page.dataset.blackout = state.blackout;
  by('down').hidden = state.link === 'up';
  put('down-title', state.link === 'refused' ? 'You cannot record here.' : 'The box cannot be reached.');
  put('down-why', state.link === 'up' ? '' : state.why);
  put('call', callText(state));
  put('call-id', state.call);
  put('recording', recordingText(state));
  put('reasons', state.reasons);
  put('screen', state.screen || '-');
  put('device', state.device || '-');
  put('note', state.note);
  const onOff = state.blackout ? 'on' : 'off';
  put('blackout', state.link === 'up' ? onOff : 'unknown');
  by('carried').hidden = !state.carried;
  for (const id of ['carried-end', 'carried-keep']) by(id).disabled = !state.carried;
  if (state.link === 'up' && !state.blackout) shownSeconds = 0;
  timer = { ms: state.blackout_ms, at: performance.now(), grows: state.blackout && state.masked };
  tick();
  if (state.link === 'up') changeCall(state.update_call, state.call !== '');
  for (const act of acts) by(act).disabled = !state.can.includes(act);
  for (const input of document.querySelectorAll('form.field input[name=n]')) {
    const open = state.can.includes(`update.${input.value}`);
    by(`field-${input.value}`).disabled = !open;
    by(`save-${input.value}`).disabled = !open;
  }
}

function lost(why) {
  show({ link: 'lost', why, can: [], call: '', direction: '', recording: false, reasons: '',
    blackout: false, blackout_ms: 0, masked: false, carried: false, held: false,
    update_call: null, screen: '', device: '', note: '', fields: [] });
}

let source = null;
let wait = 1000;
let deaf = 0;
function listen() {
  source = new EventSource('/agent/events');
  source.addEventListener('state', (event) => {
    wait = 1000;
    clearTimeout(deaf);
    show(JSON.parse(event.data));
  });
  source.addEventListener('error', () => {
    source.close();
    clearTimeout(deaf);
    deaf = setTimeout(() => lost('The portal does not answer.'), 300);
    setTimeout(listen, wait);
    wait = Math.min(wait * 2, 8000);
  });
  session(source);
  source.addEventListener('gone', (event) => { if (event.data === 'tabs') lost(TABS); });
}
listen();
setInterval(tick, 250);
addEventListener('pagehide', () => source.close());
addEventListener('pageshow', (event) => { if (event.persisted) location.reload(); });

function tell(where, answer) {
  where.classList.toggle('bad', !answer.ok);
  where.textContent = '';
  where.textContent = answer.text;
}

for (const form of document.querySelectorAll('form.act')) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    tell(by('said'), await post(form));
  });
}
for (const form of fieldForms) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const answer = await post(form);
    tell(form.querySelector('.said'), answer);
    if (answer.ok) form.elements.value.value = '';
  });
}

if (fieldForms.length > 0) {
  by('unsaved-save').addEventListener('click', saveUnsaved);
  by('unsaved-drop').addEventListener('click', dropUnsaved);
}

addEventListener('keydown', (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = { F8: 'blackout.', F9: 'record.' }[event.key];
  if (!act || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  by(act + (event.shiftKey ? 'stop' : 'start')).click();
});
