// How long the session still lives, and the question whether the user is there.
// Nothing here decides anything: the server ends sessions.

const dialog = document.getElementById('idle');
const left = document.getElementById('idle-left');
const root = document.querySelector('[data-warn]');
const warn = Number(root ? root.dataset.warn : 60);
let ends = Infinity;

function look() {
  const seconds = Math.ceil((ends - performance.now()) / 1000);
  if (seconds > warn) {
    if (dialog.open) dialog.close();
    return;
  }
  left.textContent = Math.max(0, seconds);
  if (!dialog.open) dialog.showModal();
  if (seconds < -2) location.assign('/login?why=over');
}

export const TABS = 'This portal is open in too many tabs. Close some of them, then reload this page.';

function tooManyTabs() {
  const notice = document.createElement('p');
  notice.className = 'notice bad';
  notice.setAttribute('role', 'alert');
  notice.textContent = TABS;
  document.getElementById('main').prepend(notice);
}

export function session(source) {
  source.addEventListener('session', (event) => {
    ends = performance.now() + Number(event.data) * 1000;
    look();
  });
  source.addEventListener('gone', (event) => {
    source.close();
    if (event.data === 'tabs') {
      tooManyTabs();
    } else {
      location.assign(event.data === 'denied' ? '/' : '/login?why=over');
    }
  });
}

if (dialog) {
  setInterval(look, 1000);
  dialog.querySelector('form').addEventListener('submit', (event) => {
    event.preventDefault();
    post(event.target).then((answer) => { if (answer.ok) { ends = Infinity; dialog.close(); } });
  });
  dialog.addEventListener('cancel', (event) => event.preventDefault());
}

// Sends a form as it is, and returns the server's answer.
export function post(form) {
  return send(form.action, new FormData(form));
}

export async function send(action, fields) {
  try {
    const answer = await fetch(action, {
      method: 'POST',
      headers: { Accept: 'application/json' },
      body: new URLSearchParams(fields),
      redirect: 'manual',
      signal: AbortSignal.timeout(40000),
    });
    if (answer.type === 'opaqueredirect') {
      location.assign('/login?why=over');
      return { ok: false, text: 'You are logged out.' };
    }
    if ((answer.headers.get('Content-Type') || '').startsWith('application/json')) {
      return await answer.json();
    }
    return { ok: false, text: 'The portal refused this. Reload the page, then try again.' };
  } catch {
    return { ok: false, text: 'The portal did not answer. Look at the state before you try again.' };
  }
}
