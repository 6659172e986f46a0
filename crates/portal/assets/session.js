// How long the session still lives, and the question whether somebody is there.
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

export function session(source) {
  source.addEventListener('session', (event) => {
    ends = performance.now() + Number(event.data) * 1000;
    look();
  });
  source.addEventListener('gone', (event) => {
    source.close();
    location.assign(event.data === 'denied' ? '/' : '/login?why=over');
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

// Sends a form as it is, and gives what the server says of it.
export async function post(form) {
  try {
    const answer = await fetch(form.action, {
      method: 'POST',
      headers: { Accept: 'application/json' },
      body: new URLSearchParams(new FormData(form)),
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
