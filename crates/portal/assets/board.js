// Keeps the live board's tables in step with the box. Nothing is decided here.

import { session } from './session.js';

const message = document.getElementById('board-said');
const source = new EventSource('/board/events');

function fill(id, rows) {
  const table = document.getElementById(id);
  const keys = table.dataset.keys.split(' ');
  const body = table.tBodies[0];
  while (body.rows.length > rows.length) body.deleteRow(-1);
  rows.forEach((row, at) => {
    const line = body.rows[at] || body.insertRow();
    keys.forEach((key, column) => {
      const cell = line.cells[column] || line.insertCell();
      const text = row[key] === undefined || row[key] === '-' ? '' : row[key];
      if (cell.textContent !== text) cell.textContent = text;
    });
  });
}

source.addEventListener('board', (event) => {
  const board = JSON.parse(event.data);
  message.textContent = board.message;
  message.classList.toggle('bad', board.message !== '');
  fill('calls', board.calls);
  fill('channels', board.channels);
});
session(source);
addEventListener('pagehide', () => source.close());
