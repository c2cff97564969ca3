/**
 * Metric families: a name, what it means, and where its values are read from when somebody asks. The values live in the
 * counters of the cores; here they are only copied out.
 */
import { Counter, Gauge, Histogram } from 'prom-client';
import type { Registry } from 'prom-client';
import type { HistogramReport } from '../../runtime/loop-histogram.ts';

/** Values of the labels, by name. */
export type Labels = Readonly<Record<string, string>>;

interface FamilyBase {
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** Names of the labels. */
  readonly labels?: readonly string[];
}

/** Numbers that only grow, or that go up and down. */
export interface ValueFamily extends FamilyBase {
  readonly type: 'counter' | 'gauge';
  /** Hands over the values of this moment. */
  readonly read: (add: (value: number, labels?: Labels) => void) => void;
}

/** Histograms. */
export interface HistogramFamily extends FamilyBase {
  readonly type: 'histogram';
  /** What the bounds and the sum are multiplied with, to be in the unit of the name. */
  readonly scale: number;
  readonly read: (add: (report: HistogramReport, labels?: Labels) => void) => void;
}

/** Any of them. */
export type MetricFamily = ValueFamily | HistogramFamily;

/** A family of one value without labels. */
export function single(
  type: ValueFamily['type'],
  name: string,
  help: string,
  value: () => number,
): ValueFamily {
  return {
    name,
    help,
    type,
    read: (add) => {
      add(value());
    },
  };
}

/** Puts a family into a registry. */
export function registerFamily(registry: Registry, family: MetricFamily): void {
  const { name, help, labels = [] } = family;
  const configuration = { name, help, labelNames: [...labels], registers: [registry] };
  if (family.type === 'histogram') {
    new ReadHistogram(configuration, family);
  } else if (family.type === 'counter') {
    new Counter({
      ...configuration,
      collect() {
        this.reset();
        family.read((value, of = {}) => {
          this.inc(of, value);
        });
      },
    });
  } else {
    new Gauge({
      ...configuration,
      collect() {
        this.reset();
        family.read((value, of = {}) => {
          this.set(of, value);
        });
      },
    });
  }
}

/** One line of a histogram, as prom-client keeps it before it writes text. */
interface HistogramLine {
  readonly metricName: string;
  readonly labels: Readonly<Record<string, string | number>>;
  readonly sharedLabels: Labels;
  readonly value: number;
}

/** A histogram that was counted elsewhere. */
class ReadHistogram extends Histogram {
  readonly #family: HistogramFamily;

  constructor(configuration: ConstructorParameters<typeof Histogram>[0], family: HistogramFamily) {
    super(configuration);
    this.#family = family;
  }

  /**
   * What the registry, and the class's own `get`, take a histogram's lines from. The package's types do not have it; the
   * test of the exported text would tell if it were gone.
   */
  getForPromString(): Promise<object> {
    const { name, help, read, scale } = this.#family;
    const values: HistogramLine[] = [];
    read((report, sharedLabels = {}) => {
      let below = 0;
      for (const [bucket, count] of report.counts.entries()) {
        below += count;
        const bound = report.bounds[bucket];
        // Rounded, since 20000 * 1e-9 is not quite 0.00002.
        const le = bound === undefined ? '+Inf' : Number((bound * scale).toPrecision(12));
        values.push({ metricName: `${name}_bucket`, labels: { le }, sharedLabels, value: below });
      }
      values.push({ metricName: `${name}_sum`, labels: {}, sharedLabels, value: report.sum * scale });
      values.push({ metricName: `${name}_count`, labels: {}, sharedLabels, value: below });
    });
    return Promise.resolve({ name, help, type: 'histogram', values, aggregator: 'sum' });
  }
}
