// Spans of days in the site's time zone, and how their parts are called.

export interface Span { from: string; to: string }

/** The day it is in a time zone, as `2026-11-23`. */
export function today(zone: string | undefined, now = new Date()): string {
  const parts = new Intl.DateTimeFormat('en-CA', { timeZone: zone, year: 'numeric', month: '2-digit', day: '2-digit' });
  return parts.format(now);
}

/** A day so many days later. */
export function plusDays(day: string, days: number): string {
  const at = new Date(`${day}T00:00:00Z`);
  at.setUTCDate(at.getUTCDate() + days);
  return at.toISOString().slice(0, 10);
}

/** How many days a span has, both ends included. */
export function days({ from, to }: Span): number {
  return Math.round((Date.parse(`${to}T00:00:00Z`) - Date.parse(`${from}T00:00:00Z`)) / 86_400_000) + 1;
}

const ofDay = new Intl.DateTimeFormat(undefined, { weekday: 'short', day: '2-digit', month: 'short', timeZone: 'UTC' });

/** A part's start as the server says it (`2026-11-23T10:00:00+01:00`), for people. */
export function part(start: string, per: string, manyDays: boolean, twice = false): string {
  const day = ofDay.format(new Date(`${start.slice(0, 10)}T00:00:00Z`));
  if (per === 'day') return day;
  const time = start.slice(11, 16) + (twice ? ` (UTC${start.slice(19)})` : '');
  return manyDays ? `${day}, ${time}` : time;
}

/** The parts that have begun: what is still to come has no figures. */
export function begun<Row extends { start: string }>(rows: Row[], now = Date.now()): Row[] {
  return rows.filter((row) => Date.parse(row.start) <= now);
}

/** Starts whose hour the clocks show twice: only the offset tells them apart. */
export function repeated(starts: string[]): Set<string> {
  const seen = new Map<string, string>();
  const twice = new Set<string>();
  for (const start of new Set(starts)) {
    const before = seen.get(start.slice(0, 19));
    if (before) twice.add(before).add(start);
    seen.set(start.slice(0, 19), start);
  }
  return twice;
}
