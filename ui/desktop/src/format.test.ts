import { expect, test } from 'vitest';
import { bytes, clock } from './format';

test('lengths are minutes and seconds, and hours when there are some', () => {
  expect([0, 65_432, 3_605_000, -5].map(clock)).toEqual(['0:00', '1:05', '1:00:05', '0:00']);
});

test('sizes have a unit that fits and the decimal sign of the language', () => {
  expect(bytes(0, 'en')).toBe('0 B');
  expect(bytes(1_240_000_000, 'en')).toBe('1.2 GB');
  expect(bytes(1_240_000_000, 'de')).toBe('1,2 GB');
  expect(bytes(52_000_000_000, 'en')).toBe('52 GB');
});
