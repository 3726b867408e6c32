import { expect, test } from 'vitest';
import { decoded } from './bytes';
import { samples, wav } from './wav';

const code = (text: string) => [...text].map((letter) => letter.charCodeAt(0));

test('samples of a WAV file come out by channel, whole ones only', () => {
  const head = [...code('RIFF'), 0, 0, 0, 0, ...code('WAVEfmt '), 16, 0, 0, 0, 1, 0, 2, 0, 0x40, 0x1f, 0, 0, 0, 0, 0, 0, 4, 0, 16, 0, ...code('data'), 4, 0, 0, 0];
  expect(wav(new Uint8Array(head))).toEqual({ rate: 8000, channels: 2, begin: 44 });
  const [left, right] = samples(new Uint8Array([0, 0x40, 0, 0x80, 1, 2, 3]), 2);
  expect([...left!]).toEqual([0.5]);
  expect([...right!]).toEqual([-1]);
  expect(() => wav(new Uint8Array(head.slice(0, 43)))).toThrow('not a WAV');
  expect(() => wav(new Uint8Array(head).fill(7, 20, 21))).toThrow('not 16-bit PCM');
});

test('a piece is decoded byte by byte', () => {
  expect([...decoded({ total: 9, data: 'AP+A' }).bytes]).toEqual([0, 255, 128]);
});
