import { describe, expect, it } from 'vitest';
import type { Trace, TraceMessage } from '../api';
import { ladder, missing, since, span } from './ladder';

const message = (number: number, peer: [string, string, string], sent: boolean, summary: string, more: Partial<TraceMessage> = {}): TraceMessage => ({
  number, at: '2026-01-01T00:00:00Z', offsetUs: number * 1000, sent, local: '192.0.2.1:5060', transport: 'UDP', summary, cseq: '1 INVITE', cut: false, text: summary,
  peer: { kind: peer[0], name: peer[1], address: peer[2] }, ...more,
});
const caller: [string, string, string] = ['phone', '2001', '192.0.2.7:5060'];
const callee: [string, string, string] = ['phone', '1001', '192.0.2.8:5060'];
const media: [string, string, string] = ['media-server', '', '192.0.2.9:5070'];
const trace = (...messages: TraceMessage[]): Trace => ({ messages, notKept: 0, probes: 0, overlooked: 0 });

describe('a ladder', () => {
  it('has the caller, the SIP server, the other phones and the media server side by side', () => {
    const { parties, steps } = ladder(trace(
      message(1, caller, false, 'INVITE'),
      message(2, media, true, 'INVITE'),
      message(3, ['media-server', '', '192.0.2.9:40123'], false, '200 OK', { status: 200 }),
      message(4, callee, true, 'INVITE'),
      message(5, callee, false, '486 Busy Here', { status: 486 }),
    ));
    expect(parties.map((party) => party.name)).toEqual(['Phone 2001', 'SIP server', 'Phone 1001', 'Media server']);
    expect(parties[1]?.address).toBe('192.0.2.1:5060');
    expect(steps.map((step) => [step.from, step.to])).toEqual([[0, 1], [1, 3], [3, 1], [1, 2], [2, 1]]);
    expect(steps.map((step) => step.failed)).toEqual([false, false, false, false, true]);
    expect(steps[4]?.route).toBe(', failed, Phone 1001 to SIP server');
  });

  it('tells two phones of one number apart', () => {
    const { parties, steps } = ladder(trace(
      message(1, callee, true, 'INVITE'),
      message(2, ['phone', '1001', '192.0.2.10:5060'], true, 'INVITE'),
      message(3, callee, true, 'INVITE', { repeats: 1 }),
    ));
    expect(parties.map((party) => party.address)).toEqual(['192.0.2.8:5060', '192.0.2.1:5060', '192.0.2.10:5060']);
    expect(steps.map((step) => step.to)).toEqual([0, 2, 0]);
  });

  it('of nothing is nothing but the SIP server', () => {
    expect(ladder(trace())).toEqual({ parties: [{ key: 'server', name: 'SIP server', address: '' }], steps: [] });
  });
});

it('arrows go from the middle of a column to the middle of another', () => {
  expect(span(0, 1, 4)).toEqual({ left: 12.5, width: 25 });
  expect(span(3, 1, 4)).toEqual({ left: 37.5, width: 50 });
});

it('times have thousandths of a second', () => {
  expect([0, 1234, 1_234_567].map(since)).toEqual(['0.000', '0.001', '1.235']);
});

it('what is missing is told', () => {
  expect(missing(trace())).toEqual([]);
  expect(missing({ ...trace(), notKept: 1, overlooked: 3 })).toEqual([
    'One message not kept: there were too many.',
    'The SIP server was too busy to look at 3 messages, of this or other calls.',
  ]);
});
