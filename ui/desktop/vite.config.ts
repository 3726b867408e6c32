import { svelte } from '@sveltejs/vite-plugin-svelte';
import { defineConfig } from 'vitest/config';

// `npm run dev` shows the window with a recorder that is only played (`?mock=recording`); with `cargo run -p
// hindsight-desktop` beside it, the same pages are the real window.
export default defineConfig({
  plugins: [svelte()],
  build: { target: 'es2022', sourcemap: false, assetsInlineLimit: 0 },
  server: { port: 5174, strictPort: true },
  test: { include: ['src/**/*.test.ts'] },
});
