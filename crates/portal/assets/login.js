// A password can be looked at while it is typed; nothing else.

for (const input of document.querySelectorAll('.secret')) {
  const label = document.createElement('label');
  const tick = document.createElement('input');
  tick.type = 'checkbox';
  label.className = 'tick';
  label.append(tick, ' Show it');
  tick.addEventListener('change', () => input.classList.toggle('shown', tick.checked));
  input.after(label);
}
