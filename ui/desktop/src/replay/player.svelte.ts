// The replay of one interaction: its voices by one clock, which is that of the interaction.
import type { ReplayFile } from '../wire';
import type { Read } from './bytes';
import { Voice } from './voice';

/** A recording is opened so long before its turn, milliseconds. */
const BEFORE = 5000;
/** This near its end a recording is over, seconds. */
const NEARLY = 0.05;

export type Note = { kind: 'noVoice'; reason: string } | { kind: 'noSound' };

/** One recording of the interaction. */
export class Part {
  state = $state<'closed' | 'opening' | 'open' | 'failed'>('closed');
  /** Milliseconds of the interaction. */
  last = $state(0);
  readonly first: number;

  constructor(readonly file: ReplayFile, readonly voice: Voice) {
    this.first = file.offsetMs + file.fromMs;
    this.last = file.offsetMs + (file.toMs ?? file.fromMs);
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
    this.parts = files.filter((file) => file.kind === 'voice').map((file) => new Part(file, new Voice(read(file.id))));
    this.begin = Math.min(...this.parts.map((part) => part.first));
    this.at = this.begin;
    this.measure();
  }

  /** The clock stands in it. A recording of unknown length is opened to learn it. */
  runs(part: Part): boolean {
    const unknown = part.file.toMs === null && part.state !== 'open';
    return this.at >= part.first && (this.at < part.last || unknown);
  }

  /** To be called again and again. */
  tick(now: number) {
    const passed = this.before === null ? 0 : now - this.before;
    this.before = now;
    if (this.playing) this.move(passed, now);
    for (const part of this.parts) {
      const soon = this.at < part.first && this.at >= part.first - BEFORE;
      if (part.state === 'closed' && (this.runs(part) || soon)) void this.open(part);
      if (part.state === 'open') this.hear(part, now);
    }
    this.loading = this.parts.some((part) => part.state === 'opening' && this.runs(part));
  }

  /** From a person's hand: only then may a page make sounds. */
  toggle() {
    if (this.playing) return this.halt();
    if (this.at >= this.end) this.at = this.begin;
    this.notes = [];
    for (const part of this.parts) if (part.state === 'failed') part.state = 'closed';
    this.playing = true;
    const rate = this.parts.map((part) => part.voice.rate).find((rate) => rate > 0);
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
    for (const { voice } of this.parts) voice.stop();
  }

  destroy() {
    this.halt();
    void this.context?.close();
  }

  private halt() {
    this.playing = false;
    for (const { voice } of this.parts) voice.stop();
    void this.context?.suspend();
  }

  /** The clock is the voice that is heard, else time itself. */
  private move(passed: number, now: number) {
    const leader = this.parts.find((part) => this.runs(part) && this.leads(part, now));
    if (!leader) this.at += passed;
    else if (leader.voice.playing) {
      const { at, length } = leader.voice;
      this.at = at >= length - NEARLY ? leader.last : leader.file.offsetMs + at * 1000;
    }
    if (this.at < this.end) return;
    this.at = this.end;
    this.halt();
  }

  private leads({ state, voice }: Part, now: number): boolean {
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
      await part.voice.open();
      part.state = 'open';
      part.last = part.file.offsetMs + (part.file.toMs ?? part.voice.length * 1000);
      this.measure();
    } catch (reason) {
      this.fails(part, reason);
    }
  }

  private measure() {
    this.end = Math.max(this.begin, ...this.parts.map((part) => part.last));
  }

  private hear(part: Part, now: number) {
    const { voice, file } = part;
    const wanted = this.playing && this.runs(part) && !this.silent;
    if (!wanted || !this.context) return voice.playing ? voice.stop() : undefined;
    if (!voice.playing) voice.play(this.context, (this.at - file.offsetMs) / 1000, now);
    voice.feed().catch((reason) => this.fails(part, reason));
  }

  private fails(part: Part, reason: unknown) {
    if (part.state === 'failed') return;
    part.state = 'failed';
    this.note({ kind: 'noVoice', reason: reason instanceof Error ? reason.message : String(reason) });
    if (this.playing) this.halt();
  }

  private note(note: Note) {
    if (!this.notes.some((other) => other.kind === note.kind)) this.notes = [...this.notes, note];
  }
}
