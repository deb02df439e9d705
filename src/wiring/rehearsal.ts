import { mkdirSync, readdirSync, rmSync, statfsSync } from 'node:fs'
import { join } from 'node:path'
import type { RehearsalOptions, RehearsalOutcome, RehearsalStep } from '../cli/work.ts'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Finding } from '../core/finding.ts'
import { type PlannedTable, refuseBlocked } from '../core/plan.ts'
import { type Dormant, targetName, wakeUp } from '../postgres/dormant.ts'
import { checkTarget } from '../postgres/preflight.ts'
import { foreignKeysLike, makeLike, makeScratch } from '../postgres/scratch.ts'
import { backupSource } from '../sqlite/backup.ts'
import { ChunkReader } from '../sqlite/chunks.ts'
import { openFrozen } from '../sqlite/frozen.ts'
import { checkFile, openReader, readFacts } from '../sqlite/open.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { type Planning, planSource } from './planning.ts'
import { openTarget, type TargetSession } from './session.ts'
import {
  asideFinding,
  constraintsOf,
  fillTable,
  makeIndexes,
  makeKey,
  makeTable,
  schemaFindings,
} from './table-copy.ts'
import { refuseDifferences, verifyCopy } from './verify-copy.ts'

/** Parts of the file that the copy may need besides: its log, and room for the check. */
const ROOM = 1.1

/**
 * `slipway snapshot --dry-run`: a consistent copy of the file is copied as a whole into a schema that nobody else
 * uses, with keys, indexes and constraints, compared, and dropped. The source is read by the online backup alone: no
 * capture, no change of its mode, no lock that lasts.
 */
export async function rehearse(config: Config, options: RehearsalOptions): Promise<RehearsalOutcome> {
  const { observer, signal } = options
  const startedAt = performance.now()
  const clock = new Clock()
  const folder = join(config.stateDir, 'rehearsal')
  removeLeftovers(folder)
  checkRoom(config)
  await using target = await openTarget(config, (line) => observer.step(line))
  // A person who gives up does not wait for a lock of somebody else's.
  signal.addEventListener('abort', () => target.connection.cut(), { once: true })
  await checkTarget(target.connection, config.postgresSchema)
  const own = join(folder, String(process.pid))
  using _files = { [Symbol.dispose]: () => rmSync(own, { recursive: true, force: true }) }
  observer.step('copying the file')
  const copy = await clock.time('file', () => copyFile(config.sqlitePath, own, signal))
  for (const warning of copy.warnings) observer.warn(warning)
  using source = openFrozen(copy.path)
  const facts = readFacts(source.database, copy.path)
  const gate = new ReaderGate(copy.path, Number.POSITIVE_INFINITY)
  const planning = await clock.time('values', async () =>
    planSource({
      config,
      reader: source.database,
      connection: target.connection,
      gate,
      before: (await target.control.read())?.tables ?? [],
      widened: new Map(),
      signal,
      step: (text) => observer.step(text),
    }),
  )
  refuseBlocked(planning.findings, config.postgresSchema)
  const chunks = new ChunkReader(source.database, {
    path: copy.path,
    gate,
    encoding: facts.encoding,
    chunkRows: config.chunkRows,
    captured: false,
  })
  const stage = new Stage(target, chunks, clock, options)
  await using scratch = await makeScratch(
    target.lock,
    crypto.randomUUID().slice(0, 8),
    () => stage.connection.close(),
    (text) => observer.warn(text),
  )
  const played = await stage.play(planning, scratch.schema)
  observer.step('comparing every value')
  const verified = await clock.time('verify', () =>
    verifyCopy({
      connection: stage.connection,
      database: source.database,
      chunks,
      tables: played.planned.map(({ spec }) => spec),
      signal,
    }),
  )
  refuseDifferences(verified, 'Report this with the message above. Neither side was changed.', played.refused)
  const findings = [
    ...notMoved(planning),
    ...planning.findings,
    ...schemaFindings(planning.planned),
    ...played.findings,
  ]
  return {
    tables: played.tables,
    rows: played.tables.reduce((sum, table) => sum + table.rows, 0),
    steps: clock.steps,
    seconds: (performance.now() - startedAt) / 1000,
    findings,
  }
}

function notMoved({ inventory }: Planning): Finding[] {
  return inventory.skipped.map(({ name, reason }) => ({
    code: 'not_moved',
    severity: 'warns',
    table: name,
    message: `${name} is not copied: ${reason}`,
  }))
}

const STEPS: readonly RehearsalStep[] = [
  'file',
  'values',
  'copy',
  'keys',
  'indexes',
  'checks',
  'foreign_keys',
  'verify',
]

/** Times of the parts; a part that comes again for each table is summed up. */
class Clock {
  readonly #ms = new Map(STEPS.map((step) => [step, 0]))

  get steps(): RehearsalOutcome['steps'] {
    return [...this.#ms].map(([step, ms]) => ({ step, seconds: ms / 1000 }))
  }

  async time<T>(step: RehearsalStep, work: () => Promise<T>): Promise<T> {
    const before = performance.now()
    try {
      return await work()
    } finally {
      this.#ms.set(step, (this.#ms.get(step) ?? 0) + performance.now() - before)
    }
  }
}

type PlayedTable = RehearsalOutcome['tables'][number]

/** The session that builds the tables of the rehearsal. */
class Stage {
  readonly connection: TargetSession['connection']
  readonly #target: TargetSession
  readonly #chunks: ChunkReader
  readonly #clock: Clock
  readonly #options: RehearsalOptions
  constructor(target: TargetSession, chunks: ChunkReader, clock: Clock, options: RehearsalOptions) {
    this.#target = target
    this.connection = target.connect('rehearsal')
    this.#chunks = chunks
    this.#clock = clock
    this.#options = options
  }

  /** All that a snapshot makes, in the schema of the rehearsal. */
  async play(
    { planned: original }: Planning,
    schema: string,
  ): Promise<{
    readonly planned: readonly PlannedTable[]
    readonly tables: PlayedTable[]
    readonly findings: Finding[]
    /** Rows that PostgreSQL did not take, by table. */
    readonly refused: ReadonlyMap<string, number>
  }> {
    const { observer, signal } = this.#options
    const findings: Finding[] = []
    const tables: PlayedTable[] = []
    const refused = new Map<string, number>()
    await this.connection.use(async (client) => {
      await client.query('SET synchronous_commit = off')
      await client.query(`SET maintenance_work_mem = '256MB'`)
      const { rows } = await client.query('SELECT pg_backend_pid() AS pid')
      signal.addEventListener('abort', () => this.#cut(rows[0].pid), { once: true })
    })
    const planned = original.map((table) => ({ ...table, spec: { ...table.spec, schema } }))
    const existing = original.filter(({ spec }) => !spec.owned).map(({ spec }) => spec)
    await this.connection.transaction(async (client) => {
      for (const spec of existing) await makeLike(client, spec, schema)
      for (const table of planned) await makeTable(client, table)
    })
    for (const table of planned) {
      const { spec } = table
      const before = performance.now()
      const filled = await this.#do('copy', (client) =>
        fillTable(client, spec, {
          chunks: this.#chunks,
          tolerant: true,
          signal,
          copied: (status) => observer.copied(status),
        }),
      )
      const seconds = (performance.now() - before) / 1000
      tables.push({ table: spec.name, target: spec.target, rows: filled.rows, aside: filled.aside, seconds })
      refused.set(spec.name, filled.refused)
      const aside = asideFinding(spec, filled)
      if (aside !== undefined) findings.push(aside)
      observer.step(`${spec.name}: keys and indexes`)
      await this.#do('keys', (client) => makeKey(client, table))
      findings.push(...(await this.#do('indexes', (client) => makeIndexes(client, table))))
      await this.connection.use((client) => client.query(`ANALYZE ${targetName(spec)}`))
    }
    observer.step('constraints')
    const own = constraintsOf(planned)
    const theirs =
      existing.length === 0
        ? []
        : await this.#do('foreign_keys', (client) => foreignKeysLike(client, existing, schema))
    const checks = own.filter(({ kind }) => kind === 'own_check')
    const keys = [...theirs, ...own.filter(({ kind }) => kind !== 'own_check')]
    for (const [step, constraints] of [
      ['checks', checks],
      ['foreign_keys', keys],
    ] as const) {
      findings.push(...(await this.#wake(step, constraints)))
    }
    return { planned, tables, findings, refused }
  }

  async #wake(step: 'checks' | 'foreign_keys', constraints: readonly Dormant[]): Promise<Finding[]> {
    const findings: Finding[] = []
    // One at a time: a parent that is not moved is locked no longer than its own key takes.
    for (const constraint of constraints) {
      const told = await this.#do(step, (client) => wakeUp(client, [constraint]))
      for (const message of told) findings.push({ code: 'constraint_refused', severity: 'warns', message })
    }
    return findings
  }

  async #do<T>(
    step: RehearsalStep,
    work: (client: Parameters<typeof makeTable>[0]) => Promise<T>,
  ): Promise<T> {
    this.#options.signal.throwIfAborted()
    return await this.#clock.time(step, () => this.connection.transaction(work))
  }

  /** Ends the session at once: a person who gives up does not wait for an index to be built. */
  #cut(backend: number): void {
    this.#target.lock
      .use((client) => client.query('SELECT pg_terminate_backend($1)', [backend]))
      // The statement then ends by itself, and the schema is dropped after it.
      .catch(() => undefined)
  }
}

/** Folders of rehearsals whose process is gone. */
function removeLeftovers(folder: string): void {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  for (const name of readdirSync(folder)) {
    if (!/^\d+$/.test(name) || !isAlive(Number(name)))
      rmSync(join(folder, name), { recursive: true, force: true })
  }
}

function isAlive(pid: number): boolean {
  if (pid === process.pid) return false
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM'
  }
}

function checkRoom({ sqlitePath, stateDir }: Config): void {
  checkFile(sqlitePath)
  const reader = openReader(sqlitePath)
  let needed: number
  try {
    const { pages, pageSize } = readFacts(reader, sqlitePath)
    needed = pages * pageSize * ROOM
  } finally {
    reader.close()
  }
  const { bavail, bsize } = statfsSync(stateDir)
  if (bavail * bsize > needed) return
  throw noRoom(
    stateDir,
    `it needs ${Math.ceil(needed / 1e6)} MB, and ${Math.floor((bavail * bsize) / 1e6)} MB are free`,
  )
}

function noRoom(stateDir: string, why: string, cause?: unknown): Failure {
  return new Failure({
    code: 'rehearsal_disk_full',
    message: `a copy of the file does not fit into ${stateDir} (${why})`,
    remedy: 'Name a folder with room: STATE_DIR=/path',
    cause,
  })
}

async function copyFile(
  path: string,
  folder: string,
  signal: AbortSignal,
): Promise<Awaited<ReturnType<typeof backupSource>>> {
  try {
    return await backupSource(path, folder, signal, () => undefined)
  } catch (error) {
    if (error instanceof Failure && error.code === 'backup_disk_full')
      throw noRoom(folder, error.message, error)
    throw error
  }
}
