// Where the bytes of a recording come from: pieces, which are in memory only.
import type { ReplayPiece } from '../wire';

/** Most bytes asked for at once (`LARGEST_PIECE` in `agent-core/wire/src/local.rs`). */
export const LARGEST_PIECE = 256 * 1024;

export interface Piece {
  /** Empty past the end. */
  bytes: Uint8Array<ArrayBuffer>;
  /** Bytes of the whole recording. */
  total: number;
}

/** Some bytes from a place on, at most so many; rejects with a reason for people. */
export type Read = (from: number, most: number) => Promise<Piece>;

export function decoded({ total, data }: ReplayPiece): Piece {
  return { total, bytes: Uint8Array.from(atob(data), (letter) => letter.charCodeAt(0)) };
}
