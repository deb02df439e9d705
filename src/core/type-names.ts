/** Other names of PostgreSQL's types, as people write them, and what `format_type` calls the type. */
const ALIASES: Readonly<Record<string, string>> = {
  int2: 'smallint',
  int: 'integer',
  int4: 'integer',
  int8: 'bigint',
  bool: 'boolean',
  float4: 'real',
  float8: 'double precision',
  float: 'double precision',
  decimal: 'numeric',
  varchar: 'character varying',
  char: 'character',
  bpchar: 'character',
  timestamp: 'timestamp without time zone',
  timestamptz: 'timestamp with time zone',
  time: 'time without time zone',
  timetz: 'time with time zone',
}

/** The name that PostgreSQL itself writes, e.g. `numeric(10,2)` for `DECIMAL(10, 2)`; other names stay as they are. */
export function canonicalType(text: string): string {
  const parts =
    /^([a-z][\w ]*?)\s*(\(\s*\d+\s*(?:,\s*\d+\s*)?\))?(\s+with(?:out)?\s+time\s+zone)?\s*((?:\[\])*)$/i.exec(
      text.trim(),
    )
  if (parts === null) return text.trim()
  const [, name = '', size = '', zone = '', array = ''] = parts
  const lower = name.toLowerCase().replace(/\s+/g, ' ')
  const tail = zone.toLowerCase().replace(/\s+/g, ' ')
  const known = tail === '' ? (ALIASES[lower] ?? lower) : `${lower}${tail}`
  const digits = size.replace(/\s+/g, '')
  // numeric(10) is numeric(10,0), and char is char(1).
  const full = known === 'numeric' && /^\(\d+\)$/.test(digits) ? digits.replace(')', ',0)') : digits
  const own = known === 'character' && full === '' ? '(1)' : full
  // The digits of a time stand behind its first word.
  const sized = /^time/.test(known) ? known.replace(/^(time(?:stamp)?)/, `$1${own}`) : `${known}${own}`
  const builtIn = BUILT_IN.has(known)
  return builtIn ? `${sized}${array}` : text.trim()
}

const BUILT_IN: ReadonlySet<string> = new Set([
  ...Object.values(ALIASES),
  'text',
  'bytea',
  'date',
  'uuid',
  'json',
  'jsonb',
  'citext',
  'inet',
  'interval',
  'real',
])

/** Types that every PostgreSQL has: no server needs to be asked. */
export function isBuiltIn(type: string): boolean {
  const bare = type.replace(/\([\d,]+\)/, '').replace(/(\[\])+$/, '')
  return BUILT_IN.has(bare) && bare !== 'citext'
}
