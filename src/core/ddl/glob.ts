import { literal } from '../quote.ts'
import { refuse } from './value.ts'

/**
 * A pattern of GLOB as a regular expression of PostgreSQL, as a literal. `*`, `?`, `[a-z]`, `[^a-z]`; a `]` that
 * comes first in brackets stands for itself, and nothing is an escape.
 */
export function globAsRegExp(pattern: string): string {
  const chars = [...pattern]
  let regex = '^'
  for (let at = 0; at < chars.length; at++) {
    const char = chars[at] as string
    if (char === '*') regex += '.*'
    else if (char === '?') regex += '.'
    else if (char === '[') {
      const group = bracket(chars, at)
      regex += group.regex
      at = group.end
    } else regex += escaped(char)
  }
  return literal(`${regex}$`)
}

function bracket(chars: readonly string[], open: number): { regex: string; end: number } {
  let at = open + 1
  const not = chars[at] === '^'
  if (not) at++
  let items = ''
  for (let first = true; chars[at] !== ']' || first; first = false) {
    const from = chars[at]
    if (from === undefined) return refuse('a bracket of the GLOB pattern is not closed')
    const to = chars[at + 2]
    if (chars[at + 1] === '-' && to !== undefined && to !== ']') {
      // A range that is turned round holds nothing in SQLite and is an error in PostgreSQL.
      if ((from.codePointAt(0) as number) > (to.codePointAt(0) as number))
        refuse(`the range ${from}-${to} of the GLOB pattern is empty`)
      items += `${escaped(from)}-${escaped(to)}`
      at += 3
    } else {
      items += escaped(from)
      at++
    }
  }
  return { regex: `[${not ? '^' : ''}${items}]`, end: at }
}

/** Letters and digits as they are, all else by its number: nothing is left that an expression could mean. */
function escaped(char: string): string {
  if (/^[A-Za-z0-9 ]$/.test(char)) return char
  const code = char.codePointAt(0) as number
  return code > 0xffff
    ? `\\U${code.toString(16).padStart(8, '0')}`
    : `\\u${code.toString(16).padStart(4, '0')}`
}
