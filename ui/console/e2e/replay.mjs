// Replays one call in Chromium as a supervisor would, and prints what was seen as one line of JSON.
//   node e2e/replay.mjs '{"url":…,"spki":…,"login":…,"password":…,"number":…,"shots":DIR,"damaged":false}'
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
    '--disable-component-update', '--disable-sync', '--autoplay-policy=user-gesture-required',
    `--ignore-certificate-errors-spki-list=${asked.spki}`,
  ],
});

const seen = { faults: [], console: [] };
const page = context.pages()[0] ?? (await context.newPage());
page.on('console', (message) => message.type() === 'error' && seen.console.push(message.text()));
page.on('pageerror', (error) => seen.console.push(String(error)));

async function look(name) {
  await page.evaluate(axeSource);
  const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
  for (const fault of result.violations) {
    if (['serious', 'critical'].includes(fault.impact)) {
      seen.faults.push(`${name}: ${fault.id}: ${fault.nodes.map((node) => node.html).join(' ; ').slice(0, 300)}`);
    }
  }
  if (!asked.shots) return;
  for (const [width, height, scheme] of [[1280, 900, 'light'], [1280, 900, 'dark'], [390, 844, 'light']]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme });
    await page.screenshot({ path: join(asked.shots, `${name}-${width}-${scheme}.png`) });
  }
  await page.setViewportSize({ width: 1280, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
}

/** Where every recording that belongs to the present moment stands on the call's timeline, milliseconds. */
const positions = () =>
  page.evaluate(() =>
    [...document.querySelectorAll('audio[data-segment], video[data-segment]:not([hidden])')].map((element) => ({
      kind: element.tagName.toLowerCase(),
      at: Number(element.dataset.offsetMs) + element.currentTime * 1000,
      paused: element.paused,
      ready: element.readyState,
      width: element.videoWidth ?? 0,
    })),
  );

/** Share of pixels of the shown picture that are not black. */
const brightness = () =>
  page.evaluate(() => {
    const video = document.querySelector('video[data-segment]:not([hidden])');
    if (!video || !video.videoWidth) return 0;
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [160, 90];
    const pen = canvas.getContext('2d');
    pen.drawImage(video, 0, 0, 160, 90);
    const { data } = pen.getImageData(0, 0, 160, 90);
    let bright = 0;
    for (let i = 0; i < data.length; i += 4) if (data[i] + data[i + 1] + data[i + 2] > 60) bright++;
    return bright / (160 * 90);
  });

const playing = async (from) => {
  await page.waitForFunction(
    (start) => {
      const of = (tag) =>
        [...document.querySelectorAll(`${tag}[data-segment]`)].some(
          (e) => !e.paused && e.readyState >= 2 && Number(e.dataset.offsetMs) + e.currentTime * 1000 > start,
        );
      return of('audio') && of('video');
    },
    from,
    { timeout: 20_000 },
  );
};

/** A moment of the page, and how long it really took: a machine that stands still plays nothing in step. */
const moment = (ms) =>
  page.evaluate(async (wanted) => {
    const began = performance.now();
    await new Promise((done) => setTimeout(done, wanted));
    return performance.now() - began;
  }, ms);

/** The worst of ten looks, of at most forty: those behind a moment in which the page stood still do not count. */
async function apart() {
  let worst = 0;
  let stood = 0;
  for (let looks = 0; looks < 10 && stood < 30; ) {
    const still = (await moment(150)) > 300;
    const now = await positions();
    if (still) {
      stood++;
      continue;
    }
    looks++;
    const [voice] = now.filter((p) => p.kind === 'audio');
    for (const screen of now.filter((p) => p.kind === 'video')) worst = Math.max(worst, Math.abs(screen.at - voice.at));
  }
  seen.stood = Math.max(seen.stood ?? 0, stood);
  return stood < 30 ? worst : Number.MAX_VALUE;
}

/** How fast the call goes on, in the best of three seconds. */
async function speed(wanted) {
  let best = 0;
  for (let n = 0; n < 3; n++) {
    const [{ at: before }] = await positions();
    const started = Date.now();
    await page.waitForTimeout(1000);
    const rate = ((await positions())[0].at - before) / (Date.now() - started);
    if (Math.abs(rate - wanted) < Math.abs(best - wanted)) best = rate;
    if (Math.abs(best - wanted) < 0.15 * wanted) break;
  }
  return best;
}

/** What is told of a damaged recording before it is played, and how long its first ten seconds take. */
async function damaged() {
  await page.goto(asked.url);
  await page.getByLabel('User name').fill(asked.login);
  await page.getByLabel('Password').fill(asked.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByLabel('Phone number').fill(asked.number);
  await page.getByRole('button', { name: 'Search' }).click();
  await page.locator('tbody tr a').first().click();
  await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  const alert = page.getByRole('alert').filter({ hasText: 'damaged' });
  await alert.waitFor({ timeout: 20_000 });
  seen.damage = await alert.innerText();
  await page.waitForFunction(() => [...document.querySelectorAll('[data-segment]')].every((e) => e.readyState >= 1), null, { timeout: 20_000 });
  const started = Date.now();
  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await playing(10_000);
  seen.tookMs = Date.now() - started;
  await look('player-damaged');
  seen.done = true;
}

async function wholeTour() {
  await page.goto(asked.url);
  await page.getByLabel('User name').waitFor();
  await look('sign-in');
  await page.getByLabel('User name').fill(asked.login);
  await page.getByLabel('Password').fill('not the password');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('alert').waitFor();
  seen.wrongPassword = await page.getByRole('alert').innerText();
  await look('sign-in-refused');
  await page.getByLabel('Password').fill(asked.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Recordings' }).waitFor();

  await page.getByLabel('Phone number').fill('no such number');
  await page.getByRole('button', { name: 'Search' }).click();
  await page.getByText('No call matches.').waitFor();
  await look('list-empty');
  await page.getByLabel('Phone number').fill(asked.number);
  await page.getByRole('button', { name: 'Search' }).click();
  await page.locator('tbody tr a').first().waitFor();
  seen.found = await page.locator('tbody tr a').count();
  await look('list');
  await page.locator('tbody tr a').first().click();
  await page.getByRole('button', { name: 'Play', exact: true }).waitFor();
  await page.waitForFunction(() => [...document.querySelectorAll('[data-segment]')].every((e) => e.readyState >= 1), null, { timeout: 20_000 });
  await look('player');

  await page.getByRole('button', { name: 'Play', exact: true }).click();
  await playing(800);
  seen.advanced = await positions();
  seen.brightness = await brightness();
  seen.apartFromStart = await apart();

  const wave = page.getByRole('slider', { name: 'Position in the call' });
  const box = await wave.boundingBox();
  seen.length = Number(await wave.getAttribute('aria-valuemax')) * 1000;
  await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
  await playing(seen.length / 2 - 500);
  seen.sought = await positions();
  // The followers are given a moment to catch up after a seek; then they must stay.
  await page.waitForTimeout(700);
  seen.apartAfterSeek = await apart();
  await page.getByLabel('Speed').selectOption('2');
  seen.speed = await speed(2);
  await page.getByRole('button', { name: 'Pause', exact: true }).click();
  await wave.focus();
  await page.keyboard.press('Home');
  seen.home = (await positions()).map((p) => p.at);
  seen.sound = await page.getByRole('table', { name: 'Sound quality' }).locator('tbody tr').allInnerTexts();
  seen.events = await page.locator('.events li span').allInnerTexts();
  await look('player-paused');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByText('You are signed out.').waitFor();
  seen.done = true;
}

try {
  await (asked.damaged ? damaged() : wholeTour());
} catch (error) {
  seen.error = String(error);
  if (asked.shots) await page.screenshot({ path: join(asked.shots, 'failure.png') }).catch(() => undefined);
} finally {
  await context.close();
  rmSync(profile, { recursive: true, force: true });
}
console.log(JSON.stringify(seen));
process.exit(seen.done ? 0 : 1);
