import { join } from 'node:path'
import type { Config } from '../core/config.ts'
import { Failure } from '../core/errors.ts'
import type { Observer } from '../core/observer.ts'
import type { Phase } from '../core/operator.ts'
import { type PlannedTable, planTables } from '../core/plan.ts'
import type { Anew, Stream, StreamFactory } from '../core/ports.ts'
import type { Inventory } from '../core/source-schema.ts'
import type { ControlState } from '../postgres/control.ts'
import { CopyWriter } from '../postgres/copy.ts'
import { findBreach } from '../postgres/dormant.ts'
import { introspectTarget, otherRelations } from '../postgres/introspect.ts'
import { migrateOwnSchema } from '../postgres/migrate.ts'
import { checkTarget } from '../postgres/preflight.ts'
import { BatchWriter } from '../postgres/writer.ts'
import { planCopy } from '../replication/snapshot.ts'
import { backupSource } from '../sqlite/backup.ts'
import {
  type Installation,
  installCapture,
  isIntact,
  readControl,
  refuseOtherOwner,
  type SourceControl,
} from '../sqlite/capture.ts'
import { ChangelogReader } from '../sqlite/changelog.ts'
import { ChunkReader } from '../sqlite/chunks.ts'
import { introspect } from '../sqlite/introspect.ts'
import {
  checkFile,
  checkWritable,
  ensureWal,
  isSqliteError,
  openReader,
  readFacts,
  restoreJournal,
  type SourceFacts,
  type Sqlite,
  sourceFailure,
} from '../sqlite/open.ts'
import { profileTable, refuseForeignCollation } from '../sqlite/profile.ts'
import { ReaderGate } from '../sqlite/reader-gate.ts'
import { WalWake } from '../sqlite/wake.ts'
import { warnOfOldWriter } from '../sqlite/writer-version.ts'
import type { ForwardFacts } from './forward-facts.ts'
import { goOnWith } from './go-on.ts'
import type { TargetSession } from './session.ts'

/** Least time between two prunes: each is a commit that may fail an application's deferred transaction (H10). */
const PRUNE_EVERY_MS = 120_000

/** A server that has not answered the smallest question for so long is given up. */
const SILENCE_MS = 15_000

export interface ForwardOptions {
  readonly enableWal: boolean
  readonly backup: boolean
  readonly observer: Observer
}

/**
 * Puts the forward direction together: the source's reader, the target's writer, and everything that must hold
 * between them before a change may flow.
 */
export class ForwardFactory implements StreamFactory {
  readonly #config: Config
  readonly #target: TargetSession
  readonly #options: ForwardOptions
  #prepared = false
  #targetId = ''
  /** When the heartbeat was sent that has no answer yet. */
  #beatingSince: number | undefined
  /** Types that a value was found to need, by table and column. */
  readonly #widened = new Map<string, string>()
  readonly facts: ForwardFacts = {
    source: undefined,
    targetVersion: '',
    control: undefined,
    backup: undefined,
    warnings: [],
    changelogRows: () => 0,
    gateWaiting: () => undefined,
    silentSince: () => this.#beatingSince,
  }

  constructor(config: Config, target: TargetSession, options: ForwardOptions) {
    this.#config = config
    this.#target = target
    this.#options = options
  }

  /** Checks that change nothing come first, on both sides; then slipway's own schema is made. */
  async #prepare(): Promise<void> {
    const { sqlitePath, postgresSchema } = this.#config
    checkFile(sqlitePath)
    checkWritable(sqlitePath)
    const reader = openReader(sqlitePath)
    let facts: SourceFacts
    let noted: SourceControl | undefined
    try {
      facts = readFacts(reader, sqlitePath)
      noted = readControl(reader)
      if (facts.journalMode !== 'wal' && !this.#options.enableWal) await ensureWal(sqlitePath, facts, false)
    } finally {
      reader.close()
    }
    this.facts.source = facts
    const oldWriter = await warnOfOldWriter(sqlitePath)
    if (oldWriter !== undefined) this.#warn(oldWriter)
    const { id, version, warnings } = await checkTarget(this.#target.connection, postgresSchema)
    this.facts.targetVersion = version
    this.facts.warnings.push(...warnings)
    await migrateOwnSchema(this.#target.connection, this.#target.url)
    this.#targetId = id
    // A server that has forgotten this migration gets it back under the identity that the source knows.
    const [identity, name] = noted?.target === id ? noted.owner.split(' ') : []
    await this.#target.control.create(
      sqlitePath,
      postgresSchema,
      name === this.#config.migrationName ? identity : undefined,
    )
    this.#prepared = true
  }

  async acquire(): ReturnType<StreamFactory['acquire']> {
    if (!this.#prepared) await this.#prepare()
    const control = await this.#control()
    this.#refuseOtherFile(control)
    return await this.#target.control.acquire(this.#target.lock)
  }

  async heartbeat(): Promise<boolean> {
    if (this.#beatingSince !== undefined) {
      // A server that takes connections and never answers (frozen, or cut off) would be waited for without end.
      if (Date.now() - this.#beatingSince > SILENCE_MS) {
        this.#options.observer.warn(
          `PostgreSQL has not answered for ${SILENCE_MS / 1000} s: connecting again`,
        )
        this.#beatingSince = undefined
        this.#target.cut()
      }
      return true
    }
    this.#beatingSince = Date.now()
    try {
      return await this.#target.control.heartbeat(this.#target.lock)
    } finally {
      this.#beatingSince = undefined
    }
  }

  async open(asked: Anew | undefined, signal: AbortSignal): Promise<Stream> {
    try {
      return await this.#open(asked, signal)
    } catch (error) {
      throw isSqliteError(error) ? sourceFailure(this.#config.sqlitePath, error) : error
    }
  }

  async #open(asked: Anew | undefined, signal: AbortSignal): Promise<Stream> {
    const { sqlitePath } = this.#config
    let anew = asked?.reason
    if (asked?.widen !== undefined)
      this.#widened.set(`${asked.widen.table}\0${asked.widen.column}`, asked.widen.type)
    const control = await this.#control()
    if (control.authority !== 'sqlite') {
      throw new Failure({
        code: 'wrong_authority',
        message: `the migration is in phase ${control.phase}: ${control.authority} has the authority, nothing is copied from SQLite`,
        remedy: 'See: slipway status',
      })
    }
    checkFile(sqlitePath)
    await using stack = new AsyncDisposableStack()
    const reader = openReader(sqlitePath)
    stack.defer(() => void reader.close())
    let facts = readFacts(reader, sqlitePath)
    this.facts.source = facts
    const limit = this.#config.maxWalMb * 1024 * 1024
    const gate = new ReaderGate(sqlitePath, limit)
    this.facts.gateWaiting = () => gate.waiting
    const owner = this.#owner(control)
    const noted = readControl(reader)
    const goesOn =
      anew === undefined &&
      control.phase !== 'new' &&
      noted !== undefined &&
      noted.installation === control.installation &&
      isIntact(reader, noted)
    const breach = goesOn ? await findBreach(this.#target.connection, control.tables) : undefined
    if (breach !== undefined) anew = breach
    // Before the values are looked at: outside WAL a reader would stand in the application's way, and it in ours.
    const consent = this.#options.enableWal || noted !== undefined
    const { changedFrom } = await ensureWal(sqlitePath, facts, consent)
    facts = { ...facts, journalMode: 'wal' }
    const inventory = introspect(reader, this.#config.tables, this.#config.excludeTables)
    if (inventory.tables.length === 0) {
      throw new Failure({
        code: 'nothing_to_move',
        message: `${sqlitePath} has no table to move${inventory.skipped.map((s) => `; ${s.name}: ${s.reason}`).join('')}`,
        remedy: 'Name the file that the application really uses, and check TABLES and EXCLUDE_TABLES.',
      })
    }
    const added = inventory.tables.filter((table) => !control.tables.some((spec) => spec.name === table.name))
    if (goesOn && added.length > 0)
      anew = `TABLES now names more: ${added.map((table) => table.name).join(', ')}`
    let planned: readonly PlannedTable[]
    let installation: Installation | undefined
    if (goesOn && anew === undefined) planned = goOnWith(control.tables, inventory)
    else {
      if (anew === undefined && control.phase !== 'new')
        anew = 'the schema of the source was changed while slipway was away'
      try {
        planned = await this.#plan(reader, inventory, control, gate, signal)
        if (control.phase === 'new') await this.#backup(signal)
        installation = installCapture({
          path: sqlitePath,
          owner,
          target: this.#targetId,
          tables: planned,
          journalModeBefore: changedFrom,
          plannedFor: inventory.schemaVersion,
        })
      } catch (error) {
        reader.close()
        // What is refused leaves the file in the mode that it had.
        if (changedFrom !== undefined && noted === undefined) await restoreJournal(sqlitePath, changedFrom)
        throw error
      }
      for (const warning of installation.warnings) this.#warn(warning)
      this.#options.observer.step(`capture installed on ${planned.length} tables`)
    }
    this.facts.source = facts
    const tables = planned.map(({ spec }) => spec)
    const encoding = facts.encoding
    const workers = Math.max(1, this.#config.snapshotWorkers)
    const { control: holder, connection } = this.#target
    const sessions = Array.from({ length: workers }, (_, index) => this.#target.connect(`copy ${index}`))
    const apply = this.#target.connect('apply')
    stack.defer(async () => void (await Promise.all([...sessions, apply].map((session) => session.close()))))
    const copySource = new ChunkReader(reader, {
      path: sqlitePath,
      gate,
      encoding,
      chunkRows: this.#config.chunkRows,
      captured: true,
    })
    const copyTarget = new CopyWriter(connection, sessions, holder, planned, control.tables, (text) =>
      this.#warn(text),
    )
    if (installation !== undefined) {
      if (anew !== undefined) this.#options.observer.warn(`copying anew: ${anew}`)
      await copyTarget.begin(
        installation.head,
        planCopy(copySource, tables, workers),
        installation.control.installation,
      )
    }
    const wake = new WalWake(sqlitePath)
    stack.defer(() => wake.close())
    const changes = stack.use(
      new ChangelogReader({
        path: sqlitePath,
        encoding,
        tables,
        schemaVersion: installation?.control.schemaVersion ?? (noted?.schemaVersion as bigint),
        gate,
        wake,
        spoolFolder: join(this.#config.stateDir, 'spool'),
        retentionSeconds: this.#config.changelogRetentionSeconds,
        pruneEveryMs: PRUNE_EVERY_MS,
      }),
    )
    this.facts.changelogRows = () => changes.size()
    this.facts.control = await holder.read()
    const shapes = await introspectTarget(connection, this.#config.postgresSchema)
    const phase = (await this.#control()).phase
    const held = stack.move()
    return {
      tables,
      source: changes,
      target: new BatchWriter(apply, holder, shapes, (text) => this.#warn(text), this.#config.history),
      copySource,
      copyTarget,
      workers,
      phase,
      newest: async () => (await holder.checkpoint())?.newest ?? 0n,
      breach: () => findBreach(connection, tables),
      enter: async (next: Phase) => {
        await holder.note({ phase: next })
        this.facts.control = await holder.read()
      },
      [Symbol.asyncDispose]: async () => {
        this.facts.changelogRows = () => 0
        this.facts.gateWaiting = () => undefined
        await held.disposeAsync()
      },
    }
  }

  #owner(control: ControlState): string {
    return `${control.identity} ${this.#config.migrationName}`
  }

  /** The name of a migration comes from the file's name: another file of that name must not take the target over. */
  #refuseOtherFile(control: ControlState): void {
    const { sqlitePath, migrationName } = this.#config
    const reader = openReader(sqlitePath)
    try {
      const noted = readControl(reader)
      refuseOtherOwner(sqlitePath, noted, this.#owner(control))
      if (control.phase === 'new' || noted !== undefined || control.source === sqlitePath) return
      throw new Failure({
        code: 'source_other_file',
        message: `the migration "${migrationName}" moves ${control.source}, and ${sqlitePath} is another file`,
        remedy: `Give this one a name of its own (MIGRATION_NAME=${migrationName}_2) and another POSTGRES_SCHEMA, or end the other: slipway uninstall`,
      })
    } finally {
      reader.close()
    }
  }

  async #control(): Promise<ControlState> {
    const control = await this.#target.control.read()
    if (control === undefined) {
      // The server was put back to before the migration: it is made again, and everything copied anew.
      this.#prepared = false
      throw new Failure({
        code: 'control_missing',
        policy: 'transient',
        message: 'the server has forgotten this migration: it is set up again',
      })
    }
    this.facts.control = control
    return control
  }

  async #plan(
    source: Sqlite,
    inventory: Inventory,
    control: ControlState,
    gate: ReaderGate,
    signal: AbortSignal,
  ): Promise<readonly PlannedTable[]> {
    this.#options.observer.step(`looking at the values of ${inventory.tables.length} tables`)
    for (const { name, reason } of inventory.skipped) this.#warn(`${name} is not copied: ${reason}`)
    const profiles = new Map<string, Awaited<ReturnType<typeof profileTable>>>()
    for (const table of inventory.tables) {
      refuseForeignCollation(table)
      const profile = await profileTable(source, table, gate, signal)
      profiles.set(table.name, { ...profile, widened: this.#widenedOf(table.name) })
    }
    const targets = await introspectTarget(this.#target.connection, this.#config.postgresSchema)
    const before = new Map(control.tables.map((table) => [table.target, table]))
    // Tables of an earlier copy hold its rows: they are ours to empty.
    const known = targets.map((table) => (before.has(table.name) ? { ...table, empty: true } : table))
    const owned = new Set([...before.values()].filter((table) => table.owned).map((table) => table.target))
    const taken = await otherRelations(this.#target.connection, this.#config.postgresSchema)
    const planned = planTables(inventory.tables, profiles, known, this.#config.postgresSchema, owned, taken)
    for (const table of planned) for (const warning of table.warnings) this.#warn(warning)
    return planned
  }

  #widenedOf(table: string): ReadonlyMap<string, string> {
    const prefix = `${table}\0`
    return new Map(
      [...this.#widened]
        .filter(([key]) => key.startsWith(prefix))
        .map(([key, type]) => [key.slice(prefix.length), type]),
    )
  }

  async #backup(signal: AbortSignal): Promise<void> {
    if (!this.#options.backup) return
    this.#options.observer.step('backup of the source')
    let told = Date.now()
    const backup = await backupSource(
      this.#config.sqlitePath,
      this.#config.backupDir,
      signal,
      (done, total) => {
        if (Date.now() - told < 2_000) return
        told = Date.now()
        this.#options.observer.step(`backup: ${Math.floor((100 * done) / Math.max(1, total))} %`)
      },
    )
    for (const warning of backup.warnings) this.#warn(warning)
    this.facts.backup = backup
    await this.#target.control.note({ backup })
    this.#options.observer.step(`backup at ${backup.path}, checked`)
  }

  #warn(text: string): void {
    if (this.facts.warnings.includes(text)) return
    this.facts.warnings.push(text)
    this.#options.observer.warn(text)
  }
}
