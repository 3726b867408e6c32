// Looks at every page of the window in every situation, with a recorder that is only played: no serious fault of
// accessibility, nothing wider than the window, no error on the console; what keyboard and buttons do.
//   npm run look [-- DIR]     DIR: screenshots go there
import { createReadStream, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { extname, join, normalize } from 'node:path';
import { chromium } from 'playwright-core';

const shots = process.argv[2];
const site = new URL('../dist-mock/', import.meta.url).pathname;
const csp = JSON.parse(readFileSync(new URL('../../../src-tauri/tauri.conf.json', import.meta.url), 'utf8')).app.security.csp;
const types = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const server = createServer((request, response) => {
  const path = join(site, normalize(new URL(request.url, 'http://localhost').pathname));
  const file = path.endsWith('/') ? join(path, 'index.html') : path;
  if (!existsSync(file)) return response.writeHead(404).end();
  // The very policy that the program gives its window.
  response.writeHead(200, { 'content-type': types[extname(file)] ?? 'application/octet-stream', 'content-security-policy': csp });
  createReadStream(file).pipe(response);
});
await new Promise((ready) => server.listen(0, '127.0.0.1', ready));
const root = `http://127.0.0.1:${server.address().port}/`;
const axeSource = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const profile = mkdtempSync(join(tmpdir(), 'hindsight-chromium-'));
const context = await chromium.launchPersistentContext(profile, {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
const page = context.pages()[0] ?? (await context.newPage());
const faults = [];
let name = '';
page.on('console', (message) => message.type() === 'error' && faults.push(`${name}: ${message.text()}`));
page.on('pageerror', (error) => faults.push(`${name}: ${error}`));
page.setDefaultTimeout(10_000);

async function open(path, mock, more = '') {
  name = `${path}-${mock}${more.replace(/[&=]/g, '-')}`;
  await page.goto(`${root}?mock=${mock}&still${more}#/${path}`);
  await page.locator('main > *').first().waitFor();
  await page.waitForFunction(() => !document.querySelector('main')?.textContent.includes('Loading'));
}

async function look() {
  // Brought in by the debugger, past the page's policy.
  await page.evaluate(axeSource);
  for (const [width, height, scheme] of [[960, 700, 'light'], [960, 700, 'dark'], [340, 640, 'light']]) {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ colorScheme: scheme, reducedMotion: 'reduce' });
    const result = await page.evaluate(() => globalThis.axe.run(document, { resultTypes: ['violations'] }));
    for (const fault of result.violations.filter((one) => ['serious', 'critical'].includes(one.impact))) {
      faults.push(`${name} ${width} ${scheme}: ${fault.id}: ${fault.nodes.map((node) => node.html).join(' ; ').slice(0, 300)}`);
    }
    const beyond = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    if (beyond > 0) faults.push(`${name}: ${beyond} px wider than a window of ${width}`);
    if (shots) await page.screenshot({ path: join(shots, `${name}-${width}-${scheme}.png`) });
  }
  await page.setViewportSize({ width: 960, height: 700 });
}

function expect(what, truth) {
  if (!truth) faults.push(`${name}: ${what}`);
}

const { views } = JSON.parse(readFileSync(new URL('../src/fixtures/views.json', import.meta.url), 'utf8'));
if (shots) mkdirSync(shots, { recursive: true });
try {
  for (const mock of Object.keys(views)) {
    if (mock.startsWith('problem-')) continue;
    await open('workspace', mock);
    await look();
  }
  for (const mock of Object.keys(views).filter((one) => one.startsWith('problem-') || ['idle', 'failing', 'uploading'].includes(one))) {
    await open('health', mock);
    await look();
  }
  for (const kind of ['full', 'empty', 'failing']) {
    await open('history', 'idle', `&history=${kind}`);
    await look();
  }
  // A recording of one's own, by the keyboard: opened, played, sought in, closed; and what a page says that cannot.
  const slider = page.locator('.player input');
  for (const kind of ['failing', 'loading', 'broken', 'full']) {
    await open('history', 'idle', `&replay=${kind}`);
    await page.getByRole('button', { name: /^Play:/ }).first().press('Enter');
    if (kind === 'failing') await page.getByRole('alert').waitFor();
    else await page.locator('.player').waitFor();
    if (kind === 'loading') await page.locator('.player [role=status]').waitFor();
    if (kind === 'broken') await page.locator('.player [role=alert]').nth(1).waitFor();
    if (kind === 'full') {
      await page.getByRole('button', { name: 'Play', exact: true }).and(page.locator(':enabled')).waitFor();
      await page.getByRole('img', { name: 'Screen 1' }).waitFor();
    }
    await look();
  }
  expect('the focus is on what is played', await page.evaluate(() => document.activeElement?.id === 'player-title'));
  await page.keyboard.press('Tab');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.waitForFunction(() => document.querySelector('.player input').valueAsNumber > 1500);
  name = `${name}-playing`;
  await look();
  await page.getByRole('button', { name: 'Pause', exact: true }).press('Enter');
  await page.keyboard.press('Tab');
  const before = await slider.evaluate((input) => input.valueAsNumber);
  await page.keyboard.press('ArrowRight');
  expect('an arrow seeks five seconds', (await slider.evaluate((input) => input.valueAsNumber)) === before + 5000);
  await page.keyboard.press('End');
  await page.waitForFunction(() => document.querySelector('.player .number').innerText === '0:20 / 0:20');
  await page.keyboard.press('Home');
  expect('the beginning is sought', (await slider.inputValue()) === '0');
  await page.getByRole('button', { name: 'Close' }).press('Enter');
  expect('the focus goes back to what was played', await page.evaluate(() => document.activeElement?.id.startsWith('play-')));
  await open('history', 'idle', '&lang=de&replay=broken');
  await page.getByRole('button', { name: /^Abspielen:/ }).first().press('Enter');
  await page.locator('.player [role=alert]').nth(1).waitFor();
  await look();

  await open('settings', 'idle');
  await look();
  for (const [path, mock] of [['workspace', 'blended'], ['health', 'failing'], ['history', 'idle'], ['settings', 'idle'], ['workspace', 'not-enrolled']]) {
    await open(path, mock, '&lang=de');
    await look();
  }

  // The keyboard alone: sign in, pause, resume, sign out.
  await open('workspace', 'signed-out');
  await page.getByLabel('User name').focus();
  await page.keyboard.type('alice');
  await page.keyboard.press('Tab');
  await page.keyboard.type('wrong');
  await page.keyboard.press('Enter');
  expect('a refused sign-in says why', (await page.getByRole('alert').innerText()).includes('password is wrong'));
  await page.getByLabel('Password').focus();
  await page.keyboard.type('right');
  await page.keyboard.press('Enter');
  await page.getByRole('button', { name: 'Sign out' }).waitFor();
  await page.getByRole('button', { name: 'Not ready' }).press('Space');
  await page.locator('button[aria-pressed=true]', { hasText: 'Not ready' }).waitFor();
  await page.getByLabel('Reason').selectOption('Break');
  await open('workspace', 'recording');
  await page.getByRole('button', { name: 'Pause recording' }).press('Enter');
  await page.getByText('Neither voice nor screen is being recorded.').waitFor();
  expect('voice and screen are paused', (await page.getByText(': paused').count()) === 2);
  await page.getByRole('button', { name: 'Resume recording' }).press('Enter');
  await page.getByRole('button', { name: 'Pause recording' }).waitFor();
  // A transfer: refused, given up, done.
  await page.getByRole('button', { name: 'Transfer…' }).press('Enter');
  expect('the focus is in the field', await page.evaluate(() => document.activeElement?.matches('.transfer input')));
  await page.keyboard.type('999');
  await page.keyboard.press('Enter');
  expect('a refused transfer says why', (await page.getByRole('alert').innerText()).includes('404'));
  name = `${name}-transfer`;
  await look();
  await page.getByLabel('Number to transfer to').press('Escape');
  expect('the focus goes back', await page.evaluate(() => document.activeElement?.textContent === 'Transfer…'));
  await page.keyboard.press('Enter');
  await page.getByLabel('Number to transfer to').fill('1003');
  await page.keyboard.press('Enter');
  await page.getByText('Nothing at the moment.').waitFor();
  await page.keyboard.press('Alt+3');
  await page.getByRole('heading', { name: 'Health' }).waitFor();
  await page.keyboard.press('Alt+4');
  await page.getByLabel('Language').selectOption('de');
  await page.getByRole('heading', { name: 'Einstellungen' }).waitFor();
  expect('the page says its language', (await page.locator('html').getAttribute('lang')) === 'de');
  await page.getByLabel('Aussehen').selectOption('dark');
  await page.waitForFunction(() => getComputedStyle(document.documentElement).colorScheme === 'dark');
} catch (error) {
  faults.push(`${name}: ${error}`);
} finally {
  await context.close();
  server.close();
  rmSync(profile, { recursive: true, force: true });
}
if (faults.length > 0) {
  console.error(faults.join('\n'));
  process.exit(1);
}
