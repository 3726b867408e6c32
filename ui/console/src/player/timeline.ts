// The interaction's one timeline: every recording has its place on it. Milliseconds from the interaction's start.

import type { InteractionDetail, MediaFile, Peaks } from '../api';

export interface Segment {
  id: string;
  kind: 'voice' | 'screen';
  /** Where the media's own time 0 is. */
  zero: number;
  /** The span of it that belongs to this interaction: nothing else is shown. */
  from: number;
  to: number;
  monitor: number;
  file: MediaFile;
}

export interface Span { from: number; to: number; label: string }

const playable = (file: MediaFile) => Boolean(file.mediaUrl) && (file.durationMs ?? 0) > 0 && file.offsetMs != null;

/** What can be replayed, in time order. Screens may begin a little before the call: the timeline begins at 0 all the same. */
export function segments(detail: InteractionDetail): Segment[] {
  return detail.mediaFiles
    .filter(playable)
    .map((file) => {
      const zero = file.offsetMs ?? 0;
      const duration = file.durationMs ?? 0;
      return {
        id: file.id,
        kind: file.kind === 'voice' ? ('voice' as const) : ('screen' as const),
        zero,
        from: zero + Math.min(file.fromMs ?? 0, duration),
        to: zero + Math.min(file.toMs ?? duration, duration),
        monitor: file.monitor ?? 0,
        file,
      };
    })
    .filter((segment) => segment.to > segment.from)
    .sort((a, b) => a.from - b.from || a.id.localeCompare(b.id));
}

/** The end: of the call, or of the last voice. A screen that runs on after the call does not make the call longer. */
export function length(detail: InteractionDetail, all: Segment[]): number {
  const voice = all.filter((s) => s.kind === 'voice').map((s) => s.to);
  const ends = [detail.durationMs ?? 0, ...voice];
  const known = Math.max(...ends);
  return known > 0 ? known : Math.max(0, ...all.map((s) => s.to));
}

export const holds = (segment: Segment, at: number) => at >= segment.from && at < segment.to;

/** A screen whose first picture comes a moment after the answer, or whose last came a moment before the end, is shown. */
const NEARLY = 1500;
export const shows = (segment: Segment, at: number) => at >= segment.from - NEARLY && at < segment.to + NEARLY;

export function segmentAt(all: Segment[], kind: 'voice' | 'screen', at: number): Segment | undefined {
  return all.find((s) => s.kind === kind && holds(s, at));
}

/** Spans without voice on purpose, on the interaction's timeline. */
export function pauses(all: Segment[]): Span[] {
  return all
    .filter((s) => s.kind === 'voice')
    .flatMap((s) =>
      s.file.pauses.map((p) => ({
        from: s.zero + p.fromMs,
        to: p.toMs == null ? s.to : Math.min(s.to, s.zero + p.toMs),
        label: `Paused by ${p.by}: ${p.reason}`,
      })),
    );
}

/** Parts that follow each other directly may be this far apart. */
const SEAM = 20;

/** Moments between two parts of one voice: its recorder broke off and went on, there or elsewhere. */
export function breaks(all: Segment[]): Span[] {
  const voices = all.filter((s) => s.kind === 'voice');
  return voices.flatMap((next) => {
    const before = voices.filter((s) => s.file.capture === next.file.capture && s.from < next.from);
    const from = Math.max(...before.map((s) => s.to));
    return before.length > 0 && next.from - from > SEAM ? [{ from, to: next.from, label: 'Nothing was recorded here' }] : [];
  });
}

/** Where a voice is damaged, on the interaction's timeline. */
export function damage(segment: Segment, peaks: Peaks): Span[] {
  return (peaks.damaged ?? [])
    .map(({ fromMs, toMs }) => ({
      from: Math.max(segment.from, segment.zero + fromMs),
      to: Math.min(segment.to, segment.zero + toMs),
      label: 'Damaged: cannot be opened any more',
    }))
    .filter((span) => span.to > span.from);
}

/** Peaks of one track, resampled to one [min, max] per pixel column of the whole timeline. */
export function columns(segment: Segment, peaks: Peaks, track: number, total: number, width: number): Float32Array {
  const out = new Float32Array(width * 2);
  const values = peaks.tracks[track];
  if (!values || total <= 0) return out;
  const pairs = values.length / 2;
  for (let x = 0; x < width; x++) {
    const begin = (x / width) * total - segment.zero;
    const end = ((x + 1) / width) * total - segment.zero;
    const first = Math.max(0, Math.floor((begin / 1000) * peaks.perSecond));
    const last = Math.min(pairs, Math.max(first + 1, Math.ceil((end / 1000) * peaks.perSecond)));
    if (end <= 0) continue;
    for (let i = first; i < last; i++) {
      out[2 * x] = Math.min(out[2 * x] ?? 0, values[2 * i] ?? 0);
      out[2 * x + 1] = Math.max(out[2 * x + 1] ?? 0, values[2 * i + 1] ?? 0);
    }
  }
  return out;
}
