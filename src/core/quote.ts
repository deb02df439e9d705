/** The one helper that quotes identifiers, for both engines: double quotes, doubled inside. */
export function quote(...path: string[]): string {
  return path.map((name) => `"${name.replaceAll('"', '""')}"`).join('.')
}

/** A string literal for DDL, which takes no parameters. Values of rows never pass here. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}

/**
 * A column in a condition: compared as its bytes are, since its collation may be one that only the application has
 * (trap V26), and since two values that it calls equal need not be equal in the target.
 */
export function exact(column: string): string {
  return `(${quote(column)} COLLATE BINARY)`
}
