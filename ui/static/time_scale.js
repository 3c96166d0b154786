/**
 * Which stretch of a take the timeline shows, and where a time lies in it.
 *
 * Without a zoom it is the whole take and grows with it; a zoom that reaches the end follows it.
 */

const LEAST_S = 2;
const STEPS_S = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400];

export class TimeScale {
  startS = 0;
  endS = 10;
  nowS = 0;
  width = 1;
  isWhole = true;

  /** The newest moment, at least ten seconds: an empty take has a line too. */
  get lastS() {
    return Math.max(10, this.nowS);
  }

  /** Time goes on. */
  move(nowS) {
    const follows = !this.isWhole && this.nowS > 0 && Math.abs(this.endS - this.lastS) < 3;
    const before = this.lastS;
    this.nowS = nowS;
    if (this.isWhole) [this.startS, this.endS] = [0, this.lastS];
    else if (follows) this.pan(this.lastS - before);
  }

  x(atS) {
    return ((atS - this.startS) / (this.endS - this.startS)) * this.width;
  }

  at(x) {
    const atS = this.startS + (x / this.width) * (this.endS - this.startS);
    return Math.min(this.lastS, Math.max(0, atS));
  }

  /** Seconds of a pixel. */
  get pixelS() {
    return (this.endS - this.startS) / this.width;
  }

  /** Show less (`by` < 1) or more, so that `aboutS` stays where it is. */
  zoom(by, aboutS) {
    const length = Math.min(this.lastS, Math.max(LEAST_S, (this.endS - this.startS) * by));
    const share = (aboutS - this.startS) / (this.endS - this.startS);
    this.isWhole = length >= this.lastS;
    this.startS = aboutS - share * length;
    this.endS = this.startS + length;
    this.pan(0);
  }

  pan(byS) {
    const length = this.endS - this.startS;
    this.startS = Math.max(0, Math.min(this.lastS - length, this.startS + byS));
    this.endS = this.startS + length;
  }

  whole() {
    this.isWhole = true;
    [this.startS, this.endS] = [0, this.lastS];
  }

  /** Have a time in view. */
  reveal(atS) {
    if (atS < this.startS) this.pan(atS - this.startS);
    else if (atS > this.endS) this.pan(atS - this.endS);
  }

  /** Times of the axis' labels, each of which has this much room. */
  ticks(labelPx) {
    const least = this.pixelS * labelPx;
    const step = STEPS_S.find((each) => each >= least) ?? Math.ceil(least / 86400) * 86400;
    const ticks = [];
    for (let at = Math.ceil(this.startS / step) * step; at <= this.endS; at += step) ticks.push(at);
    return ticks;
  }
}
