import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { LARGEST_PIECE } from './bytes';
import { recording } from './mp4.fixture';
import { head, pictures } from './mp4';
import { NoDecoder, Screen } from './screen';

const AVCC = Uint8Array.from([1, 0x42, 0xc0, 0x28, 0xff, 0xe0, 0]);
/** Five minutes, five pictures a second, a key frame a minute. */
const FILE = recording(AVCC, Array.from({ length: 1500 }, (_, n) => ({ lasts: 0.2, key: n % 300 === 0, data: new Uint8Array(2000).fill(n % 251) })));

/** A decoder that gives out a picture when `delay` have come behind it, as those of many threads do. */
let rig: { delay: number; open: number; most: number; given: number; supported: boolean; fails: boolean };

class Frame {
  displayWidth = 640;
  displayHeight = 480;
  constructor(readonly timestamp: number) {
    rig.most = Math.max(rig.most, ++rig.open);
  }
  close() {
    rig.open--;
  }
}

class Decoder {
  static isConfigSupported = async ({ codec }: { codec: string }) => ({ supported: rig.supported && codec === 'avc1.42c028' });
  state = 'configured';
  private waiting: number[] = [];
  private fresh = true;
  constructor(private readonly told: { output: (frame: Frame) => void; error: (reason: Error) => void }) {}
  configure() {}
  decode({ type, timestamp }: { type: string; timestamp: number }) {
    if (this.fresh && type !== 'key') throw new Error('a key frame is wanted');
    this.fresh = false;
    rig.given++;
    this.waiting.push(timestamp);
    if (rig.fails) return void queueMicrotask(() => ((this.state = 'closed'), this.told.error(new Error('broken data'))));
    setTimeout(() => this.out(rig.delay), 1);
  }
  async flush() {
    this.out(0);
    this.fresh = true;
  }
  close() {
    [this.state, this.waiting] = ['closed', []];
  }
  private out(keep: number) {
    while (this.waiting.length > keep) this.told.output(new Frame(this.waiting.shift()!));
  }
}

beforeEach(() => {
  rig = { delay: 0, open: 0, most: 0, given: 0, supported: true, fails: false };
  vi.stubGlobal('VideoDecoder', Decoder);
  vi.stubGlobal('EncodedVideoChunk', class { constructor(of: object) { Object.assign(this, of); } });
});
afterEach(() => vi.unstubAllGlobals());

async function opened(file = FILE): Promise<Screen> {
  const screen = new Screen(async (from, most) => ({ bytes: file.slice(from, from + Math.min(most, LARGEST_PIECE)), total: file.length }));
  await screen.open();
  return screen;
}

/** The time of the picture that is painted, once there is one for this time. */
async function shown(screen: Screen, at: number): Promise<number> {
  const canvas = { dataset: {} as Record<string, string>, getContext: () => null };
  for (let turn = 0; turn < 400; turn++) {
    await screen.feed(at);
    await new Promise((done) => setTimeout(done, 2));
    const painted = screen.paint(at, canvas as unknown as HTMLCanvasElement);
    const time = Number(canvas.dataset['shown']) / 1e6;
    if (painted && at - time < 0.2) return time;
  }
  throw new Error(`nothing is shown at ${at}`);
}

test('the head and a run are read as they were written', async () => {
  const found = head(FILE)!;
  expect([found.codec, found.runs.length, [...found.description]]).toEqual(['avc1.42c028', 5, [...AVCC]]);
  expect(head(FILE.slice(0, found.runs[0]!.begin - 1))).toBeNull();
  const run = found.runs[2]!;
  expect([run.from, run.to]).toEqual([120, 180]);
  const all = pictures(FILE.slice(run.begin, run.end), run, found.timescale)!;
  expect([all.length, all[1]!.key, all[299]!.end]).toEqual([300, false, run.end]);
  expect(all[299]!.from).toBeCloseTo(179.8, 6);
  expect(pictures(FILE.slice(run.begin, run.begin + 200), run, found.timescale)).toBeNull();
});

test('what is damaged is refused: cut or changed at any byte of the head, it throws or is understood, and ends', () => {
  const { runs: [run], timescale } = head(FILE)!;
  for (let at = 0; at < run!.begin; at++) {
    const broken = FILE.slice(0, run!.begin);
    broken[at]! ^= 0xff;
    try { head(broken); } catch (reason) { expect(reason).toBeInstanceOf(Error); }
  }
  const described = FILE.slice(run!.begin, run!.begin + 88 + 300 * 12);
  for (let at = 0; at < described.length; at++) {
    const broken = described.slice();
    broken[at]! ^= 0xff;
    try { pictures(broken, run!, timescale); } catch (reason) { expect(reason).toBeInstanceOf(Error); }
  }
});

test.each([0, 4, 15])('played, sought forth and back with a decoder that is %i pictures late, the right picture is shown', async (delay) => {
  rig.delay = delay;
  const screen = await opened();
  for (const at of [0, 0.3, 0.5, 59.9, 60, 61.1, 250.7, 3, 2.1, 299.95]) {
    const time = await shown(screen, at);
    expect(at - time).toBeGreaterThanOrEqual(-0.002);
  }
  expect(rig.most).toBeLessThan(40);
  screen.close();
  await new Promise((done) => setTimeout(done, 20));
  expect(rig.open).toBe(0);
});

test('a seek decodes from the key frame before it and no further than a little behind it', async () => {
  const screen = await opened();
  await shown(screen, 190);
  expect(rig.given).toBeGreaterThanOrEqual(51);
  expect(rig.given).toBeLessThan(51 + 30);
});

test('a computer without a decoder says so, pictures that cannot be decoded are told', async () => {
  rig.supported = false;
  await expect(opened()).rejects.toBeInstanceOf(NoDecoder);
  rig.supported = true;
  const screen = await opened();
  rig.fails = true;
  await expect(shown(screen, 0)).rejects.toThrow('broken data');
  await expect(opened(FILE.slice(0, 20))).rejects.toThrow('no head');
});
