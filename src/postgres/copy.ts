import type pg from 'pg'
import { Failure, messageOf } from '../core/errors.ts'
import type { Chunk, CopyPart, CopyProgress, CopyRows, SnapshotTarget } from '../core/ports.ts'
import type { Checkpoint } from '../core/position.ts'
import { quote } from '../core/quote.ts'
import type { SourceTable } from '../core/source-schema.ts'
import { HIDDEN_KEY, type TableSpec } from '../core/table.ts'
import type { TargetTable, TargetUnique } from '../core/target-schema.ts'
import { type Connection, sqlstate } from './connection.ts'
import { noteOwnConstraints, ownConstraints } from './constraints.ts'
import type { Control } from './control.ts'
import { displaceSql, keptBySource } from './displace.ts'
import { hangGate, putToSleep, remember, takeGateOff, targetName, withPartitions } from './dormant.ts'
import { resetHistory } from './history.ts'
import type { IndexPlan } from './index-plans.ts'
import { createIndex, indexCannotHold } from './indexes.ts'
import { introspectTarget } from './introspect.ts'
import { type How, Merger } from './merge.ts'
import { followAll } from './parents.ts'
import { ensureSchema } from './preflight.ts'
import { Quarantine } from './quarantine.ts'
import { MOVING } from './refused.ts'
import { createTableSql, type FinishPlan, finishPlan, readGrants } from './schema.ts'
import { isFaultOfRow } from './sift.ts'
import { copyInto, targetColumns } from './stage.ts'

interface Worker {
  readonly connection: Connection
  readonly merger: Merger
}

/** Class of the advisory locks under which two careful chunks of one table follow each other. */
const CHUNK_LOCK = 7_516
/** How often a chunk is tried again since another session was in its way. */
const MOVES = 5
const NONE: CopyRows = { rows: 0, bytes: 0, read: () => [] }

interface Planned {
  readonly source: SourceTable
  readonly spec: TableSpec
}

/**
 * The target of the copy. Its tables are emptied once, when the copy is planned; each chunk then commits together
 * with its progress, so that a killed copy goes on at its last chunk.
 */
export class CopyWriter implements SnapshotTarget {
  readonly #connection: Connection
  /** One session and its stage tables per worker. */
  readonly #workers: readonly Worker[]
  readonly #control: Control
  readonly #planned: ReadonlyMap<string, Planned>
  readonly #known: readonly TableSpec[]
  readonly #warn: (text: string) => void
  #next = 0
  /** Uniques of each target table as they were when its copy began. */
  #shapes = new Map<string, TargetTable>()

  constructor(
    connection: Connection,
    workers: readonly Connection[],
    control: Control,
    planned: readonly Planned[],
    /** Tables of an earlier copy: their rows are ours to take away. */
    known: readonly TableSpec[],
    warn: (text: string) => void,
  ) {
    this.#known = known
    this.#connection = connection
    this.#control = control
    this.#planned = new Map(planned.map((table) => [table.spec.name, table]))
    this.#warn = warn
    this.#workers = [...workers, connection].map((worker) => ({
      connection: worker,
      merger: this.#mergerOf(worker),
    }))
  }

  #mergerOf(connection: Connection): Merger {
    return new Merger({
      connection,
      migration: this.#control.migration,
      targets: [],
      tables: [...this.#planned.values()].map(({ spec }) => spec),
      warn: this.#warn,
      beforeChange: async () => undefined,
      keepExtra: false,
      displace: (table, stage) => this.#displace(table, stage),
    })
  }

  async progress(): Promise<CopyProgress> {
    return await this.#connection.use(async (client) => {
      const { rows } = await client.query(
        'SELECT tbl, part, lower, upper, last, rows, done, expected FROM slipway.copy_part WHERE migration = $1 ORDER BY tbl, part',
        [this.#control.migration],
      )
      const parts = rows.map(
        (row): CopyPart => ({
          table: row.tbl,
          part: row.part,
          lower: row.lower ?? undefined,
          upper: row.upper ?? undefined,
          last: row.last ?? undefined,
          rows: Number(row.rows),
          done: row.done,
        }),
      )
      return { parts, expected: new Map(rows.map((row) => [row.tbl, Number(row.expected)])) }
    })
  }

  /**
   * Empty tables, sleeping constraints, the closed gate, the plan of the copy and S0: all in one transaction, so
   * that there is no moment in which a half-prepared target could be taken for a copy.
   */
  async begin(s0: Checkpoint, { parts, expected }: CopyProgress, installation: string): Promise<void> {
    const { migration } = this.#control
    await this.#connection.transaction(async (client) => {
      await this.#control.admit(client, 'update')
      const planned = [...this.#planned.values()]
      for (const schema of new Set(planned.map(({ spec }) => spec.schema))) await ensureSchema(client, schema)
      const { rows } = await client.query('SELECT id FROM slipway.control WHERE migration = $1', [migration])
      const existing = planned.filter(({ spec }) => !spec.owned).map(({ spec }) => spec)
      const asleep = existing.length > 0 ? await putToSleep(client, existing) : []
      for (const table of planned) await this.#empty(client, table)
      await this.#release(client)
      for (const sleeper of asleep) await remember(client, migration, sleeper)
      await noteOwnConstraints(client, migration, planned)
      await hangGate(
        client,
        rows[0].id,
        planned.map(({ spec }) => spec),
      )
      await client.query('DELETE FROM slipway.copy_part WHERE migration = $1', [migration])
      await new Quarantine(migration).clear(client)
      for (const part of parts) {
        await client.query(
          'INSERT INTO slipway.copy_part (migration, tbl, part, lower, upper, expected) VALUES ($1, $2, $3, $4, $5, $6)',
          [
            migration,
            part.table,
            part.part,
            part.lower ?? null,
            part.upper ?? null,
            expected.get(part.table) ?? 0,
          ],
        )
      }
      await client.query(
        `INSERT INTO slipway.checkpoint (migration, direction, seq, mark, newest) VALUES ($1, 'forward', $2, $3, $2)
         ON CONFLICT (migration, direction) DO UPDATE SET seq = excluded.seq, mark = excluded.mark, newest = excluded.newest`,
        [migration, s0.seq.toString(), s0.mark],
      )
      await client.query(
        `UPDATE slipway.control SET phase = 'snapshotting', tables = $2, installation = $3, copy_started_at = clock_timestamp(), copy_finished_at = NULL
         WHERE migration = $1`,
        [migration, JSON.stringify(planned.map(({ spec }) => spec)), installation],
      )
      // No way back leads from the new rows to the old ones.
      await resetHistory(client, migration)
    })
    this.#shapes.clear()
  }

  /** An empty table, made where it is ours. Rows that are not from an earlier copy go only by the plan's consent. */
  async #empty(client: pg.ClientBase, { source, spec }: Planned): Promise<void> {
    const name = targetName(spec)
    const known = this.#known.some((table) => table.target === spec.target)
    if (spec.owned) {
      const grants = known ? await readGrants(client, name) : []
      if (known) await client.query(`DROP TABLE IF EXISTS ${name}`)
      await client.query(createTableSql(source, spec))
      for (const grant of grants) await client.query(grant)
      return
    }
    if (known || spec.emptied === true) await client.query(`TRUNCATE ${name}`)
    else {
      // It was empty when it was looked at; the lock keeps it so until the gate hangs.
      await client.query(`LOCK TABLE ${name} IN ACCESS EXCLUSIVE MODE`)
      const { rows } = await client.query(`SELECT EXISTS (SELECT 1 FROM ${name}) AS filled`)
      if (rows[0].filled) {
        throw new Failure({
          code: 'target_not_empty',
          message: `${name} holds rows already: they would collide with the source's`,
          remedy: `Empty it (TRUNCATE ${name}) or leave it out: EXCLUDE_TABLES=${spec.name}`,
        })
      }
    }
    if (spec.key.kind === 'rowid') {
      await client.query(`ALTER TABLE ${name} ADD COLUMN IF NOT EXISTS ${quote(HIDDEN_KEY)} bigint`)
    }
  }

  /** Tables of the earlier copy that the source no longer has: they stay as they are, open and stale. */
  async #release(client: pg.ClientBase): Promise<void> {
    const left = this.#known.filter((table) => !this.#planned.has(table.name))
    for (const name of await withPartitions(client, left)) {
      await takeGateOff(client, name)
      this.#warn(
        `${name} is no longer part of the migration: it keeps the rows of the last copy and is not followed`,
      )
    }
  }

  async writeChunk(table: TableSpec, part: CopyPart, chunk: Chunk): Promise<void> {
    const uniques = await this.#uniquesOf(table)
    // Workers take turns; a session is a queue, so two chunks never mix.
    const worker = this.#workers[this.#next++ % (this.#workers.length - 1)] as Worker
    // No key comes twice where nothing is unique yet: then the rows need no stage.
    let way: How | 'direct' =
      table.owned && uniques.length === 0 && chunk.aside.length === 0 ? 'direct' : 'replace'
    for (let moves = 0; ; ) {
      try {
        await this.#write(worker, table, part, chunk, way, moves >= MOVES)
        return
      } catch (error) {
        worker.merger.forget()
        const moved = (error instanceof Failure && error.code === MOVING) || sqlstate(error) === '40P01'
        if (moved && moves < MOVES) moves++
        else if (isFaultOfRow(sqlstate(error)) && way !== 'careful') way = 'careful'
        else throw error
      }
    }
  }

  async #write(
    { connection, merger }: Worker,
    table: TableSpec,
    part: CopyPart,
    chunk: Chunk,
    way: How | 'direct',
    patient: boolean,
  ): Promise<void> {
    await connection.transaction(async (client) => {
      // Progress and rows are one commit; a server that loses it loses both.
      await client.query('SET LOCAL synchronous_commit = off')
      await this.#control.admit(client, 'share')
      if (way === 'direct') {
        if (chunk.rows.rows > 0)
          await copyInto(client, targetName(table), targetColumns(table), chunk.rows, table)
      } else if (chunk.rows.rows + chunk.aside.length > 0) {
        // What one session judges, another must see.
        if (way === 'careful')
          await client.query('SELECT pg_advisory_xact_lock($1, hashtext($2))', [
            CHUNK_LOCK,
            targetName(table),
          ])
        await merger.begin(client)
        await merger.merge(
          client,
          { table, gone: NONE, upserts: chunk.rows, aside: chunk.aside },
          way,
          patient,
        )
      }
      const moved = await client.query(
        `UPDATE slipway.copy_part SET last = coalesce($4, last), rows = rows + $5, done = $6
         WHERE migration = $1 AND tbl = $2 AND part = $3 AND last IS NOT DISTINCT FROM $7 AND NOT done`,
        [
          this.#control.migration,
          table.name,
          part.part,
          chunk.last ?? null,
          chunk.rows.rows,
          chunk.exhausted,
          part.last ?? null,
        ],
      )
      if (moved.rowCount !== 1) {
        throw new Failure({
          code: 'copy_moved',
          policy: 'transient',
          message: `the copy of ${table.name} stands elsewhere: it is read again`,
        })
      }
      await client.query(
        `UPDATE slipway.checkpoint SET newest = $2 WHERE migration = $1 AND direction = 'forward' AND newest < $2`,
        [this.#control.migration, chunk.head.toString()],
      )
    })
  }

  /**
   * A row that holds a value of the chunk under another key, where the source keeps the value unique too, has changed
   * since it was copied: so it is in the changelog and comes again (trap H8).
   */
  #displace(table: TableSpec, stage: string): string[] {
    const shape = this.#shapes.get(table.target)
    const source = this.#planned.get(table.name)?.source
    if (shape === undefined || source === undefined) return []
    return shape.uniques
      .filter((unique) => table.owned || keptBySource(source, table, shape, unique))
      .map((unique) => displaceSql(table, stage, unique))
  }

  async #uniquesOf(table: TableSpec): Promise<readonly TargetUnique[]> {
    if (this.#shapes.size === 0) {
      const tables = await introspectTarget(this.#connection, table.schema)
      this.#shapes = new Map(tables.map((shape) => [shape.name, shape]))
    }
    return this.#shapes.get(table.target)?.uniques ?? []
  }

  async finishTable(table: TableSpec): Promise<void> {
    const finish = this.#finishPlan(table)
    const key = finish?.key
    if (key !== undefined) await this.#build((client) => client.query(key))
    await this.#indexes(table, finish?.indexes.filter((index) => !index.unique) ?? [])
    await this.#connection.use((client) => client.query(`ANALYZE ${targetName(table)}`))
    const { findings } = ownConstraints([...this.#planned.values()])
    const told = [...(finish?.findings ?? []), ...findings.filter((one) => one.table === table.name)]
    for (const { message } of told) this.#warn(message)
  }

  async settle(): Promise<void> {
    for (const { spec } of this.#planned.values()) {
      await this.#indexes(spec, this.#finishPlan(spec)?.indexes.filter((index) => index.unique) ?? [])
    }
    // The last of them works in the session that builds.
    const { merger, connection } = this.#workers.at(-1) as Worker
    try {
      await connection.transaction(async (client) => {
        await this.#control.admit(client, 'update')
        if (await merger.quarantine.isEmpty(client)) return
        await merger.quarantine.prepare(client, connection.generation)
        await followAll(
          client,
          merger.quarantine,
          [...this.#planned.values()].map(({ spec }) => spec),
          async () => undefined,
        )
      })
    } finally {
      merger.forget()
    }
  }

  async #indexes(table: TableSpec, indexes: readonly IndexPlan[]): Promise<void> {
    for (const index of indexes) {
      try {
        await this.#build((client) => createIndex(client, table, index))
      } catch (error) {
        if (!indexCannotHold(error)) throw error
        this.#warn(`${table.name}: index ${index.name} is left out: ${messageOf(error)}`)
      }
    }
  }

  #finishPlan(table: TableSpec): FinishPlan | undefined {
    const planned = this.#planned.get(table.name)
    return planned !== undefined && table.owned ? finishPlan(planned.source, table) : undefined
  }

  async #build(work: (client: pg.Client) => Promise<unknown>): Promise<void> {
    await this.#connection.transaction(async (client) => {
      await this.#control.admit(client, 'share')
      await client.query(`SET LOCAL maintenance_work_mem = '256MB'`)
      await work(client)
    })
  }

  async finish(): Promise<void> {
    await this.#control.note({ phase: 'catching_up', copyFinishedAt: new Date() })
  }
}
