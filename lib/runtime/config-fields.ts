/**
 * The kinds of fields that configuration files have, as schemas. Every error text is what the field takes ("a whole
 * number from 1 to 15"); `config-file.ts` puts field, value, line and column before it.
 */
import type * as Zod from 'zod';
import { LISTEN_ADDRESS_RULE, parseListenAddress } from './listen-address.ts';

/** Makes the kinds with a zod that the caller has loaded. */
export function configFields({ z }: Pick<typeof Zod, 'z'>) {
  const integer = (min: number, max: number) => {
    const range = `a whole number from ${min} to ${max}`;
    return z.int(range).min(min, range).max(max, range);
  };
  const number = (min: number, max: number) => {
    const range = `a number from ${min} to ${max}`;
    return z.number(range).min(min, range).max(max, range);
  };
  const choice = <const T extends readonly string[]>(values: T) =>
    z.enum(values, `one of ${values.join(', ')}`);
  const yesOrNo = () => z.boolean('true or false');
  const mapping = <const S extends Readonly<Record<string, Zod.ZodType>>>(shape: S) => {
    const keys = Object.keys(shape).join(', ');
    return z.strictObject(shape, {
      error: (issue) =>
        issue.code === 'unrecognized_keys' ? `only the keys ${keys}` : `a mapping with the keys ${keys}`,
    });
  };
  const list = <T extends Zod.ZodType>(item: T, of: string) =>
    z.array(item, `a list of ${of}`).min(1, `at least one of ${of}`);
  const text = (what: string, isOk: (value: string) => boolean) => z.string(what).refine(isOk, what);

  const listen = z.preprocess(
    // A port alone is a number in YAML.
    (value) => (typeof value === 'number' ? String(value) : value),
    text(LISTEN_ADDRESS_RULE, (value) => parseListenAddress(value) !== undefined),
  );
  const device = text('a device name, 1 to 15 characters without blank, slash or colon', (value) =>
    /^[^\s/:]{1,15}$/.test(value),
  );

  return { choice, device, integer, list, listen, mapping, number, text, yesOrNo };
}
