import { expect, test } from 'vitest';
import type { InteractionDetail, MediaFile } from '../api';
import { breaks, columns, damage, length, pauses, segmentAt, segments } from './timeline';

const file = (over: Partial<MediaFile>): MediaFile => ({
  id: 'v', capture: 'c', kind: 'voice', part: 1, offsetMs: 0, durationMs: 1000, state: 'ready', mediaUrl: '/m', pauses: [], ...over,
});
const detail = (mediaFiles: MediaFile[], durationMs: number | null = null): InteractionDetail => ({
  id: 'i', startTime: '2026-01-01T00:00:00Z', durationMs, medium: 'voice', callerPhoneNumber: '', dialedPhoneNumber: '', agents: [], state: 'ended',
  voice: 'complete', screen: 'complete', recovered: false, paused: false, mediaFiles, withheld: 0, gaps: [], eventHistory: [],
});

test('only what can be replayed is on the timeline, in order', () => {
  const all = segments(detail([file({ id: 'b', offsetMs: 2000 }), file({ id: 'a' }), file({ id: 'x', mediaUrl: null })]));
  expect(all.map((s) => s.id)).toEqual(['a', 'b']);
  expect(segmentAt(all, 'voice', 1500)).toBeUndefined();
  expect(segmentAt(all, 'voice', 2000)?.id).toBe('b');
});

test('a screen that runs on does not make the call longer', () => {
  const d = detail([file({}), file({ id: 's', kind: 'screen', durationMs: 9000 })], 1200);
  expect(length(d, segments(d))).toBe(1200);
  const onlyScreen = detail([file({ id: 's', kind: 'screen', durationMs: 9000 })]);
  expect(length(onlyScreen, segments(onlyScreen))).toBe(9000);
});

test('only the span that belongs to the call is shown', () => {
  const [cut] = segments(detail([file({ kind: 'screen', offsetMs: -200, durationMs: 9000, fromMs: 300, toMs: 1200 })]));
  expect([cut!.zero, cut!.from, cut!.to]).toEqual([-200, 100, 1000]);
  expect(segments(detail([file({ kind: 'screen', durationMs: 9000, fromMs: 700, toMs: 700 })]))).toEqual([]);
  const [whole] = segments(detail([file({ fromMs: 0, toMs: 99_000 })]));
  expect(whole!.to).toBe(1000);
});

test('a pause without an end lasts to the end of its recording', () => {
  const all = segments(detail([file({ offsetMs: 100, pauses: [{ fromMs: 400, by: 'ann', reason: 'card' }] })]));
  expect(pauses(all)).toEqual([{ from: 500, to: 1100, label: 'Paused by ann: card' }]);
});

test('peaks fall on the pixels of their own time', () => {
  const [segment] = segments(detail([file({ offsetMs: 1000, durationMs: 1000 })]));
  const got = columns(segment!, { tracks: [[-0.5, 0.5, -1, 1]], perSecond: 2 }, 0, 2000, 4);
  expect([...got]).toEqual([0, 0, 0, 0, -0.5, 0.5, -1, 1]);
});

test('damage is told at its place in the call', () => {
  const [segment] = segments(detail([file({ offsetMs: 500, durationMs: 9000 })]));
  const peaks = { tracks: [], perSecond: 50, damaged: [{ fromMs: 2000, toMs: 3000 }, { fromMs: 9500, toMs: 9900 }] };
  expect(damage(segment!, peaks).map(({ from, to }) => [from, to])).toEqual([[2500, 3500]]);
  expect(damage(segment!, { tracks: [], perSecond: 50 })).toEqual([]);
});

test('the moment between two parts of one voice is shown, and not what lies between two recordings', () => {
  const part = (id: string, offsetMs: number, capture = 'c') => file({ id, offsetMs, capture });
  const shown = (files: MediaFile[]) => breaks(segments(detail(files))).map(({ from, to }) => [from, to]);
  expect(shown([part('b', 1800), part('a', 0)])).toEqual([[1000, 1800]]);
  expect(shown([part('a', 0), part('b', 1020)])).toEqual([]);
  expect(shown([part('a', 0), part('b', 5000, 'd')])).toEqual([]);
  expect(shown([part('a', 0), part('b', 900), part('c', 2500)])).toEqual([[1900, 2500]]);
});
