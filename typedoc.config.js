/** The API reference, `npm run docs`: one module for each entry of the package's exports, into coverage/api. */
import { OptionDefaults } from 'typedoc';

/** @type {Partial<import('typedoc').TypeDocOptions>} */
export default {
  name: 'preflex',
  entryPoints: [
    'lib/index.ts',
    'lib/wire/index.ts',
    'lib/lex/index.ts',
    'lib/pref/index.ts',
    'lib/sim/index.ts',
    'lib/device/index.ts',
    'lib/sockets/udp.ts',
    'lib/sockets/tcp.ts',
  ],
  tsconfig: 'lib/tsconfig.build.json',
  out: 'coverage/api',
  readme: 'docs/embedding.md',
  disableSources: true,
  excludePrivate: true,
  excludeInternal: true,
  modifierTags: [...OptionDefaults.modifierTags, '@hotpath'],
  treatWarningsAsErrors: true,
  // Properties may be left to their names, where units and ranges are plain from those.
  requiredToBeDocumented: ['Variable', 'Function', 'Class', 'Interface', 'TypeAlias', 'Method', 'Accessor'],
  // The simulator's TCP shows these on its connections; they are its inside.
  intentionallyNotExported: [
    'lib/sim/tcp/scoreboard.ts:Scoreboard',
    'lib/sim/tcp/cubic.ts:CubicState',
    'lib/sim/tcp/receive-queue.ts:ReceiveQueue',
    'lib/sim/tcp/hystart.ts:HystartState',
    'lib/sim/tcp/hystart-plus.ts:HystartPlusState',
    'lib/sim/tcp/delayed-acks.ts:DelayedAcks',
  ],
  validation: { notExported: true, invalidLink: true, notDocumented: true },
};
