import { expect, test } from 'vitest';
import fixtures from './fixtures/views.json';
import * as wire from './wire';

type Check = (value: unknown) => boolean;
/** One check for each key of a type: a key too many or too few does not compile. */
type Shape<T> = { [K in keyof Required<T>]: Check };

const text: Check = (v) => typeof v === 'string';
const number: Check = (v) => typeof v === 'number';
const truth: Check = (v) => typeof v === 'boolean';
const time: Check = (v) => typeof v === 'string' && !Number.isNaN(Date.parse(v));
const one = (of: readonly string[]): Check => (v) => of.includes(v as string);
const or = (other: unknown, check: Check): Check => (v) => v === other || check(v);
const many = (check: Check): Check => (v) => Array.isArray(v) && v.every(check);
const record: Check = (v) => typeof v === 'object' && v !== null && Object.values(v).every(text);

const shape = <T>(name: string, of: Shape<T>, optional: string[] = []): Check => (value) => {
  const found = value as Record<string, unknown>;
  const wanted = Object.entries<Check>(of);
  for (const [key, check] of wanted) {
    if (!(key in found) && optional.includes(key)) continue;
    if (!check(found[key])) throw new Error(`${name}.${key} is ${JSON.stringify(found[key])}`);
  }
  for (const key of Object.keys(found)) if (!(key in of)) throw new Error(`${name}.${key} is not in wire.ts`);
  return true;
};

const status = shape<wire.Status>('Status', {
  protocol: number, version: text, pid: number, tray: one(wire.TRAY_STATES), server: or(null, text), sso: truth, ssoFailure: or(null, text),
  link: one(wire.LINK_STATES),
  person: or(null, shape<wire.Person>('Person', { login: text, name: text, dn: text })),
  agent: shape<wire.AgentState>('AgentState', { ready: truth, reason: text, since: time }, ['reason', 'since']),
  reasons: many(text), capture: one(wire.CAPTURE_STATES),
  pause: or(null, shape<wire.Pause>('Pause', { by: text, reason: text, voiceNot: text }, ['voiceNot'])), monitors: number, backend: text,
  interactions: many(shape<wire.Interaction>('Interaction', {
    id: text, medium: one(wire.MEDIA), from: text, to: text, progress: one(wire.PROGRESS), since: time,
    voice: one(wire.RECORDING_STATES), screen: one(wire.RECORDING_STATES), calls: many(one(wire.CALL_ACTIONS)),
    holds: many(one(wire.HOLDS)), recording: many(one(wire.RECORDING_ACTIONS)), attached: record,
  }, ['attached', 'holds'])),
  spool: shape<wire.Spool>('Spool', { waiting: number, waitingBytes: number, refused: number, freeBytes: number }),
  clockOffsetMs: or(null, number),
  problems: many(shape<wire.Problem>('Problem', { kind: one(wire.PROBLEM_KINDS), detail: text, since: time })),
  ownRecordings: truth, mayQuit: truth, dataDir: text,
});

const views = fixtures.views as Record<string, { recorder: string; status?: unknown; reason?: string }>;

test.each(Object.entries(views))('the window understands what Rust sends: %s', (_, view) => {
  expect(['starting', 'down', 'running']).toContain(view.recorder);
  if (view.recorder === 'running') expect(status(view.status)).toBe(true);
  if (view.recorder === 'down') expect(text(view.reason)).toBe(true);
});

test('every state and every kind of problem has a fixture', () => {
  const seen = JSON.stringify(views);
  for (const kind of [...wire.PROBLEM_KINDS, ...wire.TRAY_STATES]) expect(seen).toContain(`"${kind}"`);
});
