// What the window needs of the program around it: the shell by Tauri, or a recorder that is only played.
import type { Ask, Chosen, Settings, View } from './wire';

export interface Backend {
  watch(show: (view: View) => void): Promise<void>;
  /** Rejects with a reason for people. */
  ask(ask: Ask): Promise<unknown>;
  settings(): Promise<Settings>;
  setSettings(chosen: Chosen): Promise<void>;
  openLogs(): Promise<void>;
  /** Milliseconds since the epoch; the mock's present is that of its fixtures. */
  now(): number;
}

export async function choose(): Promise<Backend> {
  // A build for the program itself holds no mock.
  if (import.meta.env.MODE !== 'production' && !('__TAURI_INTERNALS__' in window)) {
    const { Mock } = await import('./mock/mock');
    return new Mock(new URLSearchParams(location.search));
  }
  const { Shell } = await import('./shell');
  return new Shell();
}
