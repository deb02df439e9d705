/** The one helper that quotes identifiers, for both engines: double quotes, doubled inside. */
export function quote(...path: string[]): string {
  return path.map((name) => `"${name.replaceAll('"', '""')}"`).join('.')
}

/** A string literal for DDL, which takes no parameters. Values of rows never pass here. */
export function literal(text: string): string {
  return `'${text.replaceAll("'", "''")}'`
}
