import { expect, test } from 'vitest';
import { bytes, clock, lately, spoken, toUtc } from './format';

test('lengths are minutes and seconds, and hours only when needed', () => {
  expect(clock(0)).toBe('0:00');
  expect(clock(65_432)).toBe('1:05');
  expect(clock(3_605_000)).toBe('1:00:05');
  expect(clock(-5)).toBe('0:00');
});

test('a screen reader hears units', () => {
  expect(spoken(61_000)).toBe('1 minute 1 second');
  expect(spoken(0)).toBe('0 seconds');
});

test('an empty or broken date is no filter', () => {
  expect(toUtc('')).toBeUndefined();
  expect(toUtc('never')).toBeUndefined();
  expect(toUtc('2026-01-02T03:04')).toMatch(/^2026-01-0[123]T/);
});

test('amounts of data are short', () => {
  expect([0, 999, 1536, 999_600, 20_000_000, 3_200_000_000_000].map(bytes)).toEqual(['0 B', '999 B', '1.5 kB', '1.0 MB', '20 MB', '3.2 TB']);
});

test('a time of today is said without its date', () => {
  const now = new Date('2026-11-22T12:00:00');
  const today = lately('2026-11-22T09:05:00', now);
  expect(today).toMatch(/05/);
  expect(today).not.toMatch(/22/);
  expect(lately('2026-11-20T09:05:00', now)).toMatch(/20/);
});
