import type { CallAction, CaptureState, LinkState, Medium, ProblemKind, Progress, RecordingAction, RecordingState, TrayState } from '../wire';

const problems: Record<ProblemKind, [title: string, advice: string]> = {
  link: ['No connection to the server', 'Recordings are kept on this computer and sent when the connection is back. Check the network or the VPN.'],
  refused: ['The server refuses this computer', 'Sign in again. If that does not help, tell your IT.'],
  capture: ['The screen cannot be recorded', 'Tell your IT what it says below. Voice is recorded all the same.'],
  'disk-low': ['Little disk space is left', 'Free some space on this computer, or tell your IT. Recording goes on.'],
  'disk-full': ['No disk space for recordings', 'New screen recordings are not possible until space is freed. Tell your IT now.'],
  'upload-refused': ['The server refused a recording', 'It is kept on this computer. Tell your IT.'],
  'upload-backlog': ['Recordings are waiting to be sent', 'Leave this computer on and connected until they are sent.'],
  clock: ['The clock of this computer is wrong', 'Tell your IT: screen recordings would not line up with the call.'],
  'key-store': ["The system's key store is not available", 'You may have to sign in again at each start. Recording goes on.'],
  restarted: ['The recorder was restarted', 'It had ended unexpectedly. Recording goes on; nothing has to be done.'],
  other: ['There is a problem', 'Tell your IT what it says below.'],
};
const tray: Record<TrayState, string> = {
  idle: 'Not recording', recording: 'Recording', paused: 'Recording paused', uploading: 'Sending recordings', problem: 'Problem',
};
const recordingState: Record<RecordingState, string> = {
  off: 'not recorded', recording: 'recording', paused: 'paused', failed: 'failed',
};
const progress: Record<Progress, string> = { ringing: 'Ringing', established: 'In progress', held: 'On hold', ended: 'Ended' };
const medium: Record<Medium, string> = { voice: 'Call', chat: 'Chat', email: 'E-mail', 'work-item': 'Work item' };
const call: Record<CallAction, string> = { answer: 'Answer', hold: 'Hold', retrieve: 'Take back', 'hang-up': 'Hang up' };
const recording: Record<RecordingAction, string> = {
  start: 'Start recording', pause: 'Pause recording', resume: 'Resume recording', stop: 'Stop recording',
};
const link: Record<LinkState, string> = {
  'not-enrolled': 'Not enrolled', connecting: 'Connecting…', up: 'Connected', down: 'Not connected; tried again',
};
const capture: Record<CaptureState, string> = {
  idle: 'Ready to record', recording: 'Recording', paused: 'Paused', failed: 'Failed; tried again',
};

export const en = {
  pages: { workspace: 'Workspace', history: 'History', health: 'Health', settings: 'Settings' },
  skip: 'Skip to content', navigation: 'Pages', tryAgain: 'Try again', busy: 'One moment…',
  tray, recordingState, progress, medium, call, recording, link, capture, problems,
  starting: { title: 'Starting…', text: 'The recorder is being started.' },
  down: { title: 'The recorder cannot be started', text: 'It is tried again by itself. If this stays, tell your IT:' },
  signIn: {
    title: 'Sign in', login: 'User name', password: 'Password', dn: 'Phone number of your seat',
    dnHint: 'Only when you sit at a phone that is not your own.', go: 'Sign in', sso: 'Sign in with your company account',
    ssoBegun: 'Go on in your browser; this window follows by itself.', or: 'or',
    wrong: 'The user name or the password is wrong.',
    seat: 'At another phone?', offline: 'The server cannot be reached. Signing in works again when it can.',
  },
  enrol: {
    title: 'Connect this computer', text: 'This is done once. Your administrator has given you an enrolment string.',
    string: 'Enrolment string (begins with “hindsight:1:”)', go: 'Connect',
  },
  agent: {
    title: 'Your state', ready: 'Ready', notReady: 'Not ready', reason: 'Reason', none: 'No reason', because: 'Not ready because…', signOut: 'Sign out', at: 'at',
    for: 'for',
  },
  interactions: {
    title: 'Current interactions', none: 'Nothing at the moment.', noneText: 'Calls, chats and other work appear here by themselves.',
    from: 'From', to: 'To', voice: 'Voice', screen: 'Screen', controls: 'Call', recordingControls: 'Recording',
    transfer: {
      open: 'Transfer…', to: 'Number to transfer to', go: 'Transfer', close: 'Close', calling: (number: string) => `Calling ${number}…`,
      hint: 'You stay in the call until somebody answers there.',
    },
    pauseHint: 'Pausing stops voice and screen together.',
    holds: {
      agent: 'You put the call on hold.', 'agents-phone': 'You put the call on hold at your phone: take it back there.',
      'other-party': 'The other party put the call on hold.', unknown: '',
    },
  },
  pause: {
    both: 'Neither voice nor screen is being recorded.', byRule: 'A rule asked for it:',
    voiceNot: 'The screen is paused, but the voice is still being recorded.',
  },
  history: {
    title: 'Your recordings', started: 'Started', number: 'Number', length: 'Length', voice: 'Voice', screen: 'Screen', more: 'Show more',
    none: 'No recordings yet.', loading: 'Loading…', running: 'running',
    states: { complete: 'Complete', partial: 'Incomplete', missing: 'Missing', pending: 'Arriving', none: 'Not recorded' } as Record<string, string>,
    shut: 'Your role does not include seeing your own recordings.', play: 'Play', opening: 'Opening the recording…',
  },
  player: {
    play: 'Play', pause: 'Pause', close: 'Close', position: 'Position', loading: 'Loading…', noVoice: 'The voice cannot be played:',
    noSound: 'This computer plays no sound: connect headphones or speakers, then play again.',
    noScreen: 'The screen cannot be shown:', screen: (n: number) => `Screen ${n}`,
    noDecoder: 'This computer cannot show recorded screens. They can be seen in the console.',
  },
  health: {
    title: 'Health', well: 'Everything works.', problems: 'Problems', since: 'since', detail: 'Says:',
    parts: 'Parts', connection: 'Connection', server: 'Server', screens: 'Screens', monitors: (n: number) => (n === 1 ? '1 monitor' : `${n} monitors`),
    spool: 'Waiting to be sent', nothing: 'Nothing', recordings: (n: number) => (n === 1 ? '1 recording' : `${n} recordings`),
    refused: 'Refused by the server, kept here', disk: 'Free disk space', clock: 'Clock',
    clockUnknown: 'Not measured yet', clockRight: 'Right', ahead: (s: string) => `${s} s fast`, behind: (s: string) => `${s} s slow`,
    recorder: 'Recorder', version: (v: string, pid: number) => `version ${v}, process ${pid}`, logs: 'Show the log folder', backend: 'captured by',
    more: 'More on the Health page',
  },
  settings: {
    title: 'Settings', language: 'Language', languages: { session: 'As the system', en: 'English', de: 'Deutsch' },
    theme: 'Appearance', themes: { system: 'As the system', light: 'Light', dark: 'Dark' },
    autostart: 'Start when you log in', autostartText: 'Without it, screens are recorded only after you have started Hindsight yourself.',
    about: 'About', version: 'Version', quit: 'Quit Hindsight', quitText: 'Waits until nothing is being recorded. Until you start it again, no screen is recorded.',
  },
};
