// A replay that is only played: a tone of 20 seconds.
import type { Replay, ReplayPiece } from '../wire';

const LENGTH_MS = 20_000;
const RATE = 8000;

export async function play(kind: string): Promise<Replay> {
  if (kind === 'failing') throw new Error('The server cannot be reached. Your recording can be played when it can.');
  const file = (of: string, id: string) => ({ id, kind: of, offsetMs: 0, fromMs: 0, toMs: LENGTH_MS });
  const broken = kind === 'full' ? '' : kind;
  return { files: [file('voice', `voice${broken}`), file('screen', `screen${broken}`)] };
}

export async function piece(recording: string, from: number, most: number): Promise<ReplayPiece> {
  if (recording.endsWith('loading')) return new Promise(() => {});
  if (recording.endsWith('broken')) throw new Error('the crypto server is not available; try again in a moment');
  const whole = tone();
  return { total: whole.length, data: btoa(whole.slice(from, from + most)) };
}

/** As the server renders it: two channels of 16 bits. */
function tone(): string {
  const frames = (LENGTH_MS / 1000) * RATE;
  const view = new DataView(new ArrayBuffer(44 + frames * 4));
  const write = (at: number, text: string) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, 'RIFF'), view.setUint32(4, view.byteLength - 8, true), write(8, 'WAVEfmt ');
  view.setUint32(16, 16, true), view.setUint16(20, 1, true), view.setUint16(22, 2, true);
  view.setUint32(24, RATE, true), view.setUint32(28, RATE * 4, true), view.setUint16(32, 4, true), view.setUint16(34, 16, true);
  write(36, 'data'), view.setUint32(40, frames * 4, true);
  for (let n = 0; n < frames; n++) view.setInt16(44 + n * 4, Math.round(2000 * Math.sin((n * 440 * 2 * Math.PI) / RATE)), true);
  return Array.from(new Uint8Array(view.buffer), (byte) => String.fromCharCode(byte)).join('');
}
