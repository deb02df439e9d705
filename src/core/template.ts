/**
 * Templates are SQL files that a DBA can read and review. `{{name}}` stands for rendered SQL; a line
 * `-- statement: name` starts a statement. Comments stay out of what is sent.
 */
export function renderTemplate(
  template: string,
  values: Readonly<Record<string, string>>,
): Map<string, string> {
  const statements = new Map<string, string>()
  const [preamble = '', ...named] = template.split(/^-- statement: /m)
  const sections: [string, string][] = [['', preamble]]
  for (const section of named) {
    const end = section.indexOf('\n')
    sections.push([section.slice(0, end).trim(), section.slice(end + 1)])
  }
  for (const [name, text] of sections) {
    const body = text
      .split('\n')
      .map((line) => line.replace(/(^|\s)--\s.*$/, ''))
      .filter((line) => line.trim() !== '')
      .join('\n')
    if (body !== '') statements.set(name, fill(body, values))
  }
  return statements
}

function fill(body: string, values: Readonly<Record<string, string>>): string {
  return body
    .replace(/\{\{(\w+)\}\}/g, (_all, name: string) => {
      const value = values[name]
      if (value === undefined) throw new Error(`the template has no value for ${name}`)
      return value
    })
    .replace(/;\s*$/, '')
}
