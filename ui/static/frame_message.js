/**
 * One frame as it travels over a WebSocket: 16 bytes, then a JPEG.
 *
 *     float64 seconds, uint32 number, uint32; little-endian
 *
 * What comes in says its age and the place of its camera; what goes out says when it was taken.
 */

const HEADER_BYTES = 16;

/** @param {ArrayBuffer} message */
export function readHeader(message) {
  const view = new DataView(message);
  return {
    seconds: view.getFloat64(0, true),
    number: view.getUint32(8, true),
    last: view.getUint32(12, true),
    jpeg: new Blob([message.slice(HEADER_BYTES)], { type: 'image/jpeg' }),
  };
}

/** A message to send. @param {number} takenS on our own clock @param {Blob} jpeg */
export function written(takenS, number, jpeg) {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES));
  header.setFloat64(0, takenS, true);
  header.setUint32(8, number, true);
  return new Blob([header.buffer, jpeg]);
}
