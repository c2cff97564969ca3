/** Elements from text: nothing that comes from the server is ever read as HTML. */

/**
 * Makes an element.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/**
 * The element with an id, which the page has.
 *
 * @param {string} id
 * @returns {HTMLElement}
 */
export function byId(id) {
  const element = document.getElementById(id);
  if (element === null) throw new Error(`the page has no ${id}`);
  return element;
}

/**
 * Fills a table anew.
 *
 * @param {HTMLElement} table
 * @param {string} caption - for who does not see the heading
 * @param {readonly { title: string, isWord?: boolean }[]} columns - the first is the name of the row
 * @param {readonly (readonly (string | Node)[])[]} rows
 * @param {string} none - what is said without rows
 */
export function fillTable(table, caption, columns, rows, none) {
  const head = make(
    'thead',
    {},
    make('tr', {}, ...columns.map(({ title, isWord }) => heading(title, isWord))),
  );
  const body = make(
    'tbody',
    {},
    ...rows.map((cells) =>
      make(
        'tr',
        {},
        ...cells.map((cell, i) =>
          i === 0
            ? make('th', { scope: 'row' }, cell)
            : make('td', columns[i]?.isWord ? { class: 'word' } : {}, cell),
        ),
      ),
    ),
  );
  if (rows.length === 0)
    body.append(make('tr', {}, make('td', { class: 'none', colspan: String(columns.length) }, none)));
  table.replaceChildren(make('caption', { class: 'hidden' }, caption), head, body);
}

/** @param {string} title @param {boolean | undefined} isWord */
function heading(title, isWord) {
  return make('th', { scope: 'col', ...(isWord ? { class: 'word' } : {}) }, title);
}
