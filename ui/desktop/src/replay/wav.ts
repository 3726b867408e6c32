// The head of a WAV file of 16-bit PCM, and its samples.

export interface Wav {
  rate: number;
  channels: number;
  /** Where the samples begin. */
  begin: number;
}

export const HEAD = 44;
const PCM = 1;

/** Reads what the server writes (`server/playback/src/wav.rs`): `RIFF`, `fmt ` and `data`, in this order. */
export function wav(bytes: Uint8Array): Wav {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const name = (at: number) => String.fromCharCode(...bytes.subarray(at, at + 4));
  const shaped = bytes.length >= HEAD && name(0) === 'RIFF' && name(8) === 'WAVE' && name(12) === 'fmt ' && name(36) === 'data';
  if (!shaped) throw new Error('not a WAV file');
  const [format, channels, rate, bits] = [view.getUint16(20, true), view.getUint16(22, true), view.getUint32(24, true), view.getUint16(34, true)];
  if (format !== PCM || bits !== 16 || channels < 1 || rate < 1) throw new Error('not 16-bit PCM');
  return { rate, channels, begin: HEAD };
}

/** Whole samples, one list a channel, in [-1, 1). */
export function samples(bytes: Uint8Array, channels: number): Float32Array<ArrayBuffer>[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const count = Math.floor(bytes.length / 2 / channels);
  return Array.from({ length: channels }, (_, channel) =>
    Float32Array.from({ length: count }, (_, n) => view.getInt16((n * channels + channel) * 2, true) / 32768),
  );
}
