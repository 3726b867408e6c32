// A screen recording as the server renders it, for tests and for the window without a server.

const TIMESCALE = 90_000;

/** One picture: seconds that it shows, and the decoder's bytes. */
export interface Made { lasts: number; key: boolean; data: Uint8Array }

/** Every run starts with a key frame. */
export function recording(description: Uint8Array, made: Made[]): Uint8Array<ArrayBuffer> {
  const runs: Made[][] = [];
  for (const picture of made) picture.key ? runs.push([picture]) : runs.at(-1)?.push(picture);
  let ticks = 0;
  const written = runs.map((run) => {
    const bytes = joined([moof(ticks, run), words([8 + size(run)]), text('mdat'), ...run.map(({ data }) => data)]);
    const lasts = sum(run.map(({ lasts }) => Math.round(lasts * TIMESCALE)));
    ticks += lasts;
    return { bytes, lasts };
  });
  const entries = written.flatMap(({ bytes, lasts }) => [bytes.length, lasts, 0x9000_0000]);
  const sidx = box('sidx', words([1 << 24, 1, TIMESCALE, 0, 0, 0, 0, written.length, ...entries]));
  const moov = box('moov', box('trak', box('avcC', description)));
  return joined([box('ftyp', text('isom')), moov, sidx, ...written.map(({ bytes }) => bytes)]);
}

function moof(ticks: number, run: Made[]): Uint8Array {
  const samples = run.flatMap(({ lasts, key, data }) => [Math.round(lasts * TIMESCALE), data.length, key ? 0x0200_0000 : 0x0101_0000]);
  const trun = (offset: number) => box('trun', words([0x701, run.length, offset, ...samples]));
  const traf = box('traf', box('tfhd', words([0x2_0000, 1])), box('tfdt', words([1 << 24, 0, ticks])), trun(88 + run.length * 12 + 8));
  return box('moof', box('mfhd', words([0, 1])), traf);
}

function box(name: string, ...parts: Uint8Array[]): Uint8Array {
  return joined([words([8 + sum(parts.map(({ length }) => length))]), text(name), ...parts]);
}

function words(of: number[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(of.length * 4));
  of.forEach((word, n) => view.setUint32(n * 4, word));
  return new Uint8Array(view.buffer);
}

function joined(parts: Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(sum(parts.map(({ length }) => length)));
  let at = 0;
  for (const part of parts) bytes.set(part, at), (at += part.length);
  return bytes;
}

const size = (run: Made[]) => sum(run.map(({ data }) => data.length));
const sum = (numbers: number[]) => numbers.reduce((sum, number) => sum + number, 0);
const text = (of: string) => Uint8Array.from(of, (letter) => letter.charCodeAt(0));
