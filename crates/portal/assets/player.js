// The picture of a recording is a place to click: the player goes there, and shows where it is. Of a
// long recording the picture comes when it is drawn; it plays before that.

const player = document.getElementById('player');
const wave = document.getElementById('wave');
const now = document.getElementById('now');

if (player && wave) {
  wave.classList.add('live');
  wave.addEventListener('click', (event) => {
    const box = wave.getBoundingClientRect();
    const part = (event.clientX - box.left) / box.width;
    if (Number.isFinite(player.duration)) player.currentTime = part * player.duration;
  });
  const show = () => {
    const part = player.duration ? player.currentTime / player.duration : 0;
    now.setAttribute('d', `M${Math.round(part * 1000)} 0V160`);
  };
  for (const name of ['timeupdate', 'seeked', 'loadedmetadata']) player.addEventListener(name, show);

  const drawing = document.getElementById('drawing');
  const draw = async (from) => {
    const answer = await fetch(from);
    if (!answer.ok) throw new Error(answer.statusText);
    for (const { class: side, d } of await answer.json()) {
      const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
      path.setAttribute('class', side);
      path.setAttribute('d', d);
      wave.prepend(path);
    }
    drawing.textContent = '';
  };
  const from = wave.closest('[data-wave]');
  if (from) {
    draw(from.dataset.wave).catch(() => {
      drawing.textContent = 'How loud it is cannot be drawn now; reload the page to try again. ';
    });
  }
}
