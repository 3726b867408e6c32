import { expect, test } from 'vitest';
import { clock, spoken, toUtc } from './format';

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
