// One thing that is asked for at a time, and how it went.

export class Doing {
  busy = $state('');
  failure = $state('');

  /** Runs it under a name; `true` when it went well. */
  async run(name: string, what: () => Promise<unknown>): Promise<boolean> {
    if (this.busy) return false;
    this.busy = name;
    this.failure = '';
    try {
      await what();
      return true;
    } catch (reason) {
      this.failure = reason instanceof Error ? reason.message : String(reason);
      return false;
    } finally {
      this.busy = '';
    }
  }
}
