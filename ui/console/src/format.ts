// How times, lengths and states are written for people.

const dateTime = new Intl.DateTimeFormat(undefined, {
  year: 'numeric', month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit', second: '2-digit',
});

export const when = (iso: string) => dateTime.format(new Date(iso));

const timeOfDay = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const dayAndTime = new Intl.DateTimeFormat(undefined, { month: 'short', day: '2-digit', hour: '2-digit', minute: '2-digit' });

/** Without what goes without saying: the date only when it is not today's. */
export function lately(iso: string, now = new Date()): string {
  const at = new Date(iso);
  return (at.toDateString() === now.toDateString() ? timeOfDay : dayAndTime).format(at);
}

/** 65_432 → "1:05", from an hour on "1:00:05". */
export function clock(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const two = (n: number) => String(n).padStart(2, '0');
  const [h, m, s] = [Math.floor(seconds / 3600), Math.floor(seconds / 60) % 60, seconds % 60];
  return h > 0 ? `${h}:${two(m)}:${two(s)}` : `${m}:${two(s)}`;
}

/** The same for a screen reader. */
export function spoken(ms: number): string {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  const part = (n: number, unit: string) => (n > 0 ? [`${n} ${unit}${n === 1 ? '' : 's'}`] : []);
  const parts = [
    ...part(Math.floor(seconds / 3600), 'hour'),
    ...part(Math.floor(seconds / 60) % 60, 'minute'),
    ...part(seconds % 60, 'second'),
  ];
  return parts.length > 0 ? parts.join(' ') : '0 seconds';
}

/** How whole a kind of recording is: its sign and its word. */
export const completeness: Record<string, [sign: string, word: string]> = {
  complete: ['●', 'Complete'],
  partial: ['◐', 'Incomplete'],
  missing: ['○', 'Missing'],
  pending: ['◌', 'Arriving'],
  none: ['–', 'Not recorded'],
};

const media: Record<string, string> = { voice: 'call', chat: 'chat', email: 'e-mail', 'work-item': 'work item' };
export const medium = (kind: string) => media[kind] ?? kind;

/** 1_536 → "1.5 kB"; powers of a thousand, as disks and networks count. */
export function bytes(count: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  let unit = 0;
  while (count >= 999.5 && unit < units.length - 1) {
    count /= 1000;
    unit += 1;
  }
  return `${count < 9.95 && unit > 0 ? count.toFixed(1) : Math.round(count)} ${units[unit]}`;
}

/** A local date-time field's value as RFC 3339, or nothing. */
export function toUtc(local: string): string | undefined {
  const at = new Date(local);
  return local && !Number.isNaN(at.getTime()) ? at.toISOString() : undefined;
}
