// One clock for all recordings of an interaction. The voice that is sounding leads; screens follow it;
// where nothing sounds (a gap) the wall clock leads.

import { holds, segmentAt, type Segment, type Span } from './timeline';

/** A follower further away than this jumps; a nearer one catches up by its speed. Seconds. */
const JUMP = 0.25;
/** Differences below this are left alone. Seconds. */
const NEAR = 0.03;
/** A leader that has nothing to play for so long is given up: out of reach, or damaged in a way that an answer ends in the
 *  middle, and the browser would ask for it again for ever. Milliseconds. */
const PATIENCE = 8000;
const HAVE_CURRENT_DATA = 2;
const HAVE_FUTURE_DATA = 3;

export class Player {
  /** Milliseconds from the interaction's start. */
  time = $state(0);
  playing = $state(false);
  waiting = $state(false);
  rate = $state(1);
  failed = $state<string[]>([]);
  /** Spans of voice that do not open any more: silence is heard there. */
  damaged = $state<Span[]>([]);

  #elements = new Map<string, HTMLMediaElement>();
  #frame = 0;
  #last = 0;
  #waited = 0;

  constructor(readonly all: Segment[], readonly duration: number) {}

  /** A Svelte action: `use:player.attach={segment}` on an <audio> or <video>. */
  attach = (element: HTMLMediaElement, segment: Segment) => {
    this.#elements.set(segment.id, element);
    element.preservesPitch = true;
    const onError = () => this.#giveUp(segment);
    // A still picture of the current moment, also before the first play.
    const onReady = () => this.#place(element, segment);
    element.addEventListener('error', onError);
    element.addEventListener('loadedmetadata', onReady);
    return {
      destroy: () => {
        element.removeEventListener('error', onError);
        element.removeEventListener('loadedmetadata', onReady);
        element.pause();
        this.#elements.delete(segment.id);
      },
    };
  };

  toggle = () => (this.playing ? this.pause() : this.play());

  play() {
    if (this.playing || this.duration <= 0) return;
    if (this.time >= this.duration - 50) this.seek(0);
    this.playing = true;
    this.#last = performance.now();
    this.#frame = requestAnimationFrame(this.#tick);
  }

  pause() {
    this.playing = this.waiting = false;
    cancelAnimationFrame(this.#frame);
    for (const element of this.#elements.values()) element.pause();
    this.#placeAll();
  }

  seek(ms: number) {
    this.time = Math.min(Math.max(0, ms), this.duration);
    this.#placeAll();
  }

  /** What a voice is missing, as its peaks tell before anybody listens. */
  tellDamage(spans: Span[]) {
    const known = new Set(this.damaged.map((span) => span.from));
    this.damaged = [...this.damaged, ...spans.filter((span) => !known.has(span.from))].sort((a, b) => a.from - b.from);
  }

  setRate(rate: number) {
    this.rate = rate;
    for (const element of this.#elements.values()) element.playbackRate = rate;
  }

  close() {
    this.pause();
  }

  #giveUp(segment: Segment) {
    if (!this.failed.includes(segment.id)) this.failed = [...this.failed, segment.id];
  }

  #placeAll() {
    for (const segment of this.all) {
      const element = this.#elements.get(segment.id);
      if (element) this.#place(element, segment);
    }
  }

  #place(element: HTMLMediaElement, segment: Segment) {
    const at = (Math.min(Math.max(segment.from, this.time), segment.to) - segment.zero) / 1000;
    if (Math.abs(element.currentTime - at) > 0.01) element.currentTime = at;
  }

  #leader(): [Segment, HTMLMediaElement] | undefined {
    for (const kind of ['voice', 'screen'] as const) {
      const segment = segmentAt(this.all, kind, this.time);
      const element = segment && this.#elements.get(segment.id);
      if (segment && element && !this.failed.includes(segment.id)) return [segment, element];
    }
    return undefined;
  }

  #tick = (now: number) => {
    if (!this.playing) return;
    const elapsed = Math.min(now - this.#last, 250);
    this.#last = now;
    const leader = this.#leader();
    if (leader) {
      this.#followLeader(...leader);
      this.#waited = this.waiting ? this.#waited + elapsed : 0;
      if (this.#waited > PATIENCE) {
        this.#waited = 0;
        this.#giveUp(leader[0]);
      }
    } else {
      this.waiting = false;
      this.time = Math.min(this.time + elapsed * this.rate, this.duration);
    }
    this.#follow(leader?.[0]);
    if (this.time >= this.duration) this.pause();
    else this.#frame = requestAnimationFrame(this.#tick);
  };

  #followLeader(segment: Segment, element: HTMLMediaElement) {
    this.waiting = element.seeking || element.readyState < HAVE_FUTURE_DATA;
    if (element.paused && !element.ended) {
      element.playbackRate = this.rate;
      void element.play().catch(() => undefined);
    }
    if (element.seeking || element.readyState < HAVE_CURRENT_DATA) {
      if (!element.ended) return;
    }
    const at = segment.zero + element.currentTime * 1000;
    // An element whose own end comes a little early must not hold the clock for ever.
    this.time = element.ended ? Math.max(segment.to, at) : Math.max(this.time, at);
    if (Math.abs(this.time - at) > 500 && !element.ended) this.time = at;
  }

  #follow(leader: Segment | undefined) {
    for (const segment of this.all) {
      const element = this.#elements.get(segment.id);
      if (!element || segment.id === leader?.id) continue;
      if (!holds(segment, this.time) || this.waiting) {
        if (!element.paused) element.pause();
        continue;
      }
      const wanted = (this.time - segment.zero) / 1000;
      const ahead = element.currentTime - wanted;
      if (element.paused && !element.ended) void element.play().catch(() => undefined);
      if (element.seeking) continue;
      if (Math.abs(ahead) > JUMP) element.currentTime = wanted;
      else element.playbackRate = this.rate * (Math.abs(ahead) < NEAR ? 1 : 1 - Math.sign(ahead) * 0.1);
    }
  }
}
