// A voice recording, heard by Web Audio: its samples are fetched in pieces, a few seconds before they are heard.
import { LARGEST_PIECE, type Read } from './bytes';
import { HEAD, samples, wav, type Wav } from './wav';

/** Scheduled so far ahead, seconds. */
const AHEAD = 6;
/** Fetched at once, seconds. */
const STEP = 2;
/** From now until a sound that was fetched can be heard, seconds. */
const SOON = 0.05;
/** A sound device that stands still for so long, milliseconds, is none. */
const DEAF = 2000;

/** What is used of an AudioContext. */
export type Sound = Pick<AudioContext, 'currentTime' | 'createBuffer' | 'createBufferSource' | 'destination'>;

/** All times are seconds of the recording's media. */
export class Voice {
  private head: Wav | null = null;
  private total = 0;
  private sound: Sound | null = null;
  private nodes = new Set<AudioBufferSourceNode>();
  /** The media at `media` is heard at `context`, in the context's time; nothing is heard behind `next`. */
  private anchor: { media: number; context: number } | null = null;
  private next = 0;
  private busy = false;
  /** Answers to what was asked before a seek are not heard. */
  private turn = 0;
  private moved = { context: -1, at: 0 };

  constructor(private readonly read: Read) {}

  async open(): Promise<void> {
    const { bytes, total } = await this.read(0, HEAD);
    [this.head, this.total] = [wav(bytes), total];
  }

  get rate(): number {
    return this.head?.rate ?? 0;
  }

  get length(): number {
    return this.head ? (this.total - this.head.begin) / this.frame / this.head.rate : 0;
  }

  get playing(): boolean {
    return this.sound !== null;
  }

  /** Where it is heard now; it waits for what has not come yet. */
  get at(): number {
    if (!this.sound || !this.anchor) return this.next;
    const heard = this.anchor.media + Math.max(0, this.sound.currentTime - this.anchor.context);
    return Math.min(heard, this.next);
  }

  /** Nothing has moved for a while though there is something to hear: there is no sound device. */
  deaf(now: number): boolean {
    if (!this.sound || !this.anchor) return false;
    if (this.sound.currentTime !== this.moved.context) this.moved = { context: this.sound.currentTime, at: now };
    return now - this.moved.at > DEAF;
  }

  play(sound: Sound, from: number, now: number) {
    this.stop();
    [this.sound, this.next, this.moved] = [sound, this.aligned(from), { context: sound.currentTime, at: now }];
  }

  stop() {
    this.turn++;
    for (const node of this.nodes) node.stop();
    this.nodes.clear();
    this.next = this.at;
    [this.sound, this.anchor] = [null, null];
  }

  /** Fetches the next piece, if it is time; to be called again and again. */
  async feed(): Promise<void> {
    const { head, sound, turn } = this;
    if (!head || !sound || this.busy || this.next >= this.length || this.next - this.at > AHEAD) return;
    this.busy = true;
    try {
      const most = Math.min(Math.round(STEP * head.rate) * this.frame, LARGEST_PIECE - (LARGEST_PIECE % this.frame));
      const { bytes } = await this.read(head.begin + Math.round(this.next * head.rate) * this.frame, most);
      if (turn === this.turn) this.schedule(sound, head, bytes);
    } finally {
      this.busy = false;
    }
  }

  private schedule(sound: Sound, head: Wav, bytes: Uint8Array) {
    const channels = samples(bytes, head.channels);
    const count = channels[0]!.length;
    // Shorter than its head says: it ends here.
    if (count === 0) return void (this.total = head.begin + Math.round(this.next * head.rate) * this.frame);
    const buffer = sound.createBuffer(head.channels, count, head.rate);
    channels.forEach((of, channel) => buffer.copyToChannel(of, channel));
    const soon = sound.currentTime + SOON;
    const planned = this.anchor ? this.anchor.context + this.next - this.anchor.media : soon;
    // Too late: heard from now on, and everything behind it later.
    if (!this.anchor || planned < sound.currentTime) this.anchor = { media: this.next, context: soon };
    const node = sound.createBufferSource();
    node.buffer = buffer;
    node.connect(sound.destination);
    node.onended = () => this.nodes.delete(node);
    node.start(Math.max(planned, this.anchor.context));
    this.nodes.add(node);
    this.next += count / head.rate;
  }

  private get frame(): number {
    return 2 * (this.head?.channels ?? 1);
  }

  /** To a whole sample. */
  private aligned(seconds: number): number {
    const within = Math.min(Math.max(0, seconds), this.length);
    return this.head ? Math.round(within * this.head.rate) / this.head.rate : 0;
  }
}
