// The web services as this console uses them. Shapes: packaging/reference/openapi.json.

import type { components } from './api.generated';

type Schemas = components['schemas'];
export type Session = Schemas['SessionView'];
export type InteractionSummary = Schemas['InteractionSummary'];
export type InteractionDetail = Schemas['InteractionDetail'];
export type MediaFile = Schemas['MediaFile'];
export type Page = Schemas['InteractionPage'];
export type Desktops = Schemas['DesktopList'];
export type Desktop = Schemas['DesktopView'];
export type Peaks = Schemas['PeaksBody'];
export type Summary = Schemas['Summary'];
export type CallReport = Schemas['CallReport'];
export type CallRecord = Schemas['CallRecord'];
export type MostAtATime = Schemas['Peaks'];
export type Trace = Schemas['TraceView'];
export type TraceMessage = Schemas['TraceMessage'];

export type ReportQuery = Record<string, string | undefined>;

/** The address of a report; what is empty is left out. */
export function reportUrl(report: string, query: ReportQuery): string {
  const params = new URLSearchParams();
  for (const [key, value] of Object.entries(query)) if (value) params.set(key, value);
  return `/api/v2/reports/${report}?${params}`;
}

/** The signalling of a call as a file. */
export const traceTextUrl = (id: string) => `/api/v2/interactions/${encodeURIComponent(id)}/trace.txt`;

export interface Query { agent?: string; number?: string; from?: string; to?: string }

export class ApiError extends Error {
  constructor(readonly status: number, readonly code: string, message: string) {
    super(message);
  }
}

let csrfToken = '';
let onSignedOut = () => {};

/** Called once by the session: what to do when the server no longer knows us. */
export function whenSignedOut(action: () => void) {
  onSignedOut = action;
}

async function request<T>(method: string, path: string, body?: unknown): Promise<T> {
  const headers: Record<string, string> = { Accept: 'application/json' };
  if (body !== undefined) headers['Content-Type'] = 'application/json';
  if (method !== 'GET') headers['X-CSRF-Token'] = csrfToken;
  let response: Response;
  try {
    response = await fetch(path, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
  } catch {
    throw new ApiError(0, 'unreachable', 'The server cannot be reached. Check the network and try again.');
  }
  if (!response.ok) throw await failure(response, path);
  if (response.status === 204) return undefined as T;
  return (await response.json()) as T;
}

async function failure(response: Response, path: string): Promise<ApiError> {
    // The first question of a page, who is signed in, may well be answered "nobody".
  const told = (await response.json().catch(() => null)) as { error?: { code?: string; message?: string } } | null;
  if (told?.error?.code === 'not_signed_in' && !path.endsWith('/session')) onSignedOut();
  const message = told?.error?.message ?? `The server answered ${response.status}.`;
  return new ApiError(response.status, told?.error?.code ?? String(response.status), message);
}

async function opened(session: Promise<Session>): Promise<Session> {
  const value = await session;
  csrfToken = value.csrfToken;
  return value;
}

export const api = {
  session: () => opened(request<Session>('GET', '/api/v2/session')),
  signIn: (login: string, password: string) =>
    opened(request<Session>('POST', '/api/v2/session', { login, password })),
  changePassword: (current: string, next: string) =>
    request<void>('POST', '/api/v2/session/password', { current, new: next }),
  signOut: () => request<void>('DELETE', '/api/v2/session'),
  interactions: (query: Query, cursor?: string, limit = 50) => {
    const params = new URLSearchParams({ limit: String(limit) });
    for (const [key, value] of Object.entries(query)) if (value) params.set(key, value);
    if (cursor) params.set('cursor', cursor);
    return request<Page>('GET', `/api/v2/interactions?${params}`);
  },
  interaction: (id: string) => request<InteractionDetail>('GET', `/api/v2/interactions/${encodeURIComponent(id)}`),
  trace: (id: string) => request<Trace>('GET', `/api/v2/interactions/${encodeURIComponent(id)}/trace`),
  desktops: () => request<Desktops>('GET', '/api/v2/desktops'),
  summary: (query: ReportQuery) => request<Summary>('GET', reportUrl('summary', query)),
  most: (query: ReportQuery) => request<MostAtATime>('GET', reportUrl('peaks', query)),
  reportedCalls: (query: ReportQuery) => request<CallReport>('GET', reportUrl('calls', query)),
  peaks: (url: string) => request<Peaks>('GET', url),
};
