import { expect, test } from 'vitest';
import type { MediaFile } from './api';
import { lines } from './quality';

const track = { received: 600, expected: 600, lost: 0, late: 0, maxJitter: 8, state: 'ok' };
const figures = { lossPercent: 0, jitterMs: 4, roundTripMs: 20 };
const file = {
  id: 'one', capture: 'c', kind: 'voice', state: 'ready', pauses: [], offsetMs: 0,
  tracks: [{ party: 'agent', number: '1001' }, { party: 'customer', number: '2001' }],
  quality: [{ ...track, track: 1 }, { ...track, track: 2 }],
} as unknown as MediaFile;

const withReception = (reception: object, quality: object = {}) =>
  lines([{ ...file, quality: [{ ...track, ...quality, track: 1, reception } as never] }])[0]!;

test('each party has a line, and a phone that reports nothing has no verdict', () => {
  const [agent, customer] = lines([file]);
  expect([agent?.who, customer?.who]).toEqual(['Agent 1001', 'Customer 2001']);
  expect(agent?.recorded).toEqual({ state: 'complete', sign: '●', word: 'Whole', figures: 'nothing is missing' });
  expect(agent?.heard).toBeUndefined();
  expect(lines([{ ...file, kind: 'screen' }])).toEqual([]);
});

test('a later part says when it begins', () => {
  expect(lines([file, { ...file, id: 'two', offsetMs: 65_000 }]).map((line) => line.who)).toEqual([
    'Agent 1001, from 0:00', 'Customer 2001, from 0:00', 'Agent 1001, from 1:05', 'Customer 2001, from 1:05',
  ]);
});

test('what a phone heard is said with the worst of its reports', () => {
  const clear = withReception({ reports: 3, lost: 0, last: figures, worst: figures });
  expect(clear.heard?.word).toBe('Clear');
  expect(clear.heard?.figures).toBe('nothing of the other voice lost; uneven by up to 4 ms; line delay up to 20 ms there and back');
  const worst = { lossPercent: 25, jitterMs: 30 };
  const hard = withReception({ reports: 3, lost: 40, last: { lossPercent: 1.2, jitterMs: 3 }, worst });
  expect(hard.heard?.word).toBe('At times hard to understand');
  expect(hard.heard?.figures).toBe('25 % of the other voice lost at worst, 1.2 % at the end; uneven by up to 30 ms');
  expect(withReception({ reports: 3, lost: 0, last: figures, worst: { ...figures, roundTripMs: 320 } }).heard?.state).toBe('partial');
});

test('what is missing of a recorded voice is told, and a voice that never came', () => {
  const reception = { reports: 1, lost: 0, last: figures, worst: figures };
  expect(withReception(reception, { lost: 2, late: 1 }).recorded.word).toBe('Nearly whole');
  expect(withReception(reception, { lost: 12 }).recorded).toMatchObject({ state: 'partial', figures: '2 % is missing (12 of 600 packets)' });
  expect(withReception(reception, { lost: 60 }).recorded.state).toBe('missing');
  expect(withReception(reception, { state: 'one-way' }).recorded.word).toBe('No voice arrived');
});
