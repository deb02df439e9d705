/** Numbers, sizes, times and tables for people. */

const NUMBER = new Intl.NumberFormat('en')

/** `1,234` or `1 row`, `1,234 rows`. */
export function count(number: number, noun?: string): string {
  const text = NUMBER.format(number)
  return noun === undefined ? text : `${text} ${noun}${number === 1 ? '' : 's'}`
}

export function bytes(number: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  const power = Math.min(units.length - 1, number < 1 ? 0 : Math.floor(Math.log10(number) / 3))
  const value = number / 1000 ** power
  return `${power === 0 ? value : value.toFixed(1)} ${units[power]}`
}

export function duration(seconds: number): string {
  if (seconds < 60)
    return `${seconds < 10 && !Number.isInteger(seconds) ? seconds.toFixed(2) : Math.round(seconds)} s`
  const minutes = Math.floor(seconds / 60)
  if (minutes < 60) return `${minutes} min ${Math.round(seconds % 60)} s`
  return `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

/** Columns aligned; those that hold only numbers to the right. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const numeric = header.map(
    (_, i) => rows.length > 0 && rows.every((row) => /^[\d,.\s/%-]*$/.test(row[i] ?? '')),
  )
  return [header, ...rows].map((row) =>
    row
      .map((cell, i) => (numeric[i] ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd(),
  )
}

/** Text of a row, for a terminal: what would move the cursor, or cannot be seen, is spelled out. */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\p{Cf}\p{Cs}\u2028\u2029]/gu,
    (character) => `\\u{${character.codePointAt(0)!.toString(16)}}`,
  )
}

/** A command as a person would type it here: through npm where this one came through npm. */
export function commandLine(env: NodeJS.ProcessEnv, command: string, ...args: readonly string[]): string {
  const script = env.npm_lifecycle_event
  const words = args.map(shellWord)
  if (script === undefined) return ['slipway', command, ...words].join(' ')
  if (script === 'npx') return ['npx slipway', command, ...words].join(' ')
  return ['npm run', command, ...(words.length > 0 ? ['--', ...words] : [])].join(' ')
}

/** `slipway start` in a sentence, as this person would type it. */
export function commandsIn(text: string, env: NodeJS.ProcessEnv): string {
  return text.replace(
    /\bslipway (assess|snapshot|start|status|lag|verify|quarantine|replay|replication|switchover|rollback|finalize|writes|recover|report|uninstall)((?: (?:--[\w-]+|pause|resume|retry)\b)*)/g,
    (_all, command: string, rest: string) => commandLine(env, command, ...rest.split(' ').filter(Boolean)),
  )
}

function shellWord(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`
}
