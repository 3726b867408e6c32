import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `HINDSIGHT_SERVER=https://localhost:8443 npm run dev` works on the interface against a running server.
const server = process.env.HINDSIGHT_SERVER ?? 'https://localhost:8443';

export default defineConfig({
  plugins: [svelte()],
  build: { target: 'es2022', sourcemap: false, assetsInlineLimit: 0 },
  server: { proxy: { '/api': { target: server, secure: false, ws: true } } },
  test: { include: ['src/**/*.test.ts'] },
});
