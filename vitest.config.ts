import { defineConfig } from 'vitest/config';

// Three projects: `unit` runs anywhere and needs no privilege; `netns` makes network namespaces and TUN devices
// and needs root. Namespace tests share two processors with the traffic they measure, so they run one at a time.
// `package` packs, installs and runs the package on all versions of Node, and needs the npm registry.
export default defineConfig({
  test: {
    reporters: ['default', './test/support/closing-line-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          globalSetup: './test/support/compiled-project.ts',
          include: ['test/**/*.test.ts'],
          exclude: ['test/netns/**', 'test/package/**'],
          pool: 'forks',
          execArgv: ['--expose-gc'],
          testTimeout: 60_000,
        },
      },
      {
        test: {
          name: 'netns',
          // After the unit tests: what they measure is real traffic on the same processors.
          sequence: { groupOrder: 1 },
          globalSetup: './test/support/compiled-project.ts',
          include: ['test/netns/**/*.test.ts'],
          pool: 'forks',
          fileParallelism: false,
          testTimeout: 180_000,
          hookTimeout: 180_000,
        },
      },
      {
        test: {
          name: 'package',
          // Its tests read what was packed before them, and most wait for compilers: one on each of two processors.
          sequence: { groupOrder: 2, concurrent: true },
          maxConcurrency: 2,
          include: ['test/package/**/*.test.ts'],
          testTimeout: 180_000,
        },
      },
    ],
  },
});
