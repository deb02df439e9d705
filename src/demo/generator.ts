/**
 * Rows of an invented newsroom. A row is a pure function of (seed, number): the demo, the benchmark and the
 * writer make any of them at any time, and two runs with one seed make the same database.
 */
import { createHash } from 'node:crypto'
import { Random } from './random.ts'

export interface Article {
  url: string
  canonical_link: string
  title: string
  published_at: string | null
  content: string | null
  content_hash: string | null
  summary_text: string | null
  created_at: string
  updated_at: string
  backfill_status: 'success' | 'failed' | 'skipped' | null
}

export interface DeadLetter {
  entity_type: string
  entity_ref: string
  error_code: string | null
  error_payload: string | null
  attempts: number
  first_seen_at: string
  last_seen_at: string
}

export interface Digest {
  period: string
  content: string
  created_at: string
}

export interface PendingPublication {
  url: string
  title: string
  published_at: string | null
  summary_text: string | null
  attempts: number
  last_error: string | null
  created_at: string
  updated_at: string
}

const START = Date.UTC(2025, 0, 1)

export function article(seed: number, n: number): Article {
  const random = new Random(seed, 1, n)
  const created = START + n * 97_013 + random.whole(0, 60_000)
  const content = random.chance(0.05) ? null : text(random, random.chance(0.01) ? 900 : random.whole(15, 70))
  return {
    url: `https://news.example/${random.pick(SECTIONS)}/${n}?utm_source=${random.pick(SOURCES)}&page=${random.whole(1, 9)}`,
    canonical_link: `https://news.example/a/${seed}/${n}`,
    title: sentence(random, random.whole(3, 9)),
    published_at: random.chance(0.1) ? null : instant(created + random.whole(60_000, 7_200_000)),
    content,
    content_hash: content === null ? null : createHash('sha256').update(content).digest('hex'),
    summary_text: random.chance(0.3) ? null : sentence(random, random.whole(8, 25)),
    created_at: instant(created),
    updated_at: instant(created + random.whole(0, 86_400_000)),
    backfill_status: random.pick(['success', 'success', 'success', 'failed', 'skipped', null]),
  }
}

export function deadLetter(seed: number, n: number): DeadLetter {
  const random = new Random(seed, 2, n)
  const first = START + n * 211_007
  const type = random.pick(['article', 'publication', 'digest'])
  return {
    entity_type: type,
    entity_ref: type === 'digest' ? period(n) : `https://news.example/a/${seed}/${random.whole(1, 9_999)}`,
    error_code: random.chance(0.1) ? null : random.pick(ERRORS),
    error_payload: random.chance(0.2) ? null : errorPayload(random, n),
    attempts: random.whole(0, 12),
    first_seen_at: instant(first),
    last_seen_at: instant(first + random.whole(0, 864_000_000)),
  }
}

export function digest(seed: number, n: number): Digest {
  const random = new Random(seed, 3, n)
  const items = Array.from(
    { length: random.whole(5, 25) },
    () => `* ${sentence(random, random.whole(5, 15))}`,
  )
  return {
    period: period(n),
    content: `# ${sentence(random, 4)}\r\n\r\n${items.join('\r\n')}\r\n`,
    created_at: instant(START + n * 86_400_000 + random.whole(0, 3_600_000)),
  }
}

export function pendingPublication(seed: number, n: number): PendingPublication {
  const random = new Random(seed, 4, n)
  const created = START + n * 131_071
  const attempts = random.chance(0.7) ? 0 : random.whole(1, 6)
  return {
    url: `https://news.example/p/${seed}/${n}`,
    title: sentence(random, random.whole(3, 9)),
    published_at: random.chance(0.4) ? null : instant(created - random.whole(0, 3_600_000)),
    summary_text: random.chance(0.3) ? null : sentence(random, random.whole(8, 25)),
    attempts,
    last_error: attempts === 0 ? null : `${random.pick(ERRORS)}: ${sentence(random, 4)}`,
    created_at: instant(created),
    updated_at: instant(created + attempts * 300_000),
  }
}

/** The newsroom's way to write a time: its order as text is the order of time. */
export function instant(ms: number): string {
  return new Date(ms).toISOString()
}

/** A document with what JSON is hard with: integers past 2^53, decimals that end in zeros, escapes, nesting. */
function errorPayload(random: Random, n: number): string {
  const body = {
    message: sentence(random, 5),
    stack: ['fetch', 'parse', random.pick(SPICE)],
    retry: random.chance(0.5),
  }
  const exact = `"request_id":900719925474${1000 + (n % 9000)},"took":${random.whole(0, 30)}.50`
  return `{${exact},"path":"C:\\\\feeds\\u00e9\\/${n}","body":${JSON.stringify(body)},"parent":null}`
}

function period(n: number): string {
  return instant(START + n * 86_400_000).slice(0, 10)
}

function text(random: Random, words: number): string {
  const parts: string[] = []
  for (let left = words; left > 0; ) {
    const length = Math.min(left, random.whole(5, 14))
    parts.push(sentence(random, length), random.chance(0.2) ? '\n\n' : ' ')
    left -= length
  }
  return parts.join('').trimEnd()
}

function sentence(random: Random, words: number): string {
  const vocabulary = random.chance(0.6) ? RUSSIAN : ENGLISH
  let line = random.pick(vocabulary)
  for (let i = 1; i < words; i++) line += ' ' + random.pick(vocabulary)
  if (random.chance(0.15)) line += ' ' + random.pick(SPICE)
  return line[0]!.toUpperCase() + line.slice(1) + random.pick(['.', '.', '.', '!', '?', '…'])
}

const SECTIONS = ['politics', 'economy', 'science', 'culture', 'sport', 'город']
const SOURCES = ['rss', 'telegram', 'mail']
const ERRORS = ['HTTP_503', 'HTTP_404', 'TIMEOUT', 'PARSE', 'DUPLICATE', 'CHANNEL_FLOOD']
/** What breaks tools: emoji of several code points, combining marks, COPY's own escapes, quotes, both directions. */
const SPICE = [
  '🚀',
  '👩‍👩‍👧‍👦',
  '🇳🇱',
  'e\u0301',
  '\\N',
  '\\.',
  '\ttab',
  "it's",
  '"so"',
  '100%',
  'שלום',
  '日本語',
  '\u00a0',
  '𝒻',
]
const RUSSIAN = (
  'сегодня новости редакция сообщает правительство решение вчера рынок выросли цены учёные нашли новый способ ' +
  'город открыли музей после ремонта объявили победителей конкурса снег дожди ожидаются выходные поезд ' +
  'задержали рейсы подъезд съёмки журналист рассказал что будет дальше ещё раз об этом пишет газета'
).split(' ')
const ENGLISH = (
  'today the council said that prices rose after a long winter while researchers found new ways to measure ' +
  'rain over old towns and the museum opened its doors again with a show about rivers trains and letters from ' +
  'readers who asked what comes next'
).split(' ')
