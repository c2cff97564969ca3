/// <reference lib="dom" />
/**
 * The web page in a real Chromium: of a gateway with traffic (topology two-path), and of a finished run; light and dark, on
 * a desk and on a phone, by keyboard. The daemon's page is on loopback of its namespace; a relay brings the browser there.
 */
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { once } from 'node:events';
import { join } from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it, onTestFailed } from 'vitest';
import { setLink } from '../../lib/netns/index.ts';
import { readRunFeed } from '../../lib/web/ui/run-feed.ts';
import { HttpListener } from '../../lib/web/http-listener.ts';
import { PageServer } from '../../lib/web/ui/page-server.ts';
import { DATAPATHS } from '../../namespaces-lab/processes/datapath.ts';
import { TWO_PATH } from '../../namespaces-lab/topologies/two-path.ts';
import { openPage, startChromium } from '../support/chromium.ts';
import { connectTcp, exchange, patternBytes, serveTcp } from '../support/in-netns.ts';
import type { TestLab } from '../support/netns.ts';
import { describeNetns, isRoot, useLab } from '../support/netns.ts';
import { prepareTwoPath } from '../support/two-path-lab.ts';

const PORT = 7000;
/** Processors may be busy; nothing here is about time. */
const PATIENCE_MS = 60_000;
const DESK = { width: 1280, height: 900 };
const PHONE = { width: 360, height: 740 };

let browser: Browser;
beforeAll(async () => {
  if (isRoot) browser = await startChromium();
}, PATIENCE_MS);
afterAll(async () => {
  await browser?.close();
});

/** Leads connections to the same port of this namespace's loopback into another one's. */
async function relay(lab: TestLab, netns: string, port: number): Promise<void> {
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    connectTcp(netns, '127.0.0.1', port).then(
      (inner) => {
        inner.on('error', () => undefined);
        inner.on('close', () => socket.destroy());
        socket.on('close', () => inner.destroy());
        socket.pipe(inner);
        inner.pipe(socket);
      },
      // A page asks again after its daemon has ended.
      () => socket.destroy(),
    );
  });
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  lab.scope.defer('relay', () => {
    server.close();
  });
}

describeNetns('the web page', () => {
  const lab = useLab();

  it.each(DATAPATHS)(
    'of a gateway shows routes, charts and events as they come: datapath %s',
    async (gatewayDatapath) => {
      const topology = prepareTwoPath(lab, { gatewayArgs: ['--ui', '0'], gatewayDatapath });
      const [gateway, agent] = await Promise.all([topology.startGateway(), topology.startAgent()]);
      onTestFailed(() => {
        console.error(`gateway: exit code ${gateway.child.exitCode}, said ${gateway.stderr || 'nothing'}`);
      });
      const line = (gateway.lines[0]['setUp'] as string[]).find((text) => text.startsWith('page at '));
      const url = new URL(line?.slice('page at '.length) ?? '');
      await relay(lab, topology.gateway, Number(url.port));
      const { page, complaints } = await openPage(browser, url.href, { viewport: DESK });
      await page.locator('#state', { hasText: 'live' }).waitFor({ timeout: PATIENCE_MS });
      await page.locator('#routes', { hasText: 'a (path 1)' }).waitFor();
      expect(await page.locator('.badge').allInnerTexts()).toEqual(['▲ up', '▲ up']);
      expect(await page.locator('#views option').allInnerTexts()).toEqual(['0.0.0.0/0', '::/0']);

      serveTcp(lab.scope, topology.far, PORT, (socket) => socket.pipe(socket));
      const data = patternBytes(200_000, 'page');
      const socket = await connectTcp(topology.host, TWO_PATH.farAddress, PORT);
      expect((await exchange(socket, data)).equals(data)).toBe(true);
      // Rows come at the end of update intervals: lines of all four charts, and the bytes in the table.
      await page.locator('.chart .u-over').nth(3).waitFor({ timeout: PATIENCE_MS });
      await page.locator('#routes td', { hasText: /\d kB/ }).first().waitFor({ timeout: PATIENCE_MS });
      const ratio = page.locator('[data-chart="ratio 0.0.0.0/0"]');
      expect(await ratio.locator('.legend').innerText()).toMatch(/a\s+0\.500\s+b\s+0\.500/);

      await page.locator('#views').selectOption('::/0');
      await page.locator('[data-chart="ratio ::/0"]').waitFor();
      expect(await ratio.count()).toBe(0);
      setLink('a', { up: false }, { netns: topology.gateway });
      await page.locator('.badge', { hasText: '▼ down' }).waitFor({ timeout: PATIENCE_MS });
      await page.locator('#events', { hasText: 'route a went down' }).waitFor({ timeout: PATIENCE_MS });
      expect(await layoutShift(page)).toBeLessThan(0.05);

      await gateway.stop();
      await page.locator('#state', { hasText: 'no connection' }).waitFor({ timeout: PATIENCE_MS });
      await agent.stop();
      expect(gateway.stderr).toBe('');
      expect(complaints.filter((text) => !/ERR_|EventSource/.test(text))).toEqual([]);
      await page.context().close();
    },
  );

  it('of a result is drawn in both colour schemes, and on a phone nothing is cut off', async () => {
    const { listener } = await serveResult(lab);
    const grounds = new Set<string>();
    for (const colorScheme of ['light', 'dark'] as const) {
      for (const viewport of [DESK, PHONE]) {
        const { page, complaints } = await openPage(browser, listener.url, { colorScheme, viewport });
        await page.locator('.chart .u-over').nth(5).waitFor({ timeout: PATIENCE_MS });
        expect(await page.locator('#state').innerText()).toBe('ended');
        const { ground, width } = await page.evaluate(() => ({
          ground: getComputedStyle(document.body).backgroundColor,
          width: document.documentElement.scrollWidth,
        }));
        grounds.add(ground);
        expect(width).toBe(viewport.width);
        expect(await contrastOf(page)).toBeGreaterThan(4.5);
        expect(await drawnColors(page)).toBeGreaterThan(3);
        expect(complaints).toEqual([]);
        await page.context().close();
      }
    }
    expect(grounds.size).toBe(2);
  });

  it('is walked by keyboard: every stop is seen, charts are read point by point, tables open', async () => {
    const { listener } = await serveResult(lab);
    const { page } = await openPage(browser, listener.url, { viewport: DESK });
    await page.locator('.chart .u-over').first().waitFor({ timeout: PATIENCE_MS });
    const stops: string[] = [];
    for (let i = 0; i < 40 && !stops.includes('events'); i++) {
      await page.keyboard.press('Tab');
      const { name, outline } = await page.evaluate(() => {
        const element = document.activeElement!;
        return {
          name: element.id || element.className || element.getAttribute('aria-labelledby') || element.tagName,
          outline: getComputedStyle(element).outlineStyle,
        };
      });
      stops.push(name);
      expect(outline, name).not.toBe('none');
    }
    expect(stops.slice(0, 4)).toEqual(['skip', 'scroll', 'plot', 'SUMMARY']);
    expect(stops.filter((name) => name === 'plot')).toHaveLength(6);
    expect(stops.at(-1)).toBe('events');

    const chart = page.locator('.chart').first();
    await chart.locator('.plot').focus();
    expect(await chart.locator('.plot').getAttribute('aria-label')).toMatch(
      /^Loss ratio: now l1 1.00 %, l2 2.00 %\./,
    );
    await page.keyboard.press('Home');
    expect(await chart.locator('.moment').innerText()).toBe('10 s: l1 1.00 %, l2 2.00 %');
    await page.keyboard.press('ArrowRight');
    expect(await chart.locator('.moment').innerText()).toMatch(/^20 s: /);
    await page.keyboard.press('Tab');
    await page.keyboard.press('Enter');
    await chart.locator('tbody tr').first().waitFor();
    expect(await chart.locator('tbody tr').count()).toBe(20);
    expect(await chart.locator('tbody tr').first().innerText()).toMatch(/^600 s\s+1.00 %\s+2.00 %$/);
    await page.context().close();
  });
});

/** Serves a result of sixty intervals, closed with the test. */
async function serveResult(lab: TestLab): Promise<{ readonly listener: HttpListener }> {
  const route = { up: true, bytes: 1e6, trueDropRatio: 0.01, flowlets: 20, utilisation: 0.9 };
  const intervals = Array.from({ length: 60 }, (_, i) => ({
    t: 10 * (i + 1),
    routes: [
      { ...route, name: 'l1', lossRatio: 0.01, flowletRatio: 0.7 },
      { ...route, name: 'l2', lossRatio: 0.02, flowletRatio: 0.3 },
    ],
  }));
  const file = join(lab.folder, 'result.json');
  writeFileSync(
    file,
    JSON.stringify({ meta: { scenario: 'fig3', command: 'preflex lab run fig3' }, intervals }),
  );
  const { feed } = readRunFeed(file);
  const listener = await HttpListener.open({ host: '127.0.0.1', port: 0 }, new PageServer(feed).routes);
  lab.scope.defer('page', () => {
    listener.close();
  });
  return { listener };
}

/** How much of the page has moved without anybody having asked for it. @see the metric CLS of web.dev */
function layoutShift(page: Page): Promise<number> {
  return page.evaluate(
    () =>
      new Promise<number>((resolve) => {
        let sum = 0;
        new PerformanceObserver((list) => {
          for (const entry of list.getEntries() as (PerformanceEntry & {
            value: number;
            hadRecentInput: boolean;
          })[])
            if (!entry.hadRecentInput) sum += entry.value;
        }).observe({ type: 'layout-shift', buffered: true });
        requestAnimationFrame(() => setTimeout(() => resolve(sum)));
      }),
  );
}

/** Contrast of the quietest text with its ground. @see WCAG 2.2, 1.4.3 */
function contrastOf(page: Page): Promise<number> {
  return page.evaluate(() => {
    const luminance = (color: string): number => {
      const [r = 0, g = 0, b = 0] = (color.match(/\d+/g) ?? []).map((part) => {
        const share = Number(part) / 255;
        return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
      });
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const text = luminance(getComputedStyle(document.querySelector('.about')!).color);
    const ground = luminance(getComputedStyle(document.querySelector('.chart')!).backgroundColor);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  });
}

/** How many colours the first chart has, roughly: lines were drawn, not only a frame. */
function drawnColors(page: Page): Promise<number> {
  return page.evaluate(() => {
    const canvas = document.querySelector('canvas')!;
    const { data } = canvas.getContext('2d')!.getImageData(0, 0, canvas.width, canvas.height);
    const colors = new Set<number>();
    for (let i = 0; i < data.length; i += 4) {
      if (data[i + 3] > 200)
        colors.add(((data[i] >> 5) << 6) | ((data[i + 1] >> 5) << 3) | (data[i + 2] >> 5));
    }
    return colors.size;
  });
}
