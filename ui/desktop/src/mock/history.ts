import type { HistoryItem, HistoryPage } from '../wire';

const STATES = ['complete', 'partial', 'missing', 'pending', 'none'];
const PAGE = 12;

export async function history(kind: string, cursor: string | undefined, now: number): Promise<HistoryPage> {
  if (kind === 'failing') throw new Error('The server cannot be reached. Your recordings are shown when it can.');
  if (kind === 'empty') return { items: [], next: null };
  const from = Number(cursor ?? 0);
  const items = Array.from({ length: PAGE }, (_, i): HistoryItem => {
    const at = from + i;
    return {
      id: `${at}`,
      startTime: new Date(now - at * 2_700_000).toISOString(),
      durationMs: at === 0 ? null : 61_000 + ((at * 137_911) % 1_400_000),
      callerPhoneNumber: `+49 30 12345${String(60 + at)}`,
      dialedPhoneNumber: '1001',
      state: at === 0 ? 'active' : 'ended',
      voice: at === 0 ? 'pending' : STATES[at % 7 === 0 ? 1 : 0]!,
      screen: at === 0 ? 'pending' : STATES[at % 5 === 0 ? 4 : at % 8 === 0 ? 2 : 0]!,
    };
  });
  return { items, next: from < 24 ? String(from + PAGE) : null };
}
