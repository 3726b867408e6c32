// The program around the window: one command of Tauri for each.
import { Channel, invoke } from '@tauri-apps/api/core';
import type { Backend } from './backend';
import type { Ask, Chosen, Settings, View } from './wire';

export class Shell implements Backend {
  watch(show: (view: View) => void): Promise<void> {
    const views = new Channel<View>();
    views.onmessage = show;
    return invoke('watch', { views });
  }

  ask(ask: Ask): Promise<unknown> {
    return invoke('ask', { ask });
  }

  settings(): Promise<Settings> {
    return invoke('settings');
  }

  setSettings(chosen: Chosen): Promise<void> {
    return invoke('set_settings', { chosen });
  }

  openLogs(): Promise<void> {
    return invoke('open_logs');
  }

  now(): number {
    return Date.now();
  }
}
