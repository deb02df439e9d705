/**
 * What a newsroom does to its database all day, one piece of work at a time, with every statement that is
 * hard on those who watch: rows displaced by REPLACE, keys that change, uniques that swap, work taken back.
 */
import type Database from 'better-sqlite3'
import { article, deadLetter, digest, instant, pendingPublication } from './generator.ts'
import { Random } from './random.ts'

/** Some piece of work: it returns how many statements it has run that are to be kept. */
type Work = () => number

export class Traffic {
  readonly #db: Database.Database
  readonly #seed: number
  readonly #random: Random
  readonly #statements = new Map<string, Database.Statement>()
  readonly #works: readonly (readonly [weight: number, name: string, work: Work])[] = [
    [24, 'insert', () => this.#insertArticle()],
    [8, 'replace', () => this.#replaceByLink()],
    [3, 'replace_two', () => this.#replaceTwo()],
    [12, 'upsert', () => this.#upsertArticle()],
    [14, 'update', () => this.#updateArticle()],
    [6, 'delete', () => this.#deleteArticle()],
    [2, 'key_update', () => this.#changeKey()],
    [3, 'swap', () => this.#swapLinks()],
    [10, 'enqueue', () => this.#enqueue()],
    [7, 'publish', () => this.#publish()],
    [4, 'dead_letter', () => this.#failIntoDlq()],
    [2, 'purge', () => this.#purgeDlq()],
    [1, 'digest', () => this.#composeDigest()],
    [3, 'savepoint', () => this.#savepointRolledBack()],
    [1, 'rolled_back', () => this.#rolledBack()],
  ]
  readonly #weights = this.#works.reduce((sum, [weight]) => sum + weight, 0)
  #made = 0

  /** `seed` must not be the newsroom's own: the links that it makes would be there already. */
  constructor(db: Database.Database, seed: number) {
    this.#db = db
    this.#seed = seed
    this.#random = new Random(seed, 99)
  }

  /** Does one piece of work and returns once it is committed. Throws what SQLite throws, with nothing left open. */
  step(): { readonly name: string; readonly statements: number } {
    let left = this.#random.whole(1, this.#weights)
    const [, name, work] = this.#works.find(([weight]) => {
      left -= weight
      return left <= 0
    })!
    return { name, statements: work() }
  }

  #insertArticle(): number {
    return this.#run(`INSERT INTO articles ${ARTICLE}`, article(this.#seed, ++this.#made))
  }

  /** The row that had the link goes, under REPLACE without any DELETE trigger, and comes back under a new id. */
  #replaceByLink(): number {
    const link = this.#row('articles')?.canonical_link ?? article(this.#seed, 0).canonical_link
    return this.#run(`INSERT OR REPLACE INTO articles ${ARTICLE}`, {
      ...article(this.#seed, ++this.#made),
      canonical_link: link,
    })
  }

  /** One statement that displaces two rows: one by its id, one by its link. */
  #replaceTwo(): number {
    const [one, other] = [this.#row('articles'), this.#row('articles')]
    if (!one || !other) return this.#insertArticle()
    const row = { ...article(this.#seed, ++this.#made), id: one.id, canonical_link: other.canonical_link }
    return this.#run(`REPLACE INTO articles ${ARTICLE_WITH_ID}`, row)
  }

  #upsertArticle(): number {
    const link = this.#random.chance(0.7) ? this.#row('articles')?.canonical_link : undefined
    const row = article(this.#seed, ++this.#made)
    return this.#run(
      `INSERT INTO articles ${ARTICLE} ON CONFLICT (canonical_link) DO UPDATE SET
         title = excluded.title, content = excluded.content, content_hash = excluded.content_hash,
         updated_at = excluded.updated_at`,
      { ...row, canonical_link: link ?? row.canonical_link },
    )
  }

  #updateArticle(): number {
    const { summary_text, backfill_status, content } = article(this.#seed, this.#random.whole(1, 1_000_000))
    return this.#run(
      `UPDATE articles SET summary_text = @summary_text, backfill_status = @backfill_status,
         content = CASE WHEN id % 5 = 0 THEN @content ELSE content END, updated_at = @now WHERE id = @id`,
      { summary_text, backfill_status, content, now: this.#now(), id: this.#row('articles')?.id ?? 0n },
    )
  }

  #deleteArticle(): number {
    return this.#run('DELETE FROM articles WHERE id = @id', { id: this.#row('articles')?.id ?? 0n })
  }

  #changeKey(): number {
    return this.#run('UPDATE articles SET id = (SELECT max(id) + 1 FROM articles) WHERE id = @id', {
      id: this.#row('articles')?.id ?? 0n,
    })
  }

  #swapLinks(): number {
    return this.#transaction(() => {
      const [one, other] = [this.#row('articles'), this.#row('articles')]
      if (!one || !other || one.id === other.id) return 0
      const set = (id: bigint, link: string) =>
        this.#run('UPDATE articles SET canonical_link = @link WHERE id = @id', { id, link })
      return (
        set(one.id, `swapping:${one.id}`) +
        set(other.id, one.canonical_link) +
        set(one.id, other.canonical_link)
      )
    })
  }

  #enqueue(): number {
    const known = this.#random.chance(0.3) ? this.#row('pending_publications')?.url : undefined
    const row = pendingPublication(this.#seed, ++this.#made)
    return this.#run(
      `INSERT INTO pending_publications ${PENDING} ON CONFLICT (url) DO UPDATE SET
         attempts = attempts + 1, last_error = excluded.last_error, updated_at = excluded.updated_at`,
      { ...row, url: known ?? row.url },
    )
  }

  /** Three tables in one transaction: out of the queue, into the articles, old letters about it gone. */
  #publish(): number {
    return this.#transaction(() => {
      const pending = this.#row('pending_publications')
      if (!pending) return 0
      const row = { ...article(this.#seed, ++this.#made), url: pending.url, published_at: this.#now() }
      return (
        this.#run('DELETE FROM pending_publications WHERE id = @id', { id: pending.id }) +
        this.#run(`INSERT INTO articles ${ARTICLE}`, row) +
        this.#run('DELETE FROM dlq WHERE entity_ref = @ref', { ref: pending.url })
      )
    })
  }

  #failIntoDlq(): number {
    return this.#transaction(() => {
      const pending = this.#row('pending_publications')
      const letter = deadLetter(this.#seed, ++this.#made)
      const entity_ref = pending?.url ?? letter.entity_ref
      return (
        this.#run(`INSERT INTO dlq ${LETTER}`, { ...letter, entity_type: 'publication', entity_ref }) +
        this.#run(
          'UPDATE pending_publications SET attempts = attempts + 1, last_error = @error WHERE id = @id',
          {
            error: letter.error_code,
            id: pending?.id ?? 0n,
          },
        )
      )
    })
  }

  #purgeDlq(): number {
    return this.#run('DELETE FROM dlq WHERE id IN (SELECT id FROM dlq ORDER BY last_seen_at LIMIT 4)', {})
  }

  #composeDigest(): number {
    return this.#run(
      'INSERT INTO digests (period, content, created_at) VALUES (@period, @content, @created_at)',
      digest(this.#seed, ++this.#made),
    )
  }

  #savepointRolledBack(): number {
    return this.#transaction(() => {
      const kept = this.#insertArticle()
      this.#db.exec('SAVEPOINT draft')
      this.#deleteArticle()
      this.#replaceByLink()
      this.#db.exec('ROLLBACK TO draft; RELEASE draft')
      return kept + this.#updateArticle()
    })
  }

  #rolledBack(): number {
    this.#db.exec('BEGIN IMMEDIATE')
    try {
      this.#insertArticle()
      this.#purgeDlq()
    } finally {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
    }
    return 0
  }

  /** IMMEDIATE: a transaction that reads first and then writes would meet BUSY_SNAPSHOT beside other writers. */
  #transaction(work: Work): number {
    return this.#db.transaction(work).immediate()
  }

  #run(sql: string, parameters: object): number {
    this.#statement(sql).run(parameters)
    return 1
  }

  /** Some row near a random id. */
  #row(table: 'articles' | 'pending_publications'): Row | undefined {
    const last = this.#statement(`SELECT max(id) AS id FROM ${table}`).get() as { id: bigint | null }
    const from = BigInt(this.#random.whole(1, Number(last.id ?? 1n)))
    return this.#statement(`SELECT * FROM ${table} WHERE id >= ? ORDER BY id LIMIT 1`).get(from) as
      | Row
      | undefined
  }

  #statement(sql: string): Database.Statement {
    let statement = this.#statements.get(sql)
    if (!statement) {
      statement = this.#db.prepare(sql).safeIntegers()
      this.#statements.set(sql, statement)
    }
    return statement
  }

  #now(): string {
    return instant(Date.now())
  }
}

interface Row {
  readonly id: bigint
  readonly url: string
  readonly canonical_link: string
}

const ARTICLE_COLUMNS = Object.keys(article(0, 0))
const ARTICLE = columnsAndValues(ARTICLE_COLUMNS)
const ARTICLE_WITH_ID = columnsAndValues(['id', ...ARTICLE_COLUMNS])
const PENDING = columnsAndValues(Object.keys(pendingPublication(0, 0)))
const LETTER = columnsAndValues(Object.keys(deadLetter(0, 0)))

function columnsAndValues(columns: readonly string[]): string {
  return `(${columns.join(', ')}) VALUES (${columns.map((column) => '@' + column).join(', ')})`
}
