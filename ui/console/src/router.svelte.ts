// Addresses live behind `#`: `#/`, `#/interactions/<id>?t=<seconds>`. A link to a moment can be sent to a colleague.

export interface Place { path: string[]; params: URLSearchParams }

function parse(hash: string): Place {
  const [path = '', query = ''] = hash.replace(/^#\/?/, '').split('?');
  return { path: path.split('/').filter(Boolean).map(decodeURIComponent), params: new URLSearchParams(query) };
}

class Router {
  place = $state<Place>(parse(location.hash));

  constructor() {
    addEventListener('hashchange', () => (this.place = parse(location.hash)));
  }

  /** Changes the query of the current place without a new history entry. */
  setParams(params: Record<string, string | undefined>) {
    const query = new URLSearchParams();
    for (const [key, value] of Object.entries(params)) if (value) query.set(key, value);
    const text = query.toString();
    const path = this.place.path.map(encodeURIComponent).join('/');
    history.replaceState(null, '', `#/${path}${text ? `?${text}` : ''}`);
    this.place = parse(location.hash);
  }
}

export const router = new Router();
