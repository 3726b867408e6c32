// A replay that is only played: a tone and a drawn screen of 20 seconds.
import { recording, type Made } from '../replay/mp4.fixture';
import type { Replay, ReplayPiece } from '../wire';

const LENGTH_MS = 20_000;
const RATE = 8000;
/** Pictures, two a second, a key frame each five seconds. */
const PICTURES = 40;
const KEYS = 10;

export async function play(kind: string): Promise<Replay> {
  if (kind === 'failing') throw new Error('The server cannot be reached. Your recording can be played when it can.');
  const file = (of: string, id: string) => ({ id, kind: of, offsetMs: 0, fromMs: 0, toMs: LENGTH_MS });
  const broken = kind === 'full' ? '' : kind;
  return { files: [file('voice', `voice${broken}`), file('screen', `screen${broken}`)] };
}

export async function piece(recording: string, from: number, most: number): Promise<ReplayPiece> {
  if (recording.endsWith('loading')) return new Promise(() => {});
  if (recording.endsWith('broken')) throw new Error('the crypto server is not available; try again in a moment');
  const whole = recording.startsWith('voice') ? tone() : await (drawn ??= draw());
  const part = whole.subarray(from, from + most);
  return { total: whole.length, data: btoa(Array.from(part, (byte) => String.fromCharCode(byte)).join('')) };
}

/** As the server renders it: two channels of 16 bits. */
function tone(): Uint8Array {
  const frames = (LENGTH_MS / 1000) * RATE;
  const view = new DataView(new ArrayBuffer(44 + frames * 4));
  const write = (at: number, text: string) => [...text].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  write(0, 'RIFF'), view.setUint32(4, view.byteLength - 8, true), write(8, 'WAVEfmt ');
  view.setUint32(16, 16, true), view.setUint16(20, 1, true), view.setUint16(22, 2, true);
  view.setUint32(24, RATE, true), view.setUint32(28, RATE * 4, true), view.setUint16(32, 4, true), view.setUint16(34, 16, true);
  write(36, 'data'), view.setUint32(40, frames * 4, true);
  for (let n = 0; n < frames; n++) view.setInt16(44 + n * 4, Math.round(2000 * Math.sin((n * 440 * 2 * Math.PI) / RATE)), true);
  return new Uint8Array(view.buffer);
}

let drawn: Promise<Uint8Array> | null = null;

/** As much of a screen as shows where the replay stands. */
async function draw(): Promise<Uint8Array> {
  const canvas = new OffscreenCanvas(1920, 1080);
  const paint = canvas.getContext('2d')!;
  const [made, lasts] = [[] as Made[], LENGTH_MS / 1000 / PICTURES];
  let description = new Uint8Array(0);
  const encoder = new VideoEncoder({
    output: (chunk, about) => {
      const data = new Uint8Array(chunk.byteLength);
      chunk.copyTo(data);
      made.push({ lasts, key: chunk.type === 'key', data });
      const config = about?.decoderConfig?.description as ArrayBuffer | undefined;
      if (config) description = new Uint8Array(config);
    },
    error: (reason) => console.warn(reason),
  });
  encoder.configure({ codec: 'avc1.42c028', width: canvas.width, height: canvas.height, avc: { format: 'avc' }, framerate: 2 });
  for (let n = 0; n < PICTURES; n++) {
    paint.fillStyle = '#e8edf2';
    paint.fillRect(0, 0, canvas.width, canvas.height);
    paint.fillStyle = '#20405c';
    paint.fillRect(0, 0, canvas.width, 90);
    paint.font = '48px sans-serif';
    for (let line = 0; line < 12; line++) paint.fillText(line <= n % 12 ? 'A line that is being written in a form of some kind' : '', 120, 200 + line * 70);
    paint.fillRect(0, 1040, (canvas.width * n) / PICTURES, 40);
    const frame = new VideoFrame(canvas, { timestamp: n * lasts * 1e6 });
    encoder.encode(frame, { keyFrame: n % KEYS === 0 });
    frame.close();
  }
  await encoder.flush();
  encoder.close();
  return recording(description, made);
}
