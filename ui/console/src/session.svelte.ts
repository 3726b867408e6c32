// Who is signed in.

import { ApiError, api, whenSignedOut, type Session } from './api';

type State =
  | { is: 'loading' }
  | { is: 'out'; notice?: string }
  | { is: 'in'; session: Session }
  | { is: 'unreachable'; message: string };

class Current {
  state = $state<State>({ is: 'loading' });

  constructor() {
    whenSignedOut(() => (this.state = { is: 'out', notice: 'Your session has ended. Please sign in again.' }));
  }

  async load() {
    this.state = { is: 'loading' };
    try {
      this.state = { is: 'in', session: await api.session() };
    } catch (error) {
      const signedOut = error instanceof ApiError && error.status === 401;
      this.state = signedOut ? { is: 'out' } : { is: 'unreachable', message: String((error as Error).message) };
    }
  }

  async signIn(login: string, password: string) {
    this.state = { is: 'in', session: await api.signIn(login, password) };
  }

  async signOut() {
    await api.signOut().catch(() => undefined);
    this.state = { is: 'out', notice: 'You are signed out.' };
  }
}

export const current = new Current();
