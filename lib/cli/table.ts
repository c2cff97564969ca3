/** Plain text for people: tables, bytes, rates. */

/** Lays rows out in columns; numbers and units to the right, words to the left. The first row is the heading. */
export function formatTable(rows: readonly (readonly string[])[]): string {
  const widths: number[] = [];
  for (const row of rows) row.forEach((cell, i) => (widths[i] = Math.max(widths[i] ?? 0, cell.length)));
  const isNumeric = widths.map((_, i) =>
    rows.slice(1).every((row) => /^([\d.,–-]+( ?[%a-zA-Z/]+)?)?$/.test(row[i] ?? '')),
  );
  return rows
    .map((row) =>
      row
        .map((cell, i) => (isNumeric[i] && i > 0 ? cell.padStart(widths[i]) : cell.padEnd(widths[i])))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Bytes with a decimal unit, three digits: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  return formatUnit(bytes, ['B', 'kB', 'MB', 'GB', 'TB']);
}

/** A rate with a decimal unit: `9.87 Gbit/s`. */
export function formatRate(bitsPerSec: number): string {
  return formatUnit(bitsPerSec, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']);
}

/** A ratio 0..1 as percent; `–` when it is not known. */
export function formatPercent(ratio: number, digits = 2): string {
  return Number.isFinite(ratio) ? `${(ratio * 100).toFixed(digits)} %` : '–';
}

/** A time in the largest unit that fits: `12.3 s`, `4 min`, `3 h`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 100) return `${seconds < 10 ? seconds.toFixed(1) : Math.round(seconds)} s`;
  if (seconds < 6000) return `${Math.round(seconds / 60)} min`;
  return `${Math.round(seconds / 3600)} h`;
}

/** A count with separators: `1,234,567`. */
export function formatCount(count: number): string {
  if (!Number.isFinite(count)) return '–';
  return Math.round(count).toLocaleString('en-US');
}

function formatUnit(value: number, units: readonly string[]): string {
  if (!Number.isFinite(value)) return '–';
  let scaled = value;
  let unit = 0;
  while (scaled >= 1000 && unit < units.length - 1) {
    scaled /= 1000;
    unit++;
  }
  const digits = unit === 0 || scaled >= 100 ? 0 : scaled >= 10 ? 1 : 2;
  return `${scaled.toFixed(digits)} ${units[unit]}`;
}
