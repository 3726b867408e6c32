// The replay of one interaction: its voices and screens by one clock, which is that of the interaction.
import type { ReplayFile } from '../wire';
import type { Read } from './bytes';
import { NoDecoder, Screen } from './screen';
import { Voice } from './voice';

/** A recording is opened so long before its turn, milliseconds. */
const BEFORE = 5000;
/** This near its end a recording is over, seconds. */
const NEARLY = 0.05;

export type Note = { kind: 'noVoice' | 'noScreen'; reason: string } | { kind: 'noDecoder' | 'noSound' };

/** One recording of the interaction. A capture may have begun before it and go on after it. */
export class Part {
  state = $state<'closed' | 'opening' | 'open' | 'failed'>('closed');
  /** Milliseconds of the interaction. */
  last = $state(0);
  readonly first: number;
  /** Where its pictures are painted; they come later than they are wanted at times. */
  canvas: HTMLCanvasElement | null = null;
  painted = $state(false);

  constructor(readonly file: ReplayFile, readonly of: Voice | Screen) {
    this.first = file.offsetMs + file.fromMs;
    this.last = file.offsetMs + (file.toMs ?? file.fromMs);
  }

  /** Seconds of its media. */
  seconds(at: number): number {
    return (at - this.file.offsetMs) / 1000;
  }
}

export class Player {
  /** Milliseconds of the interaction. */
  at = $state(0);
  playing = $state(false);
  loading = $state(true);
  notes = $state.raw<Note[]>([]);
  end = $state(0);
  readonly begin: number;
  readonly parts: Part[];
  private context: AudioContext | null = null;
  private before: number | null = null;

  constructor(files: ReplayFile[], read: (recording: string) => Read) {
    this.parts = files.map((file) => new Part(file, file.kind === 'voice' ? new Voice(read(file.id)) : new Screen(read(file.id))));
    this.begin = Math.min(...this.parts.map((part) => part.first));
    this.at = this.begin;
    this.measure();
  }

  /** The clock stands in it. */
  runs(part: Part): boolean {
    // A recording of unknown length is opened to learn it. At the very end the last picture stays.
    const unknown = part.file.toMs === null && part.state !== 'open';
    return this.at >= part.first && (this.at < part.last || unknown || (this.at >= this.end && part.last >= this.end));
  }

  /** To be called again and again. */
  tick(now: number) {
    const passed = this.before === null ? 0 : now - this.before;
    this.before = now;
    if (this.playing) this.move(passed, now);
    for (const part of this.parts) {
      const soon = this.at < part.first && this.at >= part.first - BEFORE;
      if (part.state === 'closed' && (this.runs(part) || soon)) void this.open(part);
      if (part.state !== 'open') continue;
      if (part.of instanceof Voice) this.hear(part, part.of, now);
      else this.see(part, part.of);
    }
    this.loading = this.parts.some((part) => this.runs(part) && (part.state === 'opening' || this.awaited(part)));
  }

  /** From a person's hand: only then may a page make sounds. */
  toggle() {
    if (this.playing) return this.halt();
    if (this.at >= this.end) this.at = this.begin;
    this.notes = this.notes.filter(({ kind }) => kind === 'noDecoder');
    for (const part of this.parts) {
      if (part.state === 'failed' && !(part.of instanceof Screen && this.notes.length > 0)) part.state = 'closed';
    }
    this.playing = true;
    const rate = this.voices.map((voice) => voice.rate).find((rate) => rate > 0);
    try {
      // At the voice's own rate pieces fit together without a click.
      this.context ??= new AudioContext(rate ? { sampleRate: rate } : {});
      void this.context.resume();
    } catch {
      this.note({ kind: 'noSound' });
    }
  }

  seek(to: number) {
    this.at = Math.min(Math.max(to, this.begin), this.end);
    for (const voice of this.voices) voice.stop();
  }

  destroy() {
    this.halt();
    for (const { of } of this.parts) if (of instanceof Screen) of.close();
    void this.context?.close();
  }

  private halt() {
    this.playing = false;
    for (const voice of this.voices) voice.stop();
    void this.context?.suspend();
  }

  private get voices(): Voice[] {
    return this.parts.map(({ of }) => of).filter((of) => of instanceof Voice);
  }

  /** Its picture has not come. */
  private awaited({ of, state, painted }: Part): boolean {
    return of instanceof Screen && state === 'open' && !painted;
  }

  /** The clock is the voice that is heard, else time itself; where there is no voice the first picture is waited for. */
  private move(passed: number, now: number) {
    for (const part of this.parts) {
      if (!(part.of instanceof Voice) || !this.runs(part) || !this.leads(part, part.of, now)) continue;
      const { at, length, playing } = part.of;
      if (playing) this.at = at >= length - NEARLY ? part.last : part.file.offsetMs + at * 1000;
      return this.finish();
    }
    if (!this.loading) this.at += passed;
    this.finish();
  }

  private finish() {
    if (this.at < this.end) return;
    this.at = this.end;
    this.halt();
  }

  private leads({ state }: Part, voice: Voice, now: number): boolean {
    if (state === 'failed' || state === 'closed' || !this.context || this.silent) return false;
    if (!voice.deaf(now)) return true;
    voice.stop();
    this.note({ kind: 'noSound' });
    return false;
  }

  private get silent(): boolean {
    return this.notes.some((note) => note.kind === 'noSound');
  }

  private async open(part: Part) {
    part.state = 'opening';
    try {
      await part.of.open();
      part.state = 'open';
      part.last = part.file.offsetMs + (part.file.toMs ?? part.of.length * 1000);
      this.measure();
    } catch (reason) {
      this.fails(part, reason);
    }
  }

  private measure() {
    this.end = Math.max(this.begin, ...this.parts.map((part) => part.last));
  }

  private hear(part: Part, voice: Voice, now: number) {
    const wanted = this.playing && this.runs(part) && !this.silent;
    if (!wanted || !this.context) return voice.playing ? voice.stop() : undefined;
    if (!voice.playing) voice.play(this.context, part.seconds(this.at), now);
    voice.feed().catch((reason) => this.fails(part, reason));
  }

  private see(part: Part, screen: Screen) {
    if (!this.runs(part)) {
      if (this.at < part.first - BEFORE || this.at > part.last + BEFORE) screen.close();
      part.painted = false;
      return;
    }
    const at = Math.min(part.seconds(this.at), screen.length);
    screen.feed(at).catch((reason) => this.fails(part, reason));
    if (part.canvas) part.painted = screen.paint(at, part.canvas);
  }

  /** A voice that fails stops the replay; a screen that fails leaves the voice. */
  private fails(part: Part, reason: unknown) {
    if (part.state === 'failed') return;
    [part.state, part.painted] = ['failed', false];
    if (part.of instanceof Screen) part.of.close();
    if (reason instanceof NoDecoder) return this.note({ kind: 'noDecoder' });
    const said = reason instanceof Error ? reason.message : String(reason);
    this.note({ kind: part.of instanceof Screen ? 'noScreen' : 'noVoice', reason: said });
    if (this.playing && part.of instanceof Voice) this.halt();
  }

  private note(note: Note) {
    if (!this.notes.some((other) => other.kind === note.kind)) this.notes = [...this.notes, note];
  }
}
