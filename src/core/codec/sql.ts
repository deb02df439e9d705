/** Small pieces of SQLite's SQL that several codecs are made of. */

/** Yields the COPY text of the column reference `x`, which is not NULL; NULL for a misfit. */
export type Codec = (x: string) => string

/** COPY's escapes: backslash, tab, newline, carriage return. */
export function copyEscape(text: string): string {
  return `replace(replace(replace(replace(${text},'\\','\\\\'),char(9),'\\t'),char(10),'\\n'),char(13),'\\r')`
}

/**
 * Gives an expression a name, so that `use` may say it often and SQLite computes it once. The inner SELECT has no
 * FROM of its own, which keeps SQLite from merging the two (https://sqlite.org/optoverview.html#flattening).
 */
export function bound(name: string, expression: string, use: (name: string) => string): string {
  return `(SELECT ${use(name)} FROM (SELECT ${expression} AS ${name}))`
}

/** Comparisons of a column obey its collation, under which 'ABC' may be 'abc': codecs compare bytes. */
export function exactly(x: string): string {
  return `${x} COLLATE BINARY`
}
