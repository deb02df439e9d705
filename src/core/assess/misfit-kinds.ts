import { type ColumnFacts, counted, type Trait } from './facts.ts'

/** Which values a family of types does not take, in words; the order is that of the sentence. */
interface Kind {
  readonly what: readonly [one: string, several: string]
  /** Each counts once. */
  readonly count: (facts: ColumnFacts) => number
}

function kind(what: readonly [string, string], traits: readonly Trait[], minus: readonly Trait[] = []): Kind {
  return {
    what,
    count: (facts) => Math.max(0, counted(facts, ...traits) - counted(facts, ...minus)),
  }
}

const TEXTS = kind(['text', 'texts'], ['text'])
const BLOBS = kind(['BLOB', 'BLOBs'], ['blob'])
const INTEGERS = kind(['integer', 'integers'], ['integer'])
const REALS = kind(['real', 'reals'], ['real'])
const PLACES = kind(
  ['number with a fraction or an exponent', 'numbers with fractions or exponents'],
  ['real'],
)

/** Text that is none of these formats, split into what people recognise. */
function textBut(what: string, ...fitting: readonly Trait[]): Kind[] {
  const odd: readonly (readonly [Trait, string, string])[] = [
    ['empty', 'empty text', 'empty texts'],
    ['zero_date', 'date 0000-00-00', 'dates 0000-00-00'],
    ['odd_time', 'date or time that does not exist', 'dates or times that do not exist'],
    ['magic_word', 'word that PostgreSQL reads as a time', 'words that PostgreSQL reads as times'],
    ['iso_date', 'bare date', 'bare dates'],
    ['iso_naive', 'time without a zone', 'times without a zone'],
    ['iso_zoned', 'time with a zone', 'times with a zone'],
    ['iso_time', 'time of day', 'times of day'],
  ]
  const named = odd.filter(([trait]) => !fitting.includes(trait))
  return [
    ...named.map(([trait, one, several]) => kind([one, several], [trait])),
    // Of those that would fit.
    ...(fitting.includes('iso_date')
      ? []
      : [kind(['time with more than six digits', 'times with more than six digits'], ['long_fraction'])]),
    kind(
      [`text that is no ${what}`, `texts that are no ${what}`],
      ['text'],
      [...fitting, ...named.map(([trait]) => trait)],
    ),
  ]
}

const NUMBERS_ARE_NO_TIMES = [INTEGERS, REALS, BLOBS]

/** By the name of the type, without length or digits. */
const KINDS: Readonly<Record<string, readonly Kind[]>> = {
  smallint: [kind(['larger integer', 'larger integers'], ['int32', 'int53', 'int64']), PLACES, TEXTS, BLOBS],
  integer: [kind(['larger integer', 'larger integers'], ['int53', 'int64']), PLACES, TEXTS, BLOBS],
  bigint: [PLACES, TEXTS, BLOBS],
  'double precision': [kind(['integer beyond 2^53', 'integers beyond 2^53'], ['int64']), TEXTS, BLOBS],
  numeric: [kind(['text that is no number', 'texts that are no numbers'], ['text'], ['decimal']), BLOBS],
  boolean: [
    kind(['integer but 0 and 1', 'integers but 0 and 1'], ['integer'], ['zero_or_one']),
    REALS,
    TEXTS,
    BLOBS,
  ],
  text: [
    kind(['text with a NUL character', 'texts with NUL characters'], ['nul']),
    kind(['text that is not valid UTF-8', 'texts that are not valid UTF-8'], ['invalid_utf8']),
    BLOBS,
  ],
  date: [...textBut('date', 'iso_date'), ...NUMBERS_ARE_NO_TIMES],
  'time without time zone': [...textBut('time', 'iso_time'), ...NUMBERS_ARE_NO_TIMES],
  'timestamp without time zone': [...textBut('time', 'iso_naive'), ...NUMBERS_ARE_NO_TIMES],
  'timestamp with time zone': [...textBut('time', 'iso_naive', 'iso_zoned'), ...NUMBERS_ARE_NO_TIMES],
  uuid: [
    kind(['text that is no UUID', 'texts that are no UUIDs'], ['text'], ['uuid']),
    INTEGERS,
    REALS,
    BLOBS,
  ],
  json: [
    kind(['text that is no JSON', 'texts that are no JSON'], ['text'], ['json', 'json_scalar']),
    INTEGERS,
    REALS,
    BLOBS,
  ],
  jsonb: [
    kind(['text that is no JSON', 'texts that are no JSON'], ['text'], ['json', 'json_scalar']),
    kind(['JSON with \\u0000', 'JSON texts with \\u0000'], ['json_nul']),
    INTEGERS,
    REALS,
    BLOBS,
  ],
}

/** What of a column does not go into a type, for people: `2 texts and 1 BLOB`; empty where the survey cannot tell. */
export function describeMisfits(facts: ColumnFacts | undefined, type: string): string {
  if (facts === undefined) return ''
  const parts = (KINDS[type.replace(/\(.*\)$/, '')] ?? []).flatMap(({ what, count }) => {
    const number = count(facts)
    return number === 0 ? [] : [`${number} ${number === 1 ? what[0] : what[1]}`]
  })
  return listed(parts)
}

/** How many values of a column do not go into a type, as far as the survey can tell. */
export function misfitCount(facts: ColumnFacts | undefined, type: string): number {
  if (facts === undefined) return 0
  return (KINDS[type.replace(/\(.*\)$/, '')] ?? []).reduce((sum, { count }) => sum + count(facts), 0)
}

/** `a, b and c`. */
export function listed(parts: readonly string[]): string {
  if (parts.length < 2) return parts.join('')
  return `${parts.slice(0, -1).join(', ')} and ${parts.at(-1)}`
}
