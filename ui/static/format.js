/**
 * Times, sizes and shares as a person reads them.
 *
 * The same words as `view.py` makes, so that one moment reads alike in the chat and here.
 */

/** 12.9 -> "0:12", 3723 -> "1:02:03": whole seconds that have passed. */
export function clock(seconds) {
  const whole = Math.floor(Math.abs(seconds));
  const hours = Math.floor(whole / 3600);
  const minutes = Math.floor(whole / 60) % 60;
  const last = String(whole % 60).padStart(2, '0');
  const sign = seconds <= -1 ? '-' : '';
  if (hours === 0) return `${sign}${minutes}:${last}`;
  return `${sign}${hours}:${String(minutes).padStart(2, '0')}:${last}`;
}

/** Two times, "1:05-1:10"; one where both read the same. */
export function spanText(startS, endS) {
  const [start, end] = [clock(startS), clock(endS)];
  return start === end ? start : `${start}-${end}`;
}

/** Unix seconds as the clock on the wall here shows them. */
export function wallClock(wallS, withDate = false) {
  const time = new Date(wallS * 1000);
  return withDate ? time.toLocaleString() : time.toLocaleTimeString();
}

/** 1536 -> "1.5 KiB". */
export function bytesText(count) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let [size, unit] = [count, 0];
  while (size >= 1023.95 && unit < units.length - 1) [size, unit] = [size / 1024, unit + 1];
  return unit === 0 ? `${size} B` : `${size.toFixed(1)} ${units[unit]}`;
}

/** 0.034 -> "34 ms", 2.5 -> "2.5 s". */
export function durationText(seconds) {
  if (seconds < 0.9995) return `${Math.round(seconds * 1000)} ms`;
  return seconds < 100 ? `${seconds.toFixed(1)} s` : clock(seconds);
}

/** 0.934 -> "93 %". */
export function percent(share) {
  return `${Math.round(100 * share)} %`;
}

/** A count and its thing: "1 frame", "12 frames". */
export function counted(count, thing) {
  return `${count.toLocaleString()} ${thing}${count === 1 ? '' : 's'}`;
}
