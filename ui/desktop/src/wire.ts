// The messages of the shell, as `agent-core/wire` and `src-tauri` write them. `fixtures.test.ts` holds them against
// what Rust really sends.

export const TRAY_STATES = ['idle', 'recording', 'paused', 'uploading', 'problem'] as const;
export const LINK_STATES = ['not-enrolled', 'connecting', 'up', 'down'] as const;
export const CAPTURE_STATES = ['idle', 'recording', 'paused', 'failed'] as const;
export const RECORDING_STATES = ['off', 'recording', 'paused', 'failed'] as const;
export const MEDIA = ['voice', 'chat', 'email', 'work-item'] as const;
export const PROGRESS = ['ringing', 'established', 'held', 'ended'] as const;
export const CALL_ACTIONS = ['answer', 'hold', 'retrieve', 'hang-up'] as const;
export const HOLDS = ['agent', 'agents-phone', 'other-party', 'unknown'] as const;
export const RECORDING_ACTIONS = ['start', 'pause', 'resume', 'stop'] as const;
export const PROBLEM_KINDS = [
  'link', 'refused', 'capture', 'disk-low', 'disk-full', 'upload-refused', 'upload-backlog', 'clock', 'key-store',
  'restarted', 'other',
] as const;

export type TrayState = (typeof TRAY_STATES)[number];
export type LinkState = (typeof LINK_STATES)[number];
export type CaptureState = (typeof CAPTURE_STATES)[number];
export type RecordingState = (typeof RECORDING_STATES)[number];
export type Medium = (typeof MEDIA)[number];
export type Progress = (typeof PROGRESS)[number];
export type CallAction = (typeof CALL_ACTIONS)[number];
export type Hold = (typeof HOLDS)[number];
export type RecordingAction = (typeof RECORDING_ACTIONS)[number];
export type ProblemKind = (typeof PROBLEM_KINDS)[number];

export interface AgentState { ready: boolean; reason?: string; since?: string }
export interface Person { login: string; name: string; dn: string }
export interface Problem { kind: ProblemKind; detail: string; since: string }
export interface Spool { waiting: number; waitingBytes: number; refused: number; freeBytes: number }

/** `by`: a login, `rule` or `system`; `voiceNot`: why the voice is not paused too. */
export interface Pause { by: string; reason: string; voiceNot?: string }

export interface Interaction {
  id: string;
  medium: Medium;
  from: string;
  to: string;
  progress: Progress;
  since: string;
  voice: RecordingState;
  screen: RecordingState;
  calls: CallAction[];
  holds?: Hold[];
  recording: RecordingAction[];
  attached?: Record<string, string>;
}

export interface Status {
  protocol: number;
  version: string;
  pid: number;
  tray: TrayState;
  server: string | null;
  sso: boolean;
  ssoFailure: string | null;
  link: LinkState;
  person: Person | null;
  agent: AgentState;
  reasons: string[];
  capture: CaptureState;
  pause: Pause | null;
  monitors: number;
  backend: string;
  interactions: Interaction[];
  spool: Spool;
  clockOffsetMs: number | null;
  problems: Problem[];
  ownRecordings: boolean;
  mayQuit: boolean;
  dataDir: string;
}

export type View =
  | { recorder: 'starting' }
  | { recorder: 'down'; reason: string }
  | { recorder: 'running'; status: Status };

export type Ask =
  | { do: 'sign-in'; login: string; password: string; dn?: string }
  | { do: 'begin-sso'; dn?: string }
  | { do: 'sign-out' }
  | { do: 'enrol'; string: string }
  | { do: 'agent'; ask: 'state'; ready: boolean; reason?: string }
  | { do: 'agent'; ask: 'call'; interaction: string; action: CallAction }
  | { do: 'agent'; ask: 'transfer'; interaction: string; to: string }
  | { do: 'agent'; ask: 'recording'; interaction: string; action: RecordingAction; reason: string }
  | { do: 'history'; cursor?: string }
  | { do: 'play'; interaction: string }
  | { do: 'piece'; recording: string; from: number; most: number }
  | { do: 'quit'; now: boolean };

export type Language = 'en' | 'de';
export type Theme = 'system' | 'light' | 'dark';
export interface Settings {
  language: Language | null;
  sessionLanguage: Language;
  theme: Theme;
  autostart: boolean;
  version: string;
}
export interface Chosen { language: Language | null; theme: Theme; autostart: boolean }

/** A page of the agent's own recordings, as the REST API gives it. */
export interface HistoryItem {
  id: string;
  startTime: string;
  durationMs: number | null;
  callerPhoneNumber: string;
  dialedPhoneNumber: string;
  state: string;
  voice: string;
  screen: string;
}
export interface HistoryPage { items: HistoryItem[]; next?: string | null }

/** What there is to replay of an interaction; times in milliseconds, as `agent-core/wire/src/local.rs` says. */
export interface ReplayFile { id: string; kind: string; offsetMs: number; fromMs: number; toMs: number | null }
export interface Replay { files: ReplayFile[] }
/** `data`: base64. */
export interface ReplayPiece { total: number; data: string }
