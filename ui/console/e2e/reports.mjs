// Looks at the reports in Chromium as a supervisor would, and prints what was seen as one line of JSON.
//   node e2e/reports.mjs '{"url":…,"spki":…,"login":…,"password":…,"shots":DIR}'
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

const seen = { faults: [], console: [] };
const page = context.pages()[0] ?? (await context.newPage());
page.on('pageerror', (error) => seen.console.push(String(error)));

const views = [[1280, 900, 'light'], [390, 844, 'dark'], [1280, 900, 'dark'], [390, 844, 'light']];

/** In the first `number` of the views. */
async function look(name, number = 2) {
  await page.evaluate(axeSource);
  for (const [width, height, scheme] of views.slice(0, number)) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    for (const fault of result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
      seen.faults.push(`${name} ${width} ${scheme}: ${fault.id}: ${fault.nodes.map((node) => node.html).join(' ; ').slice(0, 300)}`);
    }
    // Nothing is cut off: the page scrolls down, never sideways.
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (beyond > 0) seen.faults.push(`${name} ${width}: ${beyond} pixels too wide`);
    if (asked.shots) await page.screenshot({ path: join(asked.shots, `${name}-${width}-${scheme}.png`) });
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

const counts = page.locator('table.report');
const ready = () => page.waitForFunction(() => document.querySelector('table.report')?.getAttribute('aria-busy') !== 'true' && !document.querySelector('.ghost'));

try {
  await page.goto(asked.url);
  await page.getByLabel('User name').fill(asked.login);
  await page.getByLabel('Password').fill(asked.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  // By keyboard alone.
  await page.getByRole('link', { name: 'Reports' }).focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Reports' }).waitFor();
  await ready();
  seen.calls = Number(await page.locator('.facts .figure').first().innerText());
  seen.rows = await counts.locator('tbody tr').count();
  await look('reports', 4);

  await page.locator('[name=by]').selectOption('dn');
  await page.waitForFunction(() => document.querySelector('table.report caption')?.textContent?.includes('DN'));
  await ready();
  seen.dns = [...new Set(await counts.locator('tbody td[data-label="DN"]').allInnerTexts())].sort();
  await look('reports-dn');

  await page.locator('[name=outcome]').selectOption('busy');
  await page.waitForFunction(() => [...document.querySelectorAll('td[data-label="Outcome"]')].every((cell) => cell.textContent === 'Busy'));
  seen.busy = await page.locator('td[data-label="Outcome"]').count();
  const [download] = await Promise.all([
    page.waitForEvent('download'),
    page.getByRole('link', { name: 'Download as CSV' }).last().click(),
  ]);
  seen.csv = readFileSync(await download.path(), 'utf8').split('\r\n').length - 2;

  await page.locator('[name=from][type=date]').fill('2020-01-01');
  await page.locator('[name=to][type=date]').fill('2020-01-02');
  await page.getByText('No calls in this time.').first().waitFor();
  await look('reports-empty');

  await page.route('**/api/v2/reports/summary*', (route) => route.abort());
  await page.getByRole('button', { name: 'Yesterday' }).click();
  await page.getByRole('alert').waitFor();
  await look('reports-failed');
  await page.unroute('**/api/v2/reports/summary*');
  await page.getByRole('button', { name: 'Try again' }).click();
  await page.getByRole('alert').waitFor({ state: 'detached' });
  seen.done = true;
} catch (error) {
  seen.error = String(error);
} finally {
  console.log(JSON.stringify(seen));
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
