/** Numbers and times as people read them. */

/** What stands for a value that is not there. */
export const NONE = '–';

/**
 * A value in its unit.
 *
 * @param {number | null | undefined} value
 * @param {import('../ui/model.ts').UiUnit} unit
 */
export function formatValue(value, unit) {
  if (value === null || value === undefined) return NONE;
  switch (unit) {
    case 'percent':
      return `${digits(value * 100)} %`;
    case 'ratio':
      return value.toFixed(3);
    case 'bitsPerSec':
      return scaled(value, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s', 'Tbit/s']);
    case 'perSec':
      return `${digits(value)} /s`;
  }
}

/**
 * A value on an axis, without zeros at its end.
 *
 * @param {number} value
 * @param {import('../ui/model.ts').UiUnit} unit
 */
export function formatTick(value, unit) {
  return formatValue(value, unit)
    .replace(/(\.\d*?)0+(?= |$)/, '$1')
    .replace(/\.(?= |$)/, '');
}

/**
 * Bytes with a decimal unit.
 *
 * @param {number | null} bytes
 */
export function formatBytes(bytes) {
  return bytes === null ? NONE : scaled(bytes, ['B', 'kB', 'MB', 'GB', 'TB']);
}

/**
 * A time of the history, or of an event.
 *
 * @param {number | string} time - seconds, or ISO 8601
 * @param {'wall' | 'run'} clock - what seconds count from
 */
export function formatTime(time, clock) {
  if (clock === 'run') return `${Number(Number(time).toFixed(1))} s`;
  const date = new Date(typeof time === 'number' ? time * 1000 : time);
  return date.toLocaleTimeString('en-GB');
}

/** @param {number} value @param {readonly string[]} units */
function scaled(value, units) {
  let unit = 0;
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000;
    unit++;
  }
  return `${digits(value)} ${units[unit]}`;
}

/** Three digits, without trailing noise. @param {number} value */
function digits(value) {
  if (value === 0) return '0';
  if (Math.abs(value) < 0.01) return Number(value.toPrecision(1)).toString();
  return value.toFixed(value >= 100 ? 0 : value >= 10 ? 1 : 2);
}
