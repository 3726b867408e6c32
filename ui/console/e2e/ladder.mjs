// Looks at one call's signalling in Chromium as an administrator would, and prints what was seen as one line of JSON.
//   node e2e/ladder.mjs '{"url":…,"spki":…,"login":…,"password":…,"id":…,"shots":DIR}'
// `spki`: base64 SHA-256 of the server's public key; no other unknown certificate is accepted.
import { createRequire } from 'node:module';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { chromium } from 'playwright-core';

const asked = JSON.parse(process.argv[2]);
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const profile = mkdtempSync(join(tmpdir(), 'hindsight-chromium-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  viewport: { width: 1280, height: 900 },
  // Our own pages allow no foreign script: axe is brought in by the browser, not by the page.
  bypassCSP: true,
  args: [
    '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync', `--ignore-certificate-errors-spki-list=${asked.spki}`,
  ],
});

const seen = { faults: [] };
const page = context.pages()[0] ?? (await context.newPage());
page.on('pageerror', (error) => seen.faults.push(String(error)));

async function look(name) {
  await page.evaluate(axeSource);
  for (const [width, height, scheme] of [[1280, 900, 'light'], [1280, 900, 'dark'], [390, 844, 'light'], [390, 844, 'dark']]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    for (const fault of result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
      seen.faults.push(`${name} ${width} ${scheme}: ${fault.id}: ${fault.nodes.map((node) => node.html).join(' ; ').slice(0, 300)}`);
    }
    // Nothing is cut off: the page scrolls down, never sideways.
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (beyond > 0) seen.faults.push(`${name} ${width}: ${beyond} pixels too wide`);
    if (asked.shots) await page.locator('.signalling').screenshot({ path: join(asked.shots, `${name}-${width}-${scheme}.png`) });
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

const show = page.getByRole('button', { name: 'Show the SIP messages' });
const rows = page.locator('.ladder button.rung');
const traces = '**/api/v2/interactions/*/trace';

async function open() {
  await page.goto('about:blank');
  await page.goto(`${asked.url}/#/interactions/${asked.id}`);
  await show.waitFor();
}

try {
  await page.goto(asked.url);
  await page.getByLabel('User name').fill(asked.login);
  await page.getByLabel('Password').fill(asked.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('tbody tr a').first().click();
  await show.waitFor();
  asked.id = new URL(page.url()).hash.split('/').pop().split('?')[0];
  await look('ladder-closed');

  // By keyboard alone.
  await show.focus();
  await page.keyboard.press('Enter');
  await rows.first().waitFor();
  seen.parties = await page.locator('.parties strong').allInnerTexts();
  seen.steps = await rows.evaluateAll((all) => all.map((row) => row.textContent.replace(/\s+/g, ' ').trim()));
  seen.failed = await page.locator('.rung.failed').count();
  await look('ladder');
  await rows.first().focus();
  await page.keyboard.press('ArrowDown');
  if ((await page.evaluate(() => document.activeElement.textContent.replace(/\s+/g, ' ').trim())) !== seen.steps[1]) throw new Error('the arrow key goes nowhere');
  await page.keyboard.press('ArrowUp');
  await page.keyboard.press('Enter');
  await page.locator('.message pre').waitFor();
  seen.opened = await page.locator('.message pre').innerText();
  if ((await rows.first().getAttribute('aria-expanded')) !== 'true') throw new Error('an open message does not say so');
  await look('ladder-open');
  await rows.nth(3).click();
  if ((await page.locator('.message pre').count()) !== 1) throw new Error('one message is open at a time');
  const saving = page.waitForEvent('download');
  await page.getByRole('link', { name: 'Save as text' }).click();
  seen.saved = (await saving).suggestedFilename();

  // While it loads, when it fails, and where there is nothing.
  let answer = () => {};
  await open();
  await page.route(traces, async (route) => {
    await new Promise((resolve) => (answer = resolve));
    await route.abort();
  });
  await show.click();
  await page.getByText('Loading the SIP messages…').waitFor();
  answer();
  await page.locator('.signalling').getByRole('alert').waitFor();
  seen.unreachable = await page.locator('.signalling').getByRole('button', { name: 'Try again' }).isVisible();
  await look('ladder-failed');
  await page.unroute(traces);
  await page.route(traces, (route) => route.fulfill({ json: { messages: [], notKept: 0, probes: 0, overlooked: 0 } }));
  await page.locator('.signalling').getByRole('button', { name: 'Try again' }).click();
  await page.getByText('No SIP messages are kept of this call.').waitFor();
  seen.empty = true;
  await look('ladder-empty');
  seen.done = true;
} catch (error) {
  seen.error = String(error);
  if (asked.shots) await page.screenshot({ path: join(asked.shots, 'ladder-failure.png') }).catch(() => undefined);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(JSON.stringify(seen));
process.exit(seen.done ? 0 : 1);
