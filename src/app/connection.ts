import knex, { type Knex } from 'knex'
import { Failure } from '../core/errors.ts'

/** What an application's `DATABASE_URL` means. */
export type Place =
  | { readonly engine: 'sqlite'; readonly path: string }
  | { readonly engine: 'postgres'; readonly url: string }

/**
 * Understands `sqlite:PATH`, `sqlite:///relative`, `sqlite:////absolute` (SQLAlchemy's way of counting
 * slashes), `postgres://`, `postgresql://` and `postgresql+driver://`. Throws a Failure `database_url`.
 */
export function parseDatabaseUrl(text: string): Place {
  const sqlite = /^sqlite:(?:\/\/\/|(?!\/\/))(.+)$/i.exec(text)
  if (sqlite) return { engine: 'sqlite', path: sqlite[1]! }
  const postgres = /^postgres(?:ql)?(?:\+\w+)?:\/\/(.*)$/i.exec(text)
  if (postgres) return { engine: 'postgres', url: `postgresql://${postgres[1]}` }
  throw new Failure({
    code: 'database_url',
    // Not shown: it may hold a password.
    message: 'DATABASE_URL has a form that is not known.',
    remedy: 'Write sqlite:PATH, sqlite:///path, sqlite:////absolute/path or postgres://user@host/database.',
    exit: 2,
  })
}

/** Opens the application's database; the caller destroys what it gets. `schema` counts on PostgreSQL only. */
export function openKnex(place: Place, schema = 'public'): Knex {
  if (place.engine === 'postgres') {
    return knex({ client: 'pg', connection: place.url, searchPath: [schema], pool: { min: 0, max: 4 } })
  }
  // better-sqlite3's own defaults hold: busy timeout 5 s, foreign keys on, the file's journal mode (trap R5).
  return knex({
    client: 'better-sqlite3',
    connection: { filename: place.path },
    useNullAsDefault: true,
    pool: { min: 1, max: 1 },
  })
}
