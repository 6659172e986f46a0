// Keeps the agent's page in step with the box, and sends its forms without leaving it.
// What is enabled is what the box says can be done; nothing here decides.

import { post, session } from './session.js';

const page = document.getElementById('agent');
const by = (id) => document.getElementById(id);
const shown = Array.from(document.querySelectorAll('form.field input[name=n]'), (n) => n.value).join();
const acts = ['record.start', 'record.stop', 'blackout.start', 'blackout.stop'];
let began = null;

function put(id, text) {
  if (by(id).textContent !== text) by(id).textContent = text;
}

function tick() {
  const s = began === null ? 0 : Math.floor((performance.now() - began) / 1000);
  put('timer', `${Math.floor(s / 60)}:${String(s % 60).padStart(2, '0')}`);
}

function show(state) {
  if (state.link === 'up' && shown !== state.fields.map(([n]) => n).join()) {
    location.reload();
    return;
  }
  const calls = { in: 'Incoming call', out: 'Outgoing call', '': 'Call' };
  page.dataset.link = state.link;
  page.dataset.recording = state.recording;
  page.dataset.blackout = state.blackout;
  by('down').hidden = state.link === 'up';
  put('down-title', state.link === 'refused' ? 'You cannot record here.' : 'The box cannot be reached.');
  put('down-why', state.link === 'up' ? '' : state.why);
  put('call', state.call ? calls[state.direction] : 'No call');
  put('call-id', state.call);
  put('recording', state.recording ? 'Recording' : 'Not recording');
  put('reasons', state.reasons);
  put('screen', state.screen || '-');
  put('device', state.device || '-');
  put('note', state.note);
  put('blackout', state.blackout ? 'on' : 'off');
  began = state.blackout ? performance.now() - state.blackout_ms : null;
  tick();
  for (const act of acts) by(act).disabled = !state.can.includes(act);
  for (const input of document.querySelectorAll('form.field input[name=n]')) {
    const open = state.can.includes(`update.${input.value}`);
    by(`field-${input.value}`).disabled = !open;
    by(`save-${input.value}`).disabled = !open;
  }
}

function lost(why) {
  show({ link: 'lost', why, can: [], call: '', direction: '', recording: false, reasons: '',
    blackout: false, blackout_ms: 0, screen: '', device: '', note: '', fields: [] });
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
for (const form of document.querySelectorAll('form.field')) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const answer = await post(form);
    tell(form.querySelector('.said'), answer);
    if (answer.ok) form.elements.value.value = '';
  });
}

addEventListener('keydown', (event) => {
  if (event.repeat || event.ctrlKey || event.altKey || event.metaKey) return;
  const act = { F8: 'blackout.', F9: 'record.' }[event.key];
  if (!act || document.querySelector('dialog[open]')) return;
  event.preventDefault();
  by(act + (event.shiftKey ? 'stop' : 'start')).click();
});
