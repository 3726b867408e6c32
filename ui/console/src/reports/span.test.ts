import { expect, test } from 'vitest';
import { begun, days, part, plusDays, repeated, today } from './span';

test('the day is that of the site, not of the browser', () => {
  const late = new Date('2026-11-23T23:30:00Z');
  expect(today('Europe/Berlin', late)).toBe('2026-11-24');
  expect(today('America/New_York', late)).toBe('2026-11-23');
});

test('days are counted over the end of a month and a change of the clocks', () => {
  expect(plusDays('2026-03-28', 2)).toBe('2026-03-30');
  expect(plusDays('2026-03-01', -1)).toBe('2026-02-28');
  expect(days({ from: '2026-03-28', to: '2026-03-30' })).toBe(3);
});

test('an hour that the clocks show twice is told apart by its offset', () => {
  const starts = ['2026-10-25T01:00:00+02:00', '2026-10-25T02:00:00+02:00', '2026-10-25T02:00:00+01:00'];
  expect([...repeated(starts)]).toEqual(starts.slice(1));
  expect(part('2026-10-25T02:00:00+01:00', 'hour', false, true)).toBe('02:00 (UTC+01:00)');
  expect(part('2026-10-25T01:00:00+02:00', 'hour', false)).toBe('01:00');
});

test('hours to come are not shown', () => {
  const rows = ['2026-11-23T10:00:00+01:00', '2026-11-23T11:00:00+01:00'].map((start) => ({ start }));
  expect(begun(rows, Date.parse('2026-11-23T09:30:00Z'))).toEqual(rows.slice(0, 1));
  expect(begun(rows, Date.parse('2026-11-23T10:00:00Z'))).toEqual(rows);
});
