// A screen recording, seen by WebCodecs: its pictures are fetched in pieces, decoded a little before they are shown, and
// painted from memory. A media player would keep what it fetches in a file.
import { LARGEST_PIECE, type Read } from './bytes';
import { head, pictures, type Mp4, type Picture, type Run } from './mp4';

/** A head longer than this is none. */
const LONGEST_HEAD = 4 << 20;
/** Decoded pictures that wait for their turn, the shown one included: each is some megabytes. */
const READY = 3;
/** Pictures in the decoder: those of many threads give out one only when as many have come behind it. */
const DECODING = 24;
/** The index has whole milliseconds, seconds. */
const ROUNDED = 0.002;

/** This computer has no decoder for what is asked of it. */
export class NoDecoder extends Error {}

/** All times are seconds of the recording's media. */
export class Screen {
  private head: Mp4 | null = null;
  private decoder: VideoDecoder | null = null;
  /** What is decoded next: of a run, its pictures once they are known, and which of them. `null`: nothing is left. */
  private place: { run: number; pictures: Picture[] | null; next: number } | null = null;
  /** Given to the decoder and not come back. */
  private decoding = 0;
  /** Decoded, in order; the first is the one that is shown. */
  private ready: VideoFrame[] = [];
  /** Bytes of the file that are at hand. */
  private held = { from: 0, bytes: new Uint8Array(0) };
  private wanted = 0;
  private busy = false;
  private broken: Error | null = null;
  /** What was asked for or decoded before a jump is not shown. */
  private turn = 0;

  constructor(private readonly read: Read) {}

  async open(): Promise<void> {
    let bytes = new Uint8Array(0);
    for (let found: Mp4 | null = null; !found; found = this.head = head(bytes)) {
      const piece = (await this.read(bytes.length, LARGEST_PIECE)).bytes;
      if (piece.length === 0 || bytes.length > LONGEST_HEAD) throw new Error('no head of a recording');
      bytes = joined(bytes, piece);
    }
    if (typeof VideoDecoder !== 'function') throw new NoDecoder();
    const { supported } = await VideoDecoder.isConfigSupported(this.config);
    if (!supported) throw new NoDecoder(this.config.codec);
  }

  get length(): number {
    return this.head?.runs.at(-1)?.to ?? 0;
  }

  /** Fetches and decodes what is shown at `at` and soon after; to be called again and again. */
  async feed(at: number): Promise<void> {
    const { head } = this;
    this.want(at);
    if (this.broken) throw this.broken;
    if (!head?.runs.length || this.busy) return;
    this.busy = true;
    try {
      this.settle(head);
      const { turn } = this;
      while (turn === this.turn && this.place && this.ready.length < READY && this.decoding < DECODING) {
        await this.step(head, this.place, turn);
      }
    } finally {
      this.busy = false;
    }
  }

  /** Paints the picture of `at`; whether there is one. */
  paint(at: number, canvas: HTMLCanvasElement): boolean {
    this.want(at);
    const [frame] = this.ready;
    if (!frame || !this.due(frame)) return false;
    const shown = `${frame.timestamp}`;
    if (canvas.dataset['shown'] !== shown) {
      [canvas.width, canvas.height] = [frame.displayWidth, frame.displayHeight];
      canvas.getContext('2d')?.drawImage(frame, 0, 0);
      canvas.dataset['shown'] = shown;
    }
    return true;
  }

  /** Nothing of it stays in memory. */
  close() {
    this.jump(null);
    this.held = { from: 0, bytes: new Uint8Array(0) };
  }

  private get config(): VideoDecoderConfig {
    const { codec = '', description } = this.head ?? {};
    return { codec, optimizeForLatency: true, ...(description && { description }) };
  }

  /** The first picture is shown from the start on, and what was shown before the wanted one is let go of. */
  private want(at: number) {
    this.wanted = Math.max(at, this.head?.runs[0]?.from ?? 0);
    while (this.ready[1] && this.due(this.ready[1])) this.ready.shift()?.close();
  }

  private due(frame: VideoFrame): boolean {
    return frame.timestamp / 1e6 <= this.wanted + ROUNDED;
  }

  /** Goes to the key frame before what is wanted, if what is decoded next is not on the way to it. */
  private settle(head: Mp4) {
    const later = head.runs.findIndex((run) => run.from > this.wanted);
    const run = (later < 0 ? head.runs.length : later) - 1;
    const { place, ready: [first] } = this;
    const reached = first ? this.due(first) : place !== null && place.run <= run;
    const ended = place?.pictures && place.next >= place.pictures.length ? 1 : 0;
    const left = place !== null && place.run + ended < run;
    if (!reached || left) this.jump({ run, pictures: null, next: 0 });
  }

  private jump(place: Screen['place']) {
    this.turn++;
    if (this.decoder && this.decoder.state !== 'closed') this.decoder.close();
    for (const frame of this.ready) frame.close();
    [this.decoder, this.decoding, this.ready, this.place, this.broken] = [null, 0, [], place, null];
  }

  private async step(head: Mp4, place: NonNullable<Screen['place']>, turn: number): Promise<void> {
    place.pictures ??= await this.describe(head.runs[place.run]!, head.timescale);
    const picture = place.pictures[place.next];
    const data = picture && (await this.get(picture.begin, picture.end));
    if (turn !== this.turn) return;
    if (!picture) {
      // Its last pictures come out; the next run starts with a key frame.
      await this.decoder?.flush().catch(() => {});
      if (turn !== this.turn) return;
      this.decoding = 0;
      this.place = place.run + 1 < head.runs.length ? { run: place.run + 1, pictures: null, next: 0 } : null;
      return;
    }
    this.decoder ??= this.begin(turn);
    if (this.decoder.state === 'closed') return void (this.place = null);
    this.decoder.decode(new EncodedVideoChunk({ type: picture.key ? 'key' : 'delta', timestamp: Math.round(picture.from * 1e6), data: data! }));
    [place.next, this.decoding] = [place.next + 1, this.decoding + 1];
  }

  private begin(turn: number): VideoDecoder {
    const decoder = new VideoDecoder({
      output: (frame) => {
        if (turn !== this.turn) return frame.close();
        this.decoding = Math.max(0, this.decoding - 1);
        this.ready.push(frame);
        this.want(this.wanted);
      },
      error: (reason) => {
        if (turn === this.turn) this.broken = new Error(reason.message);
      },
    });
    decoder.configure(this.config);
    return decoder;
  }

  private async describe(run: Run, timescale: number): Promise<Picture[]> {
    for (let most = LARGEST_PIECE; ; most *= 2) {
      const end = Math.min(run.begin + most, run.end);
      const found = pictures(await this.get(run.begin, end), run, timescale);
      if (found) return found;
      if (end === run.end) throw new Error('a run of pictures without their description');
    }
  }

  /** Bytes of the file, most of the time those behind the ones before. */
  private async get(from: number, to: number): Promise<Uint8Array<ArrayBuffer>> {
    const { turn } = this;
    let { held } = this;
    if (from < held.from || from > held.from + held.bytes.length) held = { from, bytes: new Uint8Array(0) };
    held = { from, bytes: held.bytes.subarray(from - held.from) };
    while (held.bytes.length < to - from) {
      const { bytes } = await this.read(from + held.bytes.length, LARGEST_PIECE);
      if (bytes.length === 0) throw new Error('the recording is shorter than it says');
      held = { from, bytes: joined(held.bytes, bytes) };
    }
    if (turn === this.turn) this.held = held;
    return held.bytes.slice(0, to - from);
  }
}

function joined(first: Uint8Array, second: Uint8Array): Uint8Array<ArrayBuffer> {
  const both = new Uint8Array(first.length + second.length);
  both.set(first);
  both.set(second, first.length);
  return both;
}
