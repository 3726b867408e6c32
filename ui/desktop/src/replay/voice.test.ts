import { expect, test } from 'vitest';
import { Voice, type Sound } from './voice';

const RATE = 8000;

/** A minute of two channels, and a sound device whose time is moved by hand. */
function rig(limit = Infinity) {
  const file = new DataView(new ArrayBuffer(44 + 60 * RATE * 4));
  const bytes = new Uint8Array(file.buffer);
  const write = (at: number, text: string) => [...text].forEach((letter, i) => (bytes[at + i] = letter.charCodeAt(0)));
  write(0, 'RIFF'), write(8, 'WAVEfmt '), write(36, 'data');
  file.setUint16(20, 1, true), file.setUint16(22, 2, true), file.setUint32(24, RATE, true), file.setUint16(34, 16, true);
  const heard: { at: number; first: number; count: number; stopped: boolean }[] = [];
  for (let second = 0; second < 60; second++) file.setInt16(44 + second * RATE * 4, second * 100, true);
  const sound = {
    currentTime: 10,
    destination: null,
    createBuffer: (_: number, length: number) => {
      const channels: Float32Array[] = [];
      return { length, channels, copyToChannel: (of: Float32Array, n: number) => void (channels[n] = of) };
    },
    createBufferSource: () => {
      const node = {
        buffer: null as null | { length: number; channels: Float32Array[] },
        connect() {},
        start(at: number) {
          heard.push({ at, first: Math.round(node.buffer!.channels[0]![0]! * 327.68), count: node.buffer!.length, stopped: false });
          node.stop = () => void (heard[heard.length - 1]!.stopped = true);
        },
        stop() {},
      };
      return node;
    },
  };
  let asked = 0;
  const voice = new Voice(async (from, most) => {
    if (++asked > limit) throw new Error('the server cannot be reached');
    return { bytes: bytes.slice(from, from + most), total: bytes.length };
  });
  return { voice, sound, heard, play: (from: number) => voice.play(sound as unknown as Sound, from, 0) };
}

test('pieces follow each other without a gap, a few seconds ahead and no more', async () => {
  const { voice, sound, heard, play } = rig();
  await voice.open();
  expect(voice.length).toBe(60);
  play(5);
  for (let i = 0; i < 20; i++) await voice.feed();
  expect(heard.map(({ first }) => first)).toEqual([5, 7, 9, 11]);
  heard.forEach(({ at, count }, n) => n > 0 && expect(at).toBeCloseTo(heard[n - 1]!.at + heard[n - 1]!.count / RATE, 9));
  sound.currentTime = heard[0]!.at + 2.5;
  expect(voice.at).toBeCloseTo(7.5, 6);
  await voice.feed();
  expect(heard.at(-1)!.first).toBe(13);
  expect(count(heard)).toBe(5 * 2 * RATE);
});

test('what comes late is waited for: no second is left out and none is heard twice', async () => {
  const { voice, sound, heard, play } = rig();
  await voice.open();
  play(0);
  await voice.feed();
  sound.currentTime += 30;
  expect(voice.at).toBe(2);
  await voice.feed();
  expect(heard[1]!.first).toBe(2);
  expect(heard[1]!.at).toBeGreaterThan(sound.currentTime);
  expect(voice.at).toBe(2);
});

test('a seek ends what is heard, and what was asked for before is not heard', async () => {
  const { voice, heard, play } = rig();
  await voice.open();
  play(0);
  const late = voice.feed();
  play(40);
  await late;
  expect(heard).toHaveLength(0);
  await voice.feed();
  expect(heard[0]!.first).toBe(40);
  voice.stop();
  expect(heard[0]!.stopped).toBe(true);
  expect(voice.playing).toBe(false);
});

test('it ends at its end', async () => {
  const { voice, sound, heard, play } = rig();
  await voice.open();
  play(59);
  for (let i = 0; i < 5; i++) await voice.feed();
  expect(count(heard)).toBe(RATE);
  sound.currentTime += 60;
  expect(voice.at).toBe(60);
});

test('a sound device that stands still is found out, a failure is told', async () => {
  const { voice, sound, play } = rig(2);
  await voice.open();
  play(0);
  await voice.feed();
  expect(voice.deaf(100)).toBe(false);
  expect(voice.deaf(2500)).toBe(true);
  sound.currentTime += 0.1;
  expect(voice.deaf(2600)).toBe(false);
  await expect(voice.feed()).rejects.toThrow('cannot be reached');
});

const count = (heard: { count: number }[]) => heard.reduce((sum, one) => sum + one.count, 0);
