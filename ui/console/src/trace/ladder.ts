// A call's signalling as a ladder: who is in which column, which way each arrow goes, what it is called. Pure.

import type { Trace, TraceMessage } from '../api';

export interface Party {
  key: string;
  /** For people: `Phone 2001`, `SIP server`, `Media server`. */
  name: string;
  address: string;
}

export interface Step {
  message: TraceMessage;
  /** Columns, from 0. */
  from: number;
  to: number;
  /** A refusal or a failure: 4xx to 6xx. */
  failed: boolean;
  /** What the arrow shows, for who does not see it. */
  route: string;
}

export interface Ladder {
  parties: Party[];
  steps: Step[];
}

const SERVER = 'server';

const keyOf = (message: TraceMessage) =>
  // The resource manager's connections have ports of their own; it is one party all the same.
  message.peer.kind === 'media-server' ? 'media-server' : `phone ${message.peer.name} ${message.peer.address}`;

/** The first phone, the SIP server, the other phones as they come, the media server. */
export function ladder(trace: Trace): Ladder {
  const phones = new Map<string, Party>();
  let media: Party | undefined;
  let local = '';
  for (const message of trace.messages) {
    local ||= message.local;
    const { kind, name, address } = message.peer;
    if (kind === 'media-server') media ??= { key: keyOf(message), name: 'Media server', address };
    else if (!phones.has(keyOf(message))) phones.set(keyOf(message), { key: keyOf(message), name: name ? `Phone ${name}` : 'Phone', address });
  }
  const [first, ...others] = phones.values();
  const server: Party = { key: SERVER, name: 'SIP server', address: local };
  const parties = [...(first ? [first] : []), server, ...others, ...(media ? [media] : [])];
  const column = new Map(parties.map((party, at) => [party.key, at]));
  const steps = trace.messages.map((message): Step => {
    const [here, there] = [column.get(SERVER) ?? 0, column.get(keyOf(message)) ?? 0];
    const [from, to] = message.sent ? [here, there] : [there, here];
    const failed = (message.status ?? 0) >= 400;
    const route = `${failed ? ', failed' : ''}, ${parties[from]?.name} to ${parties[to]?.name}`;
    return { message, from, to, failed, route };
  });
  return { parties, steps };
}

/** Microseconds as seconds with three places: 1_234_567 → "1.235". */
export const since = (us: number) => (us / 1_000_000).toFixed(3);

/** Where an arrow between two of so many columns is, in per cent of the lanes' width. */
export function span(from: number, to: number, columns: number): { left: number; width: number } {
  const centre = (column: number) => ((column + 0.5) / columns) * 100;
  return { left: Math.min(centre(from), centre(to)), width: Math.abs(centre(from) - centre(to)) };
}

/** What is missing, in words; nothing when nothing is. */
export function missing(trace: Trace): string[] {
  const count = (n: number, one: string, many: string) => (n === 1 ? `One ${one}` : `${n} ${many}`);
  const told: string[] = [];
  if (trace.notKept > 0) told.push(`${count(trace.notKept, 'message', 'messages')} not kept: there were too many.`);
  if (trace.overlooked > 0)
    told.push(`The SIP server was too busy to look at ${count(trace.overlooked, 'message', 'messages').toLowerCase()}, of this or other calls.`);
  return told;
}
