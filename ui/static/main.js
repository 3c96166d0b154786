/**
 * The page's own scripts begin here: one object for each place, and what they tell each other.
 *
 * `window.longtake` is what the rest of the page sees of them.
 */

import { Alerts } from './alerts.js';
import { Cameras } from './cameras.js';
import { LiveView } from './live.js';
import { MaskEditor } from './mask.js';
import { Meters } from './meters.js';
import { MomentDialog, momentIn } from './moment.js';
import { nameButtons } from './names.js';
import { focusQuestion, stand } from './places.js';
import { SourceList } from './sources.js';
import { Span } from './span.js';
import { Take, takeShown } from './api.js';
import { telling } from './toasts.js';
import { Timeline } from './timeline.js';
import { ViewSocket } from './view_socket.js';
import { Webcam } from './webcam.js';

async function begin() {
  const id = await telling(takeShown());
  const take = new Take(id ?? 'live');
  const view = new ViewSocket(take);
  const webcam = new Webcam(take);
  const cameras = new Cameras(view, webcam);
  const masks = new MaskEditor(take);
  masks.camera = () => cameras.shown?.camera ?? '';
  webcam.addEventListener('change', () => webcam.camera !== null && masks.refresh());
  const span = new Span(take, (shown) => moment.open(shown));
  const timeline = new Timeline(take, view, span);
  const moment = new MomentDialog(take, (atS) => timeline.wallOf(atS),
    (startS, endS) => span.set(startS, endS));
  const openMoment = (shown) => moment.open(shown);

  stand('lt-live', new LiveView(cameras, masks).root);
  stand('lt-sources', new SourceList(take, cameras).root);
  stand('lt-timeline', timeline.root);
  stand('lt-alerts', new Alerts(take, view, openMoment).root);
  stand('lt-meters', new Meters(view).root);
  stand('lt-span', span.root);

  window.longtake = {
    take: take.id,
    visitor: JSON.parse(window.longtakeVisit?.() ?? '{}').visitor ?? null,
    span: () => span.times,
    clearSpan: () => span.clear(),
    openMoment,
  };
  const linked = momentIn(location.hash);
  if (linked) openMoment(linked);
}

/** `/` is the way to the question from anywhere but a field. */
document.addEventListener('keydown', (event) => {
  const isTyping = event.target.closest?.('input, textarea, select, [contenteditable], dialog');
  if (event.key !== '/' || isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  focusQuestion();
});

nameButtons();
begin();
