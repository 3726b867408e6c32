// Everything the pages show, in one place that they watch.
import type { Backend } from './backend';
import type { Ask, Chosen, Settings, Status, View } from './wire';
import { words, type Words } from './words/words';

const PAGES = ['workspace', 'history', 'health', 'settings'] as const;
export type Page = (typeof PAGES)[number];

export class Desktop {
  view = $state.raw<View>({ recorder: 'starting' });
  settings = $state.raw<Settings>({ language: null, sessionLanguage: 'en', theme: 'system', autostart: true, version: '' });
  now = $state(Date.now());
  page = $state<Page>(pageOf(location.hash));

  constructor(private readonly backend: Backend) {}

  async start() {
    this.now = this.backend.now();
    addEventListener('hashchange', () => (this.page = pageOf(location.hash)));
    setInterval(() => (this.now = this.backend.now()), 1000);
    this.settings = await this.backend.settings();
    this.dress();
    await this.backend.watch((view) => (this.view = view));
  }

  get status(): Status | null {
    return this.view.recorder === 'running' ? this.view.status : null;
  }

  get language() {
    return this.settings.language ?? this.settings.sessionLanguage;
  }

  get words(): Words {
    return words[this.language];
  }

  /** Milliseconds since a time of the server's clock. */
  since(at: string): number {
    return Math.max(0, this.now - (this.status?.clockOffsetMs ?? 0) - Date.parse(at));
  }

  go(page: Page) {
    location.hash = `#/${page}`;
  }

  ask(ask: Ask): Promise<unknown> {
    return this.backend.ask(ask);
  }

  openLogs(): Promise<void> {
    return this.backend.openLogs();
  }

  async choose(change: Partial<Chosen>) {
    const { language, theme, autostart } = this.settings;
    await this.backend.setSettings({ language, theme, autostart, ...change });
    this.settings = await this.backend.settings();
    this.dress();
  }

  private dress() {
    document.documentElement.lang = this.language;
    document.documentElement.dataset.theme = this.settings.theme;
  }
}

function pageOf(hash: string): Page {
  const name = hash.replace(/^#\//, '');
  return PAGES.find((page) => page === name) ?? 'workspace';
}
