// How good the sound of a call was, in words for those who listen to it.

import type { MediaFile } from './api';
import { clock } from './format';

type Quality = NonNullable<MediaFile['quality']>[number];
type Reception = NonNullable<Quality['reception']>;

/** A verdict: its class (as of a recording's state), its sign and word, and the figures behind it. */
export interface Verdict { state: string; sign: string; word: string; figures: string }
/** A party's phone: its voice as recorded, and what it reported of the other's. */
export interface Line { key: string; who: string; recorded: Verdict; heard?: Verdict }

const good = (word: string, figures: string): Verdict => ({ state: 'complete', sign: '●', word, figures });
const fair = (word: string, figures: string): Verdict => ({ state: 'partial', sign: '◐', word, figures });
const bad = (word: string, figures: string): Verdict => ({ state: 'missing', sign: '○', word, figures });

const percent = (share: number) => `${share.toLocaleString(undefined, { maximumFractionDigits: 1 })} %`;

function recorded({ expected, lost, late, state }: Quality): Verdict {
  if (state !== 'ok') return bad('No voice arrived', '');
  const missing = lost + late;
  if (missing === 0) return good('Whole', 'nothing is missing');
  const share = (100 * missing) / Math.max(expected, 1);
  const figures = `${percent(Math.max(share, 0.1))} is missing (${missing} of ${expected} packets)`;
  return share < 1 ? good('Nearly whole', figures) : share < 5 ? fair('With gaps', figures) : bad('With many gaps', figures);
}

// Where people begin to notice: ITU-T G.114 (150 ms one way, 400 ms at most), G.1050 for loss and jitter.
function heard({ lost, last, worst }: Reception): Verdict {
  const trip = worst.roundTripMs ?? 0;
  const parts = [
    lost > 0 || worst.lossPercent > 0
      ? `${percent(worst.lossPercent)} of the other voice lost at worst, ${percent(last.lossPercent)} at the end`
      : 'nothing of the other voice lost',
    `uneven by up to ${worst.jitterMs} ms`,
    ...(worst.roundTripMs == null ? [] : [`line delay up to ${trip} ms there and back`]),
  ];
  const figures = parts.join('; ');
  if (worst.lossPercent < 1 && worst.jitterMs < 30 && trip < 300) return good('Clear', figures);
  if (worst.lossPercent < 5 && worst.jitterMs < 60 && trip < 500) return fair('At times not quite clear', figures);
  return bad('At times hard to understand', figures);
}

/** A line for each party of each voice recording of which figures are known. */
export function lines(files: MediaFile[]): Line[] {
  const voices = files.filter((file) => file.kind === 'voice' && file.quality?.length);
  return voices.flatMap((file) =>
    (file.quality ?? []).map((quality) => {
      const track = file.tracks?.[quality.track - 1];
      const party = track?.party === 'customer' ? 'Customer' : 'Agent';
      const from = voices.length > 1 ? `, from ${clock(file.offsetMs ?? 0)}` : '';
      return {
        key: `${file.id} ${quality.track}`,
        who: `${party}${track?.number ? ` ${track.number}` : ''}${from}`,
        recorded: recorded(quality),
        heard: quality.reception ? heard(quality.reception) : undefined,
      };
    }),
  );
}
