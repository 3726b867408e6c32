// A screen recording as the server renders it: `ftyp moov sidx`, then one `moof` and `mdat` from each key frame to the
// next (`server/playback/src/screen.rs`; ISO/IEC 14496-12). All times are seconds of the recording's media.

export interface Mp4 {
  /** As RFC 6381 writes it. */
  codec: string;
  /** The decoder's configuration (`avcC`, ISO/IEC 14496-15, 5.3.3). */
  description: Uint8Array<ArrayBuffer>;
  timescale: number;
  /** Each from one key frame to the next, in order. */
  runs: Run[];
}

export interface Run {
  from: number;
  to: number;
  /** Bytes of the file. */
  begin: number;
  end: number;
}

export interface Picture {
  from: number;
  key: boolean;
  /** Bytes of the file. */
  begin: number;
  end: number;
}

/** The head; `null`: it goes on behind these bytes, which are the file's first. */
export function head(bytes: Uint8Array<ArrayBuffer>): Mp4 | null {
  const view = of(bytes);
  let description: Mp4['description'] | null = null;
  for (let at = 0, size = 0; at + 8 <= bytes.length; at += size) {
    const kind = name(bytes, at + 4);
    size = view.getUint32(at);
    if (size < 8 || kind === 'moof' || kind === 'mdat') throw new Error('no index before the pictures');
    if (at + size > bytes.length) return null;
    if (kind === 'moov') description = avcC(bytes.subarray(at, at + size));
    if (kind !== 'sidx') continue;
    if (!description) throw new Error('no H.264');
    const profile = [...description.subarray(1, 4)].map((byte) => byte.toString(16).padStart(2, '0'));
    return { codec: `avc1.${profile.join('')}`, description, ...index(view, at, size) };
  }
  return null;
}

/** The pictures of a run, of its first bytes; `null`: they are described behind these. */
export function pictures(bytes: Uint8Array<ArrayBuffer>, run: Run, timescale: number): Picture[] | null {
  const view = of(bytes);
  if (bytes.length < 8) return null;
  const size = view.getUint32(0);
  if (name(bytes, 4) !== 'moof' || size < 88) throw new Error('no pictures where the index says');
  if (bytes.length < size) return null;
  // `mfhd` 16, `traf` 8 with `tfhd` 16, `tfdt` 20 of version 1, `trun` of duration, size and flags of each.
  const [decode, table] = [8 + 16 + 8 + 16, 8 + 16 + 8 + 16 + 20];
  const shape = [name(bytes, decode + 4), view.getUint8(decode + 8), name(bytes, table + 4), view.getUint32(table + 8)].join(' ');
  if (shape !== `tfdt 1 trun ${0x701}`) throw new Error(`pictures that are described in another way: ${shape}`);
  const count = view.getUint32(table + 12);
  if (table + 20 + count * 12 > size) throw new Error('more pictures than are described');
  let [ticks, begin] = [Number(view.getBigUint64(decode + 12)), run.begin + view.getUint32(table + 16)];
  return Array.from({ length: count }, (_, n) => {
    const entry = table + 20 + n * 12;
    const end = begin + view.getUint32(entry + 4);
    if (end > run.end) throw new Error('a picture outside of its run');
    // `sample_is_non_sync_sample` (8.8.3.1).
    const picture = { from: ticks / timescale, key: (view.getUint32(entry + 8) & 0x10000) === 0, begin, end };
    [ticks, begin] = [ticks + view.getUint32(entry), end];
    return picture;
  });
}

function of(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function name(bytes: Uint8Array, at: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + 4));
}

/** It lies in `moov/trak/mdia/minf/stbl/stsd/avc1`, and nothing else has its name. */
function avcC(moov: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | null {
  for (let at = 4; at + 8 <= moov.length; at++) {
    if (name(moov, at) !== 'avcC') continue;
    const end = at - 4 + of(moov).getUint32(at - 4);
    if (at + 8 <= end && end <= moov.length) return moov.slice(at + 4, end);
  }
  return null;
}

/** `sidx` (8.16.3). */
function index(view: DataView, at: number, size: number): Pick<Mp4, 'timescale' | 'runs'> {
  const long = view.getUint8(at + 8) === 1;
  const wide = (place: number) => (long ? Number(view.getBigUint64(place)) : view.getUint32(place));
  const [timescale, step] = [view.getUint32(at + 16), long ? 8 : 4];
  let [ticks, begin] = [wide(at + 20), at + size + wide(at + 20 + step)];
  const first = at + 24 + 2 * step;
  const count = view.getUint16(first - 2);
  if (timescale === 0 || first + count * 12 > at + size) throw new Error('a broken index');
  const runs = Array.from({ length: count }, (_, n) => {
    const [bytes, duration] = [view.getUint32(first + n * 12) & 0x7fffffff, view.getUint32(first + n * 12 + 4)];
    const run = { from: ticks / timescale, to: (ticks + duration) / timescale, begin, end: begin + bytes };
    [ticks, begin] = [ticks + duration, begin + bytes];
    return run;
  });
  return { timescale, runs };
}
