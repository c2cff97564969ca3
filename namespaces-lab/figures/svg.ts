/** Writes SVG: elements in, text out, always the same text for the same figure. Pure. */

/** Attributes of an element; undefined ones are left out. */
export type Attributes = Readonly<Record<string, string | number | undefined>>;

/** An element with its children, which are SVG text already. */
export function element(name: string, attributes: Attributes, ...children: readonly string[]): string {
  const words = Object.entries(attributes)
    .filter(([, value]) => value !== undefined)
    .map(([key, value]) => ` ${key}="${typeof value === 'number' ? coordinate(value) : escapeText(value!)}"`);
  const open = `<${name}${words.join('')}`;
  if (children.length === 0) return `${open}/>`;
  return `${open}>${children.join('')}</${name}>`;
}

/** A text element. */
export function text(content: string, attributes: Attributes): string {
  return element('text', attributes, escapeText(content));
}

/** A number with two decimals at most: rounding keeps figures equal on every machine. */
export function coordinate(value: number): string {
  const rounded = Math.round(value * 100) / 100;
  return String(rounded === 0 ? 0 : rounded);
}

/** Text as SVG takes it, in attributes too. */
export function escapeText(content: string): string {
  return content
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
