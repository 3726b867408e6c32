// A recorder that is only played: the whole window with no server and no program around it.
//   ?mock=recording         begins with this fixture; `?mock=…&lang=de&history=empty|failing|full&replay=full|failing|broken|loading`
import type { Backend } from '../backend';
import fixtures from '../fixtures/views.json';
import type { Ask, Chosen, Interaction, Language, Settings, Status, View } from '../wire';
import { history } from './history';
import { piece, play } from './replay';

const NOW = Date.parse(fixtures.now);
const views = fixtures.views as unknown as Record<string, View>;

export class Mock implements Backend {
  private view: View;
  private show: (view: View) => void = () => {};
  private readonly begun = Date.now();
  private chosen: Chosen;

  constructor(private readonly asked: URLSearchParams) {
    this.view = structuredClone(views[asked.get('mock') || 'idle'] ?? views['idle']!);
    this.chosen = { language: (asked.get('lang') as Language) || null, theme: 'system', autostart: true };
  }

  now(): number {
    return NOW + (this.asked.has('still') ? 0 : Date.now() - this.begun);
  }

  async watch(show: (view: View) => void) {
    this.show = show;
    show(this.view);
  }

  async settings(): Promise<Settings> {
    return { ...this.chosen, sessionLanguage: 'en', version: '0.1.0' };
  }

  async setSettings(chosen: Chosen) {
    this.chosen = chosen;
  }

  async openLogs() {}

  async ask(ask: Ask): Promise<unknown> {
    const status = this.view.recorder === 'running' ? this.view.status : null;
    if (!status) throw new Error('the recorder is not running');
    switch (ask.do) {
      case 'sign-in':
        if (ask.password === 'wrong') throw new Error('the sign-in was refused: 401 {"error":{"code":"wrong_credentials"}}');
        return this.become('idle');
      case 'enrol':
        if (!ask.string.startsWith('hindsight:1:')) throw new Error('This is not an enrolment string: it must begin with "hindsight:1:".');
        return this.become('signed-out');
      case 'sign-out':
        return this.become('signed-out');
      case 'begin-sso':
        setTimeout(() => this.become('idle'), 3000);
        return null;
      case 'history':
        return history(this.asked.get('history') ?? 'full', ask.cursor, NOW);
      case 'play':
        return play(this.asked.get('replay') ?? 'full');
      case 'piece':
        return piece(ask.recording, ask.from, ask.most);
      case 'agent':
        return this.change((next) => act(next, ask, new Date(this.now()).toISOString()));
      case 'quit':
        return null;
    }
  }

  private become(name: string) {
    this.view = structuredClone(views[name]!);
    this.show(this.view);
  }

  private change(how: (status: Status) => void) {
    if (this.view.recorder !== 'running') return;
    const status = structuredClone(this.view.status);
    how(status);
    this.view = { recorder: 'running', status };
    this.show(this.view);
  }
}

function act(status: Status, ask: Extract<Ask, { do: 'agent' }>, now: string) {
  if (ask.ask === 'state') {
    status.agent = { ready: ask.ready, since: now, ...(ask.reason ? { reason: ask.reason } : {}) };
    return;
  }
  const interaction = status.interactions.find((one) => one.id === ask.interaction);
  if (!interaction) throw new Error('This interaction is over.');
  if (ask.ask === 'transfer') {
    if (ask.to === '999') throw new Error('Nobody is there: 404 Not Found.');
    status.interactions = status.interactions.filter((one) => one !== interaction);
  } else if (ask.ask === 'call') call(status, interaction, ask.action, now);
  else record(interaction, ask.action);
  const states = status.interactions.flatMap((one) => [one.voice, one.screen]);
  status.tray = states.includes('paused') ? 'paused' : states.includes('recording') ? 'recording' : 'idle';
  status.capture = status.tray === 'paused' || status.tray === 'recording' ? status.tray : 'idle';
}

function call(status: Status, interaction: Interaction, action: string, now: string) {
  if (action === 'hang-up') {
    status.interactions = status.interactions.filter((one) => one !== interaction);
    return;
  }
  if (action === 'answer') record(interaction, 'start');
  interaction.progress = action === 'hold' ? 'held' : 'established';
  interaction.calls = [action === 'hold' ? 'retrieve' : 'hold', 'hang-up'];
  interaction.holds = action === 'hold' ? ['agent'] : [];
  interaction.since = now;
}

function record(interaction: Interaction, action: string) {
  const state = action === 'pause' ? 'paused' : action === 'stop' ? 'off' : 'recording';
  interaction.screen = state;
  if (interaction.medium === 'voice') interaction.voice = state;
  interaction.recording = state === 'paused' ? ['resume'] : state === 'off' ? ['start'] : ['pause'];
}
