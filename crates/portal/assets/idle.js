// Pages without live state of their own still ask whether the user is there.

import { session } from './session.js';

if (!document.querySelector('#board-said')) {
  const source = new EventSource('/session/events');
  session(source);
  addEventListener('pagehide', () => source.close());
}
