// The picture of a recording is a place to click: the player goes there, and shows where it is.

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
}
